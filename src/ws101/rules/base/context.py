"""``Context``: what every rule may ask about a configuration, worked out once and on demand."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from functools import cached_property

from ws101.http1 import Request
from ws101.lazy import dataclass, lazy_pattern
from ws101.nginx.build import Build
from ws101.nginx.config import Config, Placed, Route, Scope, Unknown
from ws101.nginx.locations import location_name
from ws101.nginx.outcome import Arrival, Decision, Forwarded, Trace
from ws101.nginx.trace import answer, tls_port, trace
from ws101.nginx.validate import Refusal, validate
from ws101.rules.base.aims import Aim, Intent, answered_by_file, find_aims, location_of, slash_redirect
from ws101.rules.base.causes import Cause, Fault, fault_of
from ws101.rules.base.hints import is_polling
from ws101.rules.base.options import Options
from ws101.rules.base.remarks import Remark, read_remarks, seconds
from ws101.rules.base.sharing import signature
from ws101.rules.base.urls import arrival_of, for_host, handshake_request, host_of, plain_request
from ws101.syntax import Directive
from ws101.text import Span, lower

__all__ = ["HANDSHAKE_TARGET", "Answer", "Context", "Shared", "refuses_plain", "serves_websockets_alone"]

_HANDSHAKE = handshake_request()
HANDSHAKE_TARGET = _HANDSHAKE.target
"""The target of the handshake that routes are asked about."""
_FIREFOX = replace(
    _HANDSHAKE,
    headers=tuple((n, "keep-alive, Upgrade" if n == "Connection" else v) for n, v in _HANDSHAKE.headers),
)
_BY_HOST = tuple(  # each begins with a word: the search for that is fast, and a configuration may have megabytes
    lazy_pattern(rf"{before}[\"']?\$\{{?(?i:(?:http_)?host)\b", re.ASCII)
    for before in (r"if(?<=\bif)\s*\(\s*", r"map(?<=\bmap)\s+")
)
_INSTEAD = {
    "redirected": "nginx redirects it",
    "returned": "nginx answers it itself",
    "refused": "nginx refuses it",
    "closed": "nginx closes the connection",
    "static": "nginx answers it with a file",
}
_QUERY = handshake_request("/ws?ws101=1")


@dataclass(frozen=True, slots=True)
class Answer:
    """What becomes of an opening handshake that reaches a route.

    Args:
        tunnel: Whether it arrives as a valid one; None if undecidable.
        upstream: The URL it goes to; None if it goes nowhere, or nobody knows where.
        unknown: What could not be known.
        instead: What nginx does with it, if it does not hand it on; a clause.
    """

    tunnel: bool | None
    upstream: str | None
    unknown: tuple[Unknown, ...]
    instead: str = ""


class Shared:
    """What does not depend on nginx's version.

    Args:
        config: The configuration.
        builds: Every nginx it is looked at for; one if the version is known.
        options: What the user asks for.
    """

    def __init__(self, config: Config, builds: tuple[Build, ...], options: Options) -> None:
        self.config = config
        self.builds = builds
        self.options = options
        self._aims: dict[object, tuple[Aim, ...]] = {}
        self._mentions: dict[tuple[str, ...], bool] = {}

    @cached_property
    def arrivals(self) -> tuple[tuple[str, Arrival], ...]:
        """The told URLs as requests."""
        return tuple((url, arrival_of(url)) for url in self.options.urls)

    @cached_property
    def routes(self) -> dict[Scope, tuple[Route, ...]]:
        """The proxied routes of each server."""
        found: dict[Scope, list[Route]] = {}
        for route in self.proxied:
            found.setdefault(route.server, []).append(route)
        return {server: tuple(routes) for server, routes in found.items()}

    @cached_property
    def proxied(self) -> tuple[Route, ...]:
        """Every proxied route."""
        return tuple(route for route in self.config.routes() if route.handler is not None)

    @cached_property
    def reads_connection(self) -> bool:
        """Whether anything looks at the client's Connection: else what it says makes no difference."""
        return any("http_connection" in lower(source.text) for source in self.config.sources.values())

    @cached_property
    def decides_by_host(self) -> bool:
        """Whether an ``if`` or a map looks at the name that the client asks for."""
        texts = [source.text for source in self.config.sources.values()]
        return any(pattern.search(text) for text in texts for pattern in _BY_HOST)

    @cached_property
    def reads_localhost(self) -> bool:
        """Whether localhost is named anywhere, in any case."""
        return any("localhost" in lower(source.text) for source in self.config.sources.values())

    def mentions(self, *words: str) -> bool:
        """Whether one of some words stands in any file: where none does, no directive of that name needs a look."""
        if words not in self._mentions:
            texts = [source.text for source in self.config.sources.values()]
            self._mentions[words] = any(word in text for text in texts for word in words)
        return self._mentions[words]

    @cached_property
    def refusals(self) -> tuple[Refusal, ...]:
        """What nginx refuses, in its order."""
        return validate(self.config, self.builds)

    @cached_property
    def remarks(self) -> tuple[Remark, ...]:
        """The ``# ws101:`` comments."""
        return read_remarks(self.config)

    def aims(self, traces: tuple[tuple[str, Trace], ...]) -> tuple[Aim, ...]:
        """The routes that are or may be meant for WebSockets, worked out once for each set of places URLs lead to."""
        key = tuple((url, found.outcome.kind, found.outcome.scope) for url, found in traces)
        if key not in self._aims:
            self._aims[key] = find_aims(self.proxied, traces, self.remarks)
        return self._aims[key]

    @cached_property
    def heartbeats(self) -> dict[Directive | None, float]:
        """Seconds between pings, by the block they are declared for; None for a whole file's level."""
        found: dict[Directive | None, float] = {}
        for remark in self.remarks:
            value = seconds(remark.rest.split()[0]) if remark.kind == "heartbeat" and remark.rest.split() else None
            if value is not None:
                found[remark.block] = value
        return found


