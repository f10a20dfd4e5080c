"""Edits in nginx's words: insert, append, set, remove.

Each function returns the ``Edit`` (or edits) and changes nothing.  New lines take the indentation and the line ends of
their neighbours; a block written on one line stays on one line; a missing final newline stays missing.

``lines`` are directives as text: one string or several, whole lines, blocks indented by any unit of their own.  The
unit is translated to the neighbourhood's.  No line may begin inside a quoted word.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ws101.errors import EditError
from ws101.lazy import lazy_pattern
from ws101.lexer import BARE_WORD, BUFFER, comments
from ws101.syntax import Directive, Word
from ws101.text import BLANKS, Edit, Source, Span, strip

__all__ = [
    "append",
    "append_file",
    "create_file",
    "indent_of",
    "indent_unit",
    "insert_after",
    "insert_before",
    "last_named",
    "newline_at",
    "prepend",
    "quote",
    "remove",
    "set_arg",
    "set_args",
]

Lines = str | Sequence[str]

_LEAD = lazy_pattern(r"[ \t]*+")
_REST_OF_LINE = lazy_pattern(r"[ \t\r]*+(?:#[^\n]*+)?+(?:(\n)|\Z)")
_OPEN_END = lazy_pattern(r"\$\{*\Z")
_CONTROLS = {"\t": "\\t", "\r": "\\r", "\n": "\\n"}
_DEFAULT_UNIT = "    "


def insert_before(directive: Directive, lines: Lines) -> Edit:
    """Insert lines before a directive, above the comment lines that stand directly on top of it."""
    source, indent, unit = directive.source, indent_of(directive), indent_unit(directive)
    if not _begins_line(source.text, directive.start):
        return _insert_inline(source, directive.start, lines, indent, unit, before=True)
    start, newline = _above_comments(directive), newline_at(source, directive.start)
    return Edit(Span(source.path, start, start), _laid_out(lines, indent, unit, newline) + newline)


def insert_after(directive: Directive, lines: Lines) -> Edit:
    """Insert lines after a directive and the comment that trails it.

    Raises:
        EditError: If the directive's ``;`` or ``}`` is missing.
    """
    _whole(directive)
    return _insert_at(directive.source, directive.end, lines, indent_of(directive), indent_unit(directive))


def append(block: Directive, lines: Lines, after: Directive | None = None) -> Edit:
    """Insert lines at the end of a block, or right after one of its directives.

    Raises:
        EditError: If it has no block of directives, or the block's ``}`` is missing.
    """
    if after is not None:
        return insert_after(after, lines)
    start, end = _inside(block)
    source = block.source
    text = source.text
    filled = start + len(text[start:end].rstrip(BLANKS))
    if filled == start and "\n" not in text[start:end]:
        return _fill_empty(block, lines)
    indent, unit = _child_indent(block), indent_unit(block)
    if "\n" in text[filled:end]:
        return _insert_at(source, filled, lines, indent, unit)
    return _insert_inline(source, filled, lines, indent, unit)


def prepend(block: Directive, lines: Lines) -> Edit:
    """Insert lines at the start of a block.

    Raises:
        EditError: If it has no block of directives, or the block's ``}`` is missing.
    """
    start, end = _inside(block)
    if not strip(block.source.text[start:end]) and "\n" not in block.source.text[start:end]:
        return _fill_empty(block, lines)
    return _insert_at(block.source, start, lines, _child_indent(block), indent_unit(block))


def append_file(source: Source, lines: Lines) -> Edit:
    """Insert lines at the end of a file; they end with a newline."""
    size = len(source.text)
    end = newline_at(source, size)
    head = "" if not size or source.text.endswith("\n") else end
    return Edit(Span(source.path, size, size), head + _laid_out(lines, "", _DEFAULT_UNIT, end) + end)


def create_file(path: str, lines: Lines, like: Source | None = None) -> Edit:
    """Create a file of these lines, with the line ends of another file."""
    newline = newline_at(like, 0) if like is not None else "\n"
    return Edit(Span(path, 0, 0), _laid_out(lines, "", _DEFAULT_UNIT, newline) + newline)


def set_arg(directive: Directive, index: int, value: str) -> Edit:
    """Set one argument, by its 0-based index; it keeps its quotes.

    Raises:
        EditError: If there is no such argument.
    """
    words = directive.words[1:]
    if not 0 <= index < len(words):
        raise EditError(f"{directive.name} has no argument {index + 1}", where=_where(directive))
    return _replace(directive.source, words[index], value)


def set_args(directive: Directive, *args: str) -> tuple[Edit, ...]:
    """Set all arguments; those that stay the same keep their text, and comments between them stay."""
    source, words = directive.source, directive.words
    edits = [_replace(source, word, value) for word, value in zip(words[1:], args, strict=False) if word.value != value]
    for index in range(len(args) + 1, len(words)):
        before, span = words[index - 1].span.end, words[index].span
        start = span.start if strip(source.text[before : span.start]) else before
        edits.append(Edit(Span(source.path, start, span.end), ""))
    if new := args[len(words) - 1 :]:
        end = words[-1].span.end
        edits.append(Edit(Span(source.path, end, end), "".join(" " + quote(value) for value in new)))
    return tuple(edits)


def remove(directive: Directive) -> Edit:
    """Delete a directive: its lines and trailing comment if nothing else stands on them, else only its own text.

    Raises:
        EditError: If the directive's ``;`` or ``}`` is missing.
    """
    _whole(directive)
    text, start, end = directive.source.text, directive.start, directive.end
    rest = _REST_OF_LINE.match(text, end)
    if rest and _begins_line(text, start):
        start, end = _line_start(text, start), rest.end()
    elif rest:
        start = len(text[:start].rstrip(" \t")) if start and text[start - 1] in " \t" else start
    else:
        lead = _LEAD.match(text, end)
        end = lead.end() if lead else end
    return Edit(Span(directive.source.path, start, end), "")


def quote(value: str, style: str = "") -> str:
    """A value as a word of the configuration, quoted only if it must be; ``''`` for an empty one.

    Args:
        value: The value nginx shall see.
        style: ``'"'`` or ``"'"`` to quote in any case.

    Raises:
        EditError: If it is longer than nginx reads (4096 bytes with its quotes).
    """
    raw = re.sub(r"\\(?=[\"'\\trn\t\r\n]|\Z)", r"\\\\", value)
    if style or raw[:1] in ("", '"', "'") or not BARE_WORD.fullmatch(raw) or _OPEN_END.search(raw):
        style = style or ("'" if not value or ('"' in value and "'" not in value) else '"')
        raw = style + re.sub(r"[\t\r\n]", lambda m: _CONTROLS[m[0]], raw.replace(style, "\\" + style)) + style
    if len(raw) >= BUFFER - 1:
        raise EditError("a value is longer than nginx reads", help=f"nginx stops at {BUFFER} bytes a word")
    return raw


def last_named(block: Directive, *names: str) -> Directive | None:
    """The last directive of a block that has one of these names: the one to stand beside."""
    return next((child for child in reversed(block.block or []) if child.name in names), None)


def newline_at(source: Source, offset: int) -> str:
    """The line end in use at an offset: that of its line, else of the line before, else LF."""
    text = source.text
    found = text.find("\n", offset)
    if found < 0:
        found = text.rfind("\n", 0, offset)
    return "\r\n" if found > 0 and text[found - 1] == "\r" else "\n"


def indent_of(directive: Directive) -> str:
    """The blanks that a line beside a directive begins with."""
    levels = 0
    while directive.parent and _line_start(directive.source.text, directive.start) <= directive.parent.head_stop:
        directive = directive.parent
        levels += 1
    return _lead(directive) + (indent_unit(directive) * levels if levels else "")


def indent_unit(directive: Directive) -> str:
    """How much deeper each block is indented here: read from the block, its neighbours, then further out."""
    near: Directive | None = directive
    while near:
        for block in (near, *((near.parent.block or []) if near.parent else ())):
            if unit := _step(block):
                return unit
        near = near.parent
    return "\t" if _lead(directive).startswith("\t") else _DEFAULT_UNIT


def _step(block: Directive) -> str:
    """The indentation that a block's first line adds to its own; empty if that can't be seen."""
    if not block.block or not _begins_line(block.source.text, block.start):
        return ""
    text = block.source.text
    child = next((child for child in block.block if _begins_line(text, child.start)), block)
    base, lead = _lead(block), _lead(child)
    return lead[len(base) :] if lead.startswith(base) else ""


def _child_indent(block: Directive) -> str:
    text = block.source.text
    child = next((child for child in block.block or () if _begins_line(text, child.start)), None)
    return _lead(child) if child else indent_of(block) + indent_unit(block)


def _lead(directive: Directive) -> str:
    match = _LEAD.match(directive.source.text, _line_start(directive.source.text, directive.start))
    return match[0] if match else ""


def _line_start(text: str, offset: int) -> int:
    return text.rfind("\n", 0, offset) + 1


def _begins_line(text: str, offset: int) -> bool:
    return not strip(text[_line_start(text, offset) : offset])


def _above_comments(directive: Directive) -> int:
    """The start of the directive's line, or of the comment lines directly above it."""
    text, parent = directive.source.text, directive.parent
    start = _line_start(text, directive.start)
    if not _is_comment_line(text, _line_start(text, start - 1)):
        return start
    # A line that only looks like a comment may be the end of a quoted word.
    inside = parent.block_start + 1 if parent else 0
    real = {span.start for span in comments(directive.source, start=inside, end=start)}
    while start:
        above = _line_start(text, start - 1)
        sign = text.find("#", above, start)
        if sign not in real or strip(text[above:sign]):
            break
        start = above
    return start


