"""The driver without sockets: a probe runs against a script, in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from ws101.lazy import dataclass
from ws101.probes.core import Close, Command, Data, Done, Eof, Event, Send, Steps, TimedOut, Wait, drive

__all__ = ["Replayed", "replay"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Replayed:
    """What the probe did besides its result: the bytes it sent, the time it ended at, whether it closed."""

    sent: bytes
    at: float
    closed: bool


def replay(
    steps: Steps[_T],
    script: Iterable[Data | Eof] = (),
    *,
    respond: Callable[[float, bytes], Iterable[Data | Eof]] | None = None,
) -> tuple[_T, Replayed]:
    """Run a probe against a script; no real time passes.

    Args:
        steps: The probe.
        script: What comes from the other side, in order of time.
        respond: Called with the time and the bytes of each Send; what it returns is added to the script.
    """
    player = _Player(list(script), respond)
    result = drive(steps, player.answer)
    return result, Replayed(bytes(player.sent), player.now, player.closed)


class _Player:
    def __init__(
        self, script: list[Data | Eof], respond: Callable[[float, bytes], Iterable[Data | Eof]] | None
    ) -> None:
        self.script, self.respond = script, respond
        self.now, self.sent, self.closed = 0.0, bytearray(), False

    def answer(self, command: Command) -> Event:
        if isinstance(command, Send):
            self.sent += command.data
            if self.respond:
                self.script += self.respond(self.now, command.data)
                self.script.sort(key=lambda event: event.at)
        elif isinstance(command, Close):
            self.closed = True
        elif isinstance(command, Wait):
            self.now = max(self.now, command.until)
        else:
            return self._receive(command.until)
        return Done(self.now)

    def _receive(self, until: float) -> Event:
        if not self.script or self.script[0].at > until or self.now >= until:
            self.now = max(self.now, until)
            return TimedOut(self.now)
        event = self.script[0]
        self.now = max(self.now, event.at)
        if isinstance(event, Data):
            del self.script[0]
            return Data(self.now, event.data)
        return Eof(self.now, event.error)
