"""The third driver of probes: many connections in one thread, each an ``asyncio.Protocol`` that runs a generator.

What a generator yields is answered as by the driver with sockets (``ws101.host.network``): times begin when its
connection stands.  Connections that wait with a time limit are looked at every tenth of a second, so their limits are
that exact.
"""

from __future__ import annotations

import asyncio
import errno
import resource
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from ws101.errors import UsageError
from ws101.host.dial import Network, failure_of, tls_context
from ws101.host.network import new_key
from ws101.probes.core import Close, Data, Done, Eof, Event, Receive, Send, Steps, TimedOut
from ws101.probes.crowding import Drop, Failure, Many, Plan
from ws101.probes.endpoint import Endpoint
from ws101.probes.handshake import HandshakeOptions
from ws101.probes.hold import Held, Knock, Refusal, hold, knock_of

__all__ = ["Address", "Driven", "address_of", "hold_many", "open_files"]

_TICK = 0.1
_AT_ONCE = 50
_IN_A_ROW = 50
_SPARE = 64

Address = str | tuple[str, int]
"""A Unix socket's path, or an IP address and a port."""


class Driven(asyncio.Protocol):
    """A generator on a connection.

    Args:
        steps: The generator.
        now: The clock.
        waiting: Connections that wait with a time limit are put here.
        done: Called with what the generator returned, or None if it was not finished.
    """

    __slots__ = ("_begin", "_done", "_early", "_ended", "_now", "_steps", "_transport", "_until", "_waiting")

    def __init__(
        self, steps: Steps[Any], now: Callable[[], float], waiting: set[Driven], done: Callable[[Any], None]
    ) -> None:
        self._steps: Steps[Any] | None = steps
        self._now, self._waiting, self._done = now, waiting, done
        self._begin = self._until = 0.0
        self._early: bytes | None = None
        self._ended: Eof | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The generator's clock begins."""
        self._transport = cast("asyncio.Transport", transport)
        self._begin = self._now()
        self._go(None)

    def data_received(self, data: bytes) -> None:
        """Hand it to the generator, or keep it until it asks."""
        if self._until < 0:
            self._early = (self._early or b"") + data
        else:
            self._go(Data(self._now() - self._begin, data))

    def eof_received(self) -> None:
        """The end in good order."""
        self._over("")

    def connection_lost(self, exc: Exception | None) -> None:
        """The end, whichever it is."""
        self._over(failure_of(exc) if isinstance(exc, OSError) else "")

    def time_out(self, now: float) -> None:
        """The time given is over: at its own limit, or because everything ends."""
        if self._until >= 0:
            self._go(TimedOut(now - self._begin))
        else:
            self._until = 0.0
            self._go(Done(now - self._begin))

    def is_due(self, now: float) -> bool:
        """Whether its time limit has come."""
        return abs(self._until) <= now - self._begin

    def _over(self, error: str) -> None:
        if self._ended is None:
            self._ended = Eof(self._now() - self._begin, error)
            if self._until >= 0:
                self._go(self._ended)

    def _go(self, event: Event | None) -> None:
        """Run the generator until it waits for something."""
        steps, transport = self._steps, self._transport
        if steps is None or transport is None:
            return
        try:
            while True:
                command = next(steps) if event is None else steps.send(event)
                if isinstance(command, Receive):
                    event = self._receive(command.until)
                    if event is None:
                        return
                elif isinstance(command, Send):
                    gone = self._ended is not None
                    event = self._ended if gone and self._ended else Done(self._now() - self._begin)
                    if not gone:
                        transport.write(command.data)
                elif isinstance(command, Close):
                    transport.close()
                    event = Done(self._now() - self._begin)
                else:
                    self._until = -max(command.until, 1e-9)
                    self._waiting.add(self)
                    return
        except StopIteration as stop:
            self._finish(stop.value)
        except BaseException:
            self._finish(None)
            raise

    def _receive(self, until: float) -> Event | None:
        if self._early:
            data, self._early = self._early, None
            return Data(self._now() - self._begin, data)
        if self._ended is not None:
            return self._ended
        if until <= self._now() - self._begin:
            return TimedOut(self._now() - self._begin)
        if until != self._until:
            self._until = until
            if until == float("inf"):
                self._waiting.discard(self)
            else:
                self._waiting.add(self)
        return None

    def _finish(self, result: Any) -> None:
        self._steps = None
        self._waiting.discard(self)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()
        self._done(result)


def address_of(shown: str) -> Address:
    """The address of a connection as a probe shows it, ``ip:port``, ``[ip]:port`` or ``unix:path``."""
    if shown.startswith("unix:"):
        return shown.removeprefix("unix:")
    host, _, port = shown.rpartition(":")
    return host.strip("[]"), int(port)


