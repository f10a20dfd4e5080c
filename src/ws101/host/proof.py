"""The proof of a fix, by measuring: the handshake and plain requests, before and after.

Before anything is written, the request that the fixed model predicts goes straight to the backend: what it answers is
what a client must see afterwards.  Success is a 101, or that same answer.  A route that got worse is a failure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, replace
from itertools import islice

from ws101.changes.pairing import pair_routes, pair_servers
from ws101.errors import Ws101Error
from ws101.host.doctor import arrival_of, backend_address
from ws101.host.network import Network, exchange, handshake, parse_resolve, plain
from ws101.host.outcome import Verdict
from ws101.lazy import dataclass
from ws101.nginx.build import Build
from ws101.nginx.config import Config, Route, Scope
from ws101.nginx.locations import location_name
from ws101.nginx.outcome import Forwarded, Outcome, Trace
from ws101.nginx.servers import Group, listeners
from ws101.nginx.trace import trace
from ws101.probes.endpoint import Endpoint, parse_ws_url
from ws101.probes.handshake import ORDINARY, HandshakeOptions, build_request
from ws101.rules.base.urls import plain_request

__all__ = [
    "LiveProof",
    "Measured",
    "OnMeasured",
    "Watched",
    "answer_of",
    "counted",
    "counterparts",
    "gone",
    "meant",
    "measure",
    "reach",
    "watch",
    "written_down",
]

_WILDCARD = ("0.0.0.0", "::", "")  # noqa: S104  # compared with, never bound


@dataclass(frozen=True, slots=True)
class Watched:
    """A route that is measured before and after.

    Args:
        endpoint: Where a client opens it.
        network: How it is reached from here.
        aimed: Whether the fix is about it: then its handshake must work afterwards.
        forwarded: What the fixed model predicts to reach its backend.
        options: How the handshake is made.
        meant: Whether other answers are what the change is for: then only what the model predicts is asked for.
    """

    endpoint: Endpoint
    network: Network
    aimed: bool
    forwarded: Forwarded | None = None
    options: HandshakeOptions = ORDINARY
    meant: bool = False


@dataclass(frozen=True, slots=True)
class Measured:
    """What a route answered: the handshake's status, whether it was a valid 101, and a plain request's status."""

    status: int | None
    works: bool
    plain: int | None
    message: str


OnMeasured = Callable[[str, Watched, Measured], None]
"""Called with a word for the phase, the route and what was measured."""


@dataclass(slots=True)
class LiveProof:
    """Decides about a change by evidence (see ``ws101.host.outcome.Proof``).

    Args:
        watched: What is measured.
        require_101: Accept nothing but a 101.
        unproven: Go on although a backend does not answer.
        on_measured: Called with a word for the phase, the route and what was measured.
    """

    watched: tuple[Watched, ...]
    require_101: bool = False
    unproven: bool = False
    on_measured: OnMeasured | None = None
    old: dict[str, Measured] = field(default_factory=dict)
    new: dict[str, Measured] = field(default_factory=dict)
    backend: dict[str, int | None] = field(default_factory=dict)
    delivered: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)

    def before(self) -> Verdict:
        """Measure the old behaviour, and ask the backends what they will answer."""
        for watched in self.watched:
            if watched.aimed:
                silent = self._ask_backend(watched)
                if silent and not self.unproven:
                    return Verdict(False, silent)
                self.silent += [silent] if silent else []
            self.old[watched.endpoint.url] = self._measure("before", watched)
        return Verdict(True, counted(len(self.watched)), written_down(self.watched, self.old))

    def _ask_backend(self, watched: Watched) -> str:
        """Send the predicted request straight to the backend; why that was not possible, or empty."""
        found = backend_address(watched.forwarded)
        request = watched.forwarded.request if watched.forwarded else None
        if found is None or request is None:
            return f"what reaches the backend of {watched.endpoint.url} is not known, so the fix cannot be proven"
        try:
            answer = exchange(found[0], request, tls=found[1])
        except Ws101Error as error:
            return f"the backend does not answer: {error.message}"
        if answer.status is None:
            return f"the backend at {found[0]} gives no HTTP answer to an opening handshake"
        self.backend[watched.endpoint.url] = answer.status
        return ""

    def after(self) -> Verdict:
        """Measure the new behaviour: every fixed route works or delivers the backend's answer, none got worse."""
        proven: list[str] = []
        for watched in self.watched:
            url = watched.endpoint.url
            now = self.new[url] = self._measure("after", watched)
            if watched.aimed:
                reason = self._shortfall(url, now)
                if reason:
                    return Verdict(False, reason)
                proven.append(f"{url} answers {now.status}")
            worse = self._got_worse(watched, now)
            if worse:
                return Verdict(False, f"{url} got worse: {worse}")
            proven += self._other(watched, now)
        if not self.watched:
            self.silent.append("nothing was measured: no URL certainly leads to a route")
        return Verdict(True, "; ".join([*proven, *self.silent]) or "every route answers as before")

    def _other(self, watched: Watched, now: Measured) -> list[str]:
        """A route whose answers are meant to change, if they did."""
        old = self.old.get(watched.endpoint.url)
        if watched.aimed or old is None or (old.status, old.plain) == (now.status, now.plain):
            return []
        return [f"{watched.endpoint.url} answers {answer_of(now)}, before {answer_of(old)}, as is meant"]

    def _shortfall(self, url: str, now: Measured) -> str:
        """Why a fixed route is not proven; empty if it is."""
        if now.works:
            return ""
        wanted = self.backend.get(url)
        if wanted is not None and now.status == wanted and wanted != 101 and not self.require_101:
            self.delivered.append(f"{url}: delivered; the application answered {wanted}")
            return ""
        if wanted is None and self.unproven:
            return ""
        return f"the handshake with {url} still fails: {now.message}"

    def _got_worse(self, watched: Watched, now: Measured) -> str:
        """What a route no longer does; what is meant to change may, but for a handshake that worked."""
        old = self.old.get(watched.endpoint.url)
        if not watched.meant:
            return _got_worse(old, now, watched.aimed)
        if old is not None and old.works and not now.works and not self.unproven:
            return f"its handshake worked, and now: {now.message} (if that is meant, say --unproven)"
        return ""

    def after_rollback(self) -> Verdict:
        """Whether every route answers as before the change."""
        for watched in self.watched:
            old = self.old.get(watched.endpoint.url)
            now = self._measure("after rollback", watched)
            if old is not None and (old.status, old.plain) != (now.status, now.plain):
                said = f"{watched.endpoint.url} answers {now.status}, before the change {old.status}"
                return Verdict(False, said)
        return Verdict(True, "every route answers as before")

    def _measure(self, phase: str, watched: Watched) -> Measured:
        return measure(phase, watched, self.on_measured)


