r"""Immutable text with byte offsets: ``Span``, ``Source``, ``Edit`` and ``apply``.

Configuration is decoded as latin-1, so one character is one byte: offsets, nginx's own limits and edits all count the
same thing, and any byte sequence round-trips.  For display, and for columns, the bytes are read as UTF-8.

Never use ``str.split``, ``strip``, ``lower``, ``splitlines``, ``isspace`` or the regex ``\s`` on such text: they treat
NBSP, 0x85 and 0x0C as blanks or line ends and change bytes above 0x7F, which nginx does not.  The helpers at the end of
this module are byte-exact.
"""

from __future__ import annotations

import bisect
from array import array
from collections.abc import Iterable
from dataclasses import field

from ws101.errors import EditError
from ws101.lazy import dataclass

__all__ = ["BLANKS", "Edit", "Position", "Source", "Span", "apply", "lower", "printable", "strip"]

BLANKS = " \t\r\n"
"""What separates words in nginx's configuration (src/core/ngx_conf_file.c: ngx_conf_read_token)."""

_UPPER_TO_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open range of byte offsets in one file."""

    path: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Position:
    """A place for people: 1-based line and column; columns count UTF-8 code points."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """One file's text, decoded as latin-1, and the path it is known by."""

    path: str
    text: str
    _line_starts: array[int] = field(default_factory=lambda: array("Q"), repr=False)

    @classmethod
    def from_bytes(cls, path: str, data: bytes) -> Source:
        """Decode a file's bytes; never fails and loses nothing."""
        return cls(path, data.decode("latin-1"))

    @property
    def data(self) -> bytes:
        """The file's bytes."""
        return self.text.encode("latin-1")

    def line(self, offset: int) -> int:
        """The 1-based number of the line that holds ``offset``; only LF ends a line, as in nginx."""
        if not self._line_starts:
            starts, at, text = array("Q", (0,)), 0, self.text
            while (at := text.find("\n", at) + 1) > 0:
                starts.append(at)
            self._line_starts.extend(starts)
        return bisect.bisect_right(self._line_starts, offset)

    def position(self, offset: int) -> Position:
        """Line and column of ``offset`` for display."""
        line = self.line(offset)
        head = self.text[self._line_starts[line - 1] : offset]
        return Position(line, len(head.encode("latin-1").decode("utf-8", "replace")) + 1)

    @property
    def lines(self) -> int:
        """The number of lines; a last one that is empty is none, the only one is."""
        self.line(0)
        starts = self._line_starts
        return len(starts) - (len(starts) > 1 and starts[-1] == len(self.text))

    def line_text(self, line: int) -> str:
        """The text of a 1-based line without its line end, latin-1."""
        self.line(0)
        if not 1 <= line <= len(self._line_starts):
            return ""
        start = self._line_starts[line - 1]
        end = self.text.find("\n", start)
        text = self.text[start : len(self.text) if end < 0 else end]
        return text.removesuffix("\r")


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace ``span`` by ``text`` (latin-1).

    An empty span inserts, an empty text deletes; a span 0-0 in a file that does not exist creates the file.
    """

    span: Span
    text: str


def apply(text: str, edits: Iterable[Edit]) -> str:
    """Apply the edits of one file to its text.

    Edits are given in any order; insertions at one offset keep the order in which they are given.

    Raises:
        EditError: If two edits overlap, or one lies outside the text.
    """
    parts: list[str] = []
    at = 0
    for edit in sorted(edits, key=lambda e: (e.span.start, e.span.end)):
        if edit.span.start < at:
            raise EditError("two edits overlap", where=f"{edit.span.path} byte {edit.span.start}")
        if not edit.span.start <= edit.span.end <= len(text):
            raise EditError("an edit lies outside the file", where=f"{edit.span.path} byte {edit.span.start}")
        parts += (text[at : edit.span.start], edit.text)
        at = edit.span.end
    parts.append(text[at:])
    return "".join(parts)


def lower(text: str) -> str:
    """ASCII lower case; every other byte stays (nginx: ngx_tolower)."""
    # str.lower is ten times as fast, and the same for ASCII text.
    return text.lower() if text.isascii() else text.translate(_UPPER_TO_LOWER)


def strip(text: str, blanks: str = BLANKS) -> str:
    """Remove ``blanks`` (SP TAB CR LF) from both ends."""
    return text.strip(blanks)


def printable(text: str, *, limit: int | None = None) -> str:
    """Latin-1 text for a terminal: read as UTF-8, control characters escaped, cut at ``limit`` characters.

    Nothing that comes from a network or a file reaches a terminal without passing through here.
    """
    shown = text.encode("latin-1", "replace").decode("utf-8", "backslashreplace")
    if limit is not None and len(shown) > limit:
        shown = shown[: limit - 1] + "…"
    if shown.isprintable():
        return shown
    return "".join(c if c.isprintable() or c == "\t" else _escape(c) for c in shown)


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
