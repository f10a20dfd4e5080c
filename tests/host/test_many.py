"""Many connections on real sockets, and the third driver beside the first: the same generators, the same outcomes."""

from __future__ import annotations

import asyncio
import resource
import socket
import threading
import time
from collections.abc import Callable

import pytest

from tests.cli.support import Or, maybe, mismatches, ws101
from ws101.errors import UsageError
from ws101.host.binary import NginxBinary
from ws101.host.dial import Network
from ws101.host.many import Driven, address_of, hold_many, open_files
from ws101.host.network import run
from ws101.lab.backends import EchoApp, Recorder, StoryApp, accept, plain
from ws101.lab.nginx import Nginx, wrap
from ws101.lab.ports import free_ports
from ws101.probes.close import close
from ws101.probes.core import Observation, Probe
from ws101.probes.crowding import Many, Plan
from ws101.probes.echo import echo
from ws101.probes.endpoint import Endpoint, parse_ws_url
from ws101.probes.handshake import ORDINARY, HandshakeOptions, handshake
from ws101.probes.idle import idle
from ws101.probes.large import large
from ws101.probes.ping import ping

FAST = Plan(20, 0, 0.2)


def many(port: int, plan: Plan = FAST, **more: object) -> Many:
    endpoint = parse_ws_url(f"ws://127.0.0.1:{port}/ws")
    options = HandshakeOptions(timeout=2.0)
    return hold_many(endpoint, options, Network(), ("127.0.0.1", port), plan, **more)  # type: ignore[arg-type]


def driven(probe: Probe, port: int) -> Observation:
    """Run a probe on the third driver."""

    async def go() -> Observation:
        loop, waiting = asyncio.get_running_loop(), set[Driven]()
        result: asyncio.Future[Observation] = loop.create_future()
        await loop.create_connection(
            lambda: Driven(probe, time.monotonic, waiting, result.set_result), "127.0.0.1", port
        )
        while not result.done():
            await asyncio.sleep(0.01)
            for one in [one for one in waiting if one.is_due(time.monotonic())]:
                one.time_out(time.monotonic())
        return result.result()

    return asyncio.run(go())


PROBES: list[Callable[[Endpoint], Probe]] = [
    lambda endpoint: handshake(endpoint, ORDINARY),
    lambda endpoint: echo(endpoint, message="hello"),
    lambda endpoint: ping(endpoint, count=3),
    close,
    lambda endpoint: large(endpoint, size=300_000),
    lambda endpoint: idle(endpoint, limit=0.3),
]


@pytest.mark.parametrize("probe", PROBES, ids=["handshake", "echo", "ping", "close", "large", "idle"])
@pytest.mark.parametrize("app", [EchoApp, lambda: EchoApp(status=400), lambda: EchoApp(hang_up=True)])
def test_the_third_driver_gives_the_outcome_of_the_first(
    probe: Callable[[Endpoint], Probe], app: Callable[[], EchoApp]
) -> None:
    with app() as server:
        endpoint = parse_ws_url(f"ws://127.0.0.1:{server.port}/ws")
        one, two = run(probe(endpoint), endpoint), driven(probe(endpoint), server.port)
    assert (one.verdict, one.class_) == (two.verdict, two.class_)
    assert [entry.direction for entry in one.transcript] == [entry.direction for entry in two.transcript]


def test_all_are_opened_held_and_left_in_good_order() -> None:
    with StoryApp("/ws") as app:
        found = many(app.port, Plan(100, 0, 0.2))
        assert app.connections == 100
    assert found.good
    assert (found.opened, found.peak, found.held, len(found.latencies)) == (100, 100, 100, 100)
    assert found.rate > 10


def test_they_are_opened_at_the_rate() -> None:
    with EchoApp() as app:
        found = many(app.port, Plan(11, 20, 0))
    assert 0.45 < found.opening < 2.0


def test_the_servers_heartbeat_is_answered_for_as_long_as_they_are_held() -> None:
    with EchoApp(ping_interval=0.2, ping_timeout=0.4) as app:
        assert many(app.port, Plan(5, 0, 1.5)).good


def test_a_limit_is_seen_at_its_number_and_the_others_stand() -> None:
    lock, taken = threading.Lock(), 0

    def answer(request: object) -> bytes:
        nonlocal taken
        with lock:
            taken += 1
            if taken > 10:
                return plain(503, "Service Unavailable", "full", ("Connection", "close"))
        return accept(request)  # type: ignore[arg-type]

    with Recorder(answer) as server:
        found = many(server.port, Plan(15, 100, 0.2))
    assert found.first is not None
    assert (found.opened, found.held, found.first.number, found.first.refusal.status) == (10, 10, 11, 503)
    assert found.failures == (("status", 5),)


def test_tunnels_that_end_are_counted_with_their_time() -> None:
    def answer(request: object) -> bytes:
        return accept(request) + b"\x88\x02\x03\xe9"  # type: ignore[arg-type]

    with Recorder(answer) as server:
        found = many(server.port, Plan(5, 0, 1.0))
    assert not found.good
    assert (found.opened, found.held) == (5, 0)
    assert {(drop.how, drop.code) for drop in found.drops} == {("close", 1001)}


def test_a_server_that_never_answers_and_one_that_is_not_there_end_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        endpoint = parse_ws_url(f"ws://127.0.0.1:{port}/")
        found = hold_many(endpoint, HandshakeOptions(timeout=0.5), Network(), ("127.0.0.1", port), Plan(3, 0, 0))
    assert found.failures == (("timeout", 3),)
    (port,) = free_ports(1)
    found = many(port, Plan(200, 0, 0))
    assert found.failures[0][0] == "refused"
    assert found.tried < 200
    assert "failed in a row" in found.stopped


