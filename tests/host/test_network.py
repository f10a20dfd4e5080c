from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from websockets.sync.server import ServerConnection, serve

from tests.probes.servers import (
    ACCEPT,
    CLOSE_FRAME,
    CONNECTION,
    GOOD,
    SETTINGS_FRAME,
    TLS_ALERT,
    UPGRADE,
    Behaviour,
    accept,
    answer,
    drain,
    read_head,
    reset,
    serving,
    silent,
    switching,
)
from ws101.errors import InputError, UsageError
from ws101.host.network import (
    ConnectError,
    Network,
    exchange,
    handshake,
    parse_address,
    parse_resolve,
    parse_ws_url,
    plain,
    run,
)
from ws101.http1 import Request
from ws101.probes.close import close
from ws101.probes.core import Probe, Verdict
from ws101.probes.echo import echo
from ws101.probes.endpoint import Endpoint
from ws101.probes.handshake import HandshakeOptions
from ws101.probes.idle import idle
from ws101.probes.large import large
from ws101.probes.ping import ping

QUICK = HandshakeOptions(timeout=1.0)

HTML = b"<!DOCTYPE html><title>Hello</title><p>App"
PLAIN_TO_TLS = b"HTTP/1.1 400 Bad Request\r\n\r\n<h1>400</h1>The plain HTTP request was sent to HTTPS port"

