"""The frames of a tunnel, through the sans-I/O layer of ``websockets`` (13 and later), and what all frame probes share.

The handshake is our own (``ws101.probes.handshake``); from the 101 on, ``websockets.protocol.Protocol`` encodes and
decodes.  Pings are answered, unless the tunnel is ``frozen``: then it behaves as if the peer were dead.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from websockets.exceptions import PayloadTooBig
from websockets.frames import Close as CloseFrame
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side

from ws101.lazy import dataclass
from ws101.probes.core import Close, Data, Detail, Done, Eof, Log, Observation, Probe, Receive, Send, Steps, Verdict
from ws101.probes.endpoint import Endpoint
from ws101.probes.handshake import HandshakeOptions, build_request, check_frame_start, open_tunnel
from ws101.probes.masking import secrets_of

__all__ = ["LARGEST", "Ending", "Outcome", "Seen", "Tunnel", "in_tunnel", "lost"]

LARGEST = 16 * 1024 * 1024
"""The largest message that is taken from a server, in bytes."""

_PIECE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Seen:
    """A message or control frame from the server: ``text``, ``binary``, ``ping``, ``pong`` or ``close``."""

    at: float
    kind: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Ending:
    """How a tunnel ended.

    Args:
        at: Seconds on the probe's clock.
        how: ``close`` (a close frame), ``fin``, ``reset`` or another error of the connection, or the name of a fault in
            the frames (``invalid-frame``, ``masked-frame``, ``html-after-101``).
        code: The close code; None without a close frame; 1005 for one without a code.
        reason: The close reason, or what is wrong with the frames.
    """

    at: float
    how: str
    code: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a measurement in a tunnel found; becomes an `Observation`."""

    verdict: Verdict
    message: str
    class_: str = ""
    details: tuple[tuple[str, Detail], ...] = ()


class Tunnel:
    """One open tunnel: frames in, frames out.

    What has come is looked at one frame at a time, when it is asked for: so it makes no difference how many frames came
    at once.

    Args:
        log: The transcript; frames are described in it, not quoted.
        opened: When the 101 came, seconds on the probe's clock.
        early: Bytes that came with it.
        strict: Whether a text message that is not UTF-8 ends it, as with browsers; else it is handed on as it is.
    """

    def __init__(self, log: Log, opened: float, early: bytes, *, strict: bool = False) -> None:
        self._strict = strict
        self.opened, self.traffic = opened, opened
        self.heard: float | None = None
        """When the last frame came from the server; None before the first."""
        self.ended: Ending | None = None
        self.frozen = False
        self._log = log
        self._parser = Protocol(Side.CLIENT, max_size=LARGEST)
        self._frames: deque[tuple[float, Frame]] = deque()
        self._ending: Ending | None = None
        self._closing = False
        self._parts: list[bytes] = []
        self._kind = ""
        self._start = b""
        self._take(opened, early)

    def text(self, data: bytes) -> Steps[float]:
        """Send a text message; the time when it was sent."""
        return (yield from self._send(Opcode.TEXT, data))

    def binary(self, data: bytes) -> Steps[float]:
        """Send a binary message; the time when its last part was sent."""
        return (yield from self._send(Opcode.BINARY, data))

    def ping(self, data: bytes) -> Steps[float]:
        """Send a ping; the time when it was sent."""
        return (yield from self._send(Opcode.PING, data))

    def pong(self, data: bytes) -> Steps[float]:
        """Send a pong that no ping asked for (RFC 6455 section 5.5.3); the time when it was sent."""
        return (yield from self._send(Opcode.PONG, data))

    def close(self, code: int = 1000, reason: str = "") -> Steps[float]:
        """Send a close frame; the time when it was sent."""
        return (yield from self._send(Opcode.CLOSE, CloseFrame(code, reason).serialize()))

    def receive(self, until: float) -> Steps[Seen | None]:
        """The next message or control frame; None if none came until then, or the tunnel ended (see ``ended``)."""
        while self.ended is None:
            while self._frames:
                seen = self._see(*self._frames.popleft())
                if seen is not None:
                    yield from self._answer(seen)
                    return seen
            if self._ending is not None:
                self._end(self._ending)
                return None
            event = yield Receive(until)
            if isinstance(event, Data):
                self._take(event.at, event.data)
            elif isinstance(event, Eof):
                self._ending = Ending(event.at, event.error or "fin")
            else:
                return None
        return None

    def leave(self) -> Steps[None]:
        """End the tunnel in good order if it still stands; waits a second for the server's close frame."""
        if self.ended is None:
            at = yield from self.close()
            while (yield from self.receive(at + 1.0)) is not None:
                pass

    def _answer(self, seen: Seen) -> Steps[None]:
        """RFC 6455 sections 5.5.1 and 5.5.2: a ping is answered by a pong, a close frame by a close frame."""
        reply = {"ping": Opcode.PONG, "close": Opcode.CLOSE}.get(seen.kind)
        if reply is not None and not self.frozen and not self._closing:
            yield from self._send(reply, seen.data)

    def _send(self, opcode: Opcode, payload: bytes) -> Steps[float]:
        """Send a frame, reading on in between, so that two ends that both write don't wait for each other."""
        data, at = Frame(opcode, payload).serialize(mask=True), self.traffic
        for start in range(0, len(data), _PIECE):
            event = yield Send(data[start : start + _PIECE])
            at = event.at
            if isinstance(event, Done) and start + _PIECE < len(data):
                event = yield Receive(at + 0.001)
            if isinstance(event, Data):
                self._take(event.at, event.data)
            elif isinstance(event, Eof):
                break  # what came before the end is still to be read
        self.traffic = at
        self._closing = self._closing or opcode is Opcode.CLOSE
        self._log.add(at, "sent", f"{_KINDS[opcode]} frame, {len(payload)} bytes")
        return at

    def _take(self, at: float, data: bytes) -> None:
        if self._ending is not None or not data:
            return
        if len(self._start) < 2:
            self._start = (self._start + data)[:2]
        self._parser.receive_data(data)
        self._parser.data_to_send()
        self._frames += [(at, frame) for frame in self._parser.events_received() if isinstance(frame, Frame)]
        fault = self._parser.parser_exc
        if fault is not None:
            self._ending = self._fault(at, fault)

    def _fault(self, at: float, fault: Exception) -> Ending:
        first = check_frame_start(self._start.ljust(2, b"\0"), compressed=False)
        if not first.passed:
            return Ending(at, first.class_, None, first.message)
        if isinstance(fault, PayloadTooBig):
            return Ending(at, "too-large", None, f"the server sends a message of more than {LARGEST} bytes")
        class_ = "masked-frame" if "masking" in str(fault) else "invalid-frame"
        return Ending(at, class_, None, f"the server sends what is not a valid frame: {fault}")

    def _see(self, at: float, frame: Frame) -> Seen | None:
        """A message if the frame completes one, or a control frame."""
        kind, data = _KINDS[frame.opcode], bytes(frame.data)
        self.traffic = self.heard = at
        self._log.add(at, "received", f"{kind} frame, {len(data)} bytes")
        if kind == "close":
            close = self._parser.close_rcvd or CloseFrame.parse(data)
            self._end(Ending(at, "close", int(close.code), close.reason))
        elif kind not in ("ping", "pong"):
            self._kind = self._kind or kind
            self._parts.append(data)
            if not frame.fin:
                return None
            kind, data = self._kind, b"".join(self._parts)
            self._kind, self._parts = "", []
            if self._strict and kind == "text" and not _is_utf8(data):
                message = "the server sends a text message that is not UTF-8: browsers end the tunnel with code 1007"
                self._end(Ending(at, "invalid-frame", None, message))
                return None
        return Seen(at, kind, data)

    def _end(self, ending: Ending) -> None:
        self.ended = ending
        self._log.add(ending.at, "note", f"the tunnel ended: {ending.how} {ending.reason}".rstrip(" "))