def _is_comment_line(text: str, start: int) -> bool:
    match = _LEAD.match(text, start)
    return match is not None and text.startswith("#", match.end())


def _whole(directive: Directive) -> None:
    if not directive.closed:
        raise EditError(f"{directive.name} has no end here", where=_where(directive), help="mend the syntax first")


def _inside(block: Directive) -> tuple[int, int]:
    """The offsets after a block's ``{`` and of its ``}``."""
    _whole(block)
    if block.block is None or block.raw_block is not None:
        raise EditError(f"{block.name} is no block of directives", where=_where(block))
    return block.block_start + 1, block.block_end


def _where(directive: Directive) -> str:
    return f"{directive.source.path}:{directive.line}"


def _fill_empty(block: Directive, lines: Lines) -> Edit:
    """Open up ``{}``."""
    source, start, end = block.source, block.block_start + 1, block.block_end
    newline, indent = newline_at(source, start), indent_of(block)
    body = _laid_out(lines, _child_indent(block), indent_unit(block), newline)
    return Edit(Span(source.path, start, end), newline + body + newline + indent)


def _insert_at(source: Source, offset: int, lines: Lines, indent: str, unit: str) -> Edit:
    """Insert lines below the line of an offset; on that line itself if more than a comment follows there."""
    rest = _REST_OF_LINE.match(source.text, offset)
    if not rest:
        return _insert_inline(source, offset, lines, indent, unit)
    newline, at = newline_at(source, offset), rest.end()
    body = _laid_out(lines, indent, unit, newline)
    return Edit(Span(source.path, at, at), body + newline if rest[1] else newline + body)


