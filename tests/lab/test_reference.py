"""The reference deployment, for real: nginx, backends in Python, Node and Go, every fault staged and mended."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection

from tests.cli.support import ws101
from tests.conftest import BINARIES, IN_CI
from tests.docs.test_tutorial import missing
from ws101.check import check
from ws101.cli import main
from ws101.errors import UsageError
from ws101.host.binary import NginxBinary
from ws101.host.doctor import arrival_of
from ws101.host.files import DiskFiles
from ws101.host.network import handshake
from ws101.lab.breaking import stage
from ws101.lab.faults import FAULTS, Fault, broken_files, faults_for, find_fault
from ws101.lab.folder import Folder
from ws101.lab.reference import Reference, Wishes, plan_of
from ws101.lab.seeing import Client
from ws101.lab.site import HOST, LINK, SITE, Plan, site_files
from ws101.newsite import NewSite, site_text
from ws101.nginx.config import Config, MemoryFiles
from ws101.nginx.trace import trace
from ws101.probes.endpoint import parse_ws_url
from ws101.probes.handshake import HandshakeOptions, build_request
from ws101.rules import find_rule
from ws101.rules.base.options import Options


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reference]:
    """One deployment for all; a test that breaks it puts it back."""
    folder = Folder(tmp_path_factory.mktemp("lab") / "up")
    with Reference(folder, Wishes(port=0)) as reference:
        if IN_CI:
            assert reference.record.missing == (), "in CI every backend has to run (see .ci/run)"
        yield reference


@pytest.fixture
def client(lab: Reference) -> Client:
    return client_of(lab)


def client_of(lab: Reference) -> Client:
    return Client(lab.record.port, lab.folder.nginx / "tls" / "site.pem")


def hear(socket: ClientConnection, wanted: Callable[[dict[str, Any]], bool], timeout: float = 5.0) -> dict[str, Any]:
    """The first message that is wanted."""
    deadline = time.monotonic() + timeout
    while True:
        message: dict[str, Any] = json.loads(socket.recv(timeout=max(0.0, deadline - time.monotonic())))
        if wanted(message):
            return message


def is_chat(message: dict[str, Any]) -> bool:
    return bool(message["type"] == "chat")


def say(socket: ClientConnection, **message: object) -> None:
    socket.send(json.dumps(message))


@contextmanager
def opened(client: Client, backend: str) -> Iterator[ClientConnection]:
    """A socket that a certain backend answers: nginx takes them in turn."""
    for _ in range(12):
        with client.open() as socket:
            if json.loads(socket.recv(timeout=5))["backend"] == backend:
                yield socket
                return
    raise AssertionError(f"{backend} never answered")


def config_of(files: dict[str, str], *, linked: bool = True) -> Config:
    """A site's files, read in memory."""
    given = {**files, LINK: files[SITE]} if linked else files
    texts = {name: text.encode("latin-1") for name, text in given.items()}
    return Config(MemoryFiles(texts), "nginx.conf", complete=True)


# what stands


def test_it_says_what_runs_and_what_is_left_out(lab: Reference) -> None:
    names = {child.name for child in lab.record.chat}
    left_out = {name for name, _ in lab.record.missing}
    assert len(names) == 3
    assert {"node", "go"} - names == left_out
    assert len(lab.record.polling) == (0 if "node" in left_out else 2)


def test_a_message_reaches_the_clients_of_every_backend(lab: Reference, client: Client) -> None:
    with ExitStack() as stack:
        sockets = {child.name: stack.enter_context(opened(client, child.name)) for child in lab.record.chat}
        for name, socket in sockets.items():
            text = f"hello from {name} <b>\u00e9\u2713</b>"
            say(socket, type="join", name="Ada & co")
            say(socket, type="chat", text=text)
            for other in sockets.values():
                message = hear(other, is_chat)
                assert (message["name"], message["text"], message["backend"]) == ("Ada & co", text, name)
                assert abs(message["at"] / 1000 - time.time()) < 10


