from __future__ import annotations

import socket
import struct
import threading
import time
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosedError, InvalidMessage, InvalidStatus
from websockets.sync.client import connect

from ws101.errors import InputError, NetworkError
from ws101.host.binary import NginxBinary
from ws101.http1 import Request, decode_response
from ws101.lab.backends import BAD_REQUEST, PAGE, EchoApp, Recorder, StoryApp, accept, plain
from ws101.lab.nginx import Nginx, until, wrap
from ws101.lab.ports import LOOPBACK, free_ports

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
FORWARDED = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;"


def dial(port: int) -> socket.socket:
    return socket.create_connection((LOOPBACK, port), timeout=5)


def read_all(sock: socket.socket) -> bytes:
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


def read_until(sock: socket.socket, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        piece = sock.recv(65536)
        assert piece, f"closed after {data!r}"
        data += piece
    return data


def ask(port: int, request: bytes) -> bytes:
    """All that a backend sends until it closes the connection."""
    with dial(port) as sock:
        sock.sendall(request)
        return read_all(sock)


def test_a_recorder_keeps_the_exact_bytes_and_the_parsed_request() -> None:
    odd = (
        b"POST /a%20b?c HTTP/1.1\r\nhOST: x\r\nX-Raw:  \xff \r\nContent-Length: 3\r\nConnection: close\r\n\r\n\x00\r\n"
    )
    with Recorder() as backend:
        answer = ask(backend.port, odd)
        assert backend.raw == (odd,)
        (request,) = backend.requests
    assert answer.endswith(b"\r\n\r\nok")
    assert request.encode() == odd
    assert request.header("X-Raw") == " \xff "


def test_a_recorder_answers_pipelined_requests_in_order_on_one_connection() -> None:
    with Recorder(lambda request: plain(200, "OK", request.target)) as backend, dial(backend.port) as sock:
        sock.sendall(b"".join(GET.replace(b"/a", b"/%d" % i) for i in range(100)))
        answer = read_until(sock, b"/99")
        assert [backend.requests[i].target for i in (0, 50, 99)] == ["/0", "/50", "/99"]
        assert answer.index(b"/50") > answer.index(b"/49")
        assert backend.connections == 1


def test_a_recorder_reads_bodies_with_a_length_and_in_chunks() -> None:
    with Recorder() as backend, dial(backend.port) as sock:
        for body in (b"Content-Length: 4\r\n\r\n\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"):
            for piece in (b"POST / HTTP/1.1\r\nHost: x\r\n", body[:-3], body[-3:]):
                sock.sendall(piece)
            read_until(sock, b"ok")
        assert [request.body for request in backend.requests] == ["\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n"]


def test_a_recorder_serves_many_connections_at_once() -> None:
    with Recorder() as backend:
        sockets = [dial(backend.port) for _ in range(100)]
        for number, sock in enumerate(sockets):
            sock.sendall(GET.replace(b"/a", b"/%d" % number))
        for sock in reversed(sockets):
            read_until(sock, b"ok")
            sock.close()
        assert {request.target for request in backend.requests} == {f"/{number}" for number in range(100)}
        assert backend.connections == 100


def test_a_recorder_completes_a_handshake_and_then_sends_everything_back() -> None:
    with Recorder() as backend, dial(backend.port) as sock:
        sock.sendall(HANDSHAKE + b"early")
        head = read_until(sock, b"early")
        assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
        assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head
        sock.sendall(GET)
        assert read_until(sock, GET) == GET
        assert backend.raw == (HANDSHAKE,)


@pytest.mark.parametrize(
    "request_bytes",
    [
        HANDSHAKE.replace(b"HTTP/1.1", b"HTTP/1.0"),
        HANDSHAKE.replace(b"Upgrade: websocket\r\n", b""),
        HANDSHAKE.replace(b"Connection: Upgrade", b"Connection: close"),
    ],
)
def test_a_recorder_gives_no_101_to_less_than_a_handshake(request_bytes: bytes) -> None:
    request_bytes = request_bytes.replace(b"\r\nHost: x", b"\r\nHost: x\r\nConnection: close")
    with Recorder() as backend:
        assert ask(backend.port, request_bytes).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_recorder_sends_fixed_bytes_as_they_are_and_closes_when_their_end_is_open() -> None:
    odd = b"HTTP/1.1 200 Fine\nno colon\n\nbody"
    with Recorder(odd) as backend:
        assert ask(backend.port, GET) == odd
        backend.answer = BAD_REQUEST
        assert ask(backend.port, GET) == BAD_REQUEST


def test_a_recorder_opens_a_tunnel_after_early_hints_too() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    with Recorder(lambda request: hints + accept(request)) as backend, dial(backend.port) as sock:
        sock.sendall(HANDSHAKE + b"tunnel")
        assert read_until(sock, b"tunnel").startswith(hints + b"HTTP/1.1 101 ")


def test_a_recorder_answers_what_is_no_request_with_400_and_still_keeps_it() -> None:
    garbage = b"\x16\x03\x01 hello\r\n\r\n"
    with Recorder() as backend:
        assert ask(backend.port, garbage) == BAD_REQUEST
        assert backend.raw == (garbage,)
        with pytest.raises(InputError, match="not an HTTP/1 request"):
            _ = backend.requests


def test_take_forgets_and_wait_waits_for_requests_to_come() -> None:
    with Recorder() as backend, dial(backend.port) as sock:
        sender = threading.Timer(0.05, sock.sendall, [GET + GET])
        sender.start()
        assert backend.wait(2) == (GET, GET)
        sender.join()
        assert backend.take() == (GET, GET)
        assert backend.raw == ()
        with pytest.raises(TimeoutError, match=r"0 of 1 requests within 0\.01 s"):
            backend.wait(1, 0.01)


def test_a_backend_listens_on_a_unix_socket_and_removes_it(tmp_path: Path, binary: NginxBinary) -> None:
    (port,) = free_ports(1)
    with Recorder(unix=tmp_path / "app.sock") as backend:
        server = f"server {{ listen {LOOPBACK}:{port}; location / {{ proxy_pass http://{backend.address}; }} }}"
        with Nginx(wrap(server, binary=binary), binary=binary):
            assert ask(port, b"GET /x HTTP/1.0\r\n\r\n").endswith(b"ok")
        assert backend.requests[0].target == "/x"
    assert not (tmp_path / "app.sock").exists()


def test_a_backend_that_cannot_listen_says_where_and_leaves_no_thread() -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        for backend in (Recorder(port=port), StoryApp(port=port)):
            with pytest.raises(NetworkError, match="cannot listen") as caught, backend:
                pass
            assert caught.value.where == f"{LOOPBACK}:{port}"
            assert not backend._thread.is_alive()


def test_leaving_a_backend_ends_its_connections_and_its_thread() -> None:
    with Recorder() as backend:
        sock = dial(backend.port)
        sock.sendall(GET)
        read_until(sock, b"ok")
    with sock:
        assert sock.recv(1) == b""
    assert not backend._thread.is_alive()
    with pytest.raises(ConnectionRefusedError):
        dial(backend.port)


def test_what_nginx_sends_is_recorded_byte_for_byte(binary: NginxBinary) -> None:
    (port,) = free_ports(1)
    with Recorder() as backend:
        locations = f"location / {{ proxy_pass http://{backend.address}; {FORWARDED} proxy_set_header X-Own 'a b'; }}"
        conf = wrap(f"server {{ listen {LOOPBACK}:{port}; {locations} }}", binary=binary)
        with Nginx(conf, binary=binary), dial(port) as sock:
            sock.sendall(HANDSHAKE)
            assert read_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
            sock.sendall(b"ping")
            assert read_until(sock, b"ping") == b"ping"
        (request,) = backend.requests
        assert request.encode() == backend.raw[0]
    assert (request.version, request.header("X-Own"), request.header("Host")) == ("HTTP/1.1", "a b", backend.address)
    assert request.headers[:2] == (("Upgrade", "websocket"), ("Connection", "upgrade"))


def test_the_story_its_400_and_its_plain_page_come_through_nginx(binary: NginxBinary) -> None:
    (port,) = free_ports(1)
    with StoryApp() as app:
        locations = f"location / {{ proxy_pass http://{app.address}; }}"
        server = f"server {{ listen {LOOPBACK}:{port}; {locations} location /ws/ok {{ {FORWARDED} "
        server += f"proxy_pass http://{app.address}; }} }}"
        with Nginx(wrap(server, binary=binary), binary=binary):
            assert ask(port, b"GET / HTTP/1.0\r\n\r\n").endswith(PAGE.encode())
            with pytest.raises(InvalidStatus) as caught, connect(f"ws://{LOOPBACK}:{port}/ws"):
                pass
            assert caught.value.response.status_code == 400
            with connect(f"ws://{LOOPBACK}:{port}/ws/ok") as client:
                client.send("hello")
                assert client.recv(timeout=5) == "hello"
                assert client.ping().wait(5)
        targets = [(request.target, request.header("Upgrade")) for request in app.requests]
    assert targets == [("/", None), ("/ws", None), ("/ws/ok", "websocket")]


@pytest.mark.parametrize(
    "request_bytes",
    [
        HANDSHAKE.replace(b"HTTP/1.1", b"HTTP/1.0"),
        b"GET /ws HTTP/1.0\r\nConnection: close\r\n\r\n",
        b"POST /ws?x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi",
        b"what is this\r\n\r\n",
    ],
)
def test_the_storys_application_answers_anything_but_a_handshake_with_400(request_bytes: bytes) -> None:
    with StoryApp() as app:
        assert ask(app.port, request_bytes) == BAD_REQUEST
        assert app.raw == (request_bytes,)


def test_the_storys_application_serves_its_page_at_every_other_path() -> None:
    with StoryApp("/chat") as app:
        answer = decode_response(ask(app.port, b"GET /chatroom?ws HTTP/1.1\r\nHost: x\r\n\r\n"))
    assert answer.response is not None
    assert (answer.response.status, answer.response.body) == (200, PAGE)


def test_a_handshake_cut_into_single_bytes_is_still_one() -> None:
    with StoryApp() as app, dial(app.port) as sock:
        for byte in HANDSHAKE:
            sock.sendall(bytes([byte]))
        assert read_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")


def test_the_heartbeat_pings_at_its_interval() -> None:
    with StoryApp(ping_interval=0.1) as app, dial(app.port) as sock:
        sock.sendall(HANDSHAKE)
        head = read_until(sock, b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        before = time.monotonic()
        assert sock.recv(1) == b"\x89"
        assert 0.05 < time.monotonic() - before < 2


def test_a_peer_that_answers_no_ping_is_closed_with_1011() -> None:
    with StoryApp(ping_interval=0.05, ping_timeout=0.1) as app, dial(app.port) as sock:
        sock.sendall(HANDSHAKE)
        received = read_all(sock)
    assert b"\x88" in received
    assert struct.pack("!H", 1011) in received.partition(b"\x88")[2]


def test_without_a_heartbeat_no_ping_comes() -> None:
    with EchoApp() as app, dial(app.port) as sock:
        sock.sendall(HANDSHAKE)
        read_until(sock, b"\r\n\r\n")
        sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            sock.recv(1)


def test_an_application_with_a_fixed_status_never_becomes_a_websocket() -> None:
    with EchoApp(status=403) as app, pytest.raises(InvalidStatus) as caught, connect(f"ws://{app.address}/ws"):
        pass
    assert caught.value.response.status_code == 403


def test_an_application_that_hangs_up_sends_nothing() -> None:
    with EchoApp(hang_up=True) as app:
        assert ask(app.port, HANDSHAKE) == b""
        with pytest.raises(InvalidMessage), connect(f"ws://{app.address}/"):
            pass


def test_an_application_that_drops_cuts_the_websocket_without_a_close_frame() -> None:
    with EchoApp(drop_after=2) as app, connect(f"ws://{app.address}/any") as client:
        client.send("one")
        assert client.recv(timeout=5) == "one"
        client.send("two")
        with pytest.raises(ConnectionClosedError) as caught:
            list(client)
    assert caught.value.rcvd is None


def test_the_default_application_echoes_at_every_path_and_counts_connections() -> None:
    with EchoApp() as app:
        for path in ("/", "/a/b?c"):
            with connect(f"ws://{app.address}{path}") as client:
                client.send(b"\x00\xff")
                assert client.recv(timeout=5) == b"\x00\xff"
        until(lambda: app.connections == 2, "second connection")
        assert [request.target for request in app.requests] == ["/", "/a/b?c"]


def test_an_answer_may_depend_on_the_request() -> None:
    def answer(request: Request) -> bytes:
        return plain(200, "OK", request.header("X-Who") or "nobody")

    with Recorder(answer) as backend:
        assert ask(backend.port, b"GET / HTTP/1.0\r\nX-Who: me\r\n\r\n").endswith(b"me")
        assert ask(backend.port, b"GET / HTTP/1.0\r\n\r\n").endswith(b"nobody")
