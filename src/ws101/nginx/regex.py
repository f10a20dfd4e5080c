"""Regular expressions as nginx sees them: PCRE over bytes, without UTF.

Theory of operation.  Where the ``pcre2`` package can be imported, it is PCRE itself (no JIT, a match limit, so that no
pattern takes long).  Elsewhere an allow-listed subset, on which both engines agree, is translated to ``re``; all else
is ``Undecided``.  The subset has no repeat inside a repeat, so the work of a search is bounded by a power of the
subject's length that is known beforehand.

Source: src/core/ngx_regex.c (ngx_regex_compile, ngx_regex_exec), src/http/ngx_http_variables.c
(ngx_http_regex_compile); pcre2pattern(3).
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Any

from ws101.lazy import dataclass, lazy_pattern

__all__ = ["Match", "Regex", "RegexError", "Undecided", "compile_regex", "engines"]

_MATCH_LIMIT = 1_000_000
_LIMIT_VERB = f"(*LIMIT_MATCH={_MATCH_LIMIT})"
_MAX_STEPS = 20_000_000
_QUICK_STEPS = 100_000
_MAX_DEPTH = 50
_MAX_COUNT = 100

_ESCAPES = lazy_pattern(r"\\(Q.*?(?:\\E|\Z)|x(?:\{[^}]*\}?|[0-9A-Fa-f]{0,2})|.)", re.DOTALL)
_QUANTIFIER = lazy_pattern(r"([*+?]|\{(\d{1,5})(?:(,)(\d{0,5}))?\})([?+]?)", re.ASCII)
_BRACES = lazy_pattern(r"(?<!\\)\{([ \d]*(?:,[ \d]*)?)\}", re.ASCII)
_OLD_COUNT = lazy_pattern(r"\d+(?:,\d*)?|[ ,]*", re.ASCII)
_NAMED = lazy_pattern(r"\?(?:P?<([A-Za-z_][A-Za-z0-9_]{0,31})>|'([A-Za-z_][A-Za-z0-9_]{0,31})')")
_POSIX = {
    "alpha": "a-zA-Z",
    "digit": "0-9",
    "alnum": "a-zA-Z0-9",
    "upper": "A-Z",
    "lower": "a-z",
    "xdigit": "0-9A-Fa-f",
    "word": "a-zA-Z0-9_",
    "space": r"\x09-\x0d\x20",
    "blank": r"\x09\x20",
}
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "e": "\x1b", "a": "\a"}
_SETS = frozenset("dDwWsS")
_ASSERTIONS = {"b": r"\b", "A": r"\A", "z": r"\Z", "Z": r"(?=\n?\Z)"}


class Undecided(Exception):
    """What nginx would do cannot be told here.

    Args:
        reason: Why, one clause.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class RegexError(Exception):
    """nginx would refuse the pattern.

    Args:
        message: nginx's words, for example ``pcre2_compile() failed: missing closing parenthesis in "(a"``.
            What stands behind ``at`` may differ by a character between versions of PCRE.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    @classmethod
    def at(cls, what: str, pattern: str, offset: int) -> RegexError:
        """The error in nginx's wording: with the rest of the pattern, unless the offset is its end."""
        rest = f' at "{pattern[offset:]}"' if offset < len(pattern) else ""
        return cls(f'pcre2_compile() failed: {what} in "{pattern}"{rest}')


@dataclass(frozen=True, slots=True)
class Match:
    """A successful match.

    Args:
        groups: The captures; number 0 is the whole match; None is a group that took no part.
        named: Name and value of each named group.
    """

    groups: tuple[str | None, ...]
    named: tuple[tuple[str, str | None], ...] = ()