def measure(phase: str, watched: Watched, on_measured: OnMeasured | None = None) -> Measured:
    """Ask a route for a handshake and for a page, and tell who wants to know."""
    seen, result = handshake(watched.endpoint, watched.options, watched.network)
    page = plain(watched.endpoint, (), watched.network)
    status = page.handshake.status if page.handshake else None
    measured = Measured(result.status, seen.passed, status, seen.message)
    if on_measured is not None:
        on_measured(phase, watched, measured)
    return measured


def written_down(watched: Iterable[Watched], seen: Mapping[str, Measured]) -> tuple[Mapping[str, object], ...]:
    """What routes answered, as a journal keeps it."""
    return tuple(
        {
            "url": item.endpoint.url,
            "at": [[entry.host, entry.port, list(entry.addresses)] for entry in item.network.resolve],
            "aimed": item.aimed,
            "status": seen[item.endpoint.url].status,
            "works": seen[item.endpoint.url].works,
            "plain": seen[item.endpoint.url].plain,
        }
        for item in watched
        if item.endpoint.url in seen
    )


def counted(routes: int) -> str:
    """How many routes were measured."""
    return f"{routes} route{'' if routes == 1 else 's'} measured"


def answer_of(seen: Measured) -> str:
    """What a route answered, in a word or two."""
    statuses = {seen.status, seen.plain} - {None}
    return f"{seen.status or 'nothing'}" if len(statuses) < 2 else f"{seen.status} (a plain request: {seen.plain})"


def _got_worse(old: Measured | None, now: Measured, aimed: bool) -> str:
    """What a route no longer does; empty if nothing."""
    if old is None:
        return ""
    if old.works and not now.works:
        return f"its handshake worked, and now: {now.message}"
    if old.plain is not None and old.plain < 400 and old.plain != now.plain:
        return f"a plain request got {old.plain}, now {now.plain}"
    if not aimed and (old.status or 599) < 400 <= (now.status or 599):
        return f"the handshake got {old.status}, now {now.status}"
    return ""


def watch(
    config: Config,
    build: Build,
    aimed: Iterable[Scope],
    urls: Iterable[str] = (),
    *,
    beside: Iterable[Scope] = (),
    limit: int = 20,
) -> tuple[Watched, ...]:
    """What to measure for a fix: the routes it is about, the told URLs, and the other routes of the same servers.

    Args:
        config: The configuration with the fix in it.
        build: The nginx it runs on.
        aimed: The locations that the fix is about, of this configuration (see ``counterparts``).
        urls: Told by the user; a route that one of them leads to is asked with it.
        beside: Servers whose other routes are measured too.
        limit: How many routes besides the aimed ones.
    """
    wanted = set(aimed)
    servers = {scope.server for scope in wanted} | set(beside)
    found: dict[str, Watched] = {}
    for url in urls:
        endpoint = parse_ws_url(url)
        outcome = _traced(config, build, endpoint).outcome
        if outcome.forwarded is not None and outcome.scope is not None:
            wanted.discard(outcome.scope)
            servers.add(outcome.server)
            found[endpoint.url] = Watched(endpoint, _local(config, build, endpoint), True, outcome.forwarded)
    for route in config.routes():
        is_aimed = route.location in wanted
        if is_aimed or (route.server in servers and len(found) < limit):
            watched = _watched(config, build, route, aimed=is_aimed)
            if watched is not None:
                found.setdefault(watched.endpoint.url, watched)
    return tuple(sorted(found.values(), key=lambda w: not w.aimed))


