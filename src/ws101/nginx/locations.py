"""Which location answers: ``=``, ``^~``, prefixes, regular expressions, nested locations, the automatic 301.

Theory of operation.  nginx looks at one level (a server, or a location with locations inside) at a time: an exact name
ends the search; else the longest prefix is remembered and its own locations are looked at first; on the way back, each
level's regular expressions are tried in order, unless the prefix found there has ``^~``.  Inside a location with a
regular expression only other regular expressions count: nginx builds no tree of the names there.  nginx recurses; here
the way down is a list, so depth costs no stack.

Each level is indexed once: a dictionary of exact names, and the prefixes sorted, each knowing the longest other prefix
that it starts with.  The longest prefix of a URI is then its predecessor in that order or one of the predecessor's
ancestors.

Source: src/http/ngx_http_core_module.c (ngx_http_core_find_location, ngx_http_core_find_static_location,
ngx_http_core_location), src/http/ngx_http.c (ngx_http_create_locations_tree).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import field
from functools import lru_cache
from typing import Literal, NamedTuple

from ws101.lazy import dataclass
from ws101.nginx.build import Build
from ws101.nginx.config import Scope, Unknown
from ws101.nginx.regex import Match, Regex, RegexError, Undecided, compile_regex

__all__ = [
    "Candidate",
    "Found",
    "Kind",
    "LocationName",
    "auto_redirect",
    "find_location",
    "location_name",
    "named_location",
]

Kind = Literal["exact", "prefix", "regex", "none"]
"""How a location was found; ``none``: no location matches, the server itself answers."""

_PASSES = ("proxy_pass", "fastcgi_pass", "uwsgi_pass", "scgi_pass", "grpc_pass", "memcached_pass", "tunnel_pass")
_MEMO = "location level"


@dataclass(frozen=True, slots=True)
class LocationName:
    """A location's head, read as nginx reads it.

    Args:
        modifier: ``""``, ``=``, ``^~``, ``~``, ``~*`` or ``@``.
        name: Prefix, pattern, or the name with its ``@``.
    """

    modifier: str
    name: str

    @property
    def is_regex(self) -> bool:
        """Whether the name is a pattern."""
        return self.modifier in ("~", "~*")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A location that matches the URI too but lost, and why."""

    scope: Scope
    why: str


@dataclass(slots=True)
class Found:
    """Where the search ended; as one answer for each request, it is not frozen (see ``Received``).

    Args:
        scope: The location; None if it is the server itself.
        redirect: nginx answers 301 with the location's name instead (the missing slash of a proxied ``/name/``).
        captures: What the location's regular expression matched.
        matches: What each regular expression on the way matched, outermost first; ``captures`` is the last of them.
        kind: How it was found.
        unknown: Why another location may be the one: an unreadable include, or an undecidable pattern.
    """

    scope: Scope | None
    redirect: bool
    captures: Match | None
    kind: Kind
    unknown: Unknown | None = None
    matches: tuple[Match, ...] = ()
    _steps: tuple[_Step, ...] = field(default=(), repr=False)
    _uri: str = field(default="", repr=False)

    @property
    def lost(self) -> tuple[Candidate, ...]:
        """The other locations that match the URI, outermost first, and why they lost; worked out when asked for."""
        return tuple(_lost(self))


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A location's regular expression, or why it cannot be told what it matches."""

    scope: Scope
    regex: Regex | Unknown


@dataclass(slots=True, eq=False)
class _Level:
    """The locations that stand directly in one scope, indexed."""

    exact: dict[str, Scope]
    names: list[str]
    scopes: list[Scope]
    parents: list[int]
    noregex: list[bool]
    slashless: dict[str, Scope]
    regexes: list[_Pattern]
    named: dict[str, Scope]

    def longest(self, uri: str) -> int:
        """The number of the longest prefix of a URI; -1 if there is none."""
        at = bisect_right(self.names, uri) - 1
        while at >= 0 and not uri.startswith(self.names[at]):
            at = self.parents[at]
        return at


