"""The doctor at work: bounded whatever answers, and polite; what it predicts where something stands in front."""

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.host.test_network import MISBEHAVING
from tests.probes.servers import answer, serving
from ws101.diagnose import Place, Surroundings
from ws101.findings import Level
from ws101.host import asking, doctor
from ws101.host.asking import Asker
from ws101.host.dial import Network, Resolve
from ws101.host.doctor import Case, examine, is_here
from ws101.host.surroundings import addresses_of, look_around, socket_closed_to
from ws101.lab.backends import EchoApp, Recorder, StoryApp
from ws101.lab.nginx import Nginx, wrap
from ws101.lab.ports import free_ports
from ws101.nginx.build import Build
from ws101.nginx.config import Config, MemoryFiles
from ws101.probes.core import Connection, Observation, Verdict
from ws101.probes.endpoint import Endpoint, parse_ws_url
from ws101.probes.handshake import HandshakeOptions

GOOD = 'proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";'
QUICK = HandshakeOptions(timeout=0.5)
BUILDS = (Build((1, 22, 1)),)


def config(text: str) -> Config:
    return Config(MemoryFiles({"nginx.conf": text.encode()}), "nginx.conf")


def server(listen: str, backend: str, settings: str = GOOD, name: str = "shop.example") -> str:
    location = f"location /ws {{ proxy_pass http://{backend}; {settings} }}"
    return f"server {{ listen {listen}; server_name {name}; {location} }}"


@pytest.mark.parametrize("name", MISBEHAVING)
def test_every_misbehaving_server_has_a_cause_in_bounded_time(name: str) -> None:
    begin = time.monotonic()
    with serving(MISBEHAVING[name][0]) as port:
        found = examine(Case(parse_ws_url(f"ws://127.0.0.1:{port}/"), QUICK, Network(timeout=1)))
    assert time.monotonic() - begin < 8
    first = found.root_causes[0]
    assert found.verdict == "broken"
    assert first.level is Level.ERROR
    assert first.rule != "unexplained" or MISBEHAVING[name][1] == "status", (first, found.tried)


def test_a_server_that_trickles_bytes_for_ever_costs_no_more_than_the_time_given() -> None:
    def trickle(sock: socket.socket, _: bytes) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\n")
        for _count in range(200):
            sock.sendall(b"X: y\r\n")
            time.sleep(0.05)

    begin = time.monotonic()
    with serving(trickle) as port:
        found = examine(Case(parse_ws_url(f"ws://127.0.0.1:{port}/"), QUICK, Network(timeout=1)))
        took = time.monotonic() - begin
    assert found.verdict == "broken"
    assert took < 6


def test_no_experiment_is_begun_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "BUDGET", -1.0)
    with StoryApp() as app:
        case = Case(
            parse_ws_url(f"ws://{app.address}/"), QUICK, Network(), direct=parse_ws_url(f"ws://{app.address}/ws")
        )
        found = examine(case)
    assert [item.name for item in found.tried] == ["site"]
    assert found.verdict == "broken"


def test_offline_no_connection_is_opened() -> None:
    with Recorder() as app:
        text = f"http {{ {server(str(app.port), '127.0.0.1:1')} }}"
        case = Case(parse_ws_url(f"ws://{app.address}/ws"), QUICK, Network(), config(text), BUILDS, here=True)
        assert examine(case, offline=True).verdict == "works"
        assert app.connections == 0


def test_each_step_is_announced() -> None:
    said: list[str] = []
    with StoryApp() as app:
        examine(Case(parse_ws_url(f"ws://{app.address}/ws"), QUICK, Network()), progress=said.append)
    assert said == ["the opening handshake", "the same handshake as Firefox sends it from a page of this site"]


