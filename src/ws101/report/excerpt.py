"""A source excerpt with the deciding place underlined, as a modern compiler shows it.

Tabs, wide characters and bytes that are no UTF-8 are handled byte by byte, so the underline stands where it should.
Secrets in the configuration (a password in a header that nginx adds, for example) are masked before anything is shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ws101.lazy import dataclass, lazy_pattern
from ws101.report.style import Style, cut, width_of
from ws101.text import Source, Span, printable

__all__ = ["MASK", "Mark", "excerpt", "mask_config", "place", "shown_path"]

MASK = "***"
"""What stands for a secret."""

_TAB = "    "
_PRIVATE = r"[^\s;{}]*(?:authorization|cookie|token|secret|passw|api[-_]?key|credential|signature)[^\s;{}]*"
_WORD = r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|[^\s;{}]+"
_HASH = lazy_pattern(r"(\$(?:[1-7]|2[abxy]|y|gy|sha1|apr1|argon2[a-z]*|scrypt)\$[^\s:;\"'}]+)")
_SECRETS = (  # the last two: hashes of passwords, and the lines of a key, in files that an include leads to
    lazy_pattern(rf"(?i)\b(?:\w+_set_header|add_header|\w+_param|set|map)[ \t]+[\"']?{_PRIVATE}[\"']?[ \t]+({_WORD})"),
    lazy_pattern(r"(?i)\b(?:ssl_password_file|secure_link_secret|auth_jwt_key)[ \t]+([^\s;{}]+)"),
    lazy_pattern(r"[a-z]+://[^/\s:@;]+:([^/\s@;]+)@"),
    lazy_pattern(r"(?i)\b(?:basic|bearer)[ \t]+([A-Za-z0-9+/=._~-]{6,})"),
    lazy_pattern(r"(?i)[?&](?:access_token|token|api_key|apikey|password|secret|sig|signature)=([^&\s;\"'$]+)"),
    _HASH,
    lazy_pattern(r"(?m)^[ \t]*([A-Za-z0-9+/]{40,}={0,2})[ \t\r]*$"),
)
_ONLY_VARIABLES = lazy_pattern(r"[\"']?(?:\$\w+|\$\{\w+\}|[ ,;])*[\"']?")


@dataclass(frozen=True, slots=True)
class Mark:
    """A place to underline, and what to say beside it."""

    span: Span
    message: str = ""
    role: str = "error"
    primary: bool = True


def shown_path(path: str, base: str = "") -> str:
    """A configuration's path for people: relative to ``base`` where it lies below it."""
    prefix = base.rstrip("/") + "/"
    return printable(path[len(prefix) :] if base and path.startswith(prefix) else path)


def place(source: Source, offset: int, base: str = "") -> str:
    """``file:line:column``."""
    at = source.position(offset)
    return f"{shown_path(source.path, base)}:{at.line}:{at.column}"


def _is_secret(pattern: re.Pattern[str], value: str) -> bool:
    """A value made of variables alone is none; a hash only looks like some."""
    return pattern is _HASH or not _ONLY_VARIABLES.fullmatch(value)


def _secret_ranges(text: str) -> list[tuple[int, int]]:
    found = [m.span(1) for pattern in _SECRETS for m in pattern.finditer(text) if _is_secret(pattern, m[1])]
    merged: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def mask_config(text: str) -> str:
    """Configuration text with its secrets masked; a value made of variables alone is none."""
    parts: list[str] = []
    at = 0
    for start, end in _secret_ranges(text):
        parts += (text[at:start], MASK)
        at = end
    return "".join((*parts, text[at:]))


def _cells(line: str) -> list[str]:
    """What each byte of a line shows: the first byte of a character carries it, the others nothing."""
    cells = list(line) if line.isascii() and line.isprintable() else _decoded(line)
    for start, end in _secret_ranges(line):
        cells[start:end] = [MASK, *[""] * (end - start - 1)]
    return cells


def _decoded(line: str) -> list[str]:
    """The cells of a line that is more than printable ASCII."""
    cells: list[str] = []
    data, at = line.encode("latin-1"), 0
    while at < len(data):
        size = 1 if data[at] < 0xC0 else 2 if data[at] < 0xE0 else 3 if data[at] < 0xF0 else 4
        try:
            char = data[at : at + size].decode("utf-8")
        except UnicodeDecodeError:
            char, size = "", 1
        shown = printable(line[at : at + size]) if char != "\t" else _TAB
        cells += [shown, *[""] * (size - 1)]
        at += size
    return cells


