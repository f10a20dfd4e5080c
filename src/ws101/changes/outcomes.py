"""How two outcomes differ, clause by clause; and what else two routes say differently.

The outcome is what the model works out: server, location, upstream, the exact request, tunnel, timeouts.  What it does
not work out (the file that is served, limits, logs) still counts: the directives of both routes are compared as well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from ws101.changes.pairing import shape_of
from ws101.nginx.config import Placed, Scope
from ws101.nginx.directives import parse_time, rows
from ws101.nginx.inherit import effective
from ws101.nginx.outcome import Forwarded, Outcome
from ws101.text import lower

__all__ = ["differences", "is_inherited", "said", "settings"]

_SENT = ("set", "default", "passed", "unknown")
_TIMEOUTS = ("proxy_connect_timeout", "proxy_send_timeout", "proxy_read_timeout")
_SECRET = ("auth", "cookie", "token", "secret", "key", "password")
_WORKED_OUT = frozenset(
    (
        *(
            "proxy_set_header",
            "proxy_pass",
            "proxy_http_version",
            "proxy_method",
            "proxy_set_body",
            "return",
            "rewrite",
        ),
        *("set", "break", "include", *_TIMEOUTS),
    )
)
"""Directives whose every effect the outcomes show."""


def differences(before: Outcome, after: Outcome, partners: Mapping[Scope, Scope]) -> tuple[str, ...]:
    """The clauses; none if the outcomes are the same.

    Args:
        before: The outcome in the old configuration.
        after: The outcome in the new one.
        partners: For the blocks of the old configuration, those that they became.
    """
    if (before.kind, before.status) != (after.kind, after.status):
        return (f"{said(before)} becomes {said(after)}",)
    return tuple(_clauses(before, after, partners))


def said(outcome: Outcome) -> str:
    """An outcome in a few words."""
    if outcome.kind == "proxied" and outcome.forwarded is not None:
        return f"proxied to {_target(outcome.forwarded)}"
    return f"{outcome.kind} {outcome.status}" if outcome.status is not None else outcome.kind


def _clauses(before: Outcome, after: Outcome, partners: Mapping[Scope, Scope]) -> Iterator[str]:
    if before.location != after.location:
        yield f"the redirect to {before.location} becomes one to {after.location}"
    if before.body != after.body:
        yield "the body of the answer differs"
    one, other = before.scope, after.scope
    if one is not None and other is not None and not _same_place(one, other, partners):
        yield f"{other.title} answers instead of {one.title}"
    if before.forwarded is not None and after.forwarded is not None:
        yield from _forwarded(before.forwarded, after.forwarded)
        yield from _timeouts(before, after)


def _same_place(one: Scope, other: Scope, partners: Mapping[Scope, Scope]) -> bool:
    if one in partners:
        return partners[one] is other
    mine, its = one.server, other.server
    return one.title == other.title and (mine is None or its is None or partners.get(mine) is its)


def _forwarded(before: Forwarded, after: Forwarded) -> Iterator[str]:
    if _peers(before) != _peers(after):
        yield f"it goes to {_target(after)} instead of {_target(before)}"
    one, other = before.request, after.request
    if one is not None and other is not None:
        if (one.method, one.target, one.version) != (other.method, other.target, other.version):
            lines = (f"{r.method} {r.target} {r.version}" for r in (one, other))
            yield " becomes ".join(lines)
        if one.body != other.body:
            yield "the body that is sent differs"
    elif (one is None) != (other is None) or before.handler.args != after.handler.args:
        yield f"{_words(before.handler)} becomes {_words(after.handler)}"
    yield from _headers(before, after)
    if before.tunnel != after.tunnel:
        yield _TUNNELS[after.tunnel]


_TUNNELS = {
    True: "a WebSocket handshake now arrives as a valid one",
    False: "a WebSocket handshake no longer arrives as a valid one",
    None: "whether a WebSocket handshake arrives now depends on what only run time knows",
}


def _headers(before: Forwarded, after: Forwarded) -> Iterator[str]:
    old, new = _fields(before), _fields(after)
    for name in dict.fromkeys((*old, *new)):
        if sorted(v for _, v in old[name]) == sorted(v for _, v in new[name]):
            continue
        shown = (new[name] or old[name])[0][0]
        if not new[name]:
            yield f"{shown} is no longer sent (was {_values(name, old[name])})"
        elif not old[name]:
            yield f"{shown}: {_values(name, new[name])} is sent, and was not"
        else:
            yield f"{shown}: {_values(name, old[name])} becomes {_values(name, new[name])}"


def _fields(forwarded: Forwarded) -> defaultdict[str, list[tuple[str, str]]]:
    found: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for fate in forwarded.headers:
        if fate.fate in _SENT:
            found[lower(fate.name)].append((fate.name, fate.value))
    return found


def _values(name: str, fields: list[tuple[str, str]]) -> str:
    """Values for people; those of secrets are only said to differ."""
    hidden = any(word in name for word in _SECRET) and not name.startswith("sec-websocket")
    return "***" if hidden else ", ".join(value or '""' for _, value in fields)


def _peers(forwarded: Forwarded) -> tuple[object, ...]:
    upstream = forwarded.upstream
    if upstream is None:
        return (forwarded.handler.args,)
    return upstream.name, upstream.tls, tuple((p.address, p.weight, p.backup, p.down) for p in upstream.peers)


def _target(forwarded: Forwarded) -> str:
    upstream = forwarded.upstream
    if upstream is None:
        return " ".join(forwarded.handler.args)
    peers = ", ".join(p.address for p in upstream.peers[:4])
    return upstream.url if not peers or upstream.block is None else f"{upstream.url} ({peers})"


def _timeouts(before: Outcome, after: Outcome) -> Iterator[str]:
    one, other = before.scope, after.scope
    if one is None or other is None:
        return
    for name in _TIMEOUTS:
        old, new = (effective(scope, name).text or "60s" for scope in (one, other))
        if parse_time(old) != parse_time(new):
            yield f"{name} {old} becomes {new}"


def settings(old: Scope, new: Scope, *, every: bool) -> tuple[str, ...]:
    """The directives that rule in two routes and differ.

    Args:
        old: The route's block before.
        new: The same after.
        every: Whether to name those too whose effect the outcomes show.
    """
    before, after = _ruling(old, every=every), _ruling(new, every=every)
    return tuple(
        f"{_lines(before.get(name, ()))} becomes {_lines(after.get(name, ()))}"
        for name in sorted({*before, *after})
        if _shapes(before.get(name, ())) != _shapes(after.get(name, ()))
    )


def is_inherited(placed: Placed) -> bool:
    """Whether a directive of ``http`` says something about each route, and so is compared there."""
    return placed.scope.kind == "http" and placed.directive.block is None and bool(rows(placed.name, "location"))


def _ruling(scope: Scope, *, every: bool) -> dict[str, tuple[Placed, ...]]:
    """By name, the directives of the innermost level that has any; blocks that are routes themselves aside."""
    found: dict[str, tuple[Placed, ...]] = {}
    for level in scope.outward:
        if level.kind == "main":
            break
        mine: defaultdict[str, list[Placed]] = defaultdict(list)
        for placed in level:
            if (every or placed.name not in _WORKED_OUT) and _counts(placed):
                mine[placed.name].append(placed)
        for name, lines in mine.items():
            found.setdefault(name, tuple(lines))
    return found


def _counts(placed: Placed) -> bool:
    if placed.scope.kind == "http":
        return is_inherited(placed)
    return placed.directive.block is None or (placed.scope.kind, placed.name) not in _ROUTES


_ROUTES = frozenset(
    (
        *(("server", "location"), ("location", "location")),
        *(("location", "if"), ("location", "limit_except")),
    )
)
"""Blocks that are routes, by where they stand."""


def _shapes(lines: tuple[Placed, ...]) -> tuple[object, ...]:
    return tuple(
        placed.args if placed.directive.block is None else shape_of(placed.scope.child(placed)) for placed in lines
    )


def _lines(lines: tuple[Placed, ...]) -> str:
    return "; ".join(map(_words, lines)) or "nothing"


def _words(placed: Placed) -> str:
    words = " ".join((placed.name, *placed.args))
    return words if placed.directive.block is None else f"{words} {{...}}"