def open_files(number: int) -> int:
    """Raise this process's limit of open files as far as is needed and allowed.

    Returns:
        How many connections there is room for.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = number + _SPARE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        top = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (top, hard))
            soft = top
    return number if soft == resource.RLIM_INFINITY else max(0, soft - _SPARE)


def hold_many(
    endpoint: Endpoint,
    options: HandshakeOptions,
    network: Network,
    address: Address,
    plan: Plan,
    *,
    meanwhile: Callable[[], str] | None = None,
    tick: Callable[[int, int], None] | None = None,
) -> Many:
    """Open many tunnels, hold them, and count them through their life.

    Ctrl-C ends it early, and what was seen until then is told.

    Args:
        endpoint: Where to.
        options: Of the handshakes; extensions are not offered.
        network: Of this, the settings of TLS are used.
        address: What the name means; one address for all.
        plan: How many, how fast, how long.
        meanwhile: Called in a thread once all are open, before they are held; what it returns names that moment.
        tick: Called about ten times a second with how many stand and how many have failed.

    Raises:
        UsageError: If the plan makes no sense, or the network has a proxy.
        InputError: If a certificate or key file cannot be used.
    """
    if plan.number < 1 or plan.rate < 0 or plan.seconds < 0:
        raise UsageError("the number must be at least 1, and neither rate nor seconds below 0")
    if network.proxy:
        raise UsageError("many connections go through no proxy", help="leave out --proxy")
    context = tls_context(network) if endpoint.tls else None
    crowd = _Crowd(knock_of(endpoint, options), address, plan, context, network.server_name or endpoint.host)
    with asyncio.Runner() as runner:
        return runner.run(crowd.run(meanwhile, tick))


class _Crowd:
    """All of them."""

    def __init__(
        self, knock: Knock, address: Address, plan: Plan, context: ssl.SSLContext | None, server_name: str
    ) -> None:
        self._knock, self._address, self._plan = knock, address, plan
        self._context, self._name = context, server_name
        self._now = time.monotonic
        self._begin = 0.0
        self._waiting: set[Driven] = set()
        self._live: set[Driven] = set()
        self._standing = self._peak = self._tried = self._opened = self._row = 0
        self._latencies: list[float] = []
        self._first: Failure | None = None
        self._failures: Counter[str] = Counter()
        self._drops: list[Drop] = []
        self._last = 0.0
        self._stopped = ""
        self._marks: list[tuple[str, float]] = []
        self._leaving = False

    async def run(self, meanwhile: Callable[[], str] | None, tick: Callable[[int, int], None] | None) -> Many:
        self._begin = self._now()
        watching = asyncio.create_task(self._watch(tick))
        try:
            await self._open_all()
            if meanwhile is not None:
                self._marks.append(("begun", self._at()))
                said = await asyncio.to_thread(meanwhile)
                self._marks.append((said, self._at()))
            await self._hold()
        except asyncio.CancelledError:
            self._stopped = self._stopped or "it was interrupted"
        held = self._standing
        result = self._result(held)
        await self._leave()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        return result

    def _at(self) -> float:
        return self._now() - self._begin

    async def _open_all(self) -> None:
        plan = self._plan
        gap = 1.0 / plan.rate if plan.rate else 0.0
        slots = asyncio.Semaphore(max(_AT_ONCE, int(plan.rate)))
        running: set[asyncio.Task[None]] = set()
        if not gap:
            numbers = iter(range(1, plan.number + 1))
            await asyncio.gather(*(self._work(numbers) for _ in range(min(_AT_ONCE, plan.number))))
            return
        for number in range(1, plan.number + 1):
            if self._stopped:
                break
            await asyncio.sleep(max(0.0, (number - 1) * gap - self._at()))
            await slots.acquire()
            task = asyncio.create_task(self._open(number))
            running.add(task)
            task.add_done_callback(running.discard)
            task.add_done_callback(lambda _: slots.release())
        await asyncio.gather(*running)

    async def _work(self, numbers: Any) -> None:
        """One of those that open connections, each its next one as soon as the last was answered."""
        for number in numbers:
            if self._stopped:
                return
            await self._open(number)

    async def _open(self, number: int) -> None:
        """Begin one, and wait until its handshake is answered."""
        self._tried += 1
        loop = asyncio.get_running_loop()
        answered = loop.create_future()
        one = _One(self, number, answered)
        knock = self._knock
        protocol = Driven(hold(knock, new_key(), one.opened), self._now, self._waiting, one.done)
        one.protocol = protocol
        try:
            sock = socket.socket(self._family(), socket.SOCK_STREAM)
        except OSError as error:
            self._fail(number, error)
            return
        sock.setblocking(False)
        try:
            async with asyncio.timeout(knock.options.timeout):
                await loop.sock_connect(sock, self._address)
                name = self._name if self._context else None
                await loop.create_connection(lambda: protocol, sock=sock, ssl=self._context, server_hostname=name)
        except OSError as error:  # TimeoutError is one of them
            sock.close()
            self._fail(number, error)
            return
        await answered
        one.answered = None

    def _family(self) -> socket.AddressFamily:
        if isinstance(self._address, str):
            return socket.AF_UNIX
        return socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET

    def _fail(self, number: int, error: OSError) -> None:
        """A connection that never stood."""
        kind, message = _HERE.get(error.errno or 0, ("", ""))
        class_ = kind or failure_of(error)
        self._refused(number, Refusal(class_, message or f"no connection: {class_}"), here=bool(kind))

    def _refused(self, number: int, refusal: Refusal, *, here: bool = False) -> None:
        self._failures[refusal.class_] += 1
        self._row += 1
        self._last = self._at()
        if self._first is None:
            self._first = Failure(number, self._at(), refusal, here)
        if here:
            self._stopped = self._stopped or refusal.message
        elif self._row >= _IN_A_ROW:
            self._stopped = self._stopped or f"{self._row} failed in a row"

    async def _hold(self) -> None:
        until = self._now() + self._plan.seconds
        while self._standing and (left := until - self._now()) > 0:
            await asyncio.sleep(min(left, _TICK))

    async def _watch(self, tick: Callable[[int, int], None] | None) -> None:
        """Look after those that wait with a time limit."""
        while True:
            await asyncio.sleep(_TICK)
            now = self._now()
            for protocol in [one for one in self._waiting if one.is_due(now)]:
                protocol.time_out(now)
            if tick is not None:
                tick(self._standing, self._failures.total())

    async def _leave(self) -> None:
        """Every tunnel is closed in good order."""
        self._leaving = True
        for count, protocol in enumerate(list(self._live)):
            protocol.time_out(self._now())
            if count % 500 == 499:
                await asyncio.sleep(0)
        until = self._now() + 2.0
        while self._live and self._now() < until:
            await asyncio.sleep(0.01)
        for protocol in list(self._live):
            protocol.time_out(self._now())
        await asyncio.sleep(0)

    def _result(self, held: int) -> Many:
        return Many(
            self._plan.number,
            self._tried,
            self._opened,
            self._peak,
            held,
            self._last,
            tuple(sorted(self._latencies)),
            self._first,
            tuple(self._failures.most_common()),
            tuple(self._drops),
            self._stopped,
            tuple(self._marks),
        )


_HERE = {
    errno.EMFILE: ("open-files", "this process may open no more files"),
    errno.ENFILE: ("open-files", "this machine may open no more files"),
    errno.EADDRNOTAVAIL: ("ephemeral-ports", "this machine has no free port left for a connection to that address"),
    errno.ENOBUFS: ("memory", "this machine has no memory left for sockets"),
}


class _One:
    """One of them, from its number to its end."""

    __slots__ = ("answered", "at", "crowd", "number", "protocol")

    def __init__(self, crowd: _Crowd, number: int, answered: asyncio.Future[None]) -> None:
        self.crowd, self.number = crowd, number
        self.answered: asyncio.Future[None] | None = answered
        self.at = 0.0
        self.protocol: Driven | None = None

    def opened(self, took: float) -> None:
        """The tunnel stands."""
        crowd = self.crowd
        crowd._latencies.append(took)
        crowd._opened += 1
        crowd._row = 0
        crowd._standing += 1
        crowd._peak = max(crowd._peak, crowd._standing)
        self.at = crowd._last = crowd._at()
        assert self.protocol is not None
        crowd._live.add(self.protocol)
        self._release()

    def done(self, held: Held | None) -> None:
        """It is over."""
        crowd = self.crowd
        if self.at:
            crowd._standing -= 1
            crowd._live.discard(cast("Driven", self.protocol))
        if held is not None and held.refusal is not None:
            crowd._refused(self.number, held.refusal)
        elif held is not None and held.ended is not None and not crowd._leaving:
            crowd._drops.append(Drop(self.number, crowd._at(), crowd._at() - self.at, held.how, held.code))
        self._release()

    def _release(self) -> None:
        if self.answered is not None and not self.answered.done():
            self.answered.set_result(None)
