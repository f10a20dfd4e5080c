"""Servers in virtual time, for replays of probes in a tunnel; their frames come from ``websockets``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from websockets.frames import Close, Frame, Opcode
from websockets.protocol import Protocol, Side

from tests.probes.servers import GOOD, accept
from ws101.probes.core import Data, Eof

Events = Iterable[Data | Eof]
Reaction = Callable[[float, Frame], Events]

DELAY = 0.125
"""Seconds from a frame to the peer's answer; a sum of powers of two, so that times compare exactly."""


class Peer:
    """Answers the handshake with a good 101, then each frame by ``react``.

    Args:
        react: What comes back for a frame, and when.
        early: Bytes that come with the 101.
        later: What comes by itself, times counted from the 101.
    """

    def __init__(self, react: Reaction, *, early: bytes = b"", later: Events = ()) -> None:
        self._react, self._early, self._later = react, early, list(later)
        self._protocol = Protocol(Side.SERVER)
        self._head = b""
        self.opened = False
        self.frames: list[Frame] = []

    def respond(self, at: float, data: bytes) -> Iterator[Data | Eof]:
        """What comes back for these bytes."""
        if not self.opened:
            self._head += data
            if b"\r\n\r\n" in self._head:
                self.opened = True
                yield Data(at, GOOD.replace(b"ACCEPT", accept(self._head)) + self._early)
                yield from self._later
            return
        self._protocol.receive_data(data)
        self._protocol.data_to_send()
        for frame in self._protocol.events_received():
            assert isinstance(frame, Frame)
            self.frames.append(frame)
            yield from self._react(at, frame)


def frame(opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> bytes:
    """A frame as a server sends it."""
    return Frame(opcode, data, fin).serialize(mask=False)


def polite(at: float, seen: Frame) -> Events:
    """Echo messages, answer pings, take part in the closing handshake."""
    answers = {Opcode.TEXT: Opcode.TEXT, Opcode.BINARY: Opcode.BINARY, Opcode.PING: Opcode.PONG}
    if seen.opcode in answers:
        yield Data(at + DELAY, frame(answers[seen.opcode], bytes(seen.data)))
    if seen.opcode is Opcode.CLOSE:
        yield Data(at + DELAY, frame(Opcode.CLOSE, bytes(seen.data)))
        yield Eof(at + DELAY)


def deaf(at: float, seen: Frame) -> Events:
    """Answer nothing."""
    return ()


def closing(code: int, reason: str = "") -> Reaction:
    """Answer any frame with this close code."""

    def react(at: float, seen: Frame) -> Events:
        yield Data(at + DELAY, frame(Opcode.CLOSE, Close(code, reason).serialize()))
        yield Eof(at + DELAY)

    return react


def cutting(at: float, seen: Frame) -> Events:
    """End the connection at the first frame."""
    yield Eof(at + DELAY)
