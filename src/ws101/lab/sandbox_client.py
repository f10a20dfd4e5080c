"""The client of a configuration that is tried: one request through a moved listener, whatever kind it is."""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import time
from collections.abc import Sequence
from pathlib import Path

from ws101.http1 import Request, Response, ResponseReader
from ws101.lazy import dataclass

__all__ = ["Door", "Seen", "ask", "client_context", "silences"]

_ECHOED = b"ws101"
_PATIENCE = 5.0
"""Seconds to wait for each step."""


@dataclass(frozen=True, slots=True)
class Door:
    """Where a listener was moved to, and what it wants to hear first.

    Args:
        address: 127.0.0.1 or ::1; empty with ``unix``.
        port: The port; 0 with ``unix``.
        unix: The path of the unix socket.
        tls: Whether it speaks TLS.
        proxy_protocol: Whether the PROXY protocol comes first.
    """

    address: str = ""
    port: int = 0
    unix: str = ""
    tls: bool = False
    proxy_protocol: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """What the client saw.

    Args:
        response: The answer; None if there was none.
        tunnel: Whether bytes sent after a 101 came back.
        problem: Why there is no answer, one clause; empty if there is one, or nginx closed without.
        sock: With ``keep``: the open tunnel, to be closed by the caller.
    """

    response: Response | None = None
    tunnel: bool = False
    problem: str = ""
    sock: socket.socket | None = None

    @property
    def status(self) -> int | None:
        """The status; None without an answer."""
        return self.response.status if self.response is not None else None


def client_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS with an nginx of any settings: any certificate is taken, and one of our own is shown if asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(certificate, key)
    return context


def ask(
    door: Door,
    request: Request,
    *,
    sni: str | None = None,
    context: ssl.SSLContext | None = None,
    timeout: float = _PATIENCE,
    keep: bool = False,
) -> Seen:
    """Send a request through a listener and read the answer; after a 101, send a few bytes and wait for the echo.

    Args:
        door: The listener.
        request: What to send.
        sni: The name that TLS asks for.
        context: What to speak TLS with.
        timeout: Seconds for each step.
        keep: Whether to leave a tunnel open, in ``Seen.sock``.
    """
    sock: socket.socket | None = None
    try:
        sock = _connected(door, timeout)
        if door.proxy_protocol:
            sock.sendall(_proxy_line(sock))
        if door.tls and context is not None:
            sock = context.wrap_socket(sock, server_hostname=sni)
        sock.sendall(request.encode())
        seen = _read(sock, request.method)
        if keep and seen.tunnel:
            kept, sock = sock, None
            return Seen(seen.response, True, sock=kept)
        return seen
    except TimeoutError:
        return Seen(problem=f"no answer within {timeout:g} s")
    except (ConnectionError, ssl.SSLError):
        return Seen()
    except OSError as error:
        return Seen(problem=error.strerror or str(error))
    finally:
        if sock is not None:
            sock.close()


def _connected(door: Door, timeout: float) -> socket.socket:
    if not door.unix:
        return socket.create_connection((door.address, door.port), timeout=timeout)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(timeout)
    try:
        sock.connect(door.unix)
    except OSError:
        sock.close()
        raise
    return sock


def _proxy_line(sock: socket.socket) -> bytes:
    """The PROXY protocol's first line, version 1, for this very connection."""
    if sock.family == socket.AF_UNIX:
        return b"PROXY UNKNOWN\r\n"
    mine, theirs = sock.getsockname(), sock.getpeername()
    kind = "TCP6" if sock.family == socket.AF_INET6 else "TCP4"
    return f"PROXY {kind} {mine[0]} {theirs[0]} {mine[1]} {theirs[1]}\r\n".encode("ascii")


def _read(sock: socket.socket, method: str) -> Seen:
    reader = ResponseReader(method=method)
    while not reader.done:
        data = sock.recv(65536)
        reader.feed(data)
        if not data:
            reader.eof()
    response = reader.answer().response
    if response is None or response.status != 101:
        return Seen(response)
    with contextlib.suppress(OSError):
        sock.sendall(_ECHOED)
        data = reader.rest
        while not data.endswith(_ECHOED) and (more := sock.recv(65536)):
            data += more
        return Seen(response, data.endswith(_ECHOED))
    return Seen(response)


def silences(tunnels: Sequence[socket.socket], longest: float) -> dict[int, float | None]:
    """How long open tunnels stay open while nobody says anything, watched all at once; they are closed afterwards.

    Args:
        tunnels: Sockets after a 101.
        longest: Seconds after which to stop watching.

    Returns:
        Seconds until each was ended, by its file number as it was; None if it outlived the watch.
    """
    selector = selectors.DefaultSelector()
    found: dict[int, float | None] = {}
    start = time.monotonic()
    try:
        for sock in tunnels:
            found[sock.fileno()] = None
            selector.register(sock, selectors.EVENT_READ)
        while selector.get_map() and (left := start + longest - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                found[key.fd] = time.monotonic() - start
                selector.unregister(key.fileobj)
    finally:
        for sock in tunnels:
            sock.close()
        selector.close()
    return found