MISBEHAVING: dict[str, tuple[Behaviour, str]] = {
    "wrong accept": (answer(switching(UPGRADE, CONNECTION, b"Sec-WebSocket-Accept: AAAA")), "accept-mismatch"),
    "missing accept": (answer(switching(UPGRADE, CONNECTION)), "missing-accept"),
    "101 without Upgrade": (answer(switching(CONNECTION, ACCEPT)), "missing-upgrade"),
    "101 with Connection: close": (answer(switching(UPGRADE, b"Connection: close", ACCEPT)), "wrong-connection"),
    "101 without Connection": (answer(switching(UPGRADE, ACCEPT)), "missing-connection"),
    "unrequested subprotocol": (
        answer(switching(UPGRADE, CONNECTION, ACCEPT, b"Sec-WebSocket-Protocol: chat")),
        "unrequested-subprotocol",
    ),
    "unrequested extension": (
        answer(switching(UPGRADE, CONNECTION, ACCEPT, b"Sec-WebSocket-Extensions: permessage-deflate")),
        "unrequested-extension",
    ),
    "HTTP/1.0 101": (
        answer(switching(UPGRADE, CONNECTION, ACCEPT, line=b"HTTP/1.0 101 Switching Protocols")),
        "http-version",
    ),
    "HTTP/1.0 200": (answer(b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n" + HTML), "status"),
    "LF alone": (answer(switching(UPGRADE, CONNECTION, ACCEPT, end=b"\n")), "malformed-head"),
    "70 kB header": (answer(switching(UPGRADE, CONNECTION, ACCEPT, b"X-Big: " + b"x" * 70_000)), "head-too-large"),
    "SSH banner": (answer(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"), "not-http"),
    "EOF": (answer(b""), "eof"),
    "reset": (reset, "reset"),
    "never answers": (silent, "timeout"),
    "masked frame": (answer(GOOD, then=b"\x81\x82abcd\x01\x02"), "masked-frame"),
    "HTML after 101": (answer(GOOD, then=HTML), "html-after-101"),
    "plain request to a TLS port, nginx": (answer(PLAIN_TO_TLS), "tls-plain-mismatch"),
    "plain request to a TLS port, OpenSSL": (answer(TLS_ALERT), "tls-plain-mismatch"),
    "HTTP/2 only": (answer(SETTINGS_FRAME), "http2-only"),
    "garbage": (answer(b"\x00\xff\x10 what?\n"), "not-http"),
    "an HTML page without a head": (answer(HTML + b"\n"), "not-http"),
    "EOF within the head": (answer(b"HTTP/1.1 101 Switching Pro"), "eof"),
    "no reason phrase": (answer(switching(UPGRADE, CONNECTION, ACCEPT, line=b"HTTP/1.1 101")), "malformed-head"),
    "redirect": (answer(b"HTTP/1.1 301 Moved\r\nLocation: /ws/\r\nContent-Length: 0\r\n\r\n"), "redirect"),
    "401": (answer(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"), "authentication"),
}


@pytest.mark.parametrize("name", MISBEHAVING)
def test_every_misbehaving_server_gets_its_named_verdict(name: str) -> None:
    behaviour, expected = MISBEHAVING[name]
    with serving(behaviour) as port:
        seen, result = handshake(f"ws://127.0.0.1:{port}/", QUICK)
    assert (seen.verdict, seen.class_) == (Verdict.FAILED, expected), seen.message
    assert seen.message
    assert seen.handshake is result
    assert seen.connection is not None
    assert seen.connection.address == f"127.0.0.1:{port}"


@pytest.fixture(scope="module")
def echo_port() -> Iterator[int]:
    def echo(connection: ServerConnection) -> None:
        for message in connection:
            connection.send(message)

    with serve(echo, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.socket.getsockname()[1]
        server.shutdown()
        thread.join()


def test_a_good_server_passes_every_requirement(echo_port: int) -> None:
    seen, result = handshake(f"ws://127.0.0.1:{echo_port}/chat")
    assert seen.passed, seen.message
    assert (result.status, seen.class_) == (101, "")
    names = ["status", "head", "head-size", "http-version", "upgrade", "connection", "accept", "extensions"]
    assert [check.name for check in result.checks] == [*names, "subprotocol", "first-frame"]
    assert all(check.passed for check in result.checks)
    assert seen.connection is not None
    timings = seen.connection.timings
    assert timings.tls is None
    assert timings.dns is not None
    assert timings.tcp is not None
    assert timings.http is not None
    assert 0 < timings.http < 2


def test_each_handshake_has_its_own_key(echo_port: int) -> None:
    keys = {handshake(f"ws://127.0.0.1:{echo_port}/")[1].request.header("Sec-WebSocket-Key") for _ in range(3)}
    assert len(keys) == 3


def test_a_name_with_two_families_reaches_the_one_that_listens(echo_port: int) -> None:
    network = Network(resolve=(parse_resolve(f"both.test:{echo_port}:[::1],127.0.0.1"),))
    seen, _ = handshake(f"ws://both.test:{echo_port}/", network=network)
    assert seen.passed
    assert seen.connection is not None
    assert seen.connection.address == f"127.0.0.1:{echo_port}"
    assert [entry.split(": ")[0] for entry in seen.connection.tried] == [f"[::1]:{echo_port}"]


def test_ipv6_is_spoken() -> None:
    with serving(answer(GOOD, then=CLOSE_FRAME), family=socket.AF_INET6) as port:
        seen, result = handshake(f"ws://[::1]:{port}/")
    assert seen.passed, seen.message
    assert result.request.header("Host") == f"[::1]:{port}"


def test_resolve_changes_the_address_and_not_the_host_field(echo_port: int) -> None:
    network = Network(resolve=(parse_resolve(f"example.com:{echo_port}:127.0.0.1"),))
    seen, result = handshake(f"ws://example.com:{echo_port}/", network=network)
    assert seen.passed
    assert result.request.header("Host") == f"example.com:{echo_port}"


@pytest.mark.parametrize("text", ["", "a:b", "a:80", "a:80:", "a:80:nonsense", "a:x:127.0.0.1", "a:80:127.0.0.1,"])
def test_a_wrong_resolve_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--resolve"):
        parse_resolve(text)


def test_a_closed_port_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    seen, result = handshake(f"ws://127.0.0.1:{port}/")
    assert (seen.verdict, seen.class_) == (Verdict.FAILED, "refused")
    assert seen.help
    assert result.response is None


def test_a_name_that_does_not_exist_is_a_dns_failure() -> None:
    seen, _ = handshake("ws://no-such-host.invalid/", network=Network(timeout=3))
    assert seen.class_ == "dns"
    assert "no-such-host.invalid" in seen.message


def test_a_name_server_that_hangs_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo
    released = threading.Event()

    def slow(host: bytes, port: int, family: int, kind: int, *, flags: int) -> object:
        if not flags & socket.AI_NUMERICHOST:
            released.wait(10)
        return real(host, port, family, kind, flags=flags)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    begin = time.monotonic()
    seen, _ = handshake("ws://slow.invalid/", network=Network(timeout=0.2))
    released.set()
    assert time.monotonic() - begin < 2
    assert seen.class_ == "dns"


def test_an_address_that_swallows_packets_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        fillers = []
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        begin = time.monotonic()
        seen, _ = handshake(f"ws://127.0.0.1:{port}/", network=Network(timeout=0.3))
        took = time.monotonic() - begin
        for filler in fillers:
            filler.close()
    assert seen.class_ == "timeout"
    assert took < 2


def test_a_server_that_answers_byte_by_byte_is_read_as_any_other() -> None:
    def trickle(sock: socket.socket, request: bytes) -> None:
        for byte in b"HTTP/1.1 400 Bad Request\r\nContent-Length: 9\r\n\r\nno header":
            sock.sendall(bytes([byte]))
            time.sleep(0.001)
        drain(sock)

    with serving(trickle) as port:
        seen, result = handshake(f"ws://127.0.0.1:{port}/")
    assert seen.class_ == "status"
    assert result.body_lines == ("no header",)
    assert result.complete


def test_a_server_that_trickles_for_ever_is_bounded_in_time() -> None:
    def trickle(sock: socket.socket, request: bytes) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            sock.sendall(b"x")
            time.sleep(0.01)

    with serving(trickle) as port:
        begin = time.monotonic()
        seen, _ = handshake(f"ws://127.0.0.1:{port}/", replace(QUICK, timeout=0.3))
        took = time.monotonic() - begin
    assert seen.class_ == "timeout"
    assert took < 1.5


def test_a_hundred_megabytes_of_header_are_not_read() -> None:
    sent = 0

    def flood(sock: socket.socket, request: bytes) -> None:
        nonlocal sent
        sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\n")
        while sent < 100_000_000:
            sent += sock.send(b"X-Flood: " + b"y" * 8000 + b"\r\n")

    with serving(flood) as port:
        begin = time.monotonic()
        seen, result = handshake(f"ws://127.0.0.1:{port}/")
        took = time.monotonic() - begin
    assert seen.class_ == "head-too-large"
    assert len(result.raw) <= 256 * 1024
    assert sent < 100_000_000
    assert took < 5


def test_a_unix_socket_is_reached(tmp_path: Path) -> None:
    path = str(tmp_path / "app.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen()

        def once() -> None:
            sock, _ = listener.accept()
            with sock:
                answer(b"HTTP/1.1 204 No Content\r\n\r\n")(sock, read_head(sock))

        thread = threading.Thread(target=once)
        thread.start()
        result = exchange(f"unix:{path}:", Request("GET", "/x", headers=(("Host", "a"),)))
        thread.join()
    assert result.status == 204


def test_a_unix_socket_that_is_not_there_is_refused(tmp_path: Path) -> None:
    seen, _ = handshake("ws://localhost/", network=Network(unix_socket=str(tmp_path / "none.sock")))
    assert seen.class_ == "refused"


def test_exchange_sends_the_request_byte_for_byte_and_reads_the_whole_answer() -> None:
    got: list[bytes] = []
    body = b"x" * 300_000

    def keep(sock: socket.socket, request: bytes) -> None:
        got.append(request)
        answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)(sock, request)

    request = Request("GET", "/ws?a=b", "HTTP/1.0", (("host", "x"), ("CONNECTION", "close"), ("X", "caf\xe9")))
    with serving(keep) as port:
        result = exchange(f"127.0.0.1:{port}", request)
    assert got == [request.encode()]
    assert result.response is not None
    assert result.response.body == body.decode()
    assert result.complete


def test_exchange_says_by_an_error_that_the_backend_is_down() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectError) as caught:
        exchange(f"127.0.0.1:{port}", Request("GET", "/"))
    assert caught.value.class_ == "refused"
    assert caught.value.connection.timings.tcp is not None


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:3000", (Endpoint("http", "127.0.0.1", 3000), "")),
        ("backend", (Endpoint("http", "backend", 80), "")),
        ("[::1]:8080", (Endpoint("http", "::1", 8080), "")),
        ("unix:/run/a.sock", (Endpoint("http", "localhost", 80), "/run/a.sock")),
        ("unix:/run/a.sock:", (Endpoint("http", "localhost", 80), "/run/a.sock")),
    ],
)
def test_addresses_of_upstreams_are_read(address: str, expected: tuple[Endpoint, str]) -> None:
    assert parse_address(address) == expected


def test_an_address_without_a_path_is_refused() -> None:
    with pytest.raises(UsageError):
        parse_address("unix:")


def test_a_plain_request_has_no_upgrade_and_passes_whatever_the_status() -> None:
    got: list[bytes] = []

    def keep(sock: socket.socket, request: bytes) -> None:
        got.append(request)
        answer(b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone")(sock, request)

    with serving(keep) as port:
        seen = plain(f"http://127.0.0.1:{port}/a?b", (("Accept", "text/html"),))
    assert seen.passed
    assert seen.handshake is not None
    assert seen.handshake.status == 404
    assert b"upgrade" not in got[0].lower()
    assert got[0].count(b"Accept:") == 1


def test_secrets_are_masked_in_everything_that_is_shown() -> None:
    def reflect(sock: socket.socket, request: bytes) -> None:
        body = b"you sent " + request
        answer(b"HTTP/1.1 403 Forbidden\r\nSet-Cookie: sid=hunter2hunter2\r\n\r\n" + body)(sock, request)

    options = HandshakeOptions(
        headers=(("Cookie", "sid=hunter2hunter2"), ("Authorization", "Bearer hunter2hunter2.x")),
        subprotocols=("chat", "bearer.hunter2hunter2"),
    )
    with serving(reflect) as port:
        seen, result = handshake(f"ws://u:hunter2hunter2@127.0.0.1:{port}/?token=hunter2hunter2", options)
    shown = repr((seen.message, seen.transcript, result.body_lines, result.checks))
    assert "hunter2" not in shown
    assert "sid=***" in shown
    assert "Bearer ***" in shown
    assert "hunter2" in result.raw.decode("latin-1")


# Frames


@pytest.mark.parametrize("probe", [echo, ping, close, large])
def test_frames_pass_through_a_real_tunnel(echo_port: int, probe: Callable[[Endpoint], Probe]) -> None:
    endpoint = parse_ws_url(f"ws://127.0.0.1:{echo_port}/")
    seen = run(probe(endpoint), endpoint)
    assert seen.passed, seen.message
    assert all(value > 0 for name, value in seen.details if name == "seconds" and isinstance(value, float))


def test_a_message_larger_than_the_server_takes_is_refused(echo_port: int) -> None:
    endpoint = parse_ws_url(f"ws://127.0.0.1:{echo_port}/")
    seen = run(large(endpoint, size=2 * 1024 * 1024), endpoint)
    assert (seen.class_, seen.detail("close_code")) == ("closed", 1009), seen.message


def test_two_ends_that_both_write_do_not_wait_for_each_other() -> None:
    """A server that sends back each piece at once, and does not read on while its answer is not taken."""
    size = 12 * 1024 * 1024

    def mirror(sock: socket.socket, request: bytes) -> None:
        answer_head = GOOD.replace(b"ACCEPT", accept(request))
        sock.sendall(answer_head + b"\x82\x7f" + size.to_bytes(8, "big"))
        head = b""
        while len(head) < 14:
            head += sock.recv(14 - len(head))
        left = size
        while left:
            piece = sock.recv(65536)
            left -= len(piece)
            sock.sendall(piece)

    with serving(mirror) as port:
        endpoint = parse_ws_url(f"ws://127.0.0.1:{port}/")
        seen = run(large(endpoint, size=size, timeout=5), endpoint, limit=20)
    assert seen.class_ != "timeout", seen.message


def test_a_long_measurement_reports_its_progress(echo_port: int) -> None:
    endpoint, ticks = parse_ws_url(f"ws://127.0.0.1:{echo_port}/"), list[float]()
    seen = run(idle(endpoint, limit=0.9), endpoint, tick=ticks.append)
    assert seen.passed
    assert len(ticks) >= 3
    assert ticks == sorted(ticks)


# TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificates, is not installed")
    folder = tmp_path_factory.mktemp("tls")
    _make_certificate(folder / "good", "localhost")
    _make_certificate(folder / "other", "other.example")
    _make_certificate(folder / "expired", "localhost")
    stem = folder / "expired"
    _openssl("x509", "-in", f"{stem}.pem", "-signkey", f"{stem}.key", "-days", "-1", "-out", f"{stem}.pem")
    return folder


def _make_certificate(stem: Path, name: str) -> None:
    names = f"subjectAltName=DNS:{name}" + (",IP:127.0.0.1" if name == "localhost" else "")
    made = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={name}")
    _openssl("req", "-x509", *made, "-keyout", f"{stem}.key", "-out", f"{stem}.pem", "-addext", names)


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def tls_answer(certificate: Path, data: bytes, *, alpn: str = "http/1.1", client_ca: Path | None = None) -> Behaviour:
    """Speak TLS and then answer as `answer` does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{certificate}.pem", f"{certificate}.key")
    context.set_alpn_protocols([alpn])
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(f"{client_ca}.pem")

    def behave(sock: socket.socket, _: bytes) -> None:
        with context.wrap_socket(sock, server_side=True) as secure:
            answer(data, then=CLOSE_FRAME)(secure, read_head(secure))

    return behave


def test_a_trusted_certificate_and_its_facts(certificates: Path) -> None:
    network = Network(ca_file=str(certificates / "good.pem"))
    with serving(tls_answer(certificates / "good", GOOD), greet=True) as port:
        seen, result = handshake(f"wss://localhost:{port}/", network=network)
    assert seen.passed, seen.message
    assert result.status == 101
    assert seen.connection is not None
    tls = seen.connection.tls
    assert tls is not None
    assert (tls.version, tls.alpn, tls.trusted, tls.name_matches) == ("TLSv1.3", "http/1.1", True, True)
    assert (tls.chain[0].subject, tls.chain[0].names) == ("localhost", ("localhost", "127.0.0.1"))
    assert seen.connection.timings.tls is not None


@pytest.mark.parametrize(
    ("name", "trusted", "said"),
    [("good", None, "self-signed"), ("expired", "expired", "expired on 20"), ("other", "other", "for other.example")],
)
def test_a_certificate_that_is_not_trusted_is_refused_and_shown(
    certificates: Path, name: str, trusted: str | None, said: str
) -> None:
    network = Network(ca_file=str(certificates / f"{trusted}.pem") if trusted else "")
    with serving(tls_answer(certificates / name, GOOD), greet=True) as port:
        seen, _ = handshake(f"wss://localhost:{port}/", network=network)
    assert (seen.verdict, seen.class_) == (Verdict.FAILED, "certificate")
    assert said in seen.message
    assert seen.connection is not None
    assert seen.connection.tls is not None
    assert seen.connection.tls.trusted is False
    assert seen.connection.tls.chain[0].not_after.startswith("20")


def test_insecure_goes_on_and_still_shows_the_wrong_name(certificates: Path) -> None:
    with serving(tls_answer(certificates / "other", GOOD), greet=True) as port:
        seen, _ = handshake(f"wss://localhost:{port}/", network=Network(insecure=True))
    assert seen.passed, seen.message
    assert seen.connection is not None
    assert seen.connection.tls is not None
    assert (seen.connection.tls.trusted, seen.connection.tls.name_matches) == (None, False)


def test_tls_to_a_plain_port_is_named() -> None:
    with serving(answer(b"HTTP/1.1 400 Bad Request\r\n\r\n"), greet=True) as port:
        seen, _ = handshake(f"wss://127.0.0.1:{port}/", network=Network(insecure=True))
    assert seen.class_ == "tls-plain-mismatch"
    assert "ws://" in seen.help


def test_a_tls_handshake_that_is_never_answered_times_out() -> None:
    with serving(silent, greet=True) as port:
        seen, _ = handshake(f"wss://127.0.0.1:{port}/", network=Network(insecure=True, timeout=0.3))
    assert seen.class_ == "timeout"


def test_a_missing_client_certificate_is_named_and_a_given_one_is_used(certificates: Path) -> None:
    good = certificates / "good"
    with serving(tls_answer(good, GOOD, client_ca=good), greet=True) as port:
        without, _ = handshake(f"wss://localhost:{port}/", QUICK, Network(insecure=True))
        network = Network(insecure=True, client_cert=f"{good}.pem", client_key=f"{good}.key")
        given, _ = handshake(f"wss://localhost:{port}/", QUICK, network)
    assert without.class_ == "client-certificate"
    assert given.passed, given.message


@pytest.mark.parametrize("field", ["ca_file", "client_cert"])
def test_a_certificate_file_that_cannot_be_used_is_an_input_error(tmp_path: Path, field: str) -> None:
    (tmp_path / "bad.pem").write_text("no certificate")
    for name in ("bad.pem", "none.pem"):
        network = Network(**{field: str(tmp_path / name)})  # type: ignore[arg-type]
        with pytest.raises(InputError) as caught:
            handshake("wss://127.0.0.1:1/", network=network)
        assert caught.value.where == str(tmp_path / name)


# Proxies


def forwarding(reply: bytes, seen: list[bytes]) -> Behaviour:
    """An HTTP proxy: answers CONNECT, then is the server itself."""

    def behave(sock: socket.socket, request: bytes) -> None:
        seen.append(request)
        sock.sendall(reply)
        if b" 200 " in reply:
            answer(GOOD, then=CLOSE_FRAME)(sock, read_head(sock))

    return behave


def test_a_proxy_is_asked_to_connect() -> None:
    got: list[bytes] = []
    with serving(forwarding(b"HTTP/1.1 200 Connection established\r\n\r\n", got)) as port:
        seen, _ = handshake("ws://example.com/chat", network=Network(proxy=f"http://me:pw@127.0.0.1:{port}"))
    assert seen.passed, seen.message
    assert got[0].startswith(b"CONNECT example.com:80 HTTP/1.1\r\nHost: example.com:80\r\nProxy-Authorization: Basic ")
    assert seen.connection is not None
    assert seen.connection.proxy == f"127.0.0.1:{port}"


@pytest.mark.parametrize(
    "reply", [b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", b"", b"SSH-2\n"]
)
def test_a_proxy_that_refuses_is_named(reply: bytes) -> None:
    with serving(forwarding(reply, [])) as port:
        seen, _ = handshake("ws://example.com/", network=Network(proxy=f"127.0.0.1:{port}"))
    assert seen.class_ == "proxy"


def test_only_http_proxies_are_taken() -> None:
    with pytest.raises(UsageError):
        handshake("ws://example.com/", network=Network(proxy="https://127.0.0.1:1"))