_EMPTY = _Level({}, [], [], [], [], {}, [], {})
"""What most locations hold: no others."""


class _Step(NamedTuple):
    """One level on the way: the longest prefix there, and whether regular expressions count; names may not."""

    level: _Level
    prefix: int
    tried: bool
    named: bool = True


def location_name(scope: Scope) -> LocationName:
    """Modifier and name of a location's head, also where both are one word (``location =/x``, ``location ~*re``).

    A location that was cut out of its head (a fragment) has the empty prefix, which matches every URI.
    """
    return _read_name(scope.opener.args if scope.opener is not None else ())


@lru_cache(maxsize=4096)
def _read_name(args: tuple[str, ...]) -> LocationName:
    if len(args) == 2:
        return LocationName(args[0], args[1])
    word = args[0] if args else ""
    if word.startswith("@"):
        return LocationName("@", word)
    for modifier in ("=", "^~", "~*", "~"):
        if word.startswith(modifier):
            return LocationName(modifier, word[len(modifier) :])
    return LocationName("", word)


def auto_redirect(scope: Scope) -> bool:
    """Whether a request for the location's name without its last slash is answered by 301.

    The name ends in ``/`` and the location itself (not an ``if`` in it) hands requests to a backend.
    """
    name = location_name(scope)
    return not name.is_regex and name.name.endswith("/") and any(directive in scope.index for directive in _PASSES)


def named_location(server: Scope, name: str) -> Scope | None:
    """The location ``@name`` of a server; the name is given with its ``@``."""
    return _level(server).named.get(name)


def find_location(server: Scope, uri: str, build: Build) -> Found:
    """The location that answers a URI.

    Args:
        server: The server block.
        uri: Decoded and normalised, without arguments.
        build: The nginx; every version searches alike.
    """
    del build
    doubts: list[Unknown] = []
    steps, end, kind, redirect = _go_down(server, uri, doubts)
    matches: list[Match] = []
    matched = None if kind == "exact" or redirect else _come_back(steps, uri, doubts)
    while matched is not None:
        end, match = matched
        matches.append(match)
        kind = "regex"
        inside = [_Step(_level(end), -1, True, False)]
        steps += inside
        if end.opaque:
            doubts.append(_doubt(end))
        matched = _come_back(inside, uri, doubts)
    captures = matches[-1] if matches else None
    return Found(end, redirect, captures, kind, doubts[0] if doubts else None, tuple(matches), tuple(steps), uri)


def _go_down(base: Scope, uri: str, doubts: list[Unknown]) -> tuple[list[_Step], Scope | None, Kind, bool]:
    """From level to level by exact names and longest prefixes; ends with the location, how, and whether by 301."""
    way: list[_Step] = []
    scope = base
    end: Scope | None = None
    kind: Kind = "none"
    while True:
        level = _level(scope)
        if level is _EMPTY and not scope.opaque:
            return way, end, kind, False
        exact = level.exact.get(uri)
        if exact is not None:
            way.append(_Step(level, -1, False))
            return way, exact, "exact", False
        if scope.opaque:
            doubts.append(_doubt(scope))
        at = level.longest(uri)
        if uri in level.slashless and (at < 0 or level.names[at] != uri):
            way.append(_Step(level, at, False))
            return way, level.slashless[uri], "prefix", True
        way.append(_Step(level, at, at < 0 or not level.noregex[at]))
        if at < 0:
            return way, end, kind, False
        scope = end = level.scopes[at]
        kind = "prefix"


def _come_back(way: list[_Step], uri: str, doubts: list[Unknown]) -> tuple[Scope, Match] | None:
    """The first regular expression that matches, of the innermost level that has one."""
    for step in reversed(way):
        if not step.tried:
            continue
        for pattern in step.level.regexes:
            found = _searched(pattern, uri)
            if isinstance(found, Unknown):
                doubts.append(found)
            elif found is not None:
                return pattern.scope, found
    return None


