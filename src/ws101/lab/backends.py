"""What stands behind nginx in the lab.

``Recorder``
    keeps the exact bytes of every request, and answers as it is told.
``StoryApp``
    a WebSocket echo with a heartbeat (the ``websockets`` library) that answers a request without upgrade headers with
    400, as applications in Node or Go do, and serves a plain page beside it.
``EchoApp``
    the same application in other moods: no heartbeat, a fixed status, or cutting the connection.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from websockets.asyncio.server import Server, ServerConnection, serve, unix_serve
from websockets.exceptions import ConnectionClosed
from websockets.utils import accept_key

from ws101.errors import InputError
from ws101.http1 import Request, decode_request
from ws101.lab.ports import LOOPBACK
from ws101.lab.serving import Backend
from ws101.lab.wire import RequestCutter, is_opening_handshake, keeps_open

__all__ = ["BAD_REQUEST", "PAGE", "Answer", "EchoApp", "Recorder", "StoryApp", "accept", "default_answer", "plain"]

Answer = bytes | Callable[[Request], bytes]
"""The exact bytes of the answer, or a function that makes them from the request."""

_QUIET = logging.getLogger("ws101.lab")
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False


def plain(status: int, reason: str, body: str, *more: tuple[str, str]) -> bytes:
    """The bytes of a response with a text body, its length and further header fields."""
    headers = (("Content-Type", "text/html"), ("Content-Length", str(len(body))), *more)
    head = f"HTTP/1.1 {status} {reason}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"{head}\r\n{body}".encode("latin-1")


def accept(request: Request) -> bytes:
    """The bytes of the 101 that completes an opening handshake (RFC 6455 section 4.2.2)."""
    key = accept_key(request.header("Sec-WebSocket-Key") or "")
    fields = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {key}\r\n"
    return f"HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n".encode("latin-1")


PAGE = "<!doctype html><title>chat</title><p>A plain page.</p>\n"
"""What ``StoryApp`` serves outside its WebSocket path."""

BAD_REQUEST = plain(400, "Bad Request", "Bad Request\n", ("Connection", "close"))
"""What ``StoryApp`` answers on its WebSocket path to a request that is not an opening handshake."""


def default_answer(request: Request) -> bytes:
    """101 to an opening handshake, else 200 and ``ok``."""
    return accept(request) if is_opening_handshake(request) else plain(200, "OK", "ok")


class Recorder(Backend):
    """Keeps the exact bytes of each request and answers as told; after a 101 it sends back whatever it gets.

    Args:
        answer: The answer to every request; may be changed at any time.  One whose end cannot be told from its head is
            ended by closing the connection.
        port: The port to listen on; 0 lets the kernel choose.
        unix: The path of a unix socket to listen on instead.
    """

    def __init__(self, answer: Answer = default_answer, *, port: int = 0, unix: str | Path | None = None) -> None:
        super().__init__(port=port, unix=unix)
        self.answer = answer
        self._server: asyncio.Server | None = None
        self._open_now: set[_Recording] = set()

    async def _open(self) -> None:
        if self._unix is not None:
            self._server = await self._loop.create_unix_server(lambda: _Recording(self), self._unix)
            return
        self._server = await self._loop.create_server(lambda: _Recording(self), LOOPBACK, self.port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self._open_now):
            connection.transport.abort()
        await asyncio.sleep(0)


class _Recording(asyncio.Protocol):
    """One connection to a Recorder."""

    transport: asyncio.Transport

    def __init__(self, owner: Recorder) -> None:
        self._owner = owner
        self._cutter = RequestCutter()
        self._is_tunnel = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._owner.connections += 1
        self._owner._open_now.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._owner._open_now.discard(self)

    def data_received(self, data: bytes) -> None:
        if self._is_tunnel:
            self.transport.write(data)
            return
        self._cutter.feed(data)
        while not self.transport.is_closing() and (raw := self._cutter.next()) is not None:
            self._owner.record(raw)
            self._reply(raw)

    def _reply(self, raw: bytes) -> None:
        try:
            request = decode_request(raw)
        except InputError:
            self.transport.write(BAD_REQUEST)
            self.transport.close()
            return
        answer = self._owner.answer
        data = answer if isinstance(answer, bytes) else answer(request)
        self.transport.write(data)
        self._is_tunnel = _last_head(data).startswith(b"HTTP/1.1 101 ")
        if self._is_tunnel:
            self.transport.write(self._cutter.rest)
        elif not keeps_open(request, _last_head(data)):
            self.transport.close()


def _last_head(answer: bytes) -> bytes:
    """The answer without the interim responses before it: 100 to 199, except 101 (RFC 9110 section 15.2)."""
    while answer[9:10] == b"1" and answer[9:12] != b"101" and b"\r\n\r\n" in answer:
        answer = answer.partition(b"\r\n\r\n")[2]
    return answer


class StoryApp(Backend):
    """The application of the story: a WebSocket echo at one path, a plain page everywhere else.

    A request to the path that is not an opening handshake gets 400; so does one in HTTP/1.0.  The heartbeat is that of
    the ``websockets`` library: a ping every interval, and the connection is closed if no pong comes in time.

    Args:
        path: The WebSocket's path; what lies below it counts too.
        ping_interval: Seconds between pings; None for no heartbeat.
        ping_timeout: Seconds to wait for a pong before the connection is closed with 1011; None for ever.
        port: The port to listen on; 0 lets the kernel choose.
        unix: The path of a unix socket to listen on instead.
    """

    def __init__(
        self,
        path: str = "/ws",
        *,
        ping_interval: float | None = 20.0,
        ping_timeout: float | None = 20.0,
        port: int = 0,
        unix: str | Path | None = None,
    ) -> None:
        super().__init__(port=port, unix=unix)
        self.path = path
        self._heartbeat = {"ping_interval": ping_interval, "ping_timeout": ping_timeout}
        self._server: Server | None = None

    def refuse(self, request: Request) -> bytes | None:
        """The answer to a request that does not become a WebSocket; None if it does."""
        path = request.target.partition("?")[0]
        if path != self.path and not path.startswith(self.path.rstrip("/") + "/"):
            return plain(200, "OK", PAGE, ("Connection", "close"))
        return None if is_opening_handshake(request) else BAD_REQUEST

    async def talk(self, connection: ServerConnection) -> None:
        """Send every message back until the other side is gone."""
        try:
            async for message in connection:
                await connection.send(message)
        except ConnectionClosed:
            return

    async def _open(self) -> None:
        options: dict[str, Any] = {**self._heartbeat, "create_connection": self._connection, "logger": _QUIET}
        options |= {"compression": None, "close_timeout": 1.0}
        if self._unix is not None:
            self._server = await unix_serve(self.talk, self._unix, **options)
            return
        self._server = await serve(self.talk, LOOPBACK, self.port, **options)
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def _connection(self, *args: Any, **kwargs: Any) -> ServerConnection:
        connection = _Guarded(*args, **kwargs)
        connection.owner = self
        return connection


class _Guarded(ServerConnection):
    """A connection that reads the request itself first, so that any method and HTTP version gets the story's answer."""

    owner: StoryApp

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._cutter = RequestCutter()
        self._admitted = False
        self.owner.connections += 1
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._admitted:
            super().data_received(data)
            return
        self._cutter.feed(data)
        raw = self._cutter.next()
        if raw is None:
            return
        self._admitted = True
        self.owner.record(raw)
        answer = self._answer(raw)
        if answer is None:
            super().data_received(raw + self._cutter.rest)
            return
        self.transport.write(answer)
        self.transport.close()

    def _answer(self, raw: bytes) -> bytes | None:
        try:
            return self.owner.refuse(decode_request(raw))
        except InputError:
            return BAD_REQUEST


