"""What is being done right now, in one line that is taken away again: on a terminal alone."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self, TextIO

from ws101.lazy import dataclass
from ws101.report.style import PLAIN, Style
from ws101.text import printable

__all__ = ["Progress"]

_PATIENCE = 0.3
"""Seconds without a display: what is over sooner needs none."""


@dataclass(slots=True)
class Progress:
    """A line of progress.

    Args:
        stream: The terminal; None shows nothing.
        style: What it can show.
    """

    stream: TextIO | None = None
    style: Style = PLAIN

    _began: float = 0.0
    _shown: bool = False

    @classmethod
    def on(cls, stream: TextIO) -> Progress:
        """On a stream, if it is a terminal."""
        from ws101.cli.console import Console

        return cls(stream, Console.of(stream).style) if stream.isatty() else cls()

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._erase()

    def show(self, text: str) -> None:
        """Show a text in place of the one before."""
        if self.stream is None or time.monotonic() - self._began < _PATIENCE:
            return
        line = self.style.finish(printable(text, limit=max(20, self.style.width - 6)))
        self.stream.write(f"\r\x1b[K{self.style.paint('dim', line)} ...")
        self.stream.flush()
        self._shown = True

    def _erase(self) -> None:
        if self.stream is not None and self._shown:
            self.stream.write("\r\x1b[K")
            self.stream.flush()
