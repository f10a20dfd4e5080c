"""nginx's configuration syntax: ``parse`` turns a ``Source`` into a ``Tree`` of ``Directive``s.

The rules are nginx's own (src/core/ngx_conf_file.c: ngx_conf_read_token, ngx_conf_parse).  Parsing never fails: what
nginx would refuse is reported as a ``Problem`` in nginx's words, and parsing goes on.  The first problem is the one
``nginx -t`` prints; nginx stops there, so the later ones are our reading of the rest.

How it is fast: one regex match per statement, in windows of bounded size.  A statement that does not match is read by
the tolerant lexer (``tokens``), which also goes on to the window's end, so every input takes linear time.  Nothing here
recurses, and no directive is known by name but one kind: the body of ``*_by_lua_block { ... }`` is Lua, not nginx.

Every byte of the text belongs to exactly one ``Token``: ``tokens`` proves it.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ws101.text import BLANKS, Source, Span

__all__ = [
    "BARE_WORD",
    "BUFFER",
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
]

BUFFER = 4096
"""The longest word or comment nginx reads, in bytes (src/core/ngx_conf_file.c: NGX_CONF_BUFFER)."""

MAX_PROBLEMS = 1000
"""Parsing garbage records no more problems than this; nginx itself stops at the first."""

_WINDOW = 65536
_LUA_BLOCK = "_by_lua_block"

_BLANK = r"[ \t\r\n]"
_TRIVIA = rf"{_BLANK}*+(?:#[^\n]*+{_BLANK}*+)*+"
_INSIDE = r"[^ \t\r\n;{\\$]*+"
_BARE = rf"(?:[^ \t\r\n;{{}}#\"'\\$]|\\[\s\S]?+|\$\{{*+){_INSIDE}(?:(?:\\[\s\S]?+|\$\{{*+){_INSIDE})*+"
_DOUBLE = r'"[^"\\]*+(?:\\[\s\S][^"\\]*+)*+"'
_SINGLE = r"'[^'\\]*+(?:\\[\s\S][^'\\]*+)*+'"
_CLOSED = rf"(?:{_DOUBLE}|{_SINGLE})(?=[ \t\r\n;{{)])"
_REST = rf"(?:{_BLANK}++(?:#[^\n]*+{_BLANK}*+)*+|{_BARE}|{_CLOSED})*+"

BARE_WORD = re.compile(_BARE)
"""A word without quotes, as far as nginx reads it."""

_STATEMENT = re.compile(rf"{_TRIVIA}(?:({_BARE}|{_CLOSED}){_REST}(?:;|(\{{))|(\}}))")
_HEAD_REST = re.compile(_REST)
_TOKEN = re.compile(rf"({_BLANK}++)|(#[^\n]*+)|({_BARE})|([;{{}}])|([\"'])")
_QUOTED = {'"': re.compile(_DOUBLE), "'": re.compile(_SINGLE)}
_WORDS = re.compile(
    rf"{_TRIVIA}(?:({_BARE}"
    r"|\"[^\"\\]*+(?:\\[\s\S]?+[^\"\\]*+)*+(?:\"|\Z)"
    r"|'[^'\\]*+(?:\\[\s\S]?+[^'\\]*+)*+(?:'|\Z))|\Z)"
)
"""A word and the blanks and comments before it, or those at the end alone."""
_ESCAPE = re.compile(r"\\([\"'\\trn])")
_ESCAPED = {'"': '"', "'": "'", "\\": "\\", "t": "\t", "r": "\r", "n": "\n"}
_LUA = re.compile(r"""--\[(=*)\[|--[^\n]*+|\[(=*)\[|"(?:[^"\\\n]|\\[\s\S])*+"?|'(?:[^'\\\n]|\\[\s\S])*+'?|([{}])""")


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


class Token(NamedTuple):
    """One stretch of text; the tokens of a text follow one another without a gap.

    Args:
        kind: ``blank``, ``comment``, ``word``, ``quoted``, ``;``, ``{``, ``}``, ``lua`` (the body of a Lua block)
            or ``open`` (a quoted word that does not end in time, cut at its line's end).
        start: Offset of its first byte.
        end: Offset after its last byte.
    """

    kind: str
    start: int
    end: int


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
        args_start: Offset just after the name.
        end: Offset after ``;`` or the closing ``}``; where it was cut, if either is missing.
        block: The directives inside; None for a simple directive; empty for a Lua block (see ``raw_block``).
        parent: The directive whose block holds this one, in the same file.
    """

    __slots__ = ("args_start", "block", "end", "name", "parent", "source", "start")

    def __init__(  # noqa: PLR0917 (built hundreds of thousands of times: keywords cost)
        self,
        source: Source,
        name: str,
        start: int,
        args_start: int,
        end: int,
        block: list[Directive] | None,
        parent: Directive | None,
    ) -> None:
        self.source = source
        self.name = name
        self.start = start
        self.args_start = args_start
        self.end = end
        self.block = block
        self.parent = parent

    def __repr__(self) -> str:
        return f"<Directive {self.name} {self.source.path}:{self.line}>"

    @property
    def head_stop(self) -> int:
        """Offset of the ``;`` or ``{`` that ends the words; after the last word if it is missing."""
        if self.block is None:
            return self.end - 1
        match = _HEAD_REST.match(self.source.text, self.args_start)
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
        found = _WORDS.findall(self.source.text, self.args_start, self.head_stop)
        return tuple([raw if raw[0] not in "\"'" and "\\" not in raw else _decode(raw) for raw in found if raw])

    @property
    def words(self) -> tuple[Word, ...]:
        """All words, the name first, with their places."""
        path = self.source.path
        found = _WORDS.finditer(self.source.text, self.start, self.head_stop)
        return tuple(
            [Word(Span(path, *match.span(1)), _decode(match[1]), _quote_of(match[1])) for match in found if match[1]]
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
        if self.block is None or not self.name.endswith(_LUA_BLOCK):
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


class _Stopped(Directive):
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
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return _Parser(source).parse()
    finally:
        if was_enabled:
            gc.enable()


def tokens(source: Source) -> Iterator[Token]:
    """The tokens of a text, without a gap from its first byte to its last."""
    return _lex(source.text, 0, _ignore)


def comments(source: Source, containing: str = "#", start: int = 0, end: int | None = None) -> Iterator[Span]:
    """The comments of a text that contain a string, each from its ``#`` to before the LF.

    Args:
        source: The text.
        containing: What to look for; nothing is read if the text does not hold it.
        start: Where to begin: between two directives.
        end: Comments that begin at or after this offset are left out.
    """
    text = source.text
    limit = text.rfind(containing, start, end) + 1
    if not limit:
        return
    for kind, at, stop in _lex(text, start, _ignore):
        if at >= limit:
            return
        if kind == "comment" and text.find(containing, at, stop) >= 0:
            yield Span(source.path, at, stop)


_TRAILING = re.compile(r"[ \t]*+(#[^\n]*+)")


def trailing_comment(directive: Directive) -> Span | None:
    """The comment that follows a directive's end on the same line; for a block directive also one after its ``{``."""
    ends = [directive.end] if directive.block is None else [directive.head_stop + 1, directive.end]
    for end in ends:
        if directive.closed and (match := _TRAILING.match(directive.source.text, end)):
            return Span(directive.source.path, *match.span(1))
    return None


def _unescape(raw: str) -> str:
    return _ESCAPE.sub(lambda match: _ESCAPED[match[1]], raw) if "\\" in raw else raw


def _decode(raw: str) -> str:
    """A word's value from its text, quotes included; the closing quote may be missing."""
    quote = _quote_of(raw)
    if not quote:
        return _unescape(raw)
    # An escaped quote at the end does not close the word.
    closed = raw[-1] == quote and len(raw) > 1 and (raw[-2] != "\\" or _QUOTED[quote].fullmatch(raw))
    return _unescape(raw[1:-1] if closed else raw[1:])


def _quote_of(raw: str) -> str:
    return raw[0] if raw[0] in "\"'" else ""


_Report = Callable[[str, int, int, int, int], None]
"""Told of (message, span start, span end, offset that gives nginx's line, ``Problem.offset``)."""


def _ignore(message: str, start: int, end: int, place: int, offset: int) -> None:
    pass


def _lex(text: str, pos: int, report: _Report) -> Iterator[Token]:
    """Tokens from a statement's start on; reports what concerns single words, not the grammar of statements."""
    size = len(text)
    name = ""
    while pos < size:
        match = _TOKEN.match(text, pos)
        assert match is not None, "every byte starts a token"
        kind, end = match.lastindex, match.end()
        if kind == 1:
            yield Token("blank", pos, end)
        elif kind == 2:
            if end - pos >= BUFFER and size > pos + BUFFER:
                _too_long(text, pos, pos, end, report)
            yield Token("comment", pos, end)
        elif kind == 3:
            if end - pos >= BUFFER - 1 and size > pos + BUFFER and (end - pos >= BUFFER or text[end] not in ";{"):
                _too_long(text, pos, pos, end, report)
            name = name or text[pos:end]
            yield Token("word", pos, end)
        elif kind == 4:
            yield Token(text[pos], pos, end)
            if text[pos] == "{" and name.endswith(_LUA_BLOCK):
                stop = _lua_end(text, end)
                if stop > end:
                    yield Token("lua", end, stop)
                end = stop
            name = ""
        else:
            token = _lex_quoted(text, pos, report)
            yield token
            name = name or text[pos + 1 : token.end - 1]
            end = token.end
        pos = end


def _lex_quoted(text: str, start: int, report: _Report) -> Token:
    quote, begin, size = text[start], start + 1, len(text)
    match = _QUOTED[quote].match(text, start, begin + BUFFER)
    end = match.end() if match else size
    after = text[end : end + 1]
    # After 4095 bytes and the quote the buffer is read up: then nginx needs the word to end the statement.
    fits = end - begin < BUFFER - 1 or (end - begin < BUFFER and after not in " \t\r\n") or size <= begin + BUFFER
    if match and fits:
        if after and after not in " \t\r\n;{})":  # the parser reports the "}"
            report(f'unexpected "{after}"', end, end + 1, end, end)
        return Token("quoted", start, end)
    if match:
        _too_long(text, begin, start, end, report)
        return Token("quoted", start, end)
    end = _line_stop(text, begin)
    if size > begin + BUFFER:
        report(f'too long parameter, probably missing terminating "{quote}" character', start, end, start, start)
    else:
        report('unexpected end of file, expecting ";" or "}"', start, end, size, start)
    return Token("open", start, end)


def _too_long(text: str, begin: int, start: int, end: int, report: _Report) -> None:
    report(f'too long parameter "{text[begin : begin + 10]}..." started', start, end, start, start)


def _line_stop(text: str, begin: int) -> int:
    """Where to cut a quoted word without an end: before a ``;`` or ``{`` that ends its line, else at the line's end."""
    end = text.find("\n", begin)
    end = len(text) if end < 0 else end
    while end > begin and text[end - 1] in " \t\r":
        end -= 1
    return end - 1 if end > begin and text[end - 1] in ";{" else end


def _lua_end(text: str, pos: int) -> int:
    """Offset of the ``}`` that closes a Lua block opened just before ``pos``; the text's end if there is none."""
    depth = 1
    while match := _LUA.search(text, pos):
        pos = match.end()
        level = match[1] if match[1] is not None else match[2]
        if level is not None:
            closing = text.find(f"]{level}]", pos)
            if closing < 0:
                break
            pos = closing + len(level) + 2
        elif match[3]:
            depth += 1 if match[3] == "{" else -1
            if not depth:
                return pos - 1
    return len(text)


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
        scanner = _STATEMENT.scanner(self.text, pos, limit)  # type: ignore[attr-defined]
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
                    name = names[raw] = _decode(raw)
                start, args_start = match.span(1)
                if kind == 1:
                    siblings.append(Directive(source, name, start, args_start, end, None, parent))
                else:
                    if name[-13:] == _LUA_BLOCK:
                        again = False
                        break
                    block: list[Directive] = []
                    directive = Directive(source, name, start, args_start, end, block, parent)
                    siblings.append(directive)
                    stack.append((siblings, parent, False))
                    siblings, parent = block, directive
            pos = end
        self.siblings, self.parent = siblings, parent
        return pos, again

    def _slow(self, pos: int, until: int) -> int:
        """Read statements token by token, at least one, until the offset ``until`` is passed; the offset reached."""
        words: list[Token] = []
        in_lua = False
        for token in _lex(self.text, pos, self.report):
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
        return directive.name.endswith(_LUA_BLOCK)

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
        name = _decode(self.text[start:args_start])
        directive = _Stopped(self.source, name, start, args_start, end, None, self.parent)
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


_MARKER = re.compile(rb"^# configuration file ([^\r\n]+):(\r?\n)", re.MULTILINE)


def looks_like_dump(text: bytes | str) -> bool:
    """Whether a text is the output of ``nginx -T``: some line is its marker ``# configuration file PATH:``."""
    data = text.encode("latin-1", "replace") if isinstance(text, str) else text
    return _MARKER.search(data) is not None


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