def _searched(pattern: _Pattern, uri: str) -> Match | Unknown | None:
    """What a location's regular expression makes of a URI; ``Unknown`` where that cannot be told."""
    if isinstance(pattern.regex, Unknown):
        return pattern.regex
    try:
        return pattern.regex.search(uri)
    except Undecided as undecided:
        return Unknown(undecided.reason, pattern.scope.opener)


def _pattern(scope: Scope, head: LocationName) -> _Pattern:
    try:
        return _Pattern(scope, compile_regex(head.name, caseless=head.modifier == "~*"))
    except (Undecided, RegexError) as error:
        return _Pattern(scope, Unknown(str(error), scope.opener))


def _doubt(scope: Scope) -> Unknown:
    return Unknown("a location in a file that could not be read may answer", scope.opaque[0])


def _level(scope: Scope) -> _Level:
    memo = scope.memo
    if _MEMO not in memo:
        memo[_MEMO] = _index(scope)
    return memo[_MEMO]  # type: ignore[return-value]  # the memo of this key holds nothing else


def _index(scope: Scope) -> _Level:
    inside = scope.config.locations(scope)
    if not inside:
        return _EMPTY
    exact: dict[str, Scope] = {}
    prefixes: dict[str, tuple[Scope, bool]] = {}
    regexes: list[_Pattern] = []
    named: dict[str, Scope] = {}
    slashless: dict[str, Scope] = {}
    for inner in inside:
        head = location_name(inner)
        if head.is_regex:
            regexes.append(_pattern(inner, head))
        elif head.modifier == "@":
            named.setdefault(head.name, inner)
        elif head.modifier == "=":
            exact.setdefault(head.name, inner)
        elif head.modifier in ("", "^~"):
            prefixes.setdefault(head.name, (inner, head.modifier == "^~"))
        if head.modifier in ("", "=", "^~") and auto_redirect(inner):
            slashless.setdefault(head.name[:-1], inner)
    slashless = {name: exact.get(name + "/", inner) for name, inner in slashless.items()}
    names = sorted(prefixes)
    scopes = [prefixes[name][0] for name in names]
    noregex = [prefixes[name][1] for name in names]
    return _Level(exact, names, scopes, _parents(names), noregex, slashless, regexes, named)


def _parents(names: list[str]) -> list[int]:
    """For each of the sorted names, the number of the longest other name that it starts with; -1 if there is none."""
    parents: list[int] = []
    for at, name in enumerate(names):
        parent = at - 1
        while parent >= 0 and not name.startswith(names[parent]):
            parent = parents[parent]
        parents.append(parent)
    return parents


def _lost(found: Found) -> Iterator[Candidate]:
    winner = _words(found.scope)
    for step in found._steps:
        level = step.level
        longest = at = level.longest(found._uri) if step.named else -1
        while at >= 0:
            if level.scopes[at] is not found.scope:
                yield Candidate(level.scopes[at], _why_prefix_lost(found, level, longest, at, winner))
            at = level.parents[at]
        for pattern in level.regexes:
            if pattern.scope is not found.scope and isinstance(_searched(pattern, found._uri), Match):
                yield Candidate(pattern.scope, _why_regex_lost(found, step, winner))


def _why_prefix_lost(found: Found, level: _Level, longest: int, at: int, winner: str) -> str:
    if at != longest:
        return f'"{level.names[longest]}" is a longer prefix'
    if found.redirect:
        return f"the redirect to {winner} comes first"
    if found.kind == "regex":
        return f"the regular expression of {winner} comes before a prefix"
    return f"{winner} inside it matches too"


def _why_regex_lost(found: Found, step: _Step, winner: str) -> str:
    if found.kind == "exact":
        return f"{winner} is an exact match, which ends the search"
    if found.redirect:
        return f"the redirect to {winner} comes before regular expressions"
    if not step.tried:
        return f'"^~ {step.level.names[step.prefix]}" keeps regular expressions from being tried'
    return f"{winner} is found first"


def _words(scope: Scope | None) -> str:
    return "the server" if scope is None else f'"{scope.title}"'