def test_experiments_on_a_working_site_are_few() -> None:
    with StoryApp() as app, Nginx(wrap(server("127.0.0.1:{}".format(*free_ports(1)), app.address))) as nginx:
        port = int(nginx.conf_path.read_text().partition("listen 127.0.0.1:")[2].partition(";")[0])
        loaded = config(nginx.conf_path.read_text())
        case = Case(parse_ws_url(f"ws://127.0.0.1:{port}/ws"), QUICK, Network(), loaded, BUILDS, here=True)
        found = examine(case)
        assert len(app.requests) <= 4
    assert found.verdict == "works"
    assert found.agrees is True


# who is asked, and how


def asker(network: Network | None = None, address: str = "10.0.0.1:80") -> Asker:
    made = Asker(network or Network(), QUICK, lambda _: None)
    seen = Observation(Verdict.FAILED, "", connection=Connection(address))
    made.note("site", "the opening handshake", seen, 0.0)
    return made


def test_the_backend_is_reached_past_proxies_and_any_certificate_will_do() -> None:
    place = Place(Endpoint("wss", "10.0.0.2", 443), backend=True)
    network = asker(Network(proxy="http://proxy:3128", family=6)).network_to(place)
    assert (network.proxy, network.family, network.insecure) == ("", 0, True)


def test_another_port_of_the_site_is_asked_at_the_address_that_answered() -> None:
    place = Place(Endpoint("ws", "shop.example", 8080), same_address=True)
    assert asker().network_to(place).resolve == (Resolve("shop.example", 8080, ("10.0.0.1",)),)


def test_an_override_for_the_sites_port_holds_for_its_others() -> None:
    network = Network(resolve=(Resolve("shop.example", 80, ("127.0.0.1",)),))
    place = Place(Endpoint("wss", "shop.example", 443))
    assert Resolve("shop.example", 443, ("127.0.0.1",)) in asker(network).network_to(place).resolve


def test_a_certificate_is_looked_past_only_where_the_experiment_says_so() -> None:
    assert not asker().network_to(Place(Endpoint("wss", "shop.example", 443))).insecure
    assert asker().network_to(Place(Endpoint("wss", "shop.example", 443), insecure=True)).insecure


# what stands in front


def case_of(text: str, address: str, url: str = "ws://shop.example/ws") -> tuple[Case, Observation]:
    seen = Observation(Verdict.FAILED, "", connection=Connection(address))
    return Case(parse_ws_url(url), QUICK, Network(), config(text), BUILDS, here=True), seen


def test_where_the_name_leads_elsewhere_nginx_itself_can_be_asked() -> None:
    case, seen = case_of(f"http {{ {server('8080', '127.0.0.1:1')} }}", "203.0.113.7:80")
    place = doctor._nginx_here(case, seen)
    assert place is not None
    assert (place.shown, place.endpoint.scheme, place.endpoint.host) == ("127.0.0.1:8080", "ws", "shop.example")


def test_where_the_handshake_went_straight_to_nginx_it_need_not_be_asked_again() -> None:
    case, seen = case_of(f"http {{ {server('80', '127.0.0.1:1')} }}", "127.0.0.1:80")
    assert doctor._nginx_here(case, seen) is None


def test_what_is_in_front_is_taken_to_come_to_the_listener_with_this_name() -> None:
    text = f"http {{ {server('8080', '127.0.0.1:1')} {server('9090', '127.0.0.1:2', name='other.example')} }}"
    case, _ = case_of(text, "203.0.113.7:443", "wss://shop.example/ws")
    found = doctor._predicted(case, None)
    assert found is not None
    assert (found.outcome.kind, found.arrival.port, found.arrival.tls) == ("proxied", 8080, False)
    assert "what stands in front is taken to come to 0.0.0.0:8080" in found.unknown[-1].reason


def test_a_backend_that_is_the_same_nginx_is_followed() -> None:
    inner = server("127.0.0.1:8081", "127.0.0.1:1", "", name="_")
    case, _ = case_of(f"http {{ {server('80', '127.0.0.1:8081')} {inner} }}", "127.0.0.1:80")
    predicted = doctor._predicted(case, None)
    assert predicted is not None
    hop = doctor._next_hop(case, predicted.outcome.forwarded)
    assert hop is not None
    assert hop.outcome.forwarded is not None
    assert hop.outcome.forwarded.tunnel is False


