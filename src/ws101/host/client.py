"""A tunnel that a person or a pipe talks through, while what the server sends is shown as it comes.

One thread owns the tunnel and runs the same generators as the probes (``ws101.probes.frames``); what is to be done
reaches it through a queue, and a byte in a pair of sockets wakes it from waiting for the server.
"""

from __future__ import annotations

import contextlib
import queue
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from ws101.host.dial import ConnectError, Network, dial, failure_of
from ws101.host.network import new_key
from ws101.probes.core import (
    Close,
    Command,
    Data,
    Done,
    Eof,
    Event,
    HandshakeResult,
    Log,
    Observation,
    Send,
    Steps,
    TimedOut,
    Verdict,
    Wait,
    drive,
)
from ws101.probes.endpoint import Endpoint
from ws101.probes.frames import Ending, Seen, Tunnel
from ws101.probes.handshake import HandshakeOptions, build_request, open_tunnel
from ws101.probes.masking import secrets_of
from ws101.probes.talk import Act

__all__ = ["Talk", "open_talk"]

_T = TypeVar("_T")

_WAITING = 256
"""How many acts may wait to be done: a pipe is read no faster than the server takes it."""

_SEND_LIMIT = 60.0
_CLOSE_LIMIT = 5.0
_AHEAD = 32 * 1024 * 1024
_LATER = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class _Forgetful(Log):
    """A conversation may last for days: nothing of it is kept."""

    def add(self, at: float, direction: str, text: bytes | str) -> None:
        """Keep nothing."""


