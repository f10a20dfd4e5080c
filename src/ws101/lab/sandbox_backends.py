"""What stands behind a configuration that is tried: many loopback ports in one place, each request kept as it came.

A port speaks TLS if nginx does: the first byte tells.  A request that is a whole opening handshake gets 101 and then an
echo, every other one 200; what is told to be ``plain`` gets 200 in any case.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from ws101.errors import InputError, NetworkError
from ws101.http1 import Request, decode_request
from ws101.lab.backends import accept, plain
from ws101.lab.ports import LOOPBACK
from ws101.lab.wire import RequestCutter, is_opening_handshake, keeps_open
from ws101.lazy import dataclass

__all__ = ["Recorded", "Recorders", "server_context"]

_TLS_RECORD = b"\x16"
_PATIENCE = 0.5
"""Seconds that a body may take to come after its head."""
_LAST = plain(200, "OK", "ok", ("Connection", "close"))
"""The last answer on a connection: nginx keeps one that does not say that it ends, whatever nginx itself asked for."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request as it reached a backend.

    Args:
        port: The port it came to.
        raw: Its exact bytes.
        tls: Whether it came through TLS.
    """

    port: int
    raw: bytes
    tls: bool = False


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """What a backend needs to speak TLS with an nginx of any settings."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(certificate, key)
    return context


class Recorders:
    """Backends on loopback, as a context manager; ports may be opened before and after entering.

    Args:
        context: What they speak TLS with; None if no certificate is at hand.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.plain: set[tuple[int, str]] = set()
        """Ports and request targets that get 200 even for an opening handshake, as from what auth_request asks."""
        self._context = context
        self._selector = selectors.DefaultSelector()
        self._listeners: list[socket.socket] = []
        self._open: set[socket.socket] = set()
        self._recorded: list[Recorded] = []
        self._lock = threading.Lock()
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._accept, name="recorders", daemon=True)

    def open(self) -> int:
        """Begin to listen on one more port, and return it.

        Raises:
            NetworkError: No port can be had.
        """
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.bind((LOOPBACK, 0))
            listener.listen(128)
        except OSError as error:
            listener.close()
            raise NetworkError(f"a recording backend cannot listen: {error.strerror}", where=LOOPBACK) from error
        listener.setblocking(False)
        self._listeners.append(listener)
        self._selector.register(listener, selectors.EVENT_READ, int(listener.getsockname()[1]))
        return int(listener.getsockname()[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._wake.send(b"x")
        self._thread.join()
        self._selector.close()
        for sock in (*self._listeners, self._wake, self._woken):
            sock.close()
        with self._lock:
            left = tuple(self._open)
        for sock in left:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def take(self) -> tuple[Recorded, ...]:
        """The requests so far, in the order in which they became whole; they are forgotten."""
        with self._lock:
            taken, self._recorded = tuple(self._recorded), []
        return taken

    def _accept(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    return
                assert isinstance(key.fileobj, socket.socket)
                with contextlib.suppress(OSError):
                    sock, _ = key.fileobj.accept()
                    threading.Thread(target=self._serve, args=(sock, key.data), daemon=True).start()

    def _serve(self, sock: socket.socket, port: int) -> None:
        """One connection until it ends; whatever goes wrong on it ends it."""
        with self._lock:
            self._open.add(sock)
        try:
            tls = sock.recv(1, socket.MSG_PEEK) == _TLS_RECORD and self._context is not None
            if tls:
                assert self._context is not None
                with self._lock:
                    self._open.discard(sock)
                    sock = self._context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
                    self._open.add(sock)
                assert isinstance(sock, ssl.SSLSocket)
                sock.do_handshake()
            self._talk(sock, port, tls)
        except OSError:
            return
        finally:
            with self._lock:
                self._open.discard(sock)
            sock.close()

    def _talk(self, sock: socket.socket, port: int, tls: bool) -> None:
        cutter = RequestCutter()
        while True:
            raw, ends = cutter.next(), False
            if raw is None:
                sock.settimeout(_PATIENCE if cutter.in_body else None)
                try:
                    data = sock.recv(65536)
                except TimeoutError:  # it was announced and does not come: what was sent is known all the same
                    raw, ends = cutter.rest, True
                else:
                    if not data:
                        return
                    cutter.feed(data)
                    continue
            with self._lock:
                self._recorded.append(Recorded(port, raw, tls))
            answer, stays = self._answer(raw, port)
            sock.sendall(_LAST if ends else answer)
            if answer.startswith(b"HTTP/1.1 101 ") and not ends:
                sock.settimeout(None)
                _echo(sock, cutter.rest)
                return
            if ends or not stays:
                return

    def _answer(self, raw: bytes, port: int) -> tuple[bytes, bool]:
        """The answer, and whether the connection outlives it."""
        try:
            request = decode_request(raw)
        except InputError:
            return _LAST, False
        switches = _is_whole_handshake(request) and (port, request.target) not in self.plain
        answer = accept(request) if switches else plain(200, "OK", "ok")
        stays = keeps_open(request, answer)
        return answer if stays or switches else _LAST, stays


def _is_whole_handshake(request: Request) -> bool:
    """Whether a strict server takes a request for an opening handshake (RFC 6455 section 4.2.1)."""
    once = ("Upgrade", "Sec-WebSocket-Key", "Sec-WebSocket-Version")
    length = any(value.strip("0") for value in request.values("Content-Length"))
    return (
        is_opening_handshake(request)
        and request.method == "GET"
        and all(len(request.values(name)) == 1 for name in once)
        and not length
        and not request.body
    )


def _echo(sock: socket.socket, first: bytes) -> None:
    """Send back whatever comes."""
    sock.sendall(first)
    while data := sock.recv(65536):
        sock.sendall(data)