class Regex:
    """A compiled pattern; made by ``compile_regex``.

    Attributes:
        pattern: As written in the configuration, without ``~`` or ``~*``.
        caseless: Whether ASCII letters match in both cases.
        names: The named groups, sorted by bytes.
        captures: How many groups there are.
        engine: ``pcre2``, ``re`` or ``both``.
    """

    __slots__ = (
        "_compiled",
        "_degree",
        "_indexes",
        "_quick",
        "_ways",
        "captures",
        "caseless",
        "engine",
        "names",
        "pattern",
    )

    def __init__(self, pattern: str, caseless: bool, engine: str) -> None:
        self.pattern = pattern
        self.caseless = caseless
        self.engine = engine
        self._ways = self._degree = 0
        self._quick: re.Pattern[str] | None = None
        self._compiled: Any = None
        if engine != "re":
            self._compiled = _compile_pcre2(pattern, caseless)
        if engine != "pcre2":
            self._translate(engine == "both")
        self._indexes = tuple(sorted(dict(self._compiled.groupindex).items()))
        self.names = tuple(name for name, _ in self._indexes)
        self.captures = int(self._compiled.groups)

    def __repr__(self) -> str:
        return f"<Regex {'~*' if self.caseless else '~'} {self.pattern}>"

    def _translate(self, is_optional: bool) -> None:
        """Compile the pattern for ``re`` too, if it is of the subset that means the same there."""
        try:
            subset = _Subset(self.pattern)
        except (Undecided, RegexError):
            if is_optional:
                return
            raise
        flags = re.ASCII | (re.IGNORECASE if self.caseless or subset.caseless else 0)
        self._quick = re.compile(subset.text, flags)
        self._compiled = self._compiled or self._quick
        self._ways, self._degree = subset.ways, subset.degree

    def search(self, subject: str) -> Match | None:
        """The first match in a subject; None if there is none.

        Raises:
            Undecided: The search was given up, or would take too long.
        """
        if self._quick is not None:
            steps = self._ways * (len(subject) + 1) ** self._degree
            if steps <= _QUICK_STEPS or self.engine == "re":
                return self._search_re(self._quick, subject, steps)
        try:
            found = self._compiled.search(subject.encode("latin-1"))
        except _pcre2().LibraryError as error:
            raise Undecided(f'the search for "{self.pattern}" was given up: {error.msg}') from None
        if found is None:
            return None
        whole: bytes = found.group(0)
        groups = (whole.decode("latin-1"), *(g if g is None else g.decode("latin-1") for g in found.groups()))
        return Match(groups, tuple((name, groups[number]) for name, number in self._indexes))

    def _search_re(self, pattern: re.Pattern[str], subject: str, steps: int) -> Match | None:
        if steps > _MAX_STEPS:
            raise Undecided(f'the search for "{self.pattern}" may take too long; the pcre2 package can do it')
        found = pattern.search(subject)
        if found is None:
            return None
        groups = (found.group(0), *found.groups())
        return Match(groups, tuple((name, groups[number]) for name, number in self._indexes))


def compile_regex(pattern: str, *, caseless: bool = False, engine: str | None = None) -> Regex:
    """Compile a pattern, or take it from the cache.

    Args:
        pattern: One latin-1 character is one byte.
        caseless: What ``~*`` says.
        engine: One of ``engines()``; or ``both``: PCRE, but ``re`` where that means the same and is quick.  Without it
            the best that can be had.

    Raises:
        RegexError: nginx would refuse it.
        Undecided: No engine here knows what it means.
    """
    result = _compiled(pattern, caseless, engine or _best())
    if isinstance(result, Regex):
        return result
    raise type(result)(str(result))


@cache
def _pcre2() -> Any:
    """The package, or None: loaded with the first pattern, since a start takes long enough."""
    try:
        import pcre2  # noqa: PLC0415 (see LATE in tests/test_architecture.py)
    except ImportError:  # an optional dependency
        return None
    return pcre2


def engines() -> tuple[str, ...]:
    """The engines that can be used here, the preferred one first."""
    return ("pcre2", "re") if _pcre2() is not None else ("re",)


@cache
def _best() -> str:
    return "both" if _pcre2() is not None else "re"


@lru_cache(maxsize=20_000)
def _compiled(pattern: str, caseless: bool, engine: str) -> Regex | RegexError | Undecided:
    """The failures are kept too: a refused pattern is met as often as a good one."""
    try:
        return Regex(pattern, caseless, engine)
    except (RegexError, Undecided) as error:
        return error.with_traceback(None)


def _compile_pcre2(pattern: str, caseless: bool) -> Any:
    if any(not _OLD_COUNT.fullmatch(found[1]) for found in _BRACES.finditer(pattern)):
        raise Undecided(f'a count in "{pattern}" is a quantifier for some versions of PCRE and text for others')
    plain = _ESCAPES.sub(lambda found: _as_nginx_reads(found, pattern), pattern)
    library = _pcre2()
    flags = library.IGNORECASE if caseless else 0
    try:
        return library.compile((_LIMIT_VERB + plain).encode("latin-1"), flags, jit=False)
    except library.PatternError as error:
        what = error.msg.partition("; ")[2]
        raise RegexError.at(what, pattern, max(0, error.pos - len(_LIMIT_VERB))) from None
    except library.LibraryError as error:
        raise Undecided(f'the pattern "{pattern}" could not be compiled: {error.msg}') from None


