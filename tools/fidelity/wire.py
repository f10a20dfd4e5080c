"""One request at a time through nginx, with backends that record every byte.

Client and backends run in one thread on one epoll, so a request and what reached a backend belong together by order.
A backend ends its connection only after nginx has, so what it recorded is all that nginx sent.
"""

from __future__ import annotations

import contextlib
import functools
import re
import select
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tools.fidelity import speech
from ws101.lab.ports import free_ports
from ws101.nginx.outcome import Arrival

__all__ = ["TUNNELLED", "Recorded", "Seen", "Wire", "certificate"]

_RESET = struct.pack("ii", 1, 0)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d{1,6})\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked\r\n", re.IGNORECASE)
_CERTIFICATE = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_PATIENCE = 3.0
_PAUSE = 0.12
_READ = select.EPOLLIN | select.EPOLLRDHUP
TUNNELLED = b"<tunnelled>"
"""What a backend sends back when the byte that the client sent after its 101 arrived."""


class Recorded(NamedTuple):
    """What a backend got: the backend's name, every byte, and whether they came encrypted."""

    name: str
    data: bytes
    tls: bool


@dataclass(slots=True)
class Seen:
    """What happened: the answer to the client, and each request that a backend got, with the backend's name."""

    answer: bytes = b""
    upstream: list[Recorded] = field(default_factory=list)
    tunnel: bool = False
    timed_out: bool = False

    @property
    def status(self) -> int | None:
        """The status; None if nothing came."""
        found = re.match(rb"HTTP/1\.[01] (\d{3})", self.answer)
        return int(found[1]) if found else None

    @property
    def head(self) -> bytes:
        """The answer's head."""
        return self.answer.partition(b"\r\n\r\n")[0]

    @property
    def body(self) -> bytes:
        """The answer's body."""
        body = self.answer.partition(b"\r\n\r\n")[2]
        length = _LENGTH.search(self.head + b"\r\n")
        return body[: int(length[1])] if length else body

    def header(self, name: str) -> str | None:
        """The first value of a header field of the answer."""
        found = re.search(rb"\r\n" + name.encode() + rb": ([^\r\n]*)", self.head, re.IGNORECASE)
        return found[1].decode("latin-1") if found else None


@dataclass(slots=True)
class _Inbound:
    name: str
    sock: socket.socket
    data: bytearray = field(default_factory=bytearray)
    tls: bool = False
    answered: bool = False
    switched: bool = False
    relayed: bool = False


