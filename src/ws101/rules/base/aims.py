"""Which routes are meant for WebSockets, and how we know.

*Told*: by a URL, or by a comment ``# ws101: websocket``.  *Shown*: the configuration itself forwards upgrade header
fields there, or tries to.  *Hinted*: a whole path segment of the location's name.  Only told and shown make errors.

Fields set in a location speak for that location.  Fields set for a whole server or for ``http`` reach every location
below; they are taken as meant for those whose names hint at WebSockets, or if there is none, for those they reach, or
if they reach none, for all.  Neither fields nor a name speak for a location that subrequests ask for, nor do outer
fields for one that clears Upgrade itself.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Iterable

from ws101.lazy import dataclass
from ws101.nginx.config import Config, Placed, Route, Scope
from ws101.nginx.inherit import level_of
from ws101.nginx.locations import location_name
from ws101.nginx.maps import map_tables
from ws101.nginx.outcome import Trace
from ws101.nginx.templates import parse_template
from ws101.rules.base.hints import hinted_by
from ws101.rules.base.remarks import Remark
from ws101.syntax import Directive
from ws101.text import lower

__all__ = [
    "Aim",
    "Intent",
    "adds_upgrade",
    "answered_by_file",
    "attempts_upgrade",
    "find_aims",
    "is_upgrade_map",
    "location_of",
    "slash_redirect",
]

_HEADER = "proxy_set_header"
_OUTER = ("http", "server")
_SUBREQUESTS = ("auth_request", "mirror")


class Intent(enum.Enum):
    """How sure it is that a route is meant for WebSockets."""

    TOLD = "told"
    SHOWN = "shown"
    HINTED = "hinted"

    @property
    def is_sure(self) -> bool:
        """Whether faults there are errors."""
        return self is not Intent.HINTED


@dataclass(frozen=True, slots=True)
class Aim:
    """A route that is, or may be, meant for WebSockets.

    Args:
        route: The route.
        intent: How sure it is.
        why: How we know, one clause.
        urls: The told URLs that lead to it.
        example: For fields set in another location that would answer here if this one did not exist: that location.
    """

    route: Route
    intent: Intent
    why: str
    urls: tuple[str, ...] = ()
    example: Scope | None = None

    @property
    def scope(self) -> Scope:
        """The location (or ``if``) that answers."""
        return self.route.location


def location_of(scope: Scope) -> Scope:
    """The location block of a route: the scope itself, or the one around an ``if`` or ``limit_except``."""
    level: Scope | None = scope
    while level is not None and level.kind not in ("location", "server"):
        level = level.parent
    return level if level is not None else scope


def slash_redirect(trace: Trace) -> Scope | None:
    """The location to whose name with a slash nginx redirects a request that lacks it; None if it does not.

    Source: src/http/ngx_http_core_module.c:ngx_http_core_find_static_location (auto_redirect).
    """
    outcome = trace.outcome
    if outcome.kind != "redirected" or outcome.status != 301 or outcome.scope is None:
        return None
    path = trace.arrival.request.target.partition("?")[0]
    return outcome.scope if location_name(outcome.scope).name == path + "/" else None


def answered_by_file(trace: Trace) -> bool:
    """Whether nginx answers with a file, or with 404 because try_files finds none."""
    last = trace.decisions[-1] if trace.decisions else None
    missing = trace.outcome.status == 404 and last is not None and last.step == "content"
    return trace.outcome.kind == "static" or (trace.outcome.kind == "refused" and missing)


def is_upgrade_map(config: Config, name: str) -> bool:
    """Whether a variable (lower case, without ``$``) is a map of ``$http_upgrade``."""
    table = map_tables(config).get(name)
    return table is not None and "http_upgrade" in parse_template(table.source).variables


def attempts_upgrade(placed: Placed) -> bool:
    """Whether a proxy_set_header tries to forward an upgrade: the field Upgrade, or Connection with that option."""
    args, config = placed.args, placed.scope.config
    if len(args) != 2 or not args[1]:
        return False
    if lower(args[0]) == "upgrade":
        return True
    if lower(args[0]) != "connection":
        return False
    names = parse_template(args[1]).variables
    return (
        "upgrade" in lower(args[1]) or "http_connection" in names or any(is_upgrade_map(config, name) for name in names)
    )


def adds_upgrade(placed: Placed) -> bool:
    """Whether an add_header tries to forward a WebSocket's Upgrade, and gives it to the client instead."""
    args = placed.args
    return (
        len(args) > 1
        and lower(args[0]) == "upgrade"
        and ("http_upgrade" in lower(args[1]) or lower(args[1]) == "websocket")
    )


