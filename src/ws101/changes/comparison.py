"""``compare_configs``: for every route of two configurations, whether requests get another outcome.

Each route is asked with an opening handshake, a plain GET and a plain POST, twice: as a request that comes in from the
network and may end anywhere, where the names of route and server tell what such a request looks like; and as one that
has reached the route.  Routes of servers that say the same, with the same around them and chosen for the same hosts,
are the same without being asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from ws101.changes.outcomes import differences, is_inherited, settings
from ws101.changes.pairing import (
    Pair,
    around,
    not_among,
    pair_routes,
    pair_servers,
    same_text,
    server_identity,
)
from ws101.http1 import Request
from ws101.lazy import dataclass, lazy_pattern
from ws101.nginx.build import Build
from ws101.nginx.config import Config, Placed, Route, Scope, Unknown
from ws101.nginx.locations import location_name
from ws101.nginx.outcome import Arrival, Outcome, Trace
from ws101.nginx.regex import RegexError, Undecided, compile_regex
from ws101.nginx.servers import Group, listeners, parse_listen
from ws101.nginx.trace import answer, trace
from ws101.rules.base.aims import location_of
from ws101.rules.base.urls import handshake_request, plain_request
from ws101.syntax import Problem
from ws101.text import lower

__all__ = ["KINDS", "Compared", "Comparison", "RouteChange", "compare_configs"]

KINDS = ("handshake", "GET", "POST")
"""What every route is asked with."""

_PATTERN = lazy_pattern(r"\^(/[\w/-]*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Compared:
    """One request whose outcome differs, or may.

    Args:
        kind: One of `KINDS`.
        request: The request.
        before: What the old configuration does with it; None if no request is known to reach the route.
        after: What the new one does.
        differences: What differs, clause by clause; empty if that cannot be known.
        unknown: What could not be known.
        builds: The nginx versions it holds for.
    """

    kind: str
    request: Request
    before: Outcome | None
    after: Outcome | None
    differences: tuple[str, ...]
    unknown: tuple[Unknown, ...]
    builds: tuple[Build, ...]


@dataclass(frozen=True, slots=True)
class RouteChange:
    """One route of the old configuration, the new one, or both.

    ``change`` is ``same``, ``changed`` (a request has another outcome), ``settings`` (the outcomes are the same, and
    directives differ whose effect they do not show), ``unknown``, ``added`` or ``removed``.
    ``websocket`` says what becomes of an opening handshake: ``same``, ``repaired``, ``broken``, ``unknown``.

    Args:
        listen: The addresses of the server.
        server_names: The names of the server.
        location: The route's head; ``server`` for requests that no location takes.
        old: Where it stood; None if it was not there.
        new: Where it stands; None if it is gone.
        change: See above.
        websocket: See above.
        requests: The requests whose outcome differs or is unknown.
        settings: The directives that differ beside that.
    """

    listen: tuple[str, ...]
    server_names: tuple[str, ...]
    location: str
    old: Placed | None
    new: Placed | None
    change: str
    websocket: str
    requests: tuple[Compared, ...] = ()
    settings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two configurations compared.

    Args:
        old: The configuration before.
        new: The configuration after.
        routes: Every route of both.
        around: What differs outside the servers, one clause each: maps, upstreams, limits, logs.
        builds: The nginx versions.
    """

    old: Config
    new: Config
    routes: tuple[RouteChange, ...]
    around: tuple[str, ...]
    builds: tuple[Build, ...]

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What nginx refuses in the new configuration, if it refuses nothing in the old one."""
        return () if self.old.problems else self.new.problems

    @property
    def class_(self) -> str:
        """The gravest of ``refused`` (nginx would not load the new one), ``changed``, ``unknown``, ``settings`` (only
        directives differ whose effect no outcome shows), ``same``.
        """
        if self.problems:
            return "refused"
        found = {route.change for route in self.routes}
        if found & {"changed", "added", "removed"}:
            return "changed"
        if "unknown" in found:
            return "unknown"
        return "settings" if "settings" in found or self.around else "same"

    @property
    def exit_code(self) -> int:
        """0 the same, 2 unknown, else 1."""
        return {"same": 0, "unknown": 2}.get(self.class_, 1)

    @property
    def touched(self) -> tuple[RouteChange, ...]:
        """The routes that are not the same."""
        return tuple(route for route in self.routes if route.change != "same")


def compare_configs(old: Config, new: Config, builds: Sequence[Build], *, every: bool = True) -> Comparison:
    """Compare two configurations.

    Args:
        old: The configuration before.
        new: The configuration after.
        builds: The nginx versions to compare them for.
        every: Whether to list the routes of servers that are the same, too.
    """
    return _Comparer(old, new, tuple(builds), every=every).run()


class _Comparer:
    def __init__(self, old: Config, new: Config, builds: tuple[Build, ...], *, every: bool) -> None:
        self.old = old
        self.new = new
        self.builds = builds
        self.every = every
        self.servers = pair_servers(old, new)
        self.partners = {one: other for one, other in self.servers if one is not None and other is not None}
        self.alike = {other for one, other in self.partners.items() if same_text(one, other)}
        self.chosen_alike = self._are_chosen_alike()

    def run(self) -> Comparison:
        """Everything."""
        aside = tuple(self._around())
        shown = tuple(clause for placed, clause in aside if not is_inherited(placed))
        rows: list[RouteChange] = []
        for one, other in self.servers:
            same = not aside and one is not None and other in self.alike and self._is_chosen_alike(one, other)
            if not same or self.every or self._hides(other):
                rows += self._rows(one, other, same=same)
        return Comparison(self.old, self.new, tuple(rows), shown, self.builds)

    def _rows(self, one: Scope | None, other: Scope | None, *, same: bool) -> Iterator[RouteChange]:
        pairs = pair_routes(one, other)
        for pair in pairs:
            if pair.old is not None and pair.new is not None:
                self.partners[pair.old.location] = pair.new.location
        return (_unchanged(pair) if same and not _hidden(pair) else self._row(pair) for pair in pairs)

    def _hides(self, server: Scope | None) -> bool:
        """Whether there is a file around a server that could not be read."""
        return bool(self.old.unknown or self.new.unknown) or server is None

    def _are_chosen_alike(self) -> bool:
        """Whether the servers have the same order, addresses and names, so that each is chosen as before."""
        if len(self.partners) != len(self.old.servers) or len(self.partners) != len(self.new.servers):
            return False
        if any(one is not old for (one, _), old in zip(self.servers, self.old.servers, strict=True)):
            return False
        return all(other in self.alike or _selection(one) == _selection(other) for one, other in self.partners.items())

    def _around(self) -> Iterator[tuple[Placed, str]]:
        """What differs outside the servers: a directive, and the clause."""
        before, after = around(self.old), around(self.new)
        new = not_among(after, before)
        for item in not_among(before, after):
            placed = item.placed
            partner = next((other for other in new if other.head == item.head), None)
            if partner is None:
                yield placed, f"{_head(placed)} is gone"
                continue
            new.remove(partner)
            block = placed.directive.block is not None
            becomes = f"{_head(placed)} becomes {_head(partner.placed)}"
            yield placed, f"{item.head} says something else" if block else becomes
        yield from ((item.placed, f"{_head(item.placed)} is new") for item in new)

    def _is_chosen_alike(self, one: Scope, other: Scope) -> bool:
        """Whether a server is chosen for its own host in both, or in neither."""
        return self.chosen_alike or all(
            self._choice(self.old, one, build) is self._choice(self.new, other, build) for build in self.builds
        )

    def _choice(self, config: Config, server: Scope, build: Build) -> Scope | None:
        """The server that answers for a server's own host, as the new configuration's block."""
        arrival = _arrival(server, plain_request("/", _host(server) or "example.com"))
        if arrival is None:
            return None
        group = listeners(config, build).group(arrival.address, arrival.port, arrival.unix)
        if not isinstance(group, Group):
            return None
        chosen = group.find(lower(_host(server) or "example.com")).server
        return self.partners.get(chosen) if config is self.old else chosen

    def _row(self, pair: Pair) -> RouteChange:
        found: dict[tuple[str, tuple[str, ...], tuple[str, ...]], Compared] = {}
        effects: set[str] = set()
        for build in self.builds:
            for kind in KINDS:
                item = self._asked(pair, kind, build)
                if kind == "handshake":
                    effects.add(_effect(item))
                if item.differences or item.unknown or "unknown" in (_kind(item.before), _kind(item.after)):
                    key = (kind, item.differences, tuple(u.reason for u in item.unknown))
                    held = found.get(key)
                    builds = (*(held.builds if held else ()), build)
                    found[key] = Compared(
                        kind, item.request, item.before, item.after, item.differences, item.unknown, builds
                    )
        ruled: tuple[str, ...] = ()
        if pair.old is not None and pair.new is not None:
            shown = any(item.differences for item in found.values())
            ruled = settings(pair.old.location, pair.new.location, every=not shown)
        return _described(pair, _change(pair, found.values(), ruled), _join(effects), tuple(found.values()), ruled)

    def _asked(self, pair: Pair, kind: str, build: Build) -> Compared:
        """One request, from the network and at the route."""
        route = pair.old or pair.new
        assert route is not None
        path, host = _path(route.location), _host(route.server)
        request = _request(kind, path or "/", host or "example.com")
        asked: list[tuple[Trace, Trace]] = []
        arrival = _arrival(route.server, request) if path is not None and host is not None else None
        if arrival is not None:
            asked.append((trace(self.old, arrival, build), trace(self.new, arrival, build)))
        if pair.old is not None and pair.new is not None:
            asked.append((answer(pair.old, request, build), answer(pair.new, request, build)))
        known = [both for both in asked if "unknown" not in (both[0].outcome.kind, both[1].outcome.kind)]
        clauses = (clause for one, other in known for clause in differences(one.outcome, other.outcome, self.partners))
        first = next(iter(known or asked), None)
        doubts = _hidden(pair) if known or first is None else (*_doubts(first), *_hidden(pair))
        before, after = (first[0].outcome, first[1].outcome) if first is not None else (None, None)
        return Compared(kind, request, before, after, tuple(dict.fromkeys(clauses)), doubts, (build,))


def _selection(server: Scope) -> tuple[tuple[str, ...], ...]:
    """All that decides for which connections and hosts a server is chosen."""
    return tuple(placed.args for name in ("listen", "server_name") for placed in server.all(name))


def _doubts(both: tuple[Trace, Trace]) -> tuple[Unknown, ...]:
    found = [unknown for one in both for unknown in one.unknown]
    return tuple({unknown.reason: unknown for unknown in found}.values()) or (
        Unknown("what happens only run time knows"),
    )


def _hidden(pair: Pair) -> tuple[Unknown, ...]:
    """The files around a route that could not be read, so that what they hold may differ."""
    levels = [level for route in (pair.old, pair.new) if route is not None for level in route.location.outward]
    lost = {f'"{" ".join(p.args)}" could not be read': p for level in levels for p in level.opaque}
    return tuple(Unknown(f"{reason}, so what it says may differ", placed) for reason, placed in lost.items())


def _kind(outcome: Outcome | None) -> str:
    return outcome.kind if outcome is not None else ""


def _effect(item: Compared) -> str:
    if item.before is None or item.after is None:
        return "same"
    one, other = _tunnel(item.before), _tunnel(item.after)
    if one == other:
        return "unknown" if one is None and item.differences else "same"
    if None in (one, other):
        return "unknown"
    return "repaired" if other else "broken"


def _tunnel(outcome: Outcome) -> bool | None:
    if outcome.forwarded is not None:
        return outcome.forwarded.tunnel
    return None if outcome.kind == "unknown" else False


def _join(effects: set[str]) -> str:
    return next((effect for effect in ("broken", "unknown", "repaired") if effect in effects), "same")


def _change(pair: Pair, found: Iterable[Compared], ruled: tuple[str, ...]) -> str:
    if pair.old is None or pair.new is None:
        return "added" if pair.old is None else "removed"
    items = [*found]
    if any(item.differences for item in items):
        return "changed"
    if items:
        return "unknown"
    return "settings" if ruled else "same"


def _unchanged(pair: Pair) -> RouteChange:
    return _described(pair, "same", "same", (), ())


def _described(
    pair: Pair, change: str, websocket: str, requests: tuple[Compared, ...], ruled: tuple[str, ...]
) -> RouteChange:
    route = pair.new or pair.old
    assert route is not None
    listens, names = server_identity(route.server)
    return RouteChange(
        listens, names, _title(route), _opener(pair.old), _opener(pair.new), change, websocket, requests, ruled
    )


def _title(route: Route) -> str:
    scope = route.location
    heads = [s.title for s in scope.outward if s.kind in ("location", "if-in-location", "limit_except")]
    return " / ".join(reversed(heads)) or "server"


def _opener(route: Route | None) -> Placed | None:
    return route.location.opener if route is not None else None


def _head(placed: Placed) -> str:
    return " ".join((placed.name, *placed.args))


def _request(kind: str, path: str, host: str) -> Request:
    return handshake_request(path, host) if kind == "handshake" else plain_request(path, host, method=kind)


def _path(scope: Scope) -> str | None:
    """A path that leads to a route, as far as its name says so."""
    if scope.kind == "server":
        return "/"
    if scope.kind != "location":
        return None
    name = location_name(location_of(scope))
    if name.modifier in ("", "=", "^~"):
        return name.name if name.name.startswith("/") else None
    found = _PATTERN.match(name.name) if name.is_regex else None
    try:
        pattern = compile_regex(name.name, caseless=name.modifier == "~*") if found else None
        return found[1] if found and pattern and pattern.search(found[1]) is not None else None
    except (RegexError, Undecided):
        return None


def _host(server: Scope) -> str | None:
    """A host that leads to a server, as far as its names say so."""
    names = server_identity(server)[1]
    plain = next((name for name in names if name and not set(name) & set('*~$"') and name[0] != "."), None)
    wild = next((name for name in names if name.startswith(("*.", ".")) and not set(name[1:]) & set("*~$")), None)
    if plain is not None or not names:
        return plain or "example.com"
    return "any" + wild.removeprefix("*") if wild is not None else None


def _arrival(server: Scope, request: Request) -> Arrival | None:
    """The connection that the request would come on; None if the server's address cannot be read."""
    placed = server.first("listen")
    listen = parse_listen(placed.args if placed is not None else ("80",))
    socket = next(iter(listen.sockets), None)
    if socket is None:
        return None
    tls = "ssl" in (placed.args if placed is not None else ())
    host = next((value for name, value in request.headers if name == "Host"), None)
    return Arrival(request, socket.port, socket.address, socket.unix, tls, host if tls else None)