def test_the_limit_of_open_files_is_named_and_nothing_breaks() -> None:
    script = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))\n"
        "from tests.host.test_many import *\n"
        "import sys; found = many(int(sys.argv[1]), Plan(100, 0, 0))\n"
        "print(found.first.refusal.class_, found.first.here, found.stopped)"
    )
    import subprocess  # noqa: PLC0415
    import sys  # noqa: PLC0415

    with EchoApp() as app:
        done = subprocess.run(
            [sys.executable, "-c", script, str(app.port)], capture_output=True, text=True, check=False, timeout=60
        )
    assert done.stdout == "open-files True this process may open no more files\n", done.stderr


def test_the_limit_of_open_files_is_raised_as_far_as_it_goes() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        assert open_files(10) >= 10
        assert open_files(10**9) < 10**9
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_what_happens_meanwhile_is_marked() -> None:
    with EchoApp() as app:
        found = many(app.port, Plan(3, 0, 0), meanwhile=lambda: "done")
    assert [name for name, _ in found.marks] == ["begun", "done"]


@pytest.mark.parametrize("plan", [Plan(0, 1, 1), Plan(1, -1, 1), Plan(1, 1, -1)])
def test_a_plan_without_sense_is_refused(plan: Plan) -> None:
    with pytest.raises(UsageError):
        many(1, plan)


def test_addresses_are_read_as_probes_show_them() -> None:
    assert address_of("127.0.0.1:80") == ("127.0.0.1", 80)
    assert address_of("[::1]:80") == ("::1", 80)
    assert address_of("unix:/tmp/x") == "/tmp/x"


LATENCY = maybe({"p50": float, "p95": float, "max": float})
MANY = {
    "schema": "ws101/many/1", "url": str, "verdict": Or(("passed", "failed")), "asked": int, "tried": int,
    "opened": int, "peak": int, "held": int, "opening": float, "rate": float, "latency": LATENCY,
    "stopped": maybe(str),
    "failures": Or(({}, {"eof": int}, {"reset": int}, {"eof": int, "reset": int}, {"reset": int, "eof": int})),
    "first_failure": maybe(
        {
            "number": int, "at": float, "class": maybe(str), "status": maybe(int), "answered_by": str, "message": str,
            "cause": str, "confidence": str, "why": str, "help": maybe(str),
        }
    ),
    "drops": [{"number": int, "at": float, "lasted": float, "how": str, "close_code": maybe(int)}],
    "reload": maybe(
        {
            "how": str, "outcome": str, "at": float, "seconds": float, "survived": int, "dropped": int,
            "first_drop": maybe(float), "last_drop": maybe(float),
        }
    ),
}  # fmt: skip

SITE = """
server {{
    listen 127.0.0.1:{port};
    location / {{
        proxy_pass http://127.0.0.1:{app};
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection upgrade;
    }}
}}
"""


def test_nginx_without_worker_connections_is_proven_by_its_log(binary: NginxBinary) -> None:
    (port,) = free_ports(1)
    with EchoApp() as app:
        conf = wrap(SITE.format(port=port, app=app.port), binary=binary, events="worker_connections 40;")
        with Nginx(conf, binary=binary):
            done = ws101(
                "probe", f"ws://127.0.0.1:{port}/", "--many", "60", "--rate", "0", "--hold", "0.2", "--format", "json"
            )
    assert done.code == 1, done.err
    assert mismatches(done.json, MANY) == []
    first = done.json["first_failure"]
    assert (first["cause"], first["confidence"]) == ("worker-connections", "proven")
    assert 10 < done.json["opened"] < 21


def test_tunnels_outlive_a_reload_and_end_at_worker_shutdown_timeout(binary: NginxBinary) -> None:
    (port,) = free_ports(1)
    options = ("--many", "5", "--rate", "0", "--hold", "1.8", "--reload", "--format", "json")
    with EchoApp() as app:
        for main, survived in (("", 5), ("worker_shutdown_timeout 1s;", 0)):
            conf = wrap(SITE.format(port=port, app=app.port), binary=binary, main=main)
            with Nginx(conf, binary=binary):
                asked = ws101("probe", f"ws://127.0.0.1:{port}/", *options)
                assert asked.code == 2
                assert "--yes" in asked.err
                done = ws101("probe", f"ws://127.0.0.1:{port}/", *options, "--yes")
            assert mismatches(done.json, MANY) == []
            assert done.json["reload"]["outcome"] == "new workers serve"
            assert done.json["reload"]["survived"] == survived
            if not survived:
                assert 0.8 < done.json["reload"]["first_drop"] < 2.5


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--many", "2000"), "is more than --limit 1000"),
        (("--many", "0"), "invalid value"),
        (("--many", "5", "--http"), "exclude each other"),
        (("--many", "5", "--rate", "x"), "invalid value"),
    ],
)
def test_bad_input_is_named(args: tuple[str, ...], message: str) -> None:
    done = ws101("probe", "ws://127.0.0.1:1/", *args)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err


def test_where_not_even_one_succeeds_the_others_are_not_tried() -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
    done = ws101("probe", f"ws://127.0.0.1:{port}/", "--many")
    assert done.code == 2
    assert "not even one handshake succeeds" in done.err
