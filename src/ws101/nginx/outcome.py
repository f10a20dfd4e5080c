"""What the model answers: ``Arrival`` in, ``Trace`` out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import field

from ws101.http1 import Request
from ws101.lazy import dataclass
from ws101.nginx.config import Placed, Scope, Unknown

__all__ = ["SENT", "Arrival", "Decision", "Fate", "Forwarded", "HeaderFate", "Outcome", "Peer", "Trace", "Upstream"]


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request and the connection it comes on: what is needed to choose a server.

    Args:
        request: The request as the client sends it.
        port: The local port; None with ``unix``.
        address: The local address the client connected to; None if unknown (a wildcard listener is assumed to answer).
        unix: The path of the unix socket, if it came through one.
        tls: Whether the connection is encrypted.
        sni: The name the client asked for in TLS.
        client: The client's address.
    """

    request: Request
    port: int | None = 80
    address: str | None = None
    unix: str | None = None
    tls: bool = False
    sni: str | None = None
    client: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Decision:
    """One step on the way of a request, and the directive that decided it.

    ``step`` is one of ``connection``, ``request``, ``server``, ``location``, ``rewrite``, ``access``, ``content``,
    ``upstream``, ``header``, ``tunnel``, ``timeout``.
    """

    step: str
    chosen: str
    why: str
    origin: Placed | None = None


@dataclass(frozen=True, slots=True)
class HeaderFate:
    """What became of one header field on its way to the backend.

    ``fate`` is one of ``passed`` (the client's field as it came), ``set`` (by proxy_set_header), ``default`` (nginx's
    own value), ``cleared`` (by a proxy_set_header whose value is empty), ``dropped`` (by nginx's defaults), ``ignored``
    (nginx did not accept the field), ``withheld`` (proxy_pass_request_headers off).
    ``value`` is what is sent; "" if nothing is.
    """

    name: str
    value: str
    fate: str
    origin: Placed | None = None
    why: str = ""


Fate = tuple[str, str, str, "Placed | None", str]
"""The parts of a ``HeaderFate``."""

SENT = frozenset(("set", "default", "passed"))
"""The fates of the header fields that reach the backend."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One address of an upstream; ``address`` is ``ip:port`` or ``unix:/path``, or a name only run time resolves."""

    address: str
    weight: int = 1
    backup: bool = False
    down: bool = False
    origin: Placed | None = None


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where a request goes.

    Args:
        name: The name as proxy_pass has it (``$proxy_host``).
        peers: Its addresses; empty if unknown.
        tls: Whether nginx speaks TLS to it.
        block: The ``upstream`` block, if it is one.
        uses_keepalive: Whether nginx keeps idle connections to it.
    """

    name: str
    peers: tuple[Peer, ...] = ()
    tls: bool = False
    block: Scope | None = None
    uses_keepalive: bool = False

    @property
    def url(self) -> str:
        """Scheme and name, for people."""
        return f"{'https' if self.tls else 'http'}://{self.name}"


@dataclass(frozen=True, slots=True)
class Forwarded:
    """What reaches the backend, and how each part came about.

    Args:
        handler: The proxy_pass (or kin) that forwards.
        upstream: Where it goes; None if unknown.
        request: The exact request; None if a part of it is unknown, or if it is no HTTP (fastcgi and kin).
        fates: What the fates of the header fields are made of when they are asked for.
        tunnel: Whether a valid opening handshake arrives (RFC 6455 section 4.2.1); None if unknown.
        faults: Why not: ``http-version``, ``method``, ``upgrade-missing``, ``upgrade-wrong``, ``connection-missing``,
            ``connection-wrong``, ``key-missing``, ``version-missing``, ``key-repeated``, ``upgrade-repeated``,
            ``body``, ``protocol`` (not an HTTP/1 proxy).
        idle_timeout: Seconds a tunnel may stay silent; None if unknown.
        idle_origin: The proxy_read_timeout that sets it; None for nginx's default.
        unknown: What could not be known, and why.
    """

    handler: Placed
    upstream: Upstream | None
    request: Request | None
    fates: tuple[Fate, ...]
    tunnel: bool | None
    faults: tuple[str, ...]
    idle_timeout: float | None
    idle_origin: Placed | None = None
    unknown: tuple[Unknown, ...] = ()

    @property
    def headers(self) -> tuple[HeaderFate, ...]:
        """The fate of every header field, sent or not."""
        return tuple([HeaderFate(*fate) for fate in self.fates])

    def fate(self, name: str) -> HeaderFate | None:
        """The fate of a header field by case-insensitive name: what is sent, else how it was lost."""
        wanted = name.lower()
        found = [HeaderFate(*fate) for fate in self.fates if fate[0].lower() == wanted]
        return next((h for h in found if h.value), found[0] if found else None)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What nginx does in the end.

    Args:
        kind: ``proxied``, ``returned``, ``redirected``, ``static``, ``refused``, ``closed`` or ``unknown``.
        status: The status nginx itself answers with; None where the backend or the file system decides.
        location: The Location field of a redirect.
        body: The text of a ``return``; None if there is none.
        forwarded: What reaches the backend, for ``proxied``; what would, where every peer is marked down.
        server: The server block that answered.
        scope: The location (or ``if``) whose settings rule; the server's own scope where no location matched.
    """

    kind: str
    status: int | None = None
    location: str | None = None
    body: str | None = None
    forwarded: Forwarded | None = None
    server: Scope | None = None
    scope: Scope | None = None


Step = tuple[str, str, str, "Placed | None"] | Callable[[], Iterable[Decision]]
"""A decision's parts, or what makes several when they are asked for."""


@dataclass(frozen=True, slots=True)
class Trace:
    """The way from request to outcome.

    Args:
        arrival: What was asked.
        steps: What the decisions are made of when they are asked for.
        outcome: What nginx does in the end.
        unknown: What could not be known, and why.
        subrequests: What auth_request and mirror ask on the way, in order.
    """

    arrival: Arrival
    steps: tuple[Step, ...]
    outcome: Outcome
    unknown: tuple[Unknown, ...] = ()
    subrequests: tuple[Trace, ...] = ()
    _made: list[Decision] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """The decisions from request to outcome, each with the directive that made it."""
        if not self._made:
            for step in self.steps:
                self._made.extend([Decision(*step)] if isinstance(step, tuple) else step())
        return tuple(self._made)