class Context:
    """A configuration as one nginx version sees it; ``memo`` keeps what is worked out from all of it.

    Args:
        shared: What does not depend on the version.
        build: The nginx.
    """

    def __init__(self, shared: Shared, build: Build) -> None:
        self.shared = shared
        self.build = build
        self.memo: dict[str, object] = {}
        self._answers: dict[tuple[object, ...], Answer] = {}

    @property
    def config(self) -> Config:
        """The configuration."""
        return self.shared.config

    @property
    def builds(self) -> tuple[Build, ...]:
        """Every nginx a fix must be right for; one if the version is known."""
        return self.shared.builds

    @property
    def options(self) -> Options:
        """What the user asks for."""
        return self.shared.options

    @cached_property
    def traces(self) -> tuple[tuple[str, Trace], ...]:
        """The told URLs and what becomes of their handshakes."""
        return tuple((url, trace(self.config, arrival, self.build)) for url, arrival in self.shared.arrivals)

    @cached_property
    def aims(self) -> tuple[Aim, ...]:
        """Every route that is or may be meant for WebSockets."""
        return self.shared.aims(self.traces)

    @cached_property
    def proxied(self) -> tuple[tuple[Aim, Forwarded], ...]:
        """The aims with what reaches their backends; without those that hand requests on to another location."""
        found = ((aim, self.forwarded(aim)) for aim in self.aims)
        return tuple((aim, forwarded) for aim, forwarded in found if forwarded is not None)

    @cached_property
    def slash_redirects(self) -> tuple[tuple[str, Scope], ...]:
        """The told URLs that nginx redirects to the same path with a slash, and the location whose name has it."""
        return tuple((url, scope) for url, found in self.traces if (scope := slash_redirect(found)) is not None)

    def forwarded(self, aim: Aim, build: Build | None = None) -> Forwarded | None:
        """What an opening handshake becomes on its way to the aim's backend; None if it does not go there."""
        outcome = answer(aim.route, self.asked(aim.route), build or self.build).outcome
        return outcome.forwarded if outcome.scope is aim.scope else None

    def answer(self, route: Route) -> Answer:
        """What becomes of an opening handshake that reaches a route; routes that are written alike share it."""
        alike, url = signature(route)
        request = self.asked(route)
        key = (*alike, tls_port(route.server), request.header("Host")) if alike is not None else None
        known = self._answers.get(key) if key is not None else None
        if known is not None:
            return Answer(known.tunnel, url, known.unknown)
        found = answer(route, request, self.build)
        forwarded = found.outcome.forwarded
        if forwarded is None:
            kind, status = found.outcome.kind, found.outcome.status
            instead = _INSTEAD.get(kind, "") + (f" ({status})" if status and kind in _INSTEAD else "")
            return Answer(None if kind == "unknown" else False, None, found.unknown, instead)
        upstream = forwarded.upstream.url if forwarded.upstream is not None else None
        result = Answer(forwarded.tunnel, upstream, forwarded.unknown or found.unknown)
        if key is not None and found.outcome.scope is route.location and not result.unknown:
            self._answers[key] = result
        return result

    def asked(self, route: Route, request: Request = _HANDSHAKE) -> Request:
        """The request that a route is asked about: for a name of its server, if anything decides by that."""
        host = host_of(route.server) if self.shared.decides_by_host else ""
        return for_host(request, host) if host else request

    def routes_of(self, server: Scope) -> tuple[Route, ...]:
        """The proxied routes of a server."""
        return self.shared.routes.get(server, ())

    def plain(self, aim: Aim) -> Forwarded | None:
        """What an ordinary GET becomes there; None if it does not go there."""
        if self._is_for_handshakes(aim):
            return None
        outcome = answer(aim.route, self.asked(aim.route, plain_request()), self.build).outcome
        return outcome.forwarded if outcome.scope is aim.scope else None

    def _is_for_handshakes(self, aim: Aim) -> bool:
        """Whether handshakes are sent to a named location, and surely no ordinary GET is."""
        if aim.scope.kind != "location" or location_name(aim.scope).modifier != "@":
            return False
        server = aim.route.server
        doors = [r for r in self.config.routes_of(server) if r.location.kind == "location" and r.location != aim.scope]
        if not any(answer(door, self.asked(door), self.build).outcome.scope is aim.scope for door in doors):
            return False
        ways = (answer(door, self.asked(door, plain_request()), self.build).outcome for door in doors)
        return all(way.kind != "unknown" and way.scope is not aim.scope for way in ways)

    def firefox(self, aim: Aim) -> Forwarded | None:
        """What a handshake with ``Connection: keep-alive, Upgrade`` becomes there."""
        if not self.shared.reads_connection:
            return self.forwarded(aim)
        return answer(aim.route, self.asked(aim.route, _FIREFOX), self.build).outcome.forwarded

    def target_with_query(self, aim: Aim) -> str | None:
        """The target that reaches the backend for a handshake with a query string; None if unknown."""
        forwarded = answer(aim.route, self.asked(aim.route, _QUERY), self.build).outcome.forwarded
        return forwarded.request.target if forwarded is not None and forwarded.request is not None else None

    def host_for(self, aim: Aim, host: str) -> str | None:
        """The Host that reaches the backend for a handshake that asks for a host; None if unknown or none is sent."""
        forwarded = answer(aim.route, handshake_request(host=host), self.build).outcome.forwarded
        fate = forwarded.fate("Host") if forwarded is not None else None
        return fate.value if fate is not None and fate.fate != "unknown" else None

    def with_upgrade(self, aim: Aim, protocol: str) -> Forwarded | None:
        """What a request to upgrade to another protocol becomes there."""
        fields = tuple((n, protocol if n == "Upgrade" else v) for n, v in _HANDSHAKE.headers)
        return answer(
            aim.route, self.asked(aim.route, replace(_HANDSHAKE, headers=fields)), self.build
        ).outcome.forwarded

    @cached_property
    def is_partial(self) -> bool:
        """Whether servers may stand elsewhere: only a part was given, or a file could not be read."""
        return bool(self.config.fragment) or bool(self.config.http is not None and self.config.http.opaque)

    @cached_property
    def first_place(self) -> Span | None:
        """A place to speak of where no server answers: the first ``listen``, else the first server."""
        lines = (server.first("listen") or server.opener for server in self.config.servers)
        return next((line.span for line in lines if line is not None), None)

    def handler(self, aim: Aim) -> Placed | None:
        """The directive that hands requests to the backend there."""
        forwarded = self.forwarded(aim)
        return forwarded.handler if forwarded is not None else None

    def decisions(self, aim: Aim) -> tuple[Decision, ...]:
        """The decisions about an opening handshake that reaches the aim."""
        return answer(aim.route, self.asked(aim.route), self.build).decisions

    def is_refused(self, aim: Aim, status: int) -> bool:
        """Whether nginx itself answers an opening handshake there with a status."""
        outcome = answer(aim.route, self.asked(aim.route), self.build).outcome
        return outcome.kind == "refused" and outcome.status == status

    def shadowed(self, aim: Aim) -> Scope | None:
        """The prefix location with upgrade fields that would answer the aim's URLs, were the aim no regex."""
        return self.shadowed_by(aim.scope, aim.route.server, aim.urls)

    @cached_property
    def files(self) -> tuple[tuple[str, Scope, Scope | None], ...]:
        """The told URLs that nginx answers with a file, the location that does, and the prefix location it shadows."""
        found = ((url, t.outcome.scope, t.outcome.server) for url, t in self.traces if answered_by_file(t))
        return tuple(
            (url, scope, self.shadowed_by(scope, server, (url,)) if server is not None else None)
            for url, scope, server in found
            if scope is not None and scope.opener is not None
        )

    def shadowed_by(self, scope: Scope, server: Scope, urls: Collection[str]) -> Scope | None:
        """The prefix location with upgrade fields that would answer some told URLs, were a location no regex.

        Args:
            scope: The location that answers them.
            server: Its server.
            urls: The URLs.
        """
        if not location_name(scope).is_regex:
            return None
        paths = [arrival.request.target.partition("?")[0] for url, arrival in self.shared.arrivals if url in urls]
        found = [
            (len(name.name), other.scope)
            for other in self.aims
            if other.route.server is server and (name := location_name(other.scope)).modifier == ""
            if self.answer(other.route).tunnel and any(path.startswith(name.name) for path in paths)
        ]
        return max(found, key=lambda pair: pair[0])[1] if found else None

    def decides(self, aim: Aim, name: str) -> Placed | None:
        """The directive that decides a header field of the handshake there; None for nginx's own value."""
        forwarded = self.forwarded(aim)
        fate = forwarded.fate(name) if forwarded is not None else None
        return fate.origin if fate is not None else None

    def fault(self, aim: Aim, name: str) -> Fault:
        """What became of the field ``Upgrade`` or ``Connection`` there."""
        key = ("rules: fault", name, self.build)
        memo = aim.scope.memo
        if key not in memo:
            forwarded = self.forwarded(aim)
            memo[key] = fault_of(aim.scope, forwarded, name) if forwarded else Fault(name, Cause.FINE)
        found = memo[key]
        assert isinstance(found, Fault)
        return found

    @cached_property
    def header_faults(self) -> tuple[tuple[Aim, Fault, Fault], ...]:
        """The aims whose Upgrade or Connection field does not arrive, with what became of each."""
        fine = (Cause.FINE, Cause.UNKNOWN)
        faults = ((aim, self.fault(aim, "Upgrade"), self.fault(aim, "Connection")) for aim, _ in self.errors())
        return tuple(found for found in faults if found[1].cause not in fine or found[2].cause not in fine)

    def needs_http_11(self, aim: Aim) -> bool:
        """Whether a fix must set proxy_http_version there, for any nginx it must be right for."""
        found = (self.forwarded(aim, build) for build in self.builds)
        return any("http-version" in forwarded.faults for forwarded in found if forwarded is not None)

    def heartbeat(self, scope: Scope) -> float | None:
        """Seconds between pings, declared for this place or told for all; None if nothing is known."""
        declared = self.shared.heartbeats
        if declared:
            for level in scope.outward:
                if level.opener is not None and level.opener.directive in declared:
                    return declared[level.opener.directive]
            if None in declared:
                return declared[None]
        return self.options.heartbeat

    def alone(self, aim: Aim) -> bool:
        """Whether plain requests need not be considered there."""
        return serves_websockets_alone(aim)

    def errors(self) -> tuple[tuple[Aim, Forwarded], ...]:
        """The aims whose handshake certainly does not arrive."""
        return self._errors

    @cached_property
    def _errors(self) -> tuple[tuple[Aim, Forwarded], ...]:
        return tuple((aim, found) for aim, found in self.proxied if found.tunnel is False)


