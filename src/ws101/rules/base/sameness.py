"""``same_outcomes``: the plain requests that would notice the difference between two configurations.

Compared are a GET and a POST without Upgrade for every route of both.  The same outcome is: same server, location,
upstream, target, status and body; equal header fields to the upstream, in any order, except HTTP version and
Connection; same timeouts.  A Connection that gains the option ``upgrade`` is a difference all the same: backends refuse
plain requests that carry it.  Upgrade counts only together with that option (RFC 9110 section 7.8).
Where a location serves WebSockets alone, upgrade fields and timeouts are not compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from ws101.http1 import Request
from ws101.lazy import dataclass
from ws101.nginx.build import Build
from ws101.nginx.config import Config, Placed, Route, Scope
from ws101.nginx.directives import parse_time
from ws101.nginx.inherit import effective
from ws101.nginx.locations import location_name
from ws101.nginx.maps import map_tables
from ws101.nginx.outcome import Arrival, Forwarded, Outcome
from ws101.nginx.servers import parse_listen
from ws101.nginx.trace import answer, trace
from ws101.nginx.variables import declared_variables
from ws101.rules.base.aims import location_of
from ws101.rules.base.context import Context, Shared
from ws101.rules.base.maps import has_upgrade
from ws101.rules.base.options import Options
from ws101.rules.base.urls import host_of, plain_request
from ws101.text import lower

__all__ = ["Difference", "same_outcomes"]

_TIMEOUTS = ("proxy_connect_timeout", "proxy_send_timeout", "proxy_read_timeout")
_METHODS = ("GET", "POST")
_SENT = ("set", "default", "passed", "unknown")


@dataclass(frozen=True, slots=True)
class Difference:
    """A plain request that would notice.

    Args:
        method: ``GET`` or ``POST``.
        route: The location, for people.
        what: What changes, one clause.
    """

    method: str
    route: str
    what: str

    @property
    def text(self) -> str:
        """One sentence."""
        return f"a plain {self.method} to {self.route} would change: {self.what}"


Key = tuple[object, ...]


def same_outcomes(
    old: Config, new: Config, builds: Sequence[Build], options: Options | None = None
) -> tuple[Difference, ...]:
    """The plain requests whose outcome differs between two configurations; none if the change is safe.

    Args:
        old: The configuration before.
        new: The configuration after.
        builds: The nginx versions; of several, the first and the last are compared.
        options: What the user asks for; it tells which locations serve WebSockets alone.
    """
    options = options or Options()
    comparisons = (_Comparison(old, new, build, options) for build in _ends(builds))
    return tuple(dict.fromkeys(found for comparison in comparisons for found in comparison.run()))


def _ends(builds: Sequence[Build]) -> tuple[Build, ...]:
    return tuple(dict.fromkeys((builds[0], builds[-1])))


class _Comparison:
    def __init__(self, old: Config, new: Config, build: Build, options: Options) -> None:
        self.old = old
        self.new = new
        self.build = build
        self.before, self.after = _keyed_pair(old, new)
        self.alone = _alone(old, build, options) | _alone(new, build, options)

    def run(self) -> Iterator[Difference]:
        """The differences."""
        for key, route in self.before.items():
            other = self.after.get(key)
            for method in _METHODS:
                what = self._pair(route, other, method) if other is not None else "the location is gone"
                if what is not None:
                    yield Difference(method, location_of(route.location).title, what)
        for key, route in self.after.items():
            for method in _METHODS if key not in self.before else ():
                what = self._added(route, method)
                if what is not None:
                    yield Difference(method, location_of(route.location).title, what)

    def _pair(self, old: Route, new: Route, method: str) -> str | None:
        """What differs for a request that has reached a route."""
        request = plain_request(_path(old.location), _host(old), method=method)
        alone = not self.alone.isdisjoint((location_of(old.location), location_of(new.location)))
        before, after = answer(old, request, self.build).outcome, answer(new, request, self.build).outcome
        return _difference(before, after, alone=alone)

    def _added(self, route: Route, method: str) -> str | None:
        """What differs for a request that reaches a new location: compared with what the old configuration does."""
        request = plain_request(_path(route.location), _host(route), method=method)
        arrival = _arrival(route.server, request)
        if arrival is None or not _path(route.location).startswith("/"):
            return None if location_name(location_of(route.location)).modifier == "@" else "it is new"
        before, after = (trace(config, arrival, self.build).outcome for config in (self.old, self.new))
        return _difference(before, after, alone=False)


def _alone(config: Config, build: Build, options: Options) -> set[Scope]:
    """The locations that serve WebSockets alone."""
    context = Context(Shared(config, (build,), options), build)
    return {location_of(aim.scope) for aim in context.aims if context.alone(aim)}


def _keyed_pair(old: Config, new: Config) -> tuple[dict[Key, Route], dict[Key, Route]]:
    """The routes of both that may differ: those of servers whose text is not the same, or all."""
    before, after = old.servers, new.servers
    if len(before) != len(after) or not _same_around(old, new):
        return _keyed(old, set(before)), _keyed(new, set(after))
    pairs = [(a, b) for a, b in zip(before, after, strict=True) if _text_of(a) != _text_of(b)]
    return _keyed(old, {a for a, _ in pairs}), _keyed(new, {b for _, b in pairs})


def _same_around(old: Config, new: Config) -> bool:
    """Whether everything around the servers is the same, apart from maps of new variables."""
    before, after = _around(old), _around(new)
    added = after - before
    names = map_tables(old).keys() | declared_variables(old).keys()
    return not before - after and all(
        p.name == "map" and len(p.args) == 2 and lower(p.args[1][1:]) not in names
        for p in (new.http or ())
        if _slice(p) in added
    )


def _around(config: Config) -> Counter[str]:
    scopes = (config.main, *((config.http,) if config.http is not None else ()))
    return Counter(_slice(p) for scope in scopes for p in scope if p.name not in ("http", "server"))


def _slice(placed: Placed) -> str:
    directive = placed.directive
    return directive.source.text[directive.start : directive.end]


def _text_of(scope: Scope) -> tuple[object, ...]:
    """A block's text with its includes expanded."""
    if scope.opener is not None and "include" not in _slice(scope.opener):
        return (_slice(scope.opener),)
    inner = (_text_of(scope.child(p)) if p.directive.block is not None else _slice(p) for p in scope)
    return (scope.title, *inner)