def _insert_inline(source: Source, offset: int, lines: Lines, indent: str, unit: str, *, before: bool = False) -> Edit:
    """Insert directives between others of the same line; with comments among them they take lines of their own."""
    newline = newline_at(source, offset)
    body = " ".join(text for _, text in _levels(lines) if text)
    if any(comments(Source(source.path, "\n".join(text for _, text in _levels(lines))))):
        body = strip(_laid_out(lines, indent, unit, newline)) + newline + indent
        body = body if before else newline + indent + body
    elif before:
        body += " "
    else:
        body = " " + body
    return Edit(Span(source.path, offset, offset), body)


def _laid_out(lines: Lines, indent: str, unit: str, newline: str) -> str:
    """Lines with the neighbourhood's indentation and line ends, without a newline at the end."""
    return newline.join(indent + unit * level + text if text else "" for level, text in _levels(lines))


def _levels(lines: Lines) -> list[tuple[int, str]]:
    """Each line's depth, counted in the lines' own unit, and its text without the blanks around it."""
    whole = lines if isinstance(lines, str) else "\n".join(lines)
    split = strip(whole, "\r\n").split("\n")
    leads = [len(line) - len(line.lstrip(" \t")) for line in split]
    unit = min((lead for lead in leads if lead), default=1)
    return [(lead // unit, strip(line)) for lead, line in zip(leads, split, strict=True)]


def _replace(source: Source, word: Word, value: str) -> Edit:
    raw = quote(value, word.quote)
    glued = word.span.start > 0 and source.text[word.span.start - 1] in "\"'" and not raw.startswith(")")
    return Edit(word.span, " " + raw if glued else raw)
