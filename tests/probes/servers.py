"""Servers that misbehave on purpose, on loopback, for the tests of probes."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

from ws101.probes.handshake import accept_for

Behaviour = Callable[[socket.socket, bytes], None]
"""What a server does with a connection after it has read a request's head."""


@contextlib.contextmanager
def serving(behaviour: Behaviour, *, greet: bool = False, family: int = socket.AF_INET) -> Iterator[int]:
    """A server on a free port; with ``greet`` it speaks without waiting for a request."""
    host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.bind((host, 0))
    listener.listen(16)
    thread = threading.Thread(target=_accept, args=(listener, behaviour, greet), daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def _accept(listener: socket.socket, behaviour: Behaviour, greet: bool) -> None:
    while True:
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        with sock, contextlib.suppress(OSError):
            sock.settimeout(5)
            behaviour(sock, b"" if greet else read_head(sock))


def read_head(sock: socket.socket) -> bytes:
    """A request's bytes up to the empty line, or what came before the end."""
    data = b""
    while b"\r\n\r\n" not in data and (more := sock.recv(65536)):
        data += more
    return data


def drain(sock: socket.socket) -> None:
    """Read until the other side closes, so that it gets a FIN and not a reset."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass


def answer(data: bytes, *, then: bytes = b"") -> Behaviour:
    """Answer with these bytes, ACCEPT in them replaced by the right value, and close."""

    def behave(sock: socket.socket, request: bytes) -> None:
        sock.sendall(data.replace(b"ACCEPT", accept(request)) + then)
        drain(sock)

    return behave


def accept(request: bytes) -> bytes:
    """The Sec-WebSocket-Accept that a request asks for."""
    lines = [line.partition(b": ") for line in request.split(b"\r\n")]
    keys = [value for name, _, value in lines if name.lower() == b"sec-websocket-key"]
    return accept_for(keys[0].decode("ascii") if keys else "").encode("ascii")


def reset(sock: socket.socket, _: bytes) -> None:
    """Reset the connection."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def silent(sock: socket.socket, _: bytes) -> None:
    """Never answer."""
    while sock.recv(65536):
        pass


def switching(*fields: bytes, line: bytes = b"HTTP/1.1 101 Switching Protocols", end: bytes = b"\r\n") -> bytes:
    """The head of a 101 with these fields."""
    return end.join((line, *fields, b"", b""))


UPGRADE = b"Upgrade: websocket"
CONNECTION = b"Connection: Upgrade"
ACCEPT = b"Sec-WebSocket-Accept: ACCEPT"
GOOD = switching(UPGRADE, CONNECTION, ACCEPT)
CLOSE_FRAME = b"\x88\x02\x03\xe8"
SETTINGS_FRAME = bytes.fromhex("000012040000000000000300000080000400010000000500ffffff")
TLS_ALERT = bytes.fromhex("15030100020246")