_KINDS = {
    Opcode.CONT: "continuation",
    Opcode.TEXT: "text",
    Opcode.BINARY: "binary",
    Opcode.CLOSE: "close",
    Opcode.PING: "ping",
    Opcode.PONG: "pong",
}


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def in_tunnel(endpoint: Endpoint, options: HandshakeOptions, measure: Callable[[Tunnel], Steps[Outcome]]) -> Probe:
    """A probe that opens a tunnel, measures in it and leaves in good order; failed if the handshake fails.

    Extensions are not offered: compressed frames would only stand in the way of measuring.
    """
    options = replace(options, extensions="")
    request = build_request(endpoint, options)
    log = Log(secrets_of(request))
    asked, failure, message = yield from open_tunnel(log, request, options)
    outcome = Outcome(Verdict.FAILED, message, failure)
    if not failure:
        tunnel = Tunnel(log, asked.at, asked.rest, strict=True)
        outcome = yield from measure(tunnel)
        yield from tunnel.leave()
    yield Close()
    shown = log.mask(outcome.message)
    return Observation(outcome.verdict, shown, outcome.class_, log.entries(), outcome.details, asked.result)


def lost(ending: Ending, details: tuple[tuple[str, Detail], ...] = ()) -> Outcome:
    """The outcome when a tunnel ended that should have stood."""
    details = (*details, ("ended", ending.how), ("close_code", ending.code), ("ended_at", ending.at))
    if ending.how == "close":
        said = f"{ending.code}{f' ({ending.reason})' if ending.reason else ''}"
        verdict = Verdict.UNDECIDED if _is_decision(ending.code) else Verdict.FAILED
        return Outcome(verdict, f"the server closed the tunnel with code {said}", "closed", details)
    if ending.how == "fin":
        message = "the tunnel was cut without a close frame: by something between, a crash, or by the application"
        return Outcome(Verdict.FAILED, message, "cut", details)
    if ending.how in ("invalid-frame", "masked-frame", "html-after-101", "too-large"):
        return Outcome(Verdict.FAILED, ending.reason, ending.how, details)
    broke = "was reset: by something between, or a crash" if ending.how == "reset" else f"broke: {ending.how}"
    return Outcome(Verdict.FAILED, f"the tunnel {broke}", ending.how, details)


def _is_decision(code: int | None) -> bool:
    """Whether a close code is an application's own answer (RFC 6455 section 7.4), which proves that frames pass."""
    return code in (1000, 1003, 1007, 1008) or (code is not None and 3000 <= code < 5000)