def find_aims(
    routes: Iterable[Route], traces: Iterable[tuple[str, Trace]], remarks: Iterable[Remark]
) -> tuple[Aim, ...]:
    """Every route that is or may be meant for WebSockets, in the configuration's order.

    Args:
        routes: The proxied routes of the configuration.
        traces: The told URLs and what becomes of their handshakes.
        remarks: The ``# ws101:`` comments.
    """
    return tuple(_Finder(routes, traces, remarks).aims())


class _Finder:
    def __init__(self, routes: Iterable[Route], traces: Iterable[tuple[str, Trace]], remarks: Iterable[Remark]) -> None:
        self.routes = tuple(routes)
        self.urls: dict[Scope, tuple[str, ...]] = {}
        for url, trace in traces:
            scope = trace.outcome.scope if trace.outcome.kind == "proxied" else slash_redirect(trace)
            if scope is not None:
                self.urls[scope] = (*self.urls.get(scope, ()), url)
        self.marked: set[Directive] = {r.location for r in remarks if r.kind == "websocket" and r.location is not None}
        self.said: dict[tuple[str, ...], bool] = {}
        self.attempts: dict[Scope, bool] = {}
        self.outer_attempts: dict[Scope, tuple[Scope, ...]] = {}
        self.asked = self._subrequests()
        self.own = {route.location: self._own(route.location) for route in self.routes}
        self.outer = self._outer_groups()
        self.examples = self._examples()

    def aims(self) -> Iterable[Aim]:
        """The aims, in order."""
        for route in self.routes:
            scope = route.location
            example = self._example(route)
            found = self._told(route) or self._shown(route) or self._hinted(route, example)
            if found:
                yield Aim(route, found[0], found[1], self.urls.get(scope, ()), example)

    def _told(self, route: Route) -> tuple[Intent, str] | None:
        scope = route.location
        if scope in self.urls:
            return Intent.TOLD, f"{self.urls[scope][0]} leads here"
        opener = location_of(scope).opener
        if opener is not None and opener.directive in self.marked:
            return Intent.TOLD, "a comment says so"
        return None

    def _shown(self, route: Route) -> tuple[Intent, str] | None:
        if self._is_asked(route):
            return None
        if self.own[route.location]:
            return Intent.SHOWN, "it forwards upgrade header fields"
        if self._clears(route.location):
            return None
        for level in self._outer_attempts(route):
            meant, all_reached = self.outer[level, route.server]
            if route.location in meant:
                return Intent.SHOWN, f"upgrade header fields are set for the whole {level.kind} block"
            if all_reached:
                return Intent.HINTED, f"upgrade header fields are set for the whole {level.kind} block"
        return None

    def _hinted(self, route: Route, example: Scope | None) -> tuple[Intent, str] | None:
        hint = self._hint(route)
        if hint is None:
            return None
        if example is not None:
            return Intent.SHOWN, f'"{hint}" is in its name, and {example.title} forwards upgrade header fields'
        return Intent.HINTED, f'"{hint}" is in its name'

    def _hint(self, route: Route) -> str | None:
        location = location_of(route.location)
        return hinted_by(location) if location.kind == "location" and not self._is_asked(route) else None

    def _subrequests(self) -> frozenset[tuple[Scope, str]]:
        """The paths that subrequests ask for, with their servers."""
        seen: set[tuple[Scope, Scope]] = set()
        asked: set[tuple[Scope, str]] = set()
        for route in self.routes:
            for level in route.location.outward:
                if (route.server, level) in seen:
                    break
                seen.add((route.server, level))
                lines = (placed for name in _SUBREQUESTS for placed in level.all(name) if placed.args)
                asked.update((route.server, placed.args[0].partition("?")[0]) for placed in lines)
        return frozenset(asked)

    def _is_asked(self, route: Route) -> bool:
        """Whether a location is there for subrequests."""
        name = location_name(location_of(route.location))
        return not name.is_regex and (route.server, name.name) in self.asked

    def _clears(self, scope: Scope) -> bool:
        """Whether a location says itself that Upgrade is not to be forwarded."""
        lines = location_of(scope).all(_HEADER)
        return any(len(p.args) == 2 and lower(p.args[0]) == "upgrade" and not p.args[1] for p in lines)

    def _attempts(self, level: Scope) -> bool:
        found = self.attempts.get(level)
        if found is None:
            misplaced = level.kind == "location" and any(adds_upgrade(p) for p in level.all("add_header"))
            found = self.attempts[level] = misplaced or any(self._sets_upgrade(p) for p in level.all(_HEADER))
        return found

    def _sets_upgrade(self, placed: Placed) -> bool:
        """``attempts_upgrade``, once for all that is written alike."""
        args = placed.directive.args
        found = self.said.get(args)
        if found is None:
            found = self.said[args] = attempts_upgrade(placed)
        return found

    def _own(self, scope: Scope) -> bool:
        """Whether a location level of a route tries to forward an upgrade."""
        level: Scope | None = scope
        while level is not None and level.kind not in _OUTER:
            if level.kind == "location" and self._attempts(level):
                return True
            level = level.parent
        return False

    def _outer_attempts(self, route: Route) -> tuple[Scope, ...]:
        """The levels around the locations that try to forward an upgrade: the same for all routes of a server."""
        found = self.outer_attempts.get(route.server)
        if found is None:
            levels = (s for s in route.server.outward if s.kind in _OUTER and self._attempts(s))
            found = self.outer_attempts[route.server] = tuple(levels)
        return found

    def _outer_groups(self) -> dict[tuple[Scope, Scope], tuple[frozenset[Scope], bool]]:
        """For each outer level that sets the fields, and each server below: the routes meant.

        The flag says that no name hints at one, while the fields reach some.
        """
        groups: dict[tuple[Scope, Scope], list[Route]] = defaultdict(list)
        for route in self.routes:
            for level in self._outer_attempts(route):
                groups[level, route.server].append(route)
        found = {}
        for key, routes in groups.items():
            named = frozenset(r.location for r in routes if self._hint(r) or self._told(r) or self.own[r.location])
            reached = frozenset(r.location for r in routes if level_of(r.location, _HEADER) is key[0])
            everything = frozenset(r.location for r in routes)
            found[key] = (named or reached or everything, not named and bool(reached))
        return found

    def _examples(self) -> dict[Scope, list[tuple[str, Scope]]]:
        """For each server: the prefix locations with upgrade fields whose names hint at nothing, with their names."""
        found: dict[Scope, list[tuple[str, Scope]]] = defaultdict(list)
        for route in self.routes:
            name = location_name(location_of(route.location))
            if self.own[route.location] and name.modifier in ("", "^~") and self._hint(route) is None:
                found[route.server].append((name.name, route.location))
        return found

    def _example(self, route: Route) -> Scope | None:
        """The location with upgrade fields that would answer here if this one did not exist."""
        if self.own[route.location]:
            return None
        own = location_name(location_of(route.location)).name
        candidates = [
            (len(name), scope)
            for name, scope in self.examples.get(route.server, ())
            if scope is not route.location and (own.startswith(name) or name == "/")
        ]
        return max(candidates, key=lambda c: c[0])[1] if candidates else None
