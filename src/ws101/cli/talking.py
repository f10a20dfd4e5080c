"""``ws101 connect``: what is shown of a conversation, and lines that come from a pipe."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ws101.cli.console import Console
from ws101.errors import InputError, UsageError, Ws101Error

if TYPE_CHECKING:
    from ws101.host.client import Talk
    from ws101.probes.core import HandshakeResult
    from ws101.probes.frames import Ending, Seen
    from ws101.probes.talk import Act

__all__ = ["Lines", "Screen"]

_LINE_LIMIT = 16 * 1024 * 1024
_GOOD = (1000, 1001, 1005)


class Screen:
    """What is shown, and what is remembered of it: the last message, and pings on their way.

    Args:
        talk: The tunnel.
        color: ``--color``.
        errors: Standard error.
    """

    def __init__(self, talk: Talk, color: str, errors: Console) -> None:
        self.talk, self._color, self._errors = talk, color, errors
        self.terminal = sys.stdout.isatty()
        self._last: bytes | None = None
        self._pings: dict[bytes, float] = {}

    @property
    def console(self) -> Console:
        """Standard output, which the line editor puts its own in place of."""
        return Console.of(sys.stdout, self._color)

    def greet(self, url: str, shake: HandshakeResult | None) -> None:
        """Say that the tunnel stands."""
        chosen = shake.response.header("Sec-WebSocket-Protocol") if shake and shake.response else None
        self.note(f"connected to {url}" + (f", subprotocol {chosen}" if chosen else ""))

    def note(self, text: str) -> None:
        """A line about the connection."""
        from ws101.report.terminal.connect import note

        self._tell(lambda console, stamp: note(text, console.style, stamp=stamp))

    def show(self, seen: Seen) -> None:
        """A frame from the server: for people on a terminal, for programs the bare message."""
        if seen.kind in ("text", "binary"):
            self._last = seen.data
            if not self.terminal:
                data = seen.data if seen.kind == "text" else seen.data.hex().encode("ascii")
                sys.stdout.buffer.write(data + b"\n")
                sys.stdout.buffer.flush()
                return
        if seen.kind == "close":
            return
        from ws101.report.terminal.connect import received

        begun = self._pings.pop(seen.data, None) if seen.kind == "pong" else None
        trip = time.monotonic() - begun if begun is not None else None
        self._tell(lambda console, stamp: received(seen, console.style, stamp=stamp, trip=trip))

    def act(self, act: Act) -> None:
        """Do what was asked for."""
        if act.kind == "help":
            from ws101.report.terminal.connect import usage

            self._tell(lambda console, _: usage(console.style))
        elif act.kind == "save":
            self._save(os.fsdecode(act.data))
        else:
            if act.kind == "ping" and len(self._pings) < 1000:
                self._pings[act.data] = time.monotonic()
            self.talk.do(act)

    def type(self, line: str) -> None:
        """A line that was typed; what is wrong with it is said, and nothing is sent then."""
        from ws101.probes.talk import read_line

        try:
            self.act(read_line(line))
        except Ws101Error as error:
            self.note(f"{error.message}{f' ({error.help})' if error.help else ''}")

    def farewell(self, ending: Ending | None) -> int:
        """How it ended, and the exit code."""
        from ws101.report.terminal.connect import ended

        if ending is None:
            self.note("left; the server did not answer the close frame")
            return 1
        self._tell(lambda console, stamp: ended(ending, console.style, stamp=stamp))
        return 0 if ending.how == "close" and (ending.code in _GOOD or (ending.code or 0) >= 3000) else 1

    def _save(self, path: str) -> None:
        if self._last is None:
            raise UsageError("no message has come yet")
        try:
            with Path(path).expanduser().open("xb") as file:
                file.write(self._last)
        except OSError as error:
            raise InputError(f"{path} can't be written: {error.strerror or error}") from error
        self.note(f"{len(self._last)} bytes written to {path}")

    def _tell(self, text: Callable[[Console, str], str]) -> None:
        """A line for people: on the terminal, else on standard error, where it is in no program's way."""
        console = self.console if self.terminal else self._errors
        stamp = time.strftime("%H:%M:%S") if self.terminal else ""
        with contextlib.suppress(OSError) if not self.terminal else contextlib.nullcontext():
            console.write(text(console, stamp))


class Lines:
    """Lines as they are: from a pipe, from ``--execute``, or from a terminal without line editing.

    Args:
        screen: What is shown.
        executes: What to do instead of what is read; empty reads standard input.
    """

    def __init__(self, screen: Screen, executes: tuple[Act, ...]) -> None:
        self._screen, self._executes = screen, executes
        self._typed = sys.stdin.isatty() and not executes

    def talk(self, wait: float) -> None:
        """Send every line, and leave.

        Args:
            wait: Seconds of silence after the last line before leaving; a terminal leaves at once.
        """
        talk = self._screen.talk
        ear, mouth = os.pipe()
        try:
            talk.start(self._screen.show, lambda: _poke(mouth))
            if self._typed:
                self._welcome()
            for act in self._executes:
                self._screen.act(act)
            for line in () if self._executes else _read_lines(ear):
                self._take(line)
            if not self._typed:
                talk.quiet(wait)
            talk.do(None)
            talk.wait(8.0)
        finally:
            os.close(ear)
            os.close(mouth)

    def _welcome(self) -> None:
        if find_spec("prompt_toolkit") is None:
            self._screen.note("no history and no completion: pip install 'ws101[connect]' brings them")
        self._screen.note("/help lists the commands, Ctrl-D leaves")

    def _take(self, line: str) -> None:
        from ws101.probes.talk import Act

        if self._typed:
            self._screen.type(line)
        else:
            self._screen.act(Act("text", line.encode("utf-8", "surrogateescape")))


def _poke(fd: int) -> None:
    with contextlib.suppress(OSError):
        os.write(fd, b"!")


def _read_lines(stop: int) -> Iterator[str]:
    """The lines of standard input as they come, until it ends or there is something in ``stop``.

    Raises:
        InputError: If a line is larger than any server takes.
    """
    source, rest = sys.stdin.fileno(), bytearray()
    while True:
        ready = select.select([source, stop], [], [])[0]
        if stop in ready:
            return
        data = os.read(source, 65536)
        seen = len(rest)
        rest += data
        while (end := rest.find(b"\n", seen)) >= 0:
            yield bytes(rest[:end]).removesuffix(b"\r").decode("utf-8", "surrogateescape")
            del rest[: end + 1]
            seen = 0
        if len(rest) > _LINE_LIMIT:
            raise InputError(f"a line of standard input is longer than {_LINE_LIMIT // 2**20} MiB", where="<stdin>")
        if not data:
            if rest:
                yield rest.decode("utf-8", "surrogateescape")
            return