def _as_nginx_reads(found: re.Match[str], pattern: str) -> str:
    r"""Undo the package's own options: it reads ``\x`` and ``\u`` as JavaScript does and refuses ``\C``."""
    body = found[1]
    if body in ("u", "U"):
        unsupported = r"PCRE2 does not support \F, \L, \l, \N{name}, \U, or \u"
        raise RegexError.at(unsupported, pattern, found.end())
    if body == "C":
        raise Undecided(r"\C in a pattern is not supported here")
    if body[0] != "x":
        return found[0]
    digits = body[1:].strip("{}")
    if not re.fullmatch("[0-9A-Fa-f]*", digits) or len(digits) > 2 or (body[1:2] == "{" and not digits):
        raise Undecided(rf"\{body} in a pattern is not supported here")
    return rf"\x{digits:0>2}"


@dataclass(frozen=True, slots=True)
class _Piece:
    """A translated part: can it match nothing, does it hold a choice, a group, may a quantifier follow."""

    text: str
    nullable: bool = False
    choice: bool = False
    captures: bool = False
    quantifiable: bool = True


class _Subset:
    """The translation of a pattern to ``re``.

    Attributes:
        text: The pattern for ``re``.
        ways, degree: A search takes at most about ``ways * len(subject) ** degree`` steps.
        caseless: Whether the pattern starts with ``(?i)``.
    """

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._names: set[str] = set()
        self._top_choice = False
        self.ways = 1
        self.degree = 0
        self.caseless = pattern.startswith("(?i)")
        if self.caseless:
            self._at = 4
        anchored = pattern.startswith("^", self._at)
        piece = self._alternation(0)
        if self._at < len(pattern):
            raise RegexError.at("unmatched closing parenthesis", pattern, self._at)
        self.text = piece.text
        self.degree += 0 if anchored and not self._top_choice else 1

    def _unsupported(self, what: str) -> Undecided:
        return Undecided(f'{what} in the pattern "{self._pattern}" needs the pcre2 package')

    def _alternation(self, depth: int) -> _Piece:
        if depth > _MAX_DEPTH:
            raise self._unsupported("deep nesting")
        branches = [self._branch(depth)]
        while self._pattern.startswith("|", self._at):
            self._at += 1
            branches.append(self._branch(depth))
        self._top_choice = len(branches) > 1
        self.ways *= len(branches)
        return _Piece(
            "|".join(b.text for b in branches),
            any(b.nullable for b in branches),
            len(branches) > 1 or branches[0].choice,
            any(b.captures for b in branches),
        )

    def _branch(self, depth: int) -> _Piece:
        pieces: list[_Piece] = []
        while self._at < len(self._pattern) and self._pattern[self._at] not in "|)":
            pieces.append(self._quantified(self._atom(depth)))
        return _Piece(
            "".join(p.text for p in pieces),
            all(p.nullable for p in pieces),
            any(p.choice for p in pieces),
            any(p.captures for p in pieces),
        )

    def _quantified(self, piece: _Piece) -> _Piece:
        found = _QUANTIFIER.match(self._pattern, self._at)
        if found is None:
            return piece
        self._at = found.end()
        low, high = _counts(found)
        if found[5] == "+" or _QUANTIFIER.match(self._pattern, self._at):
            raise self._unsupported("a possessive or double quantifier")
        optional = low == 0 and high == 1
        if not piece.quantifiable or piece.nullable or (piece.choice and not optional):
            raise self._unsupported("a repeat of what may be empty or holds a choice or a repeat")
        if low > _MAX_COUNT or (high is not None and (high > _MAX_COUNT or high < max(low, 1))):
            raise self._unsupported("an unusual count")
        if optional:
            self.ways *= 2
        elif low != high:
            self.degree += 1
        return _Piece(piece.text + found[0], low == 0, low != high, piece.captures)

    def _atom(self, depth: int) -> _Piece:
        char = self._pattern[self._at]
        if char == "(":
            return self._group(depth)
        self._at += 1
        if char == "[":
            return _Piece(self._class())
        if char == "\\":
            return self._escape()
        if char == ".":
            return _Piece(".")
        if char in "^$":
            return _Piece(char, nullable=True, quantifiable=False)
        if char in "*+?":
            raise RegexError.at("quantifier does not follow a repeatable item", self._pattern, self._at)
        if char == "{":
            raise self._unsupported('a bare "{"')
        return _Piece(_literal(char))

    def _escape(self) -> _Piece:
        char = self._pattern[self._at : self._at + 1]
        if char in _ASSERTIONS and char:
            self._at += 1
            return _Piece(_ASSERTIONS[char], nullable=True, quantifiable=False)
        if char in _SETS and char:
            self._at += 1
            return _Piece("\\" + char)
        return _Piece(_literal(self._escaped_char()))

    def _escaped_char(self) -> str:
        """The one character that an escape means; the offset is behind the backslash."""
        char = self._pattern[self._at : self._at + 1]
        self._at += 1
        if char == "":
            raise RegexError.at(r"\ at end of pattern", self._pattern, len(self._pattern))
        if char == "x" and re.fullmatch("[0-9A-Fa-f]{2}", self._pattern[self._at : self._at + 2]):
            self._at += 2
            return chr(int(self._pattern[self._at - 2 : self._at], 16))
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char.isascii() and char.isalnum():
            raise self._unsupported(f"\\{char}")
        return char

    def _group(self, depth: int) -> _Piece:
        self._at += 1
        opening, look = self._group_opening()
        body = self._alternation(depth + 1)
        if not self._pattern.startswith(")", self._at):
            raise RegexError.at("missing closing parenthesis", self._pattern, len(self._pattern))
        self._at += 1
        captures = body.captures or opening not in ("(?:", "(?=", "(?!")
        if look and captures:
            raise self._unsupported("a group inside a lookahead")
        text = f"{opening}{body.text})"
        return _Piece(text, body.nullable or look, body.choice, captures, not look)

    def _group_opening(self) -> tuple[str, bool]:
        """What opens the group in ``re``, and whether it is a lookahead."""
        if not self._pattern.startswith("?", self._at):
            if self._pattern.startswith("*", self._at):
                raise self._unsupported("a verb")
            return "(", False
        for opening in ("?:", "?=", "?!"):
            if self._pattern.startswith(opening, self._at):
                self._at += 2
                return "(" + opening, opening != "?:"
        named = _NAMED.match(self._pattern, self._at)
        name = (named[1] or named[2]) if named else ""
        if not named or name in self._names:
            raise self._unsupported("a special group")
        self._names.add(name)
        self._at = named.end()
        return f"(?P<{name}>", False

    def _class(self) -> str:
        negated = self._pattern.startswith("^", self._at)
        self._at += negated
        parts: list[str] = []
        while not self._pattern.startswith("]", self._at) or not parts:
            if self._at >= len(self._pattern):
                raise RegexError.at("missing terminating ] for character class", self._pattern, len(self._pattern))
            parts.append(self._class_item())
        self._at += 1
        return f"[{'^' if negated else ''}{''.join(parts)}]"

    def _class_item(self) -> str:
        low = self._class_char()
        ranged = self._pattern.startswith("-", self._at) and not self._pattern.startswith("-]", self._at)
        if not ranged:
            return _in_class(low) if len(low) == 1 else low
        self._at += 1
        if self._at >= len(self._pattern):
            raise RegexError.at("missing terminating ] for character class", self._pattern, len(self._pattern))
        high = self._class_char()
        if len(low) != 1 or len(high) != 1:
            raise self._unsupported("a range with a class")
        if low > high:
            raise RegexError.at("range out of order in character class", self._pattern, self._at - 1)
        return f"{_in_class(low)}-{_in_class(high)}"

    def _class_char(self) -> str:
        """One character of a class, or (longer than one) a set in the words of ``re``."""
        char = self._pattern[self._at]
        self._at += 1
        if char == "[" and self._pattern[self._at : self._at + 1] in (":", ".", "="):
            end = self._pattern.find(":]", self._at)
            name = self._pattern[self._at + 1 : end] if end > 0 else ""
            if self._pattern[self._at] != ":" or name not in _POSIX:
                raise self._unsupported("a POSIX class")
            self._at = end + 2
            return _POSIX[name]
        if char != "\\":
            return char
        following = self._pattern[self._at : self._at + 1]
        if following in _SETS and following:
            self._at += 1
            return "\\" + following
        if following == "b":
            self._at += 1
            return "\b"
        return self._escaped_char()


def _counts(found: re.Match[str]) -> tuple[int, int | None]:
    """The least and the largest count of a quantifier; None is no limit."""
    if found[1] in ("*", "+"):
        return (0 if found[1] == "*" else 1), None
    if found[1] == "?":
        return 0, 1
    low = int(found[2])
    if not found[3]:
        return low, low
    return low, int(found[4]) if found[4] else None


def _literal(char: str) -> str:
    return char if char.isascii() and char.isalnum() else f"\\x{ord(char):02x}"


def _in_class(char: str) -> str:
    return f"\\x{ord(char):02x}"