class EchoApp(StoryApp):
    """The application in other moods; without arguments an echo at every path, without a heartbeat.

    Args:
        status: Answer every request with this status and never become a WebSocket.
        hang_up: Close the connection without an answer.
        drop_after: Cut an open WebSocket without a close frame after this many messages.
        ping_interval: Seconds between pings; None for no heartbeat.
        ping_timeout: Seconds to wait for a pong; None for ever.
        port: The port to listen on; 0 lets the kernel choose.
        unix: The path of a unix socket to listen on instead.
    """

    def __init__(
        self,
        *,
        status: int | None = None,
        hang_up: bool = False,
        drop_after: int | None = None,
        ping_interval: float | None = None,
        ping_timeout: float | None = None,
        port: int = 0,
        unix: str | Path | None = None,
    ) -> None:
        super().__init__("/", ping_interval=ping_interval, ping_timeout=ping_timeout, port=port, unix=unix)
        self._status = status
        self._hang_up = hang_up
        self._drop_after = drop_after

    def refuse(self, request: Request) -> bytes | None:
        """The answer to a request that does not become a WebSocket; None if it does."""
        if self._hang_up:
            return b""
        if self._status is not None:
            return plain(self._status, "Fixed", f"{self._status}\n", ("Connection", "close"))
        return None if is_opening_handshake(request) else BAD_REQUEST

    async def talk(self, connection: ServerConnection) -> None:
        """Send messages back until the other side is gone, or it is time to drop it."""
        seen = 0
        try:
            async for message in connection:
                await connection.send(message)
                seen += 1
                if seen == self._drop_after:
                    connection.transport.abort()
        except ConnectionClosed:
            return