def _watched(config: Config, build: Build, route: Route, *, aimed: bool) -> Watched | None:
    """A route with the URL that leads to it; None if no URL certainly does."""
    endpoint = reach(config, build, route)
    outcome = _traced(config, build, endpoint).outcome if endpoint else None
    if endpoint is None or outcome is None or outcome.scope not in (route.location, *_inside(route.location)):
        return None
    return Watched(endpoint, _local(config, build, endpoint), aimed, outcome.forwarded)


def counterparts(config: Config, scopes: Iterable[Scope]) -> tuple[Scope, ...]:
    """The blocks of another reading of a configuration that stand where these do."""
    wanted = {_place(scope) for scope in scopes}
    return tuple(route.location for route in config.routes() if _place(route.location) in wanted)


def _place(scope: Scope) -> tuple[int, tuple[str, ...]]:
    """The number of the server, and the heads of the blocks on the way to a scope."""
    servers = scope.config.servers
    number = servers.index(scope.server) if scope.server in servers else -1
    return number, tuple(level.title for level in scope.outward if level.opener is not None)


def meant(watched: Iterable[Watched], old: Config, new: Config, build: Build) -> tuple[Watched, ...]:
    """The routes to measure, each told whether the model says that its answers change.

    Args:
        watched: What is measured.
        old: The configuration before.
        new: The configuration after.
        build: The nginx it runs on.
    """
    return tuple(
        replace(item, meant=_answers(old, build, item.endpoint) != _answers(new, build, item.endpoint))
        for item in watched
    )


def gone(old: Config, new: Config, build: Build, *, limit: int = 20) -> tuple[Watched, ...]:
    """The routes that a change removes: what is answered there is meant to change.

    Args:
        old: The configuration before.
        new: The configuration after.
        build: The nginx it runs on.
        limit: How many of them.
    """
    pairs = (pair for servers in pair_servers(old, new) for pair in pair_routes(*servers))
    lost = (pair.old for pair in pairs if pair.old is not None and pair.new is None)
    found = (_watched(old, build, route, aimed=False) for route in lost)
    return tuple(replace(item, forwarded=None, meant=True) for item in islice(filter(None, found), limit))


def _answers(config: Config, build: Build, endpoint: Endpoint) -> tuple[object, ...]:
    """What the model says that clients get, to a handshake and to a plain request, as far as they can tell."""
    requests = (build_request(endpoint, ORDINARY), plain_request(endpoint.target, endpoint.host_header))
    return tuple(_told(trace(config, arrival_of(endpoint, request), build).outcome) for request in requests)


def _told(outcome: Outcome) -> tuple[object, ...]:
    forwarded = outcome.forwarded
    where = forwarded.upstream.url if forwarded and forwarded.upstream else None
    return outcome.kind, outcome.status, outcome.location, outcome.body, where, forwarded and forwarded.request


def _inside(scope: Scope) -> tuple[Scope, ...]:
    return (*scope.children("if"), *scope.children("limit_except"))


def _traced(config: Config, build: Build, endpoint: Endpoint) -> Trace:
    return trace(config, arrival_of(endpoint, build_request(endpoint, ORDINARY)), build)


def reach(config: Config, build: Build, route: Route) -> Endpoint | None:
    """A URL that leads to a route; None where none can be told from its name."""
    path = _path(route.location)
    if not path:
        return None
    group = next((g for g in listeners(config, build).groups if route.server in g.servers and not g.unix), None)
    if group is None or group.port is None:
        return None
    host = _host(route.server) or (_address(group))
    return Endpoint("wss" if group.ssl else "ws", host, group.port, path)


def _path(scope: Scope) -> str:
    """A path that may lead to a route; empty if none can be told from its name."""
    if scope.kind == "server":
        return "/"
    name = location_name(scope) if scope.kind == "location" else None
    return name.name if name and name.modifier not in ("~", "~*", "@") and name.name.startswith("/") else ""


def _host(server: Scope) -> str:
    """A host name that the server answers to; empty if any does, or none can be told."""
    for placed in server.all("server_name"):
        for text in placed.args:
            if text.startswith((".", "*.")):
                return "ws101" + text.removeprefix("*").lower()
            if text and text != "_" and not text.startswith(("~", "$")) and not text.endswith(".*"):
                return text.lower()
    return ""


def _address(group: Group) -> str:
    return "127.0.0.1" if group.address in _WILDCARD else group.address


def _local(config: Config, build: Build, endpoint: Endpoint) -> Network:
    """The way to this machine's nginx, whatever DNS says; its certificate is not what is measured here."""
    group = next((g for g in listeners(config, build).groups if g.port == endpoint.port and not g.unix), None)
    address = _address(group) if group is not None else "127.0.0.1"
    shown = f"[{address}]" if ":" in address else address
    return Network(resolve=(parse_resolve(f"{endpoint.host}:{endpoint.port}:{shown}"),), insecure=True, timeout=5.0)
