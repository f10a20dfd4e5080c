"""Where reports go: what the terminal can show, and how text reaches it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable
from typing import TextIO

from ws101.lazy import dataclass
from ws101.report.style import PLAIN, Style

__all__ = ["Console"]

_WIDEST = 120


@dataclass(frozen=True, slots=True)
class Console:
    """A stream and its style.

    Args:
        stream: Standard output or standard error.
        style: What it can show.
    """

    stream: TextIO
    style: Style = PLAIN

    @classmethod
    def of(cls, stream: TextIO, color: str = "auto") -> Console:
        """The console of a stream.

        Args:
            stream: Standard output or standard error.
            color: ``auto`` (a terminal that is not dumb, and no NO_COLOR), ``always`` or ``never``.
        """
        terminal = stream.isatty()
        colored = color == "always" or (color == "auto" and terminal and _wants_color())
        return cls(stream, Style(colored, _shows_unicode(stream), max(40, min(_WIDEST, _columns(terminal=terminal)))))

    def write(self, text: str) -> None:
        """Write text and a line end; what the terminal's encoding lacks is written as an escape."""
        text = self.style.finish(text) + "\n"
        encoding = self.stream.encoding or "utf-8"
        self.stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        self.stream.flush()

    def write_data(self, text: str | Iterable[str]) -> None:
        """Write text for programs, whole or in pieces: UTF-8 whatever the terminal has, nothing changed in it."""
        pieces = (text,) if isinstance(text, str) else text
        buffer = getattr(self.stream, "buffer", None)
        if buffer is None:
            self.stream.writelines(pieces)
            return
        self.stream.flush()
        buffer.writelines(piece.encode("utf-8", "backslashreplace") for piece in pieces)
        buffer.flush()

    def write_bytes(self, data: bytes) -> None:
        """Write bytes as they are."""
        self.stream.flush()
        self.stream.buffer.write(data)
        self.stream.flush()


def _columns(*, terminal: bool) -> int:
    """As ``shutil.get_terminal_size``, which takes long to import; what is no terminal is as wide as by default."""
    with contextlib.suppress(ValueError):
        if int(os.environ.get("COLUMNS", "")) > 0:
            return int(os.environ["COLUMNS"])
    with contextlib.suppress(AttributeError, ValueError, OSError):
        return os.get_terminal_size(sys.__stdout__.fileno()).columns if terminal and sys.__stdout__ else PLAIN.width
    return PLAIN.width


def _wants_color() -> bool:
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _shows_unicode(stream: TextIO) -> bool:
    encoding = (stream.encoding or "").lower().replace("-", "").replace("_", "")
    return encoding.startswith("utf")
