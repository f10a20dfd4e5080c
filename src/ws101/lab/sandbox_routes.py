"""A request for every proxied route: the address, the names and the path that lead there, as the model says.

A path is a guess until the model follows it: only what ends in the very location counts.  Where nothing does, the
reason is given, and the route is not tried.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from ipaddress import ip_address

from ws101.http1 import Request
from ws101.lab.sandbox_examples import examples
from ws101.lazy import dataclass
from ws101.nginx.build import Build
from ws101.nginx.config import Config, Route, Scope
from ws101.nginx.escapes import escape_uri
from ws101.nginx.inherit import effective
from ws101.nginx.locations import location_name
from ws101.nginx.outcome import Arrival, Outcome, Trace
from ws101.nginx.regex import RegexError, Undecided, compile_regex
from ws101.nginx.servers import Group, listeners
from ws101.nginx.trace import trace
from ws101.rules.base.aims import location_of
from ws101.rules.base.urls import handshake_request, plain_request
from ws101.text import lower

__all__ = ["CREDENTIALS", "Question", "questions"]

CREDENTIALS = ("ws101", "sandbox")
"""The user and the password that pass auth_basic in the sandbox."""

_UNSPOKEN = {
    "fastcgi_pass": "FastCGI",
    "uwsgi_pass": "uwsgi",
    "scgi_pass": "SCGI",
    "grpc_pass": "gRPC",
    "memcached_pass": "memcached",
    "tunnel_pass": "a tunnel of CONNECT",
}
_ADDRESSES = {"0.0.0.0": ("127.0.0.1", "127.77.7.7"), "::": ("::1", "fd00::77")}  # noqa: S104 - read, never bound
_NOBODY = "ws101.invalid"
_MOST_PATHS = 120
_METHODS = ("GET", "POST")
_HOST_NAME = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about a route, as if nothing had been moved.

    Args:
        route: The route.
        group: The listener that the requests come through; None if it is not tried.
        websocket, plain: What the model says of an opening handshake and of a plain request; the arrival is in it.
        reason: Why the route is not tried; empty if it is.
    """

    route: Route
    group: Group | None = None
    websocket: Trace | None = None
    plain: Trace | None = None
    reason: str = ""


def questions(config: Config, build: Build, routes: Iterable[Route]) -> tuple[Question, ...]:
    """The requests that lead to some routes.

    Args:
        config: The configuration.
        build: The nginx that will be asked.
        routes: The routes, each with a handler.
    """
    known: dict[Scope, _Server] = {}
    found = []
    for route in routes:
        if route.server not in known:
            known[route.server] = _Server(config, build, route.server)
        found.append(known[route.server].question(route))
    return tuple(found)