class Talk:
    """An open tunnel.

    Args:
        sock: The connection, on which the 101 has come.
        tunnel: The tunnel on it.
        begin: The monotonic time at which the tunnel's clock was 0.

    Attributes:
        ending: How it ended; None while it stands.
    """

    def __init__(self, wire: _Wire, tunnel: Tunnel) -> None:
        self._wire, self._tunnel = wire, tunnel
        self._acts: queue.Queue[Act | None] = queue.Queue(_WAITING)
        self._thread: threading.Thread | None = None
        self._over = threading.Event()
        self._failure: BaseException | None = None
        self._last = 0.0
        self.ending: Ending | None = None

    def start(self, show: Callable[[Seen], None], over: Callable[[], None]) -> None:
        """Begin to talk, in a thread of its own.

        Args:
            show: Called with each message and control frame from the server, in that thread.
            over: Called in that thread when the tunnel has ended.
        """
        self._thread = threading.Thread(target=self._run, args=(show, over), name="talk", daemon=True)
        self._thread.start()

    def do(self, act: Act | None) -> bool:
        """Have something done; None closes in good order.  Waits while too much is to be done already.

        Returns:
            False if the tunnel has ended.
        """
        while not self._over.is_set():
            with contextlib.suppress(queue.Full):
                self._acts.put(act, timeout=0.1)
                self._wire.wake()
                return True
        return False

    def quiet(self, seconds: float) -> None:
        """Wait until all is sent and nothing has come for so many seconds, or the tunnel has ended."""
        self._last = max(self._last, time.monotonic())
        while not self._over.is_set():
            busy = self._acts.unfinished_tasks > 0
            left = 0.05 if busy else self._last + seconds - time.monotonic()
            if left <= 0:
                return
            self._over.wait(min(left, 3600.0))
            if busy:
                self._last = time.monotonic()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end; whether it has come."""
        return self._over.wait(seconds)

    def finish(self) -> Ending | None:
        """Leave in good order if the tunnel still stands, and close the connection; how the tunnel ended.

        Raises:
            OSError: If what was shown could not be written.
        """
        if self._thread is not None:
            self.do(None)
            self._thread.join(_CLOSE_LIMIT + 2.0)
        self._wire.close()
        if self._failure is not None:
            raise self._failure
        return self.ending

    def _run(self, show: Callable[[Seen], None], over: Callable[[], None]) -> None:
        try:
            self._talk(show)
        except BaseException as error:  # whatever it is, it belongs to the thread that waits for us
            self._failure = error
        finally:
            self.ending = self._tunnel.ended
            self._over.set()
            over()

    def _talk(self, show: Callable[[Seen], None]) -> None:
        """Whatever has come is shown before the next thing is done, so that neither side waits for the other."""
        closing = float("inf")
        while self._tunnel.ended is None and (now := self._wire.now()) < closing:
            idle = self._acts.empty() or closing < float("inf")
            seen = self._wire.drive(self._tunnel.receive(closing if idle else now))
            if seen is not None:
                self._last = time.monotonic()
                show(seen)
            elif not idle and self._tunnel.ended is None:
                act = self._acts.get_nowait() or Act("close")
                if act.kind == "close":
                    closing = self._wire.now() + _CLOSE_LIMIT
                self._wire.drive(_steps(self._tunnel, act))
                self._acts.task_done()


def _steps(tunnel: Tunnel, act: Act) -> Steps[float]:
    if act.kind == "close":
        return tunnel.close(act.code, act.data.decode("utf-8", "replace"))
    send = {"text": tunnel.text, "binary": tunnel.binary, "ping": tunnel.ping, "pong": tunnel.pong}[act.kind]
    return send(act.data)


def open_talk(endpoint: Endpoint, options: HandshakeOptions, network: Network) -> tuple[Observation, Talk | None]:
    """Connect and open a tunnel; no tunnel where the handshake fails, and then the observation says why.

    Args:
        endpoint: Where to.
        options: Of the handshake; extensions are not offered.
        network: How to connect.

    Raises:
        InputError: If a certificate or key file cannot be used.
    """
    options = replace(options, extensions="", key=new_key())
    request = build_request(endpoint, options)
    log = Log(secrets_of(request))
    try:
        dialed = dial(endpoint, network)
    except ConnectError as error:
        shake = HandshakeResult(request, ended=error.class_)
        seen = Observation(
            Verdict.FAILED, error.message, error.class_, (), (), shake, connection=error.connection, help=error.help
        )
        return seen, None
    wire = _Wire(dialed.sock, dialed.early)
    try:
        asked, failure, message = wire.drive(open_tunnel(log, request, options))
    except BaseException:
        wire.close()
        raise
    verdict = Verdict.FAILED if failure else Verdict.PASSED
    seen = Observation(verdict, message, failure, log.entries(), (), asked.result, dialed.connection)
    if failure:
        wire.close()
        return seen, None
    return seen, Talk(wire, Tunnel(_Forgetful(log.secrets), asked.at, asked.rest))


class _Wire:
    """Answers a tunnel's commands with a socket; a wait for the server ends early when there is something to do."""

    def __init__(self, sock: socket.socket, early: bytes) -> None:
        self._sock, self._early = sock, bytearray(early)
        self._ended: Eof | None = None
        self._begin = time.monotonic()
        self._ear, self._mouth = socket.socketpair()
        self._mouth.setblocking(False)
        sock.setblocking(False)

    def drive(self, steps: Steps[_T]) -> _T:
        return drive(steps, self.answer)

    def now(self) -> float:
        return time.monotonic() - self._begin

    def wake(self) -> None:
        with contextlib.suppress(OSError):  # a full pair wakes as well; a closed one needs no waking
            self._mouth.send(b"!")

    def close(self) -> None:
        for sock in (self._sock, self._ear, self._mouth):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_WR)
            sock.close()

    def answer(self, command: Command) -> Event:
        if isinstance(command, Send):
            return self._send(command.data)
        if isinstance(command, Close):
            self._sock.close()
        elif isinstance(command, Wait):
            time.sleep(max(0.0, command.until - self.now()))
        else:
            return self._receive(command.until)
        return Done(self.now())

    def _send(self, data: bytes) -> Event:
        """Send all of it; what comes meanwhile is read, so that two ends that both write don't wait for each other."""
        at, left = self.now(), memoryview(data)
        while left:
            if self.now() - at > _SEND_LIMIT:
                return Eof(self.now(), "timeout")
            try:
                left = left[self._sock.send(left) :]
            except _LATER:
                self._read_on()
            except OSError as error:
                return Eof(self.now(), failure_of(error))
        return Done(at)

    def _read_on(self) -> None:
        """Wait until the socket takes more; read what has come, up to a bound."""
        reading = [self._sock] if len(self._early) < _AHEAD and not self._ended else []
        if self._sock in select.select(reading, [self._sock], [], 1.0)[0]:
            event = self._take()
            if isinstance(event, Data):
                self._early += event.data
            elif isinstance(event, Eof):
                self._ended = event

    def _receive(self, until: float) -> Event:
        if self._early:
            early, self._early = bytes(self._early), bytearray()
            return Data(self.now(), early)
        if self._ended is not None:
            return self._ended
        while True:
            if not (isinstance(self._sock, ssl.SSLSocket) and self._sock.pending()):
                left = max(min(until - self.now(), 3600.0), 0.0)
                ready = select.select([self._sock, self._ear], [], [], left)[0]
                if self._ear in ready:
                    self._ear.recv(4096)
                if self._sock not in ready:
                    return TimedOut(self.now())
            event = self._take()
            if event is not None:
                return event

    def _take(self) -> Data | Eof | None:
        """Read what is there; None if it is not yet enough for TLS."""
        try:
            data = self._sock.recv(65536)
        except _LATER:
            return None
        except OSError as error:
            return Eof(self.now(), failure_of(error))
        return Data(self.now(), data) if data else Eof(self.now())