class Wire:
    """The backends, and the client.

    Args:
        folder: Where the unix socket is made.

    Attributes:
        places: What to fill in for the backends.
    """

    def __init__(self, folder: Path) -> None:
        self._epoll = select.epoll()
        self._listeners: dict[int, tuple[str, socket.socket]] = {}
        self._inbound: dict[int, _Inbound] = {}
        self._context = _with_certificate(folder)
        self._path = folder / "b.sock"
        ports = free_ports(5)
        self.places = {f"__B{i}__": f"127.0.0.1:{port}" for i, port in enumerate(ports[:3])}
        self.places |= {"__SOCK__": str(self._path), "__DEAD__": f"127.0.0.1:{ports[3]}"}
        self.places |= {"__SUB__": f"127.0.0.1:{ports[4]}", "__P0__": str(ports[0]), "__P1__": str(ports[1])}
        for name in ("__B0__", "__B1__", "__B2__", "__SUB__"):
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", int(self.places[name].rpartition(":")[2])))
            self._listen(name, sock)
        self._names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._names.bind(("127.0.0.1", 0))
        self._names.setblocking(False)
        self._epoll.register(self._names.fileno(), select.EPOLLIN)
        self.places["__DNS__"] = f"127.0.0.1:{self._names.getsockname()[1]}"
        unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        unix.bind(str(self._path))
        self._listen("__SOCK__", unix)

    def _listen(self, name: str, sock: socket.socket) -> None:
        sock.listen(64)
        sock.setblocking(False)
        self._listeners[sock.fileno()] = (name, sock)
        self._epoll.register(sock.fileno(), select.EPOLLIN)

    def close(self) -> None:
        """Let go of everything."""
        for _, sock in self._listeners.values():
            sock.close()
        for inbound in self._inbound.values():
            inbound.sock.close()
        self._names.close()
        self._epoll.close()

    def ask(self, arrival: Arrival, first: str = "", linger: float = 0) -> Seen:
        """Send a request and watch what comes of it.

        Args:
            arrival: The request and its connection.
            first: What goes ahead of it, and of TLS.
            linger: Seconds to wait for what may reach a backend after the client has its answer.
        """
        seen = Seen()
        sock = _connected(arrival, first.encode())
        if sock is None:
            return seen
        sock.setblocking(False)
        self._epoll.register(sock.fileno(), _READ)
        try:
            sock.send(arrival.request.encode())
            self._exchange(sock, arrival.request.method == "HEAD", seen)
            self._watch(sock, linger, seen)
        finally:
            self._epoll.unregister(sock.fileno())
            sock.close()
            self._drain(seen)
        return seen

    def _exchange(self, client: socket.socket, is_head: bool, seen: Seen) -> None:
        deadline = time.monotonic() + _PATIENCE
        wait = _PATIENCE
        while True:
            events = self._epoll.poll(wait)
            wait = _PATIENCE
            for fd, _ in events:
                if fd == client.fileno():
                    if self._client_done(client, is_head, seen):
                        return
                elif fd in self._listeners:
                    self._accept(fd)
                elif fd in self._inbound:
                    self._serve(self._inbound[fd], seen)
                elif fd == self._names.fileno():
                    self._tell_names()
            if any(not i.answered for i in self._inbound.values()) or any(
                i.switched and not i.relayed for i in self._inbound.values()
            ):
                if not events:
                    self._give_up_waiting(seen)
                wait = _PAUSE
            if time.monotonic() > deadline:
                seen.timed_out = True
                return

    def _client_done(self, client: socket.socket, is_head: bool, seen: Seen) -> bool:
        try:
            data = client.recv(65536)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except (ConnectionError, ssl.SSLError):
            return True
        if not data:
            return True
        before = seen.answer
        seen.answer += data
        while (
            seen.answer.startswith(b"HTTP/1.1 1")
            and not seen.answer.startswith(b"HTTP/1.1 101")
            and b"\r\n\r\n" in seen.answer
        ):
            seen.answer = seen.answer.partition(b"\r\n\r\n")[2]
        if any(i.switched for i in self._inbound.values()):
            if b"\r\n\r\n" in seen.answer and b"\r\n\r\n" not in before:
                try:
                    client.send(b"x")
                except ConnectionError:
                    return True
            if seen.answer.endswith(TUNNELLED):
                seen.tunnel = True
                return True
            return False
        return _is_complete(seen.answer, is_head)

    def _tell_names(self) -> None:
        with contextlib.suppress(BlockingIOError):
            question, sender = self._names.recvfrom(512)
            self._names.sendto(speech.name_answer(question), sender)

    def _accept(self, fd: int) -> None:
        name, listener = self._listeners[fd]
        try:
            sock, _ = listener.accept()
        except BlockingIOError:
            return
        sock.setblocking(False)
        if sock.family == socket.AF_INET:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._inbound[sock.fileno()] = _Inbound(name, sock)
        self._epoll.register(sock.fileno(), _READ)

    def _serve(self, inbound: _Inbound, seen: Seen) -> None:
        if not inbound.data and not inbound.tls and self._starts_tls(inbound):
            return
        try:
            data = inbound.sock.recv(65536)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except (ConnectionError, ssl.SSLError):
            data = b""
        if not data:
            self._finish(inbound, seen)
            return
        if inbound.switched:
            inbound.relayed = True
            with contextlib.suppress(ConnectionError):
                inbound.sock.send(TUNNELLED)
            return
        inbound.data += data
        if not inbound.answered and (speech.is_other(inbound.data) or _request_is_complete(inbound.data)):
            self._answer(inbound, seen)

    def _starts_tls(self, inbound: _Inbound) -> bool:
        """Speak TLS if the other side does; whether it does."""
        try:
            speaks = inbound.sock.recv(1, socket.MSG_PEEK) == b"\x16"
        except (BlockingIOError, ConnectionError):
            return False
        if not speaks or self._context is None:
            return False
        inbound.tls = True
        inbound.sock.settimeout(_PATIENCE)
        inbound.sock = self._context.wrap_socket(inbound.sock, server_side=True)
        inbound.sock.setblocking(False)
        return False

    def _answer(self, inbound: _Inbound, seen: Seen) -> None:
        inbound.answered = True
        data = bytes(inbound.data)
        del seen
        if speech.is_other(data):
            with contextlib.suppress(ConnectionError):
                inbound.sock.send(speech.answer(data))
                inbound.sock.shutdown(socket.SHUT_WR)
            return
        inbound.switched = is_handshake(data) and inbound.name != "__SUB__"
        answer = _SWITCHING if inbound.switched else _OK
        with contextlib.suppress(ConnectionError):
            inbound.sock.send(answer[:-2] if data.startswith(b"HEAD ") and not inbound.switched else answer)

    def _give_up_waiting(self, seen: Seen) -> None:
        """A body that does not come, or a tunnel that is none: answer, or hang up."""
        for inbound in list(self._inbound.values()):
            if not inbound.answered:
                self._answer(inbound, seen)
            elif inbound.switched and not inbound.relayed:
                inbound.relayed = True
                inbound.sock.shutdown(socket.SHUT_WR)

    def _finish(self, inbound: _Inbound, seen: Seen) -> None:
        self._epoll.unregister(inbound.sock.fileno())
        del self._inbound[inbound.sock.fileno()]
        inbound.sock.close()
        seen.upstream.append(Recorded(inbound.name, bytes(inbound.data), inbound.tls))

    def _watch(self, client: socket.socket | None, wait: float, seen: Seen) -> None:
        """Serve the backends until nothing has come for so many seconds."""
        while events := [fd for fd, _ in self._epoll.poll(wait) if client is None or fd != client.fileno()]:
            for fd in events:
                if fd in self._inbound:
                    self._serve(self._inbound[fd], seen)
                elif fd in self._listeners:
                    self._accept(fd)
                elif fd == self._names.fileno():
                    self._tell_names()

    def _drain(self, seen: Seen) -> None:
        """Read what the backends still get until nginx ends those connections too."""
        deadline = time.monotonic() + _PATIENCE
        self._watch(None, 0, seen)
        while self._inbound and time.monotonic() < deadline:
            self._watch(None, 0.2, seen)
        for inbound in list(self._inbound.values()):
            self._finish(inbound, seen)