# the machine


def test_names_and_addresses_of_this_machine_are_its_own() -> None:
    assert is_here("127.0.0.1")
    assert is_here("localhost")
    assert not is_here("203.0.113.7")
    assert not is_here("no-such-host.invalid")


def test_a_name_that_nobody_knows_has_no_address() -> None:
    assert addresses_of("no-such-host.invalid") == ()
    assert "127.0.0.1" in addresses_of("localhost")


@pytest.mark.skipif(os.geteuid() != 0, reason="modes bind everybody but root")
def test_a_socket_or_a_folder_that_is_closed_to_the_workers_is_said(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:-2]):
        folder.chmod(0o755)
    path = tmp_path / "run" / "app.sock"
    path.parent.mkdir(mode=0o755)
    with Recorder(unix=path):
        path.chmod(0o666)
        assert socket_closed_to(str(path), ("nobody", "")) == ""
        path.chmod(0o600)
        assert "may not write to" in socket_closed_to(str(path), ("nobody", ""))
        assert socket_closed_to(str(path), ("root", "")) == ""
        path.parent.chmod(0o700)
        assert f"nobody may not enter {path.parent}" in socket_closed_to(str(path), ("nobody", ""))
    assert socket_closed_to(str(path), ("nobody", "")) == ""
    assert socket_closed_to(str(path), ("no-such-user", "")) == ""


def test_the_machine_is_looked_at_without_a_way_to_a_backend() -> None:
    assert look_around(config("events {}"), None, stale=("a",)) == Surroundings(stale=("a",))


# measurements


def test_the_silent_tunnel_is_measured_through_the_site_and_directly_at_the_same_time() -> None:
    (port,) = free_ports(1)
    settings = GOOD + " proxy_read_timeout 500ms;"
    with EchoApp() as app, Nginx(wrap(server(f"127.0.0.1:{port}", app.address, settings))) as nginx:
        loaded = config(nginx.conf_path.read_text())
        said: list[str] = []
        case = Case(parse_ws_url(f"ws://127.0.0.1:{port}/ws"), QUICK, Network(), loaded, BUILDS, here=True, idle=1.5)
        begin = time.monotonic()
        found = examine(case, progress=said.append)
        took = time.monotonic() - begin
    assert took < 4
    assert {item.name: item.passed for item in found.tried if "idle" in item.name} == {
        "idle": False, "idle-direct": True, "idle-ping": True,
    }  # fmt: skip
    (cause,) = [cause for cause in found.root_causes if cause.rule == "read-timeout"]
    assert cause.confidence == "proven"
    assert "straight to the backend the silent tunnel lives on" in cause.evidence
    assert "with a ping from the client now and then it lives on" in cause.evidence
    assert any("the configuration says 0.5 s" in text for text in said)


def test_a_backend_that_vanishes_between_two_experiments_is_no_error() -> None:
    seen = threading.Event()

    def once(sock: socket.socket, request: bytes) -> None:
        if not seen.is_set():
            seen.set()
            answer(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno")(sock, request)

    with serving(once) as port:
        direct = parse_ws_url(f"ws://127.0.0.1:{port}/")
        found = examine(Case(direct, QUICK, Network(timeout=1), direct=direct))
    assert found.verdict == "broken"


def test_the_predicted_request_reaches_the_backend_byte_for_byte() -> None:
    with Recorder(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno") as app:
        direct = parse_ws_url(f"ws://{app.address}/ws")
        text = f"http {{ {server(str(app.port), app.address, '', name='_')} }}"
        found = examine(Case(direct, QUICK, Network(), config(text), BUILDS, here=True))
        assert found.predicted is not None
        assert found.predicted.outcome.forwarded is not None
        assert found.predicted.outcome.forwarded.request in app.requests