def _keyed(config: Config, wanted: set[Scope]) -> dict[Key, Route]:
    """The routes by their place: which server, and the heads of the blocks around them, each with its number."""
    found: dict[Key, Route] = {}
    servers = {server: number for number, server in enumerate(config.servers)}
    numbers: Counter[Key] = Counter()
    keys: dict[Scope, Key] = {}
    for route in (route for route in config.routes() if route.server in wanted):
        scope = route.location
        outer = keys.get(scope.parent) if scope.parent is not None else None
        base: Key = (*(outer or (servers[route.server],)), scope.title)
        numbers[base] += 1
        keys[scope] = (*base, numbers[base])
        found[keys[scope]] = route
    return found


def _path(scope: Scope) -> str:
    """A path that leads to a location, as far as its name says so."""
    name = location_name(location_of(scope))
    return name.name if name.modifier in ("", "=", "^~") and name.name.startswith("/") else "/"


def _host(route: Route) -> str:
    return host_of(route.server) or "example.com"


def _arrival(server: Scope, request: Request) -> Arrival | None:
    placed = server.first("listen")
    listen = parse_listen(placed.args if placed is not None else ("80",))
    socket = next(iter(listen.sockets), None)
    if socket is None:
        return None
    return Arrival(request, socket.port, socket.address, socket.unix, "ssl" in (placed.args if placed else ()))


def _difference(before: Outcome, after: Outcome, *, alone: bool) -> str | None:
    """The first difference between two outcomes, in words."""
    if (before.kind, before.status) != (after.kind, after.status):
        return f"{_said(before)} becomes {_said(after)}"
    if before.location != after.location:
        return f"the redirect to {before.location} becomes one to {after.location}"
    if before.body != after.body:
        return "the body differs"
    if before.forwarded is None or after.forwarded is None:
        return None
    return _forwarded_difference(before.forwarded, after.forwarded, alone=alone) or (
        None if alone else _timeout_difference(before.scope, after.scope)
    )


def _said(outcome: Outcome) -> str:
    return f"{outcome.kind} {outcome.status}" if outcome.status is not None else outcome.kind


def _forwarded_difference(before: Forwarded, after: Forwarded, *, alone: bool) -> str | None:
    if _peers(before) != _peers(after):
        return "another upstream"
    one, other = before.request, after.request
    if (
        one is not None
        and other is not None
        and (one.method, one.target, one.body)
        != (
            other.method,
            other.target,
            other.body,
        )
    ):
        return f"{one.method} {one.target} becomes {other.method} {other.target}"
    old, new = _fields(before), _fields(after)
    if old != new:
        names = sorted({name for name, _ in (old - new) + (new - old)})
        return f"the backend gets other header fields: {', '.join(names)}"
    asked, asks = _asks(before), _asks(after)
    if alone or asks is None or asked == asks:
        return None
    return f"the backend is asked to upgrade to {_list(asks)}, and was asked for {_list(asked)} before"


def _peers(forwarded: Forwarded) -> tuple[object, ...]:
    upstream = forwarded.upstream
    if upstream is None:
        return (forwarded.handler.args,)
    return upstream.name, upstream.tls, tuple((p.address, p.weight, p.backup, p.down) for p in upstream.peers)


def _fields(forwarded: Forwarded) -> Counter[tuple[str, str]]:
    """Names and values that reach the backend, without Connection and Upgrade; what is unknown counts by its text."""
    headers = (h for h in forwarded.headers if h.fate in _SENT and lower(h.name) not in ("connection", "upgrade"))
    return Counter((lower(h.name), h.value) for h in headers)


def _asks(forwarded: Forwarded) -> tuple[str, ...] | None:
    """The protocols that a request asks to upgrade to; None if its Connection does not say so."""
    sent = [h for h in forwarded.headers if h.fate in _SENT and h.value]
    if not any(lower(h.name) == "connection" and has_upgrade(h.value) for h in sent):
        return None
    return tuple(h.value for h in sent if lower(h.name) == "upgrade")


def _list(asked: tuple[str, ...] | None) -> str:
    return "nothing" if asked is None else ", ".join(asked) or "no protocol by name"


def _timeout_difference(before: Scope | None, after: Scope | None) -> str | None:
    for name in _TIMEOUTS if before is not None and after is not None else ():
        assert before is not None, "checked above"
        assert after is not None, "checked above"
        one, other = (effective(scope, name).text or "60s" for scope in (before, after))
        if parse_time(one) != parse_time(other):
            return f"{name} {one} becomes {other}"
    return None