def excerpt(
    sources: Mapping[str, Source], marks: Sequence[Mark], style: Style, *, base: str = "", context: int = 1
) -> list[str]:
    """The lines around the marks, file by file, the first mark's file first.

    Args:
        sources: Every file by path; a mark in another file is shown by its path alone.
        marks: The places; the first one gives the ``-->`` line.
        style: What the terminal can show.
        base: Paths below this folder are shown relative to it.
        context: How many lines to show before and after each mark.
    """
    lines: list[str] = []
    paths = dict.fromkeys(mark.span.path for mark in marks)
    widest = max((_last_line(sources, mark, context) for mark in marks), default=1)
    gutter = len(str(widest))
    for number, path in enumerate(paths):
        mine = [mark for mark in marks if mark.span.path == path]
        source = sources.get(path)
        arrow = style.paint("gutter", "-->" if number == 0 else ":::")
        if source is None:
            lines.append(f"{' ' * gutter}{arrow} {style.paint('path', shown_path(path, base))}")
            continue
        lines.append(f"{' ' * gutter}{arrow} {style.paint('path', place(source, mine[0].span.start, base))}")
        lines += _body(source, mine, style, gutter, context)
    return lines


def _last_line(sources: Mapping[str, Source], mark: Mark, context: int) -> int:
    """The last line that is shown for a mark."""
    source = sources.get(mark.span.path)
    return min(source.line(mark.span.start) + context, source.lines) if source else 1


def _body(source: Source, marks: Sequence[Mark], style: Style, gutter: int, context: int) -> list[str]:
    bar = style.paint("gutter", style.glyph("bar"))
    by_line: dict[int, list[Mark]] = {}
    for mark in marks:
        by_line.setdefault(source.line(mark.span.start), []).append(mark)
    last = source.lines
    wanted = sorted({n for line in by_line for n in range(line - context, line + context + 1) if 1 <= n <= last})
    lines, previous = [], 0
    for number in wanted:
        if previous and number > previous + 1:
            lines.append(style.paint("gutter", style.glyph("ellipsis")))
        cells = _cells(source.line_text(number))
        room = max(20, style.width - gutter - 3)
        cells = _from_mark(source, cells, by_line.get(number, ()), room, style)
        shown = cut("".join(cells), room, style)
        label = style.paint("gutter", str(number).rjust(gutter))
        lines.append(f"{label} {bar} {shown}".rstrip())
        lines += (_underline(source, cells, mark, style, gutter) for mark in by_line.get(number, ()))
        previous = number
    return lines


def _from_mark(source: Source, cells: list[str], marks: Sequence[Mark], room: int, style: Style) -> list[str]:
    """A line's cells; where the first mark would lie beyond the room, what stands long before it is an ellipsis."""
    first = min((_offset_in_line(source, mark.span.start) for mark in marks), default=0)
    if width_of("".join(cells[:first])) < room * 2 // 3:
        return cells
    left = first
    while left > 0 and width_of("".join(cells[left - 1 : first])) < room // 3:
        left -= 1
    return [style.glyph("ellipsis"), *[""] * (left - 1), *cells[left:]]


def _underline(source: Source, cells: list[str], mark: Mark, style: Style, gutter: int) -> str:
    """The line below a marked one; a span over several lines is underlined to the end of its first."""
    start_of_line = mark.span.start - _offset_in_line(source, mark.span.start)
    first = mark.span.start - start_of_line
    end = max(first + 1, min(mark.span.end - start_of_line, len(cells)))
    before = width_of("".join(cells[:first]))
    length = max(1, width_of("".join(cells[first:end])))
    room = max(1, style.width - gutter - 3 - before)
    sign = (style.glyph("caret") if mark.primary else "-") * min(length, room)
    bar = style.paint("gutter", style.glyph("bar"))
    text = style.paint(mark.role, f"{sign} {mark.message}".rstrip())
    return f"{' ' * gutter} {bar} {' ' * before}{text}"


def _offset_in_line(source: Source, offset: int) -> int:
    return offset - (source.text.rfind("\n", 0, offset) + 1)
