"""How text looks on a terminal: ``Style``, and the widths of characters.

A style is a value that the renderers are given: whether there is colour, whether the terminal can show more than ASCII,
and how many columns it has.  The renderers name roles (``error``, ``path``, ``dim``), never colours.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from ws101.lazy import dataclass, lazy_pattern

__all__ = ["PLAIN", "Style", "columns", "cut", "pad", "pieces", "width_of", "wrap"]

_CODES = {
    "error": "1;31",
    "warning": "1;33",
    "note": "1;36",
    "good": "1;32",
    "unknown": "1;35",
    "title": "1",
    "path": "36",
    "dim": "2",
    "gutter": "34",
    "added": "32",
    "removed": "31",
    "code": "36",
    "error-banner": "1;97;41",
    "warning-banner": "1;30;43",
    "good-banner": "1;97;42",
    "unknown-banner": "1;97;45",
}
"""Role -> ANSI SGR parameters (ECMA-48, 8.3.117)."""

_GLYPHS = {
    "bar": ("│", "|"),
    "arrow": ("→", "->"),
    "back": ("←", "<-"),
    "down": ("↓", "|"),
    "cross": ("✗", "x"),
    "tick": ("✓", "+"),
    "question": ("?", "?"),
    "dot": ("·", "-"),
    "bullet": ("•", "*"),
    "rule": ("─", "-"),
    "caret": ("^", "^"),
    "ellipsis": ("…", "..."),
    "changed": ("≠", "!"),
    "times": ("×", "x"),
}

_TO_ASCII = str.maketrans(
    {
        "…": "...",
        "–": "-",
        "—": "-",
        "’": "'",
        "‘": "'",
        "“": '"',
        "”": '"',
        "→": "->",
        "←": "<-",
        "·": "-",
        "✓": "+",
        "✗": "x",
        "×": "x",
    }
)
_SGR = lazy_pattern(r"\x1b\[[0-9;]*m")
_OURS = frozenset(f"\x1b[{code}m" for code in ("0", *_CODES.values()))
_BY_CODE = {f"\x1b[{code}m": role for role, code in reversed(_CODES.items())}
_UNSAFE = lazy_pattern(r"\x1b\[[0-9;]*m|[^\n\t\x20-\x7e]")


@dataclass(frozen=True, slots=True)
class Style:
    """What a terminal can show.

    Args:
        color: Whether to write ANSI colours.
        unicode: Whether characters beyond ASCII arrive.
        width: Columns.
    """

    color: bool = False
    unicode: bool = True
    width: int = 100

    def paint(self, role: str, text: str) -> str:
        """The text in the role's colour; as it is without colour."""
        return f"\x1b[{_CODES[role]}m{text}\x1b[0m" if self.color and text else text

    def glyph(self, name: str) -> str:
        """A sign by name, in ASCII where the terminal has no more."""
        return _GLYPHS[name][0 if self.unicode else 1]

    def finish(self, text: str) -> str:
        """The last step of every renderer: our own typographic characters become ASCII where needed.

        Whatever could still steer a terminal, turn text around or hide it is shown as an escape; our colours stay.
        """
        text = _UNSAFE.sub(_shown, text)
        return text if self.unicode else text.translate(_TO_ASCII)


PLAIN = Style()
"""No colour, Unicode, 100 columns: what goes to files and pipes."""


def pieces(text: str) -> Iterator[tuple[str, str]]:
    """Painted text taken apart again: role (empty for none) and text; of roles that look the same, the first one."""
    at, role = 0, ""
    for match in _SGR.finditer(text):
        if match[0] in _OURS:
            yield from [(role, text[at : match.start()])] if match.start() > at else []
            at, role = match.end(), _BY_CODE.get(match[0], "")
    yield from [(role, text[at:])] if at < len(text) else []


def width_of(text: str) -> int:
    """How many columns a text takes on a terminal; colour codes take none."""
    text = _SGR.sub("", text)
    return len(text) if text.isascii() else sum(map(_char_width, text))


def _char_width(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def pad(text: str, width: int) -> str:
    """Fill a text with blanks up to a number of columns."""
    return text + " " * max(0, width - width_of(text))


def cut(text: str, width: int, style: Style = PLAIN) -> str:
    """Cut plain text (no colour codes) to a number of columns, with an ellipsis if anything is lost."""
    if width_of(text) <= width:
        return text
    mark = style.glyph("ellipsis")
    kept, used = [], width_of(mark)
    for char in text:
        used += _char_width(char)
        if used > width:
            break
        kept.append(char)
    return "".join(kept) + mark


def wrap(text: str, width: int) -> list[str]:
    """Break plain text at blanks into lines of at most ``width`` columns; a longer word stands alone."""
    lines: list[str] = []
    for word in text.split(" "):
        if lines and width_of(lines[-1]) + 1 + width_of(word) <= width:
            lines[-1] += " " + word
        else:
            lines.append(word)
    return lines or [""]


def columns(rows: Iterable[Sequence[str]], *, gap: int = 2, indent: int = 0) -> list[str]:
    """Align the cells of rows below each other; the last column is not padded."""
    table = [tuple(row) for row in rows]
    count = max((len(row) for row in table), default=0)
    widths = [max((width_of(row[i]) for row in table if i < len(row)), default=0) for i in range(count)]
    return [
        " " * indent + (" " * gap).join(pad(cell, widths[i]) for i, cell in enumerate(row)).rstrip() for row in table
    ]


def _shown(found: re.Match[str]) -> str:
    text = found[0]
    return text if text in _OURS or text.isprintable() else text.encode("unicode_escape").decode("ascii")
