"""A relay between two hops that changes no byte, and tells what passes.

What comes from one side goes to the other at once; only then is it looked at (``ws101.probes.tapping``).  A side that
reads slowly slows the other down, as without the relay; an end of one direction and a reset are passed on as such.
What is seen goes into a bounded queue, so that a slow terminal delays nobody.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import queue
import socket
import struct
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from ws101.errors import InputError, UsageError
from ws101.host.network import parse_address
from ws101.lazy import dataclass
from ws101.probes.tapping import Heard, Watch

__all__ = ["Place", "Tap", "parse_listen", "parse_to"]

_SHOWN = 10_000
_CONNECT_LIMIT = 10.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where to listen or to connect to: a host and port, or a Unix socket's path."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listen(text: str) -> Place:
    """Read ``PORT``, ``HOST:PORT`` or ``unix:PATH``; only this machine itself may reach it.

    Raises:
        UsageError: If it makes no sense, or is not a loopback address.
    """
    if text.startswith("unix:"):
        return Place(path=parse_address(text)[1])
    host, _, port = text.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not (port.isascii() and port.isdecimal() and int(port) < 65536):
        raise UsageError("this is no place to listen at", where=text, help="give a port, as in 9000 or 127.0.0.1:9000")
    host = "127.0.0.1" if host == "localhost" else host
    try:
        inside = ipaddress.ip_address(host).is_loopback
    except ValueError:
        inside = False
    if not inside:
        help = "a tap shows all that passes: it listens on a loopback address alone"
        raise UsageError("this is not a loopback address", where=text, help=help)
    return Place(host, int(port))


def parse_to(text: str) -> Place:
    """Read ``HOST:PORT``, ``http://HOST:PORT`` or ``unix:PATH``, as proxy_pass and ``server`` have them.

    Raises:
        UsageError: If it makes no sense.
    """
    scheme, separator, rest = text.partition("://")
    if separator and scheme not in ("http", "ws"):
        help = "the tap passes on bytes: put it where they are plain"
        raise UsageError(f"the tap can't look into {scheme}", where=text, help=help)
    address = (rest if separator else text).rstrip("/")
    if address.isdecimal():
        address = f"127.0.0.1:{address}"
    endpoint, path = parse_address(address)
    return Place(path=path) if path else Place(endpoint.host, endpoint.port)


class Tap:
    """The relay.

    Args:
        listen: Where; port 0 lets the kernel choose.
        to: Where the bytes go.
        count: End when so many connections have come and gone; 0 goes on until ``stop``.

    Attributes:
        place: Where it listens.
        connections: How many have come.
        unseen: How much was not told because the listener to ``heard`` was too slow.
    """

    def __init__(self, listen: Place, to: Place, *, count: int = 0) -> None:
        self.place, self.to = listen, to
        self.connections = self.unseen = 0
        self._count = count
        self._begin = time.monotonic()
        self._queue: queue.Queue[Heard | None] = queue.Queue(_SHOWN)
        self._open: set[_Pair] = set()
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._run, name="tap", daemon=True)

    def start(self) -> None:
        """Begin to listen, and relay in a thread of its own.

        Raises:
            InputError: If it cannot listen there.
        """
        self._loop.set_exception_handler(self._complain)
        try:
            self._loop.run_until_complete(self._listen())
        except OSError as error:
            self._loop.close()
            reason = _LISTEN.get(error.errno or 0, error.strerror or str(error))
            help = "choose another place: port 0 takes any that is free"
            raise InputError(f"the tap can't listen: {reason}", where=str(self.place), help=help) from error
        self._thread.start()

    def stop(self) -> None:
        """Close every connection, and end; does nothing if it has ended."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(5.0)

    def heard(self, wait: float | None = None) -> Heard | None:
        """The next thing that was seen; None at the end.

        Args:
            wait: Seconds to wait for it; None waits until there is something.

        Raises:
            TimeoutError: If nothing was seen in that time.
        """
        try:
            return self._queue.get(timeout=wait)
        except queue.Empty:
            raise TimeoutError from None

    def tell(self, heard: Heard) -> None:
        """Have something shown; dropped and counted if too much is waiting."""
        try:
            self._queue.put_nowait(heard)
        except queue.Full:
            self.unseen += 1

    def now(self) -> float:
        """Seconds on the tap's clock."""
        return time.monotonic() - self._begin

    async def _listen(self) -> None:
        def client() -> _Ingress:
            return _Ingress(self)

        if self.place.path:
            self._server = await self._loop.create_unix_server(client, self.place.path, backlog=1024)
            return
        self._server = await self._loop.create_server(client, self.place.host, self.place.port, backlog=1024)
        name = self._server.sockets[0].getsockname()
        self.place = Place(name[0], name[1])

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._over.wait())
            self._loop.run_until_complete(self._end())
        finally:
            self._loop.close()
            self._tell_end()

    def _tell_end(self) -> None:
        """The end is told even if the queue is full."""
        while True:
            with suppress(queue.Full):
                self._queue.put_nowait(None)
                return
            with suppress(queue.Empty):
                self._queue.get_nowait()
                self.unseen += 1

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
        if self.place.path:
            with suppress(OSError):
                Path(self.place.path).unlink()
        for pair in list(self._open):
            pair.abort("the tap was ended")
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)

    def _complain(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What the loop would write into a log: open files have run out, above all."""
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            self.tell(Heard("note", self.now(), 0, "no connection can be taken: too many open files"))

    def _joined(self, pair: _Pair) -> None:
        self._open.add(pair)

    def _left(self, pair: _Pair) -> None:
        self._open.discard(pair)
        if self._count and self.connections >= self._count and not self._open:
            self._over.set()


_LISTEN = {
    errno.EADDRINUSE: "something listens there already",
    errno.EACCES: "no permission (ports below 1024 are root's)",
    errno.EADDRNOTAVAIL: "this machine has no such address",
}


class _Pair:
    """A client and its connection to the backend."""

    def __init__(self, tap: Tap, client: _Ingress) -> None:
        tap.connections += 1
        self.tap, self.client = tap, client
        self.backend: _Egress | None = None
        self.watch = Watch(tap.connections, client.name, tap.now())
        self._ended = ""
        self._gone = 0
        tap._joined(self)
        tap.tell(self.watch.opened())
        self._task = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        loop, to = asyncio.get_running_loop(), self.tap.to
        try:
            async with asyncio.timeout(_CONNECT_LIMIT):
                if to.path:
                    await loop.create_unix_connection(lambda: _Egress(self), to.path)
                else:
                    await loop.create_connection(lambda: _Egress(self), to.host, to.port)
        except (OSError, TimeoutError) as error:
            reason = getattr(error, "strerror", None) or "no answer in time"
            self.tap.tell(self.watch.note(self.tap.now(), f"the backend {to} can't be reached: {reason}"))
            self._gone = 1
            self.abort("no backend")
            return
        self.client.go()

    def seen(self, heard: list[Heard]) -> None:
        for one in heard:
            self.tap.tell(one)

    def ended(self, how: str) -> None:
        """Remember the first reason."""
        self._ended = self._ended or how

    def lost(self, side: _Side, error: Exception | None) -> None:
        """One side's connection is gone: what was still to be sent to the other is sent, unless it was a reset."""
        self.ended(f"{side.who} {'reset' if error else 'closed'} it")
        other = self.backend if side is self.client else self.client
        self._gone += 1
        if other is not None and not other.gone:
            other.reset() if error else other.transport.close()
        if side is self.client and self.backend is None:
            self._task.cancel()
            self._gone = 2
        if self._gone == 2:
            self.tap.tell(self.watch.closed(self.tap.now(), self._ended))
            self.tap._left(self)

    def abort(self, how: str) -> None:
        self.ended(how)
        for side in (self.client, self.backend):
            if side is not None and not side.gone:
                side.reset()


class _Side(asyncio.Protocol):
    """One side's connection."""

    who = ""
    transport: asyncio.Transport

    def __init__(self) -> None:
        self.gone = False
        self.pair: _Pair
        self._finished = False

    @property
    def other(self) -> _Side | None:
        raise NotImplementedError

    def look(self, at: float, data: bytes) -> list[Heard]:
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        other = self.other
        if other is not None and not other.gone:
            other.transport.write(data)
        self.pair.seen(self.look(self.pair.tap.now(), data))

    def eof_received(self) -> bool:
        """The end of one direction is passed on; the other stays open until it ends too."""
        self.pair.ended(f"{self.who} closed it")
        self._finished = True
        other = self.other
        if other is None or other.gone or other._finished:
            return False
        with suppress(OSError, RuntimeError):
            other.transport.write_eof()
        return True

    def reset(self) -> None:
        """End it with a reset: what waits to be sent is dropped."""
        sock = self.transport.get_extra_info("socket")
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        self.pair.lost(self, exc)

    def pause_writing(self) -> None:
        """What is to be written here waits: the other side is read no further."""
        if self.other is not None and not self.other.gone:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and not self.other.gone:
            self.other.transport.resume_reading()


class _Ingress(_Side):
    """The client's side: it is not read before the backend stands."""

    who = "the client"

    def __init__(self, tap: Tap) -> None:
        super().__init__()
        self._tap = tap
        self.name = ""

    @property
    def other(self) -> _Side | None:
        return self.pair.backend

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.pause_reading()
        peer = transport.get_extra_info("peername")
        self.name = str(Place(peer[0], peer[1])) if isinstance(peer, tuple) else "a Unix socket"
        self.pair = _Pair(self._tap, self)

    def go(self) -> None:
        if not self.gone:
            self.transport.resume_reading()

    def look(self, at: float, data: bytes) -> list[Heard]:
        return self.pair.watch.from_client(at, data)


class _Egress(_Side):
    """The backend's side."""

    who = "the backend"

    def __init__(self, pair: _Pair) -> None:
        super().__init__()
        self.pair = pair

    @property
    def other(self) -> _Side | None:
        return self.pair.client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.pair.backend = self
        if self.pair.client.gone:
            self.transport.abort()

    def look(self, at: float, data: bytes) -> list[Heard]:
        return self.pair.watch.from_backend(at, data)