def test_the_figures_of_all_backends_come_to_those_who_watch_and_to_nobody_else(lab: Reference, client: Client) -> None:
    everybody = {child.name for child in (*lab.record.chat, *lab.record.polling)}
    with client.open() as watching, client.open() as other:
        say(watching, type="join", name="Grace")
        say(watching, type="watch", on=True)
        seen: dict[str, dict[str, Any]] = {}
        while {*seen} != everybody or "Grace" not in [name for one in seen.values() for name in one.get("names", [])]:
            message = hear(watching, lambda m: m["type"] == "state")
            seen[message["backend"]] = message
        assert sum(message["connections"] for message in seen.values()) >= 2
        assert all(message["rate"] >= 0 for message in seen.values())
        assert json.loads(other.recv(timeout=5))["type"] == "welcome"
        with pytest.raises(TimeoutError):
            other.recv(timeout=1.3)


def port_of(lab: Reference, backend: str) -> int:
    port = next((child.port for child in lab.record.chat if child.name == backend), None)
    if port is None:
        pytest.skip(f"the backend in {backend} does not run here")
    return port


@pytest.mark.parametrize("backend", ["python", "node", "go"])
def test_every_backend_refuses_pages_of_other_sites_and_other_hosts(lab: Reference, backend: str) -> None:
    site = f"{HOST}:{lab.record.port}"
    endpoint = parse_ws_url(f"ws://127.0.0.1:{port_of(lab, backend)}/ws")

    def status(host: str, origin: str | None) -> int | None:
        return handshake(endpoint, HandshakeOptions(host=host, origin=origin))[1].status

    assert status(site, None) == status(site, f"https://{site}") == 101
    refused = [(site, "https://evil.example"), (site, f"http://{site}"), (site, "null"), ("evil.example", None)]
    assert [status(host, origin) for host, origin in refused] == [403] * 4


@pytest.mark.parametrize("backend", ["python", "node", "go"])
def test_nonsense_ends_the_connection_that_sent_it_and_no_other(lab: Reference, client: Client, backend: str) -> None:
    port_of(lab, backend)
    with opened(client, backend) as good:
        for nonsense in ("{", "[]", "null", '{"type": "join", "name": {"a": [1]}}', '{"type": ["chat"]}', "x" * 20_000):
            with opened(client, backend) as bad:
                bad.send(nonsense)
        say(good, type="chat", text="still here")
        assert hear(good, is_chat)["text"] == "still here"


def test_clients_that_poll_keep_their_session(lab: Reference, client: Client) -> None:
    if not lab.record.polling:
        pytest.skip("Socket.IO does not run here")
    seen = client.look("/socket.io/?EIO=4&transport=websocket", "polling")
    assert seen.works, seen.text


