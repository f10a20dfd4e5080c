"""nginx's lexer (src/core/ngx_conf_file.c: ngx_conf_read_token): the tokens of a text and the values of its words.

Every byte of a text belongs to exactly one ``Token``.  The lexer never fails: what nginx would refuse in a single word
is told to a ``Report``, and reading goes on after it.  Only quantifiers that never backtrack are used, so each pattern
takes linear time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ws101.lazy import lazy_pattern
from ws101.text import Source, Span

__all__ = [
    "BARE_WORD",
    "BUFFER",
    "HEAD",
    "LUA_BLOCK",
    "STATEMENT",
    "WORDS",
    "Report",
    "Token",
    "comments",
    "decode",
    "quote_of",
    "read_tokens",
    "tokens",
]

BUFFER = 4096
"""The longest word or comment nginx reads, in bytes (src/core/ngx_conf_file.c: NGX_CONF_BUFFER)."""

LUA_BLOCK = "_by_lua_block"
"""How the directives end whose block is Lua, not nginx's words."""

_BLANK = r"[ \t\r\n]"
_TRIVIA = rf"{_BLANK}*+(?:#[^\n]*+{_BLANK}*+)*+"
_INSIDE = r"[^ \t\r\n;{\\$]*+"
_BARE = rf"(?:[^ \t\r\n;{{}}#\"'\\$]|\\[\s\S]?+|\$\{{*+){_INSIDE}(?:(?:\\[\s\S]?+|\$\{{*+){_INSIDE})*+"
_DOUBLE = r'"[^"\\]*+(?:\\[\s\S][^"\\]*+)*+"'
_SINGLE = r"'[^'\\]*+(?:\\[\s\S][^'\\]*+)*+'"
_CLOSED = rf"(?:{_DOUBLE}|{_SINGLE})(?=[ \t\r\n;{{)])"
_REST = rf"(?:{_BLANK}++(?:#[^\n]*+{_BLANK}*+)*+|{_BARE}|{_CLOSED})*+"

BARE_WORD = lazy_pattern(_BARE)
"""A word without quotes, as far as nginx reads it."""

STATEMENT = re.compile(rf"{_TRIVIA}(?:({_BARE}|{_CLOSED}){_REST}(?:;|(\{{))|(\}}))")
"""A whole statement that nginx reads without complaint.  Groups: the name; ``{`` if it opens a block; a ``}`` alone."""

HEAD = lazy_pattern(_REST)
"""The words after the name, up to the ``;`` or ``{``."""

_TOKEN = lazy_pattern(rf"({_BLANK}++)|(#[^\n]*+)|({_BARE})|([;{{}}])|([\"'])")
_QUOTED = {'"': lazy_pattern(_DOUBLE), "'": lazy_pattern(_SINGLE)}
WORDS = re.compile(
    rf"{_TRIVIA}(?:({_BARE}"
    r"|\"[^\"\\]*+(?:\\[\s\S]?+[^\"\\]*+)*+(?:\"|\Z)"
    r"|'[^'\\]*+(?:\\[\s\S]?+[^'\\]*+)*+(?:'|\Z))|\Z)"
)
"""A word and the blanks and comments before it, or those at the end alone.  Group: the word, quotes included."""

_ESCAPE = lazy_pattern(r"\\([\"'\\trn])")
_ESCAPED = {'"': '"', "'": "'", "\\": "\\", "t": "\t", "r": "\r", "n": "\n"}
_LUA = lazy_pattern(r"""--\[(=*)\[|--[^\n]*+|\[(=*)\[|"(?:[^"\\\n]|\\[\s\S])*+"?|'(?:[^'\\\n]|\\[\s\S])*+'?|([{}])""")


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


Report = Callable[[str, int, int, int, int], None]
"""Told of (message, span start, span end, offset that gives nginx's line, ``Problem.offset``)."""


def tokens(source: Source) -> Iterator[Token]:
    """The tokens of a text, without a gap from its first byte to its last."""
    return read_tokens(source.text, 0, _ignore)


def comments(source: Source, containing: str = "#", start: int = 0, end: int | None = None) -> Iterator[Span]:
    """The comments of a text that contain a string, each from its ``#`` to before the LF.

    Args:
        source: The text.
        containing: What to look for; nothing is read if the text does not hold it.
        start: Where to begin: between two directives.
        end: Comments that begin at or after this offset are left out.
    """
    text = source.text
    stop = text.rfind(containing, start, end) + 1
    wanted = text.find(containing, start, end)
    if wanted < 0:
        return
    at = start
    # Whole statements first: only those that hold the string are read token by token.
    for match in iter(STATEMENT.scanner(text, start).match, None):  # type: ignore[attr-defined]
        if at >= stop or (match.lastindex == 2 and match[1].endswith((LUA_BLOCK, LUA_BLOCK + '"', LUA_BLOCK + "'"))):
            break
        if wanted < match.end():
            yield from _comments_between(source, at, min(match.end(), stop), containing)
            wanted = text.find(containing, match.end(), end)
            if wanted < 0:
                return
        at = match.end()
    yield from _comments_between(source, at, stop, containing)


def _comments_between(source: Source, start: int, stop: int, containing: str) -> Iterator[Span]:
    for kind, at, end in read_tokens(source.text, start, _ignore):
        if at >= stop:
            return
        if kind == "comment" and source.text.find(containing, at, end) >= 0:
            yield Span(source.path, at, end)


def _unescape(raw: str) -> str:
    return _ESCAPE.sub(lambda match: _ESCAPED[match[1]], raw) if "\\" in raw else raw


def decode(raw: str) -> str:
    """A word's value from its text, quotes included; the closing quote may be missing."""
    quote = quote_of(raw)
    if not quote:
        return _unescape(raw)
    # An escaped quote at the end does not close the word.
    closed = raw[-1] == quote and len(raw) > 1 and (raw[-2] != "\\" or _QUOTED[quote].fullmatch(raw))
    return _unescape(raw[1:-1] if closed else raw[1:])


def quote_of(raw: str) -> str:
    """The quote a word's text begins with, or nothing."""
    return raw[0] if raw[0] in "\"'" else ""


def _ignore(message: str, start: int, end: int, place: int, offset: int) -> None:
    pass


def read_tokens(text: str, pos: int, report: Report) -> Iterator[Token]:
    """Tokens from the offset of a statement's start on; what is wrong with single words is told to ``report``.

    The grammar of statements (a ``;`` without words, say) is the parser's.
    """
    size = len(text)
    name: str | None = None
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
            name = text[pos:end] if name is None else name
            yield Token("word", pos, end)
        elif kind == 4:
            yield Token(text[pos], pos, end)
            if text[pos] == "{" and name is not None and name.endswith(LUA_BLOCK):
                stop = _lua_end(text, end)
                if stop > end:
                    yield Token("lua", end, stop)
                end = stop
            name = None
        else:
            token = _lex_quoted(text, pos, report)
            yield token
            name = decode(text[pos : token.end]) if name is None else name
            end = token.end
        pos = end


def _lex_quoted(text: str, start: int, report: Report) -> Token:
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
    late = _QUOTED[quote].match(text, start, end)  # the word ends on its line, but later than nginx reads
    end = late.end() if late else end
    if size > begin + BUFFER:
        report(f'too long parameter, probably missing terminating "{quote}" character', start, end, start, start)
    else:
        report('unexpected end of file, expecting ";" or "}"', start, end, size, start)
    return Token("open", start, end)


def _too_long(text: str, begin: int, start: int, end: int, report: Report) -> None:
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
