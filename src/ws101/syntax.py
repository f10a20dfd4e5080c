"""nginx's configuration syntax: ``parse`` turns a ``Source`` into a ``Tree`` of ``Directive``s.

The rules are nginx's own (src/core/ngx_conf_file.c: ngx_conf_read_token, ngx_conf_parse).  Parsing never fails: what
nginx would refuse is reported as a ``Problem`` in nginx's words, and parsing goes on.  The first problem is the one
``nginx -t`` prints; nginx stops there, so the later ones are our reading of the rest.

How it is fast: one regex match per statement, in windows of bounded size.  A statement that does not match is read by
the tolerant lexer (``lexer.read_tokens``), which also goes on to the window's end, so every input takes linear time.
Nothing here recurses, and no directive is known by name but one kind: the body of ``*_by_lua_block { ... }`` is Lua.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import re
from collections.abc import Iterator
from typing import NamedTuple

from ws101.lazy import dataclass, lazy_pattern
from ws101.lexer import (
    BUFFER,
    HEAD,
    LUA_BLOCK,
    STATEMENT,
    WORDS,
    Token,
    comments,
    decode,
    quote_of,
    read_tokens,
    tokens,
)
from ws101.text import BLANKS, Source, Span

__all__ = [
    "MAX_PROBLEMS",
    "Directive",
    "Problem",
    "Token",
    "Tree",
    "Word",
    "comments",
    "looks_like_dump",
    "parse",
    "parse_dump",
    "tokens",
    "trailing_comment",
    "uncollected",
]

MAX_PROBLEMS = 1000
"""Parsing garbage records no more problems than this; nginx itself stops at the first."""

_WINDOW = 65536
"""Bytes that a failing match can cost, and that the tolerant lexer then goes on for."""


class Word(NamedTuple):
    r"""One word of a directive.

    Args:
        span: Where it stands, quotes included.
        value: As nginx sees it: quotes removed, ``\"``, ``\'``, ``\\``, ``\t``, ``\r``, ``\n`` replaced.
        quote: ``'"'``, ``"'"`` or ``""``.
    """

    span: Span
    value: str
    quote: str


@dataclass(frozen=True, slots=True)
class Problem:
    """What nginx refuses to read.

    Args:
        message: nginx's words, without the trailing " in file:line".
        span: The best place to show to people.
        line: The line nginx prints: where its lexer stood.
        offset: nginx has handled the directives whose ``head_stop`` lies before this offset, and no other.
    """

    message: str
    span: Span
    line: int
    offset: int


class Directive:
    """A directive: its words and, for a block directive, its block.

    Written by the parser alone.  A large configuration has hundreds of thousands: words and spans are computed on use.

    Attributes:
        source: The text it stands in.
        name: The first word as nginx sees it.
        start: Offset of the name's first byte (its quote, if it has one).
        end: Offset after ``;`` or the closing ``}``; where it was cut, if either is missing.
        block: The directives inside; None for a simple directive; empty for a Lua block (see ``raw_block``).
        parent: The directive whose block holds this one, in the same file.
    """

    __slots__ = ("_args", "block", "end", "name", "parent", "source", "start")

    def __init__(  # noqa: PLR0917 (built hundreds of thousands of times: keywords cost)
        self,
        source: Source,
        name: str,
        start: int,
        end: int,
        block: list[Directive] | None,
        parent: Directive | None,
    ) -> None:
        self.source = source
        self.name = name
        self.start = start
        self.end = end
        self.block = block
        self.parent = parent
        self._args: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        return f"<Directive {self.name} {self.source.path}:{self.line}>"

    @property
    def args_start(self) -> int:
        """Offset just after the name."""
        return self.start + len(self.name)

    @property
    def head_stop(self) -> int:
        """Offset of the ``;`` or ``{`` that ends the words; after the last word if it is missing."""
        if self.block is None:
            return self.end - 1
        match = HEAD.match(self.source.text, self.args_start)
        assert match is not None
        return match.end()

    @property
    def terminated(self) -> bool:
        """Whether the words are ended by ``;`` or ``{``."""
        return True

    @property
    def closed(self) -> bool:
        """Whether nothing is missing at the end: ``;`` is there, or the block's ``}``."""
        return self.terminated and not isinstance(self.block, _Unclosed)

    @property
    def args(self) -> tuple[str, ...]:
        """The values of the words after the name, as nginx sees them."""
        found = self._args
        if found is None:
            found = self._args = _values(self.source.text[self.args_start : self.head_stop])
        return found

    @property
    def words(self) -> tuple[Word, ...]:
        """All words, the name first, with their places."""
        path = self.source.path
        found = WORDS.finditer(self.source.text, self.start, self.head_stop)
        return tuple(
            [Word(Span(path, *match.span(1)), decode(match[1]), quote_of(match[1])) for match in found if match[1]]
        )

    @property
    def span(self) -> Span:
        """From the name to the ``;`` or ``}``."""
        return Span(self.source.path, self.start, self.end)

    @property
    def head_span(self) -> Span:
        """From the name to the end of the last word."""
        return Span(self.source.path, self.start, self.words[-1].span.end)

    @property
    def block_start(self) -> int:
        """Offset of ``{``.

        Raises:
            ValueError: If it is a simple directive.
        """
        if self.block is None:
            raise ValueError(f"{self.name} has no block")
        return self.head_stop

    @property
    def block_end(self) -> int:
        """Offset of the closing ``}``, or of the end of the file if it is missing.

        Raises:
            ValueError: If it is a simple directive.
        """
        if self.block is None:
            raise ValueError(f"{self.name} has no block")
        return self.end - 1 if self.closed else self.end

    @property
    def raw_block(self) -> str | None:
        """The Lua code of a ``*_by_lua_block``; None for every other directive."""
        if self.block is None or not self.name.endswith(LUA_BLOCK):
            return None
        return self.source.text[self.block_start + 1 : self.block_end]

    @property
    def line(self) -> int:
        """The 1-based line of the name."""
        return self.source.line(self.start)

    @property
    def stop_line(self) -> int:
        """The line nginx prints for this directive: that of its ``;`` or ``{``."""
        return self.source.line(self.head_stop)


@functools.lru_cache(maxsize=8192)
def _values(text: str) -> tuple[str, ...]:
    """The values of words.  Most directives of a configuration are written as another one is."""
    found = WORDS.findall(text)
    return tuple([raw if raw[0] not in "\"'" and "\\" not in raw else decode(raw) for raw in found if raw])


class _Quoted(Directive):
    """A directive that keeps where its name ends, since it is not written as nginx sees it."""

    __slots__ = ("_args_start",)

    def name_ends(self, offset: int) -> None:
        """Keep where the name ends."""
        self._args_start = offset

    @property
    def args_start(self) -> int:
        return self._args_start


class _Stopped(_Quoted):
    """A directive that keeps where its words end, since it may be cut or hold an open quote."""

    __slots__ = ("_stop", "_terminated")

    def stop(self, offset: int, terminated: bool) -> None:
        """Keep where the words end and whether ``;`` or ``{`` stands there."""
        self._stop = offset
        self._terminated = terminated

    @property
    def head_stop(self) -> int:
        return self._stop

    @property
    def terminated(self) -> bool:
        return self._terminated


class _Unclosed(list[Directive]):
    """A block whose ``}`` is missing."""


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """A parsed file.

    Args:
        source: Its text.
        directives: The directives of the file's own level.
        problems: What nginx would refuse, in the order in which its lexer comes to them; at most ``MAX_PROBLEMS``.
    """

    source: Source
    directives: list[Directive]
    problems: tuple[Problem, ...]

    def walk(self) -> Iterator[Directive]:
        """Every directive, outer before inner, in the order of the text."""
        stack = [iter(self.directives)]
        while stack:
            for directive in stack[-1]:
                yield directive
                if directive.block:
                    stack.append(iter(directive.block))
                    break
            else:
                stack.pop()


def parse(source: Source) -> Tree:
    """Parse one file's text, a fragment of one (a bare ``server`` block, say) or anything else; never raises."""
    with uncollected():
        return _Parser(source).parse()


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """No garbage is looked for meanwhile: hundreds of thousands of objects are made, and few become any."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


_TRAILING = lazy_pattern(r"[ \t]*+(#[^\n]*+)")


def trailing_comment(directive: Directive) -> Span | None:
    """The comment that follows a directive's end on the same line; for a block directive also one after its ``{``."""
    ends = [directive.end] if directive.block is None else [directive.head_stop + 1, directive.end]
    for end in ends:
        if directive.closed and (match := _TRAILING.match(directive.source.text, end)):
            return Span(directive.source.path, *match.span(1))
    return None


class _Parser:
    """Builds one tree; the statements' grammar (src/core/ngx_conf_file.c: ngx_conf_parse)."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.text = source.text
        self.size = len(source.text)
        self.directives: list[Directive] = []
        self.siblings = self.directives
        self.parent: Directive | None = None
        # What was open around the current block.  A "{" without a name opens a level that is no block of its own.
        self.stack: list[tuple[list[Directive], Directive | None, bool]] = []
        self.problems: list[Problem] = []
        self.names: dict[str, str] = {}

    def parse(self) -> Tree:
        pos, stop = 0, len(self.text.rstrip(BLANKS))
        while pos < stop:
            start = pos
            pos, again = self._fast(pos)
            if not again:
                pos = self._slow(pos, pos + 1)
            elif pos == start:
                pos = self._slow(pos, pos + _WINDOW)
        self._end_of_file()
        return Tree(self.source, self.directives, tuple(self.problems))

    def report(self, message: str, start: int, end: int, place: int, offset: int) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            span = Span(self.source.path, start, end)
            self.problems.append(Problem(message, span, self.source.line(place), offset))

    def _fast(self, pos: int) -> tuple[int, bool]:
        """Read statements while they match; the offset reached, and whether the next may be tried again by itself."""
        source, names, stack = self.source, self.names, self.stack
        siblings, parent = self.siblings, self.parent
        known = names.get
        again = True
        limit = min(pos + _WINDOW, self.size)
        scanner = STATEMENT.scanner(self.text, pos, limit)  # type: ignore[attr-defined]
        for match in iter(scanner.match, None):
            end = match.end()
            kind = match.lastindex
            if kind == 3 and (not stack or stack[-1][2]):
                break
            if end - pos >= BUFFER - 1:
                again = False
                break
            if kind == 3:
                assert parent is not None
                parent.end = end
                siblings, parent, _ = stack.pop()
            else:
                raw = match[1]
                name = known(raw)
                if name is None:
                    name = names[raw] = decode(raw)
                start = match.start(1)
                make = Directive if len(name) == len(raw) else self._quoted
                if kind == 1:
                    siblings.append(make(source, name, start, end, None, parent))
                else:
                    if name[-13:] == LUA_BLOCK:
                        again = False
                        break
                    block: list[Directive] = []
                    directive = make(source, name, start, end, block, parent)
                    siblings.append(directive)
                    stack.append((siblings, parent, False))
                    siblings, parent = block, directive
            pos = end
        self.siblings, self.parent = siblings, parent
        return pos, again

    def _quoted(  # noqa: PLR0917 (as Directive)
        self, source: Source, name: str, start: int, end: int, block: list[Directive] | None, parent: Directive | None
    ) -> Directive:
        """A directive whose name is not written as nginx sees it."""
        directive = _Quoted(source, name, start, end, block, parent)
        word = WORDS.match(self.text, start)
        assert word is not None
        directive.name_ends(word.end())
        return directive

    def _slow(self, pos: int, until: int) -> int:
        """Read statements token by token, at least one, until the offset ``until`` is passed; the offset reached."""
        words: list[Token] = []
        in_lua = False
        for token in read_tokens(self.text, pos, self.report):
            kind, start, end = token
            if kind in ("word", "quoted", "open"):
                words.append(token)
                if kind != "open" or self.text[end : end + 1] in (";", "{"):
                    continue
                self._append(words, end, end, terminated=False)
            elif kind == "{":
                in_lua = self._open(words, start, end)
            elif kind == ";":
                self._end(words, start, end)
            elif kind == "}":
                self._close(words, start, end)
                in_lua = False
            else:
                continue
            words = []
            if end >= until and not in_lua:
                return end
        if words:
            start, end = words[0].start, words[-1].end
            self.report('unexpected end of file, expecting ";" or "}"', start, end, self.size, end)
            self._append(words, end, end, terminated=False)
        return self.size

    def _open(self, words: list[Token], start: int, end: int) -> bool:
        """A ``{``; whether Lua follows."""
        if not words:
            self.report('unexpected "{"', start, end, start, start)
            self.stack.append((self.siblings, self.parent, True))
            return False
        directive = self._append(words, start, end, terminated=True)
        block: list[Directive] = []
        directive.block = block
        self.stack.append((self.siblings, self.parent, False))
        self.siblings, self.parent = block, directive
        return directive.name.endswith(LUA_BLOCK)

    def _end(self, words: list[Token], start: int, end: int) -> None:
        """A ``;``."""
        if words:
            self._append(words, start, end, terminated=True)
        else:
            self.report('unexpected ";"', start, end, start, start)

    def _close(self, words: list[Token], start: int, end: int) -> None:
        """A ``}``."""
        if words:
            self.report('unexpected "}"', words[0].start, words[-1].end, start, words[-1].end)
            self._append(words, words[-1].end, words[-1].end, terminated=False)
        if self.stack:
            siblings, parent, unnamed = self.stack.pop()
            if not unnamed:
                assert self.parent is not None
                self.parent.end = end
            self.siblings, self.parent = siblings, parent
        elif not words:
            self.report('unexpected "}"', start, end, start, start)

    def _append(self, words: list[Token], stop: int, end: int, *, terminated: bool) -> Directive:
        _, start, args_start = words[0]
        name = decode(self.text[start:args_start])
        directive = _Stopped(self.source, name, start, end, None, self.parent)
        directive.name_ends(args_start)
        directive.stop(stop, terminated)
        self.siblings.append(directive)
        return directive

    def _end_of_file(self) -> None:
        blocks = []
        directive = self.parent
        while directive is not None:
            directive.end = self.size
            directive.block = _Unclosed(directive.block or ())
            blocks.append(directive)
            directive = directive.parent
        if self.stack and not any(problem.message.startswith("unexpected end") for problem in self.problems):
            span = blocks[0].head_span if blocks else Span(self.source.path, self.size, self.size)
            self.report('unexpected end of file, expecting "}"', span.start, span.end, self.size, self.size)


_MARKER = lazy_pattern(rb"^# configuration file ([^\r\n]+):(\r?\n)", re.MULTILINE)


def looks_like_dump(text: bytes | str) -> bool:
    """Whether a text is the output of ``nginx -T``: some line is its marker ``# configuration file PATH:``."""
    data = text.encode("latin-1", "replace") if isinstance(text, str) else text
    return b"# configuration file " in data and _MARKER.search(data) is not None


def parse_dump(text: bytes) -> tuple[Source, ...]:
    """The files in the output of ``nginx -T``, in nginx's order: the main file first, each file once.

    nginx writes, for each file, its marker, its bytes and one LF (src/core/nginx.c: main), so a file's bytes come back
    exactly, with or without a final line end.  Lines before the first marker (``nginx: the configuration file ... ok``)
    are skipped; a dump whose line ends became CRLF on its way is read as such.  A file that itself holds a line that
    looks like a marker can't be told apart.
    """
    markers = list(_MARKER.finditer(text))
    ends = [marker.start() for marker in markers[1:]] + [len(text)]
    sources: dict[str, Source] = {}
    for marker, end in zip(markers, ends, strict=False):
        path = marker[1].decode("latin-1")
        sources.setdefault(path, Source.from_bytes(path, text[marker.end() : end].removesuffix(marker[2])))
    return tuple(sources.values())