def test_the_page_is_whole_loads_nothing_from_elsewhere_and_trusts_no_message(client: Client) -> None:
    status, page = client.get("/")
    assert status == 200
    loaded = re.findall(r'(?:src|href)="([^"?#]+)"', page)
    assert sorted(loaded) == ["app.js", "icon.svg", "style.css"]
    texts = {name: client.get(f"/{name}") for name in loaded}
    assert {status for status, _ in texts.values()} == {200}
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|eval\(", texts["app.js"][1])
    assert "http://" not in texts["app.js"][1] + texts["style.css"][1]


def test_only_the_sites_own_name_is_answered(lab: Reference, client: Client) -> None:
    options = HandshakeOptions(host="evil.example", origin="https://evil.example")
    assert handshake(client.url("/ws"), options, client.network)[1].status == 421


def test_the_access_log_tells_how_long_a_tunnel_lived(lab: Reference, client: Client) -> None:
    log = lab.folder.nginx / "logs" / "access.log"
    with client.open("/ws?marked"):
        time.sleep(0.4)
    deadline = time.monotonic() + 5
    while "/ws?marked" not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    line = next(line for line in log.read_text().splitlines() if "/ws?marked" in line)
    found = re.search(r'" 101 (\d+\.\d+) 127\.0\.0\.1:\d+ "websocket" "[^"]+"$', line)
    assert found is not None, line
    assert 0.3 < float(found[1]) < 5


# the configuration


@pytest.mark.parametrize("polling", [(), (3004, 3005)])
def test_check_finds_nothing_in_the_good_configuration(binary: NginxBinary, polling: tuple[int, ...]) -> None:
    config = config_of(site_files(Plan(8443, binary.build, (3001, 3002, 3003), polling)))
    report = check(config, (binary.build,), Options(urls=(f"wss://{HOST}:8443/ws",)))
    assert (report.findings, report.problems) == ((), ())


def test_the_backend_gets_what_it_would_behind_a_site_of_ws101_new(binary: NginxBinary) -> None:
    ports = (3001, 3002, 3003)
    upstreams = tuple(f"127.0.0.1:{port}" for port in ports)
    new = NewSite((HOST,), ("/ws",), upstreams, certificate=("a.pem", "a.key"), listen="127.0.0.1:8443", whole=True,
                  builds=(binary.build,))  # fmt: skip
    both = (config_of(site_files(Plan(8443, binary.build, ports))),
            Config(MemoryFiles({"nginx.conf": site_text(new).encode()}), "nginx.conf", complete=True))  # fmt: skip
    endpoint = parse_ws_url(f"wss://{HOST}:8443/ws")
    arrival = arrival_of(endpoint, build_request(endpoint, HandshakeOptions(origin=f"https://{HOST}:8443")))
    mine, theirs = (trace(config, arrival, binary.build).outcome.forwarded for config in both)
    assert mine is not None
    assert theirs is not None
    assert mine.request is not None
    assert theirs.request is not None
    assert mine.request.headers == theirs.request.headers
    assert (mine.tunnel, mine.idle_timeout) == (theirs.tunnel, theirs.idle_timeout) == (True, 86400)


# the faults


def test_there_are_many_faults_each_named_like_its_rule() -> None:
    names = [fault.name for fault in FAULTS]
    assert len(names) == len(set(names)) >= 35
    live = {"upstream-unreachable", "upstream-scheme-mismatch"}
    assert [name for name in names if find_rule(name) is None and name not in live] == []


def test_a_rule_finds_each_fault_unless_only_the_wire_shows_it(binary: NginxBinary) -> None:
    plan = Plan(8443, binary.build, (3001, 3002, 3003), (3004, 3005))
    missed = []
    for fault in faults_for(plan):
        config = config_of(broken_files(fault, plan), linked=not fault.unlink)
        found = check(config, (binary.build,), Options(urls=(f"wss://{HOST}:8443{fault.path}",))).findings
        missed += [fault.name] if fault.name not in {finding.rule for finding in found} else []
    assert {*missed} <= {"upstream-unreachable", "upstream-scheme-mismatch"}


def fix(lab: Reference, *more: str) -> int:
    return main(["lab", "fix", "--dir", str(lab.folder.path), *more])


@pytest.fixture
def staged(lab: Reference, request: pytest.FixtureRequest) -> Iterator[tuple[Fault, str]]:
    """A fault in the running deployment, and nginx's refusal; afterwards all is well again."""
    fault: Fault = request.param
    if fault not in faults_for(plan_of(lab.record)):
        pytest.skip(f"{fault.name} needs {fault.module or 'Socket.IO'}, which is not here")
    yield fault, stage(lab.folder, lab.record, fault)
    assert stage(lab.folder, lab.record, None) == ""
    assert client_of(lab).look("/ws").works


@pytest.mark.parametrize("staged", FAULTS, ids=[fault.name for fault in FAULTS], indirect=True)
def test_each_fault_shows_is_named_and_is_mended_as_its_table_says(
    lab: Reference, client: Client, staged: tuple[Fault, str], capsys: pytest.CaptureFixture[str]
) -> None:
    fault, refusal = staged
    assert bool(refusal) is (fault.seen == "refused"), refusal
    if not refusal:
        seen = client.look(fault.path, fault.seen)
        assert not seen.works, seen.text
    options = {"unsafe": ("--unsafe",), "select": ("--unsafe", "--select", fault.name)}.get(fault.mending, ())
    if options:
        assert fix(lab) == 1, "what changes other requests is not done unasked"
        assert f"ws101 lab fix {' '.join(options)} --dir " in capsys.readouterr().out
    code = fix(lab, *options)
    said = capsys.readouterr().out
    assert fault.name in said, said
    if fault.mending == "advice":
        assert (code, "it still fails" in said, "ws101 lab reset" in said) == (1, True, True), said
        return
    assert code == 0, said
    assert client.look(fault.path).works
    assert lab.folder.fault == ""


def test_a_fault_that_is_not_there_is_named_with_the_nearest(
    lab: Reference, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lab", "break", "missing-upgrade", "--dir", str(lab.folder.path)]) == 2
    said = capsys.readouterr().err
    assert "there is no fault missing-upgrade" in said
    assert "did you mean missing-upgrade-header?" in said


def test_a_fault_that_needs_what_is_not_here_cannot_be_staged() -> None:
    plan = Plan(8443, BINARIES[0].build, (1, 2, 3))
    with pytest.raises(UsageError, match=r"no-sticky-sessions cannot be staged: Socket.IO does not run here"):
        find_fault("no-sticky-sessions", plan)


def test_the_users_own_history_is_not_touched(
    lab: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WS101_STATE", str(tmp_path / "own"))
    stage(lab.folder, lab.record, find_fault("missing-upgrade-header", plan_of(lab.record)))
    assert fix(lab) == 0
    assert not (tmp_path / "own").exists()
    assert os.environ["WS101_STATE"] == str(tmp_path / "own")
    assert len([*(lab.folder.state / "changes").iterdir()]) >= 1
    assert "ws101 lab reset" in capsys.readouterr().out


def test_what_was_broken_by_hand_is_mended_too(lab: Reference, capsys: pytest.CaptureFixture[str]) -> None:
    site = lab.folder.nginx / SITE
    stage(lab.folder, lab.record, None)
    site.write_text(site.read_text().replace("proxy_set_header Connection $connection_upgrade;", "", 1))
    assert main(["lab", "fix", "--dir", str(lab.folder.path)]) == 0
    assert "missing-connection-header" in capsys.readouterr().out
    stage(lab.folder, lab.record, None)
    files = DiskFiles(())
    assert files.read(str(site)).decode() == site_files(plan_of(lab.record))[SITE]


def test_a_backend_that_ends_is_started_again_and_its_clients_find_another(lab: Reference, client: Client) -> None:
    victim = lab.record.chat[0]
    os.kill(victim.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    said: list[str] = []
    while not said and time.monotonic() < deadline:
        assert client.look("/ws").works, "nginx tries the next backend"
        said = [*lab.mend()]
    assert said == [f"{victim.name} ended (SIGKILL) and is started again"]
    new = lab.record.chat[0]
    assert (new.name, new.port) == (victim.name, victim.port)
    assert new.pid != victim.pid
    time.sleep(0.1)
    while (
        time.monotonic() < deadline
        and not handshake(f"ws://127.0.0.1:{new.port}/ws", HandshakeOptions(host=f"{HOST}:{lab.record.port}"))[0].passed
    ):
        time.sleep(0.05)
    record = lab.folder.read()
    assert record is not None
    assert record.chat == lab.record.chat


# the page in the documentation


def test_what_the_how_to_page_shows_is_what_is_seen(lab: Reference, repository: Path) -> None:
    text = (repository / "docs" / "how-to" / "lab.md").read_text(encoding="utf-8")
    text = text.replace("localhost:8443", f"{HOST}:{lab.record.port}")
    seen: list[str] = []
    for block in re.findall(r"(?s)```shell-session\n(.*?)```", text):
        for part in re.split(r"(?m)^\$ ", block)[1:]:
            command, *shown = part.splitlines()
            if command == "ws101 lab up":
                continue
            words = shlex.split(command)[1:]
            done = ws101(*words, "--dir", str(lab.folder.path), COLUMNS="100")
            assert done.code == 0, (command, done)
            assert missing(tuple(line for line in shown if line != "..."), done.out + done.err) == [], (command, done)
            seen.append(command)
    assert len(seen) >= 6
