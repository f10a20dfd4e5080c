"""The relay on real sockets: no byte changed, nobody delayed, ends and resets passed on."""

from __future__ import annotations

import random
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from websockets.sync.client import ClientConnection, connect

from ws101.errors import InputError, UsageError
from ws101.host.tap import Place, Tap, parse_listen, parse_to
from ws101.lab.backends import EchoApp, Recorder
from ws101.lab.ports import free_ports
from ws101.probes.tapping import Heard


@contextmanager
def tapping(to: str, listen: str = "0") -> Iterator[Tap]:
    tap = Tap(parse_listen(listen), parse_to(to))
    tap.start()
    try:
        yield tap
    finally:
        tap.stop()


def all_heard(tap: Tap) -> list[Heard]:
    tap.stop()
    return list(iter(tap.heard, None))


@contextmanager
def listener() -> Iterator[socket.socket]:
    sock = socket.create_server(("127.0.0.1", 0))
    sock.settimeout(5.0)
    with sock:
        yield sock


@contextmanager
def pair(tap: Tap, server: socket.socket) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection through the tap."""
    with socket.create_connection((tap.place.host, tap.place.port), timeout=5.0) as client:
        backend, _ = server.accept()
        backend.settimeout(5.0)
        with backend:
            yield client, backend


def read(sock: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size and (more := sock.recv(65536)):
        data += more
    return bytes(data)


def port_of(sock: socket.socket) -> str:
    return f"127.0.0.1:{sock.getsockname()[1]}"


def test_the_backend_gets_exactly_what_the_client_sent_and_the_other_way_round() -> None:
    noise = random.Random(1).randbytes(3_000_000)
    with listener() as server, tapping(port_of(server)) as tap, pair(tap, server) as (client, backend):
        for source, goal in ((client, backend), (backend, client)):
            sender = threading.Thread(target=source.sendall, args=(noise,))
            sender.start()
            assert read(goal, len(noise)) == noise
            sender.join()


def test_a_handshake_through_the_tap_is_recorded_as_it_was_sent_and_told() -> None:
    request = (
        b"GET /ws?token=topsecret HTTP/1.1\r\nhost: X\r\nUpgrade:  websocket\r\nConnection: upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    with Recorder() as app, tapping(app.address) as tap:
        with socket.create_connection((tap.place.host, tap.place.port)) as client:
            client.sendall(request)
            assert client.recv(4096).startswith(b"HTTP/1.1 101 ")
            assert app.wait() == (request,)
        time.sleep(0.1)
        heard = all_heard(tap)
    assert [item.kind for item in heard] == ["opened", "request", "response", "closed"]
    assert "topsecret" not in repr(heard)


def test_the_end_of_one_direction_is_passed_on_and_the_other_goes_on() -> None:
    with listener() as server, tapping(port_of(server)) as tap, pair(tap, server) as (client, backend):
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        assert read(backend, 100) == b"question"
        backend.sendall(b"answer")
        backend.shutdown(socket.SHUT_WR)
        assert read(client, 100) == b"answer"


def test_a_reset_is_passed_on_as_a_reset() -> None:
    with listener() as server, tapping(port_of(server)) as tap, pair(tap, server) as (client, backend):
        client.sendall(b"x")
        assert backend.recv(1) == b"x"
        backend.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        backend.close()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        time.sleep(0.1)
        assert "the backend reset it" in all_heard(tap)[-1].message


def test_a_slow_reader_slows_its_own_sender_and_nobody_else() -> None:
    with (
        listener() as server,
        tapping(port_of(server)) as tap,
        pair(tap, server) as (_client, backend),
        pair(tap, server) as (other, other_backend),
    ):
        backend.settimeout(1.0)
        sent = 0
        try:
            while sent < 200_000_000:
                sent += backend.send(bytes(1 << 20))
        except TimeoutError:
            pass
        assert sent < 100_000_000, "the tap took everything, and its client read nothing"
        begin = time.monotonic()
        other_backend.sendall(b"still there")
        assert read(other, 11) == b"still there"
        assert time.monotonic() - begin < 0.5


def test_a_hundred_connections_at_once() -> None:
    with EchoApp() as app, tapping(app.address) as tap:
        with ExitStack() as stack:
            sockets = [
                stack.enter_context(connect(f"ws://{tap.place}/", proxy=None, compression=None)) for _ in range(100)
            ]
            _exchange(sockets)
        time.sleep(0.2)
        heard = all_heard(tap)
    assert tap.unseen == 0
    assert sum(item.kind == "closed" for item in heard) == 100


def _exchange(sockets: list[ClientConnection]) -> None:
    for number, sock in enumerate(sockets):
        sock.send(str(number))
    assert [sock.recv(5) for sock in sockets] == [str(number) for number in range(100)]


def round_trips(port: int, count: int) -> list[float]:
    took = []
    with connect(f"ws://127.0.0.1:{port}/", proxy=None, compression=None) as sock:
        for _ in range(count):
            begin = time.perf_counter()
            sock.send("x")
            sock.recv(5)
            took.append(time.perf_counter() - begin)
    return took


def test_the_tap_adds_no_more_than_a_millisecond() -> None:
    with EchoApp() as app, tapping(app.address) as tap:
        added = []
        for _ in range(5):
            direct = statistics.median(round_trips(app.port, 100))
            added.append(statistics.median(round_trips(tap.place.port, 100)) - direct)
    assert min(added) < 0.001, added


def test_a_display_that_never_reads_stops_nothing_and_what_was_not_shown_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ws101.host.tap._SHOWN", 5)
    with Recorder() as app, tapping(app.address) as tap:
        for _ in range(10):
            with socket.create_connection((tap.place.host, tap.place.port)) as client:
                client.sendall(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
                assert b"200 OK" in read(client, 4096)
        time.sleep(0.1)
        heard = all_heard(tap)
    assert len(heard) <= 5
    assert tap.unseen >= 30


def test_a_backend_that_is_not_there_is_told() -> None:
    (port,) = free_ports(1)
    with tapping(f"127.0.0.1:{port}") as tap:
        client = socket.create_connection((tap.place.host, tap.place.port))
        with client, pytest.raises(ConnectionResetError):
            client.recv(1)
        heard = all_heard(tap)
    assert [item.kind for item in heard] == ["opened", "note", "closed"]
    assert "can't be reached" in heard[1].message


def test_unix_sockets_on_both_sides(tmp_path: Path) -> None:
    with (
        Recorder(unix=tmp_path / "app.sock") as app,
        tapping(app.address, f"unix:{tmp_path}/tap.sock"),
        socket.socket(socket.AF_UNIX) as client,
    ):
        client.connect(f"{tmp_path}/tap.sock")
        client.sendall(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert b"200 OK" in read(client, 4096)
    assert not (tmp_path / "tap.sock").exists()


def test_a_port_in_use_is_an_input_error() -> None:
    with listener() as server, pytest.raises(InputError, match="something listens there already"):
        Tap(parse_listen(port_of(server)), Place("127.0.0.1", 1)).start()


@pytest.mark.parametrize("text", ["0.0.0.0:80", "192.0.2.1:80", "example.com:80", "x", "99999", "[::]:80", "-1"])
def test_only_this_machine_may_listen_in(text: str) -> None:
    with pytest.raises(UsageError):
        parse_listen(text)


@pytest.mark.parametrize("text", ["https://127.0.0.1:443", "wss://a", "", "a:b", "unix:"])
def test_a_backend_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_to(text)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("9000", Place("127.0.0.1", 9000)),
        ("localhost:9000", Place("127.0.0.1", 9000)),
        ("[::1]:9000", Place("::1", 9000)),
        ("unix:/tmp/x", Place(path="/tmp/x")),
    ],
)
def test_places_are_read(text: str, place: Place) -> None:
    assert parse_listen(text) == place


def test_a_backends_place_may_be_written_as_proxy_pass_has_it() -> None:
    assert parse_to("http://127.0.0.1:3000/") == Place("127.0.0.1", 3000)
    assert parse_to("3000") == Place("127.0.0.1", 3000)
    assert str(parse_to("[::1]:3000")) == "[::1]:3000"