class _Server:
    """What leads to the routes of one server."""

    def __init__(self, config: Config, build: Build, server: Scope) -> None:
        self.config = config
        self.build = build
        self.server = server

    def question(self, route: Route) -> Question:
        """The requests for a route, or why there are none."""
        if self._entrance is None:
            return Question(route, reason="another server answers for each of its names")
        elsewhere = ""
        for target in self._targets(route.location):
            handshake = self._asked(route, target, "GET", upgrade=True)
            for method in _METHODS:
                page = self._asked(route, target, method, upgrade=False)
                if any(self._leads(route, found.outcome) for found in (handshake, page)):
                    unspoken = _unspoken(handshake.outcome) or _unspoken(page.outcome)
                    asked = Question(route, self._entrance[0], handshake, page)
                    return Question(route, reason=unspoken) if unspoken else asked
            elsewhere = elsewhere or f"{target} {_ending(handshake.outcome)}"
        return Question(route, reason=self._why_not(route, elsewhere))

    @staticmethod
    def _leads(route: Route, outcome: Outcome) -> bool:
        """Whether a request ends in a route; one that is refused there for being internal does not."""
        return outcome.scope is route.location and (outcome.forwarded is not None or not _is_internal(route.location))

    def _why_not(self, route: Route, elsewhere: str) -> str:
        location = location_of(route.location)
        name = location_name(location)
        if _is_internal(location):
            return "it is internal, and no request was found that is handed on to it"
        if name.modifier == "@":
            return "no request was found that is handed on to it"
        if name.is_regex and not _paths(location):
            return "no path was found that its regular expression matches"
        return f"no request was found that ends here: {elsewhere}"

    def _asked(self, route: Route, target: str, method: str, *, upgrade: bool) -> Trace:
        """What becomes of a request for a path."""
        assert self._entrance is not None
        group, address, name = self._entrance
        host = _host_field(name, group)
        if upgrade:
            request = handshake_request(target, host)
            if group.ssl:
                origin = tuple((n, f"https://{host}" if n == "Origin" else v) for n, v in request.headers)
                request = replace(request, headers=origin)
        else:
            cached = effective(route.location, "proxy_cache").text not in (None, "off")
            request = plain_request(f"{target}?ws101=plain" if cached else target, host, method=method)
        arrival = Arrival(
            self._let_in(route.location, request),
            group.port,
            address,
            group.unix,
            group.ssl,
            name if group.ssl and _is_name(name) else None,
            "unix:" if group.unix else address if address is not None and ":" in address else "127.0.0.1",
        )
        return trace(self.config, arrival, self.build)

    @staticmethod
    def _let_in(scope: Scope, request: Request) -> Request:
        """The request with a password where one is asked for."""
        if effective(scope, "auth_basic").text in (None, "off"):
            return request
        token = base64.b64encode(":".join(CREDENTIALS).encode()).decode("ascii")
        return replace(request, headers=(*request.headers, ("Authorization", f"Basic {token}")))

    @cached_property
    def _entrance(self) -> tuple[Group, str | None, str] | None:
        """The listener, the local address and the host name by which this server answers."""
        known = listeners(self.config, self.build)
        for group in known.groups:
            if self.server not in group.servers:
                continue
            address = self._address(group)
            if address is None and group.unix is None:
                continue
            for name in self._names():
                choice = group.find(lower(name))
                if choice.server is self.server and choice.unknown is None:
                    return group, address, name
        return None

    def _address(self, group: Group) -> str | None:
        """A local address whose connections this listener takes; None if there is none, or it is a unix socket."""
        known = listeners(self.config, self.build)
        if group.unix is not None:
            return None
        wanted = _ADDRESSES.get(group.address, (group.address,))
        return next((a for a in wanted if known.group(a, group.port) is group), None)

    def _names(self) -> Iterator[str]:
        for line in self.server.all("server_name"):
            for text in line.args:
                yield from _names_of(text)
        yield from ("localhost", "127.0.0.1", _NOBODY)

    def _targets(self, scope: Scope) -> Iterator[str]:
        """Paths that may lead to a location: made from its own name, then those of the others around."""
        seen: set[str] = set()
        for path in (*_paths(location_of(scope)), *self._paths_around):
            target = escape_uri(path)
            if target not in seen and len(seen) < _MOST_PATHS and target.startswith("/"):
                seen.add(target)
                yield target

    @cached_property
    def _paths_around(self) -> tuple[str, ...]:
        locations = [r.location for r in self.config.routes_of(self.server) if r.location.kind == "location"]
        found = (path for location in locations for path in _paths(location))
        return ("/", *(path for path, _ in zip(found, range(_MOST_PATHS), strict=False)))


def _unspoken(outcome: Outcome) -> str:
    """Why a backend cannot be stood in for: it is spoken to in another protocol; empty if it is HTTP/1."""
    forwarded = outcome.forwarded
    if forwarded is None or forwarded.faults != ("protocol",):
        return ""
    name = forwarded.handler.name
    return f"{name} speaks {_UNSPOKEN.get(name, 'another protocol')}, not HTTP/1"


def _is_internal(scope: Scope) -> bool:
    return effective(scope, "internal").origin is not None


def _paths(location: Scope) -> Sequence[str]:
    """Paths that a location's name lets in."""
    name = location_name(location)
    if name.modifier == "@":
        return ()
    if name.modifier == "=":
        return (name.name,)
    if not name.is_regex:
        more = name.name if name.name.endswith("/") else name.name + "/"
        return (name.name, more + "ws101", name.name + "ws101")
    try:
        regex = compile_regex(name.name, caseless=name.modifier == "~*")
        texts = [
            text if text.startswith("/") else start + text for text in examples(name.name) for start in ("/", "/x")
        ]
        return [text for text in dict.fromkeys(texts) if regex.search(text) is not None]
    except (RegexError, Undecided):
        return ()


def _names_of(text: str) -> Iterator[str]:
    """Host names that a server name takes."""
    if text.startswith("~"):
        yield from (lower(name) for name in examples(text[1:]) if _HOST_NAME.fullmatch(name))
    elif text.startswith((".", "*.")):
        yield "ws101" + text.removeprefix("*")
    elif text.endswith(".*"):
        yield text[:-1] + "test"
    elif text not in ("", "_") and not text.startswith("$"):
        yield text


def _host_field(name: str, group: Group) -> str:
    """The Host field: the port only where it is not the scheme's own (RFC 6455 section 4.1)."""
    shown = f"[{name}]" if ":" in name else name
    return shown if group.port in (None, 443 if group.ssl else 80) else f"{shown}:{group.port}"


def _is_name(name: str) -> bool:
    """Whether TLS may ask for it (RFC 6066 section 3: no addresses)."""
    try:
        ip_address(name)
    except ValueError:
        return True
    return False


def _ending(outcome: Outcome) -> str:
    """Where a request ends instead, for people."""
    if outcome.kind == "unknown":
        return "ends where only run time knows"
    if outcome.kind == "closed":
        return "is closed without an answer"
    where = outcome.scope.title if outcome.scope is not None else "nowhere"
    status = f" with {outcome.status}" if outcome.status is not None else ""
    return f"ends in {where}{status}"