def serves_websockets_alone(aim: Aim) -> bool:
    """Whether a location serves WebSockets alone.

    So it is if the configuration refuses plain requests there; or if it is told or shown to be for WebSockets, its name
    is exact or a prefix other than ``/``, and hints at no library that also polls.
    """
    scope = location_of(aim.scope)
    if scope.kind != "location" or refuses_plain(scope):
        return scope.kind == "location"
    name = location_name(scope)
    names_path = name.modifier in ("", "=", "^~") and name.name.startswith("/") and name.name != "/"
    return names_path and aim.intent is not Intent.HINTED and not is_polling(scope)


def refuses_plain(scope: Scope) -> bool:
    """Whether a location answers every request without Upgrade itself: ``if ($http_upgrade ...) { return 4xx; }``."""
    return any(_is_refusal(block) for block in scope.children("if"))


def _is_refusal(block: Scope) -> bool:
    answer = block.first("return")
    if block.opener is None or answer is None or not answer.args or answer.args[0][:1] not in ("3", "4", "5"):
        return False
    words = " ".join(block.opener.args).strip("()").split()
    if not words or words[0].lower() != "$http_upgrade":
        return False
    operator, *operand = words[1:] or ("",)
    value = (operand[0] if operand else "").strip("\"'").lower()
    return (operator == "=" and not value) or (operator in ("!=", "!~", "!~*") and "websocket" in value)
