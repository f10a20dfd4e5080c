"""The doctor: ask the model, ask the live server, ask the backend itself, and join what they say.

Every experiment is one connection.  The backend is asked only where its address means this machine's: where nginx runs
here, or where the user names it with ``--direct``.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ws101.diagnose import Diagnosis, Evidence, diagnose
from ws101.errors import Ws101Error
from ws101.findings import Finding
from ws101.host.network import Network, exchange, handshake
from ws101.http1 import Request
from ws101.nginx.build import Build
from ws101.nginx.config import Config, Unknown
from ws101.nginx.outcome import Arrival, Forwarded, Trace
from ws101.nginx.trace import trace
from ws101.probes.core import HandshakeResult, Observation
from ws101.probes.endpoint import Endpoint
from ws101.probes.handshake import HandshakeOptions, build_request

__all__ = ["Case", "arrival_of", "backend_address", "examine", "is_here", "predict"]

Judge = Callable[[Trace], Sequence[Finding]]
"""The findings that concern the route of a trace."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is to be diagnosed.

    Args:
        endpoint: Where the WebSocket is opened.
        options: How.
        network: Through what.
        config: The configuration; None for a site whose configuration is not at hand.
        builds: The nginx versions to predict for.
        judge: Gives the findings on a route; None without a configuration.
        direct: The backend's own address, told by the user.
        here: Whether the configuration is that of an nginx of this machine.
        stale: Files that changed after the running workers had loaded them.
    """

    endpoint: Endpoint
    options: HandshakeOptions
    network: Network
    config: Config | None = None
    builds: tuple[Build, ...] = ()
    judge: Judge | None = None
    direct: Endpoint | None = None
    here: bool = False
    stale: tuple[str, ...] = ()


def examine(case: Case, *, offline: bool = False) -> Diagnosis:
    """Find out why a WebSocket fails, or that it works.

    Args:
        case: What is to be diagnosed.
        offline: Open no connection: the configuration alone speaks.
    """
    through = None if offline else handshake(case.endpoint, case.options, case.network)[0]
    predicted = _predicted(case, through)
    findings = tuple(case.judge(predicted)) if case.judge and predicted else ()
    forwarded = predicted.outcome.forwarded if predicted else None
    evidence = Evidence(
        through,
        _direct(case, forwarded, through) if through else None,
        _replay(case, forwarded) if through and not through.passed else None,
        case.stale,
    )
    return diagnose(case.endpoint.url, predicted, findings, evidence)


def _predicted(case: Case, through: Observation | None) -> Trace | None:
    if case.config is None:
        return None
    sent = through.handshake.request if through and through.handshake else build_request(case.endpoint, case.options)
    address = _address(through) if case.here else None
    return predict(case.config, arrival_of(case.endpoint, sent, address), case.builds)


def arrival_of(endpoint: Endpoint, request: Request, address: str | None = None) -> Arrival:
    """A request on the connection that a URL leads to.

    Args:
        endpoint: The URL.
        request: The request as sent.
        address: The server's own address, if it is known; this machine's loopback client is assumed with it.
    """
    named = None if _is_address(endpoint.host) else endpoint.host
    return Arrival(request, endpoint.port, address, None, endpoint.tls, named if endpoint.tls else None)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def predict(config: Config, arrival: Arrival, builds: tuple[Build, ...]) -> Trace:
    """The trace of a request; where versions differ and the version is unknown, that is among the unknowns."""
    traces = [trace(config, arrival, build) for build in builds]
    first = traces[0]
    if all(_same(first, other) for other in traces[1:]):
        return first
    worst = next((t for t in traces if t.outcome.forwarded and t.outcome.forwarded.tunnel is False), first)
    doubt = Unknown("the outcome depends on the nginx version, which is unknown: say --nginx-version")
    return replace(worst, unknown=(*worst.unknown, doubt))


def _same(one: Trace, other: Trace) -> bool:
    a, b = one.outcome, other.outcome
    tunnels = [t.forwarded.tunnel if t.forwarded else None for t in (a, b)]
    return (a.kind, a.status, a.location) == (b.kind, b.status, b.location) and tunnels[0] == tunnels[1]


def _address(through: Observation | None) -> str | None:
    """The server's address without its port."""
    if through is None or through.connection is None or not through.connection.address:
        return None
    host = through.connection.address.rpartition(":")[0].strip("[]")
    return host if _is_address(host) else None


def is_here(host: str) -> bool:
    """Whether a host name or address is this machine's own."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return any(_is_own(str(entry[4][0])) for entry in found)


def _is_own(address: str) -> bool:
    """An address is this machine's own if a socket can be bound to it."""
    plain = address.partition("%")[0]
    family = socket.AF_INET6 if ":" in plain else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((plain, 0))
    except OSError:
        return False
    return True


def backend_address(forwarded: Forwarded | None) -> tuple[str, bool] | None:
    """The first usable address of an upstream, and whether TLS is spoken to it; None if there is none."""
    upstream = forwarded.upstream if forwarded else None
    if upstream is None or (forwarded is not None and forwarded.handler.name != "proxy_pass"):
        return None
    usable = [peer for peer in upstream.peers if not peer.down and not peer.backup]
    return (usable[0].address, upstream.tls) if usable else None


def _direct(case: Case, forwarded: Forwarded | None, through: Observation) -> Observation | None:
    """The same handshake straight to the backend, unless it went well through nginx."""
    if through.passed:
        return None
    if case.direct is not None:
        return handshake(case.direct, case.options, case.network)[0]
    found = backend_address(forwarded) if case.here else None
    if found is None:
        return None
    address, tls = found
    if address.startswith("unix:"):
        return None
    host, _, port = address.rpartition(":")
    target = forwarded.request.target if forwarded and forwarded.request else case.endpoint.target
    endpoint = Endpoint("wss" if tls else "ws", host.strip("[]"), int(port), target)
    options = replace(case.options, host=case.options.host or case.endpoint.host_header)
    return handshake(endpoint, options, replace(case.network, insecure=True))[0]


def _replay(case: Case, forwarded: Forwarded | None) -> HandshakeResult | None:
    """The predicted request straight to the backend: the answer that the client must see if the model is right."""
    found = backend_address(forwarded) if case.here else None
    if found is None or forwarded is None or forwarded.request is None:
        return None
    try:
        return exchange(found[0], forwarded.request, tls=found[1])
    except Ws101Error:
        return None