def _connected(arrival: Arrival, first: bytes) -> socket.socket | None:
    """A connection to nginx; None if nothing listens there or TLS is not spoken."""
    if arrival.unix is not None:
        return _unix(arrival.unix, first)
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    try:
        if arrival.client != "127.0.0.1":
            sock.bind((arrival.client, 0))
        sock.connect((arrival.address, arrival.port))
        sock.sendall(first)
        return _TLS.wrap_socket(sock, server_hostname=arrival.sni) if arrival.tls else sock
    except (ConnectionError, ssl.SSLError):
        sock.close()
        return None


@functools.cache
def certificate() -> tuple[bytes, bytes] | None:
    """A key and a certificate, made once by openssl; None without openssl."""
    if shutil.which("openssl") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        where = ("-keyout", f"{folder}/key", "-out", f"{folder}/cert", "-subj", "/CN=x.test", "-days", "30")
        subprocess.run([*_CERTIFICATE, *where], check=True, capture_output=True)
        return Path(folder, "key").read_bytes(), Path(folder, "cert").read_bytes()


def _with_certificate(folder: Path) -> ssl.SSLContext | None:
    """What a backend needs to speak TLS."""
    made = certificate()
    if made is None:
        return None
    for name, data in zip(("backend.key", "backend.cert"), made, strict=True):
        (folder / name).write_bytes(data)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "backend.cert", folder / "backend.key")
    return context


def _unix(path: str, first: bytes) -> socket.socket | None:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(path)
        sock.sendall(first)
    except OSError:
        sock.close()
        return None
    return sock


def _any_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


_TLS = _any_certificate()
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
_SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n"
)


def is_handshake(data: bytes) -> bool:
    """Whether a request is a valid opening handshake, as a strict server sees it (RFC 6455 section 4.2.1)."""
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    if not first.startswith(b"GET ") or not first.endswith(b" HTTP/1.1") or body:
        return False
    fields: dict[bytes, list[bytes]] = {}
    for line in lines:
        name, _, value = line.partition(b":")
        fields.setdefault(name.lower(), []).append(value.strip(b" \t"))
    upgrades = fields.get(b"upgrade", [])
    options = {option.strip(b" \t").lower() for value in fields.get(b"connection", []) for option in value.split(b",")}
    protocols = {token.strip(b" \t").lower() for value in upgrades for token in value.split(b",")}
    return (
        not any(value.strip(b"0") for value in fields.get(b"content-length", []))
        and len(upgrades) == 1
        and b"websocket" in protocols
        and b"upgrade" in options
        and len(fields.get(b"sec-websocket-key", [])) == 1
        and len(fields.get(b"sec-websocket-version", [])) == 1
    )


def _request_is_complete(data: bytearray) -> bool:
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = bytes(data[: end + 2])
    if _CHUNKED.search(head):
        return data.endswith(b"0\r\n\r\n")
    lengths = [int(found) for found in _LENGTH.findall(head)]
    return len(data) - end - 4 >= max(lengths, default=0)


def _is_complete(answer: bytes, is_head: bool) -> bool:
    head, found, body = answer.partition(b"\r\n\r\n")
    if not found:
        return False
    if is_head or answer[9:12] in (b"204", b"304"):
        return True
    length = _LENGTH.search(head + b"\r\n")
    if length:
        return len(body) >= int(length[1])
    return bool(_CHUNKED.search(head + b"\r\n")) and body.endswith(b"0\r\n\r\n")
