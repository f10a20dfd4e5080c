"""The doctor: ask the model, ask the live server, ask the backend itself, read the logs, and join what they say.

Every experiment is one connection, and ``ws101.diagnose.plan`` says which.  The backend is asked only where its address
means this machine's: where nginx runs here, or where the user names it with ``--direct``.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from ws101.diagnose import Diagnosis, Facts, Place, Surroundings, diagnose, plan
from ws101.errors import UsageError
from ws101.findings import Finding
from ws101.host.asking import Asker, Progress
from ws101.host.dial import ConnectError
from ws101.host.logs import Logs
from ws101.host.network import Network, handshake, parse_address, run
from ws101.http1 import Request
from ws101.lazy import dataclass
from ws101.nginx.build import Build
from ws101.nginx.config import Config, Unknown
from ws101.nginx.outcome import Arrival, Forwarded, Trace
from ws101.nginx.servers import Group, listeners
from ws101.nginx.trace import trace
from ws101.probes.core import Observation, Probe, Verdict
from ws101.probes.endpoint import Endpoint
from ws101.probes.handshake import HandshakeOptions, build_request
from ws101.probes.heartbeat import heartbeat
from ws101.probes.idle import idle

__all__ = ["Case", "arrival_of", "backend_address", "examine", "is_here", "predict"]

Judge = Callable[[Trace], Sequence[Finding]]
"""The findings that concern the route of a trace."""

Around = Callable[[Forwarded | None], Surroundings]
"""What the machine shows of the way to a backend."""


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
        around: Shows the machine; None where nginx runs elsewhere.
        logs: The logs to be read around the handshake; None for none.
        page: The address of the page that opens the WebSocket; empty if unknown.
        symptom: The browser's own code for the failure; empty if unknown.
        idle: Seconds to measure how long a tunnel may stay silent; 0 does not measure.
        heartbeat: Seconds to listen for the server's heartbeat; 0 does not listen.
    """

    endpoint: Endpoint
    options: HandshakeOptions
    network: Network
    config: Config | None = None
    builds: tuple[Build, ...] = ()
    judge: Judge | None = None
    direct: Endpoint | None = None
    here: bool = False
    around: Around | None = None
    logs: Logs | None = None
    page: str = ""
    symptom: str = ""
    idle: float = 0.0
    heartbeat: float = 0.0


def _say_nothing(_: str) -> None:
    return None


def examine(case: Case, *, offline: bool = False, progress: Progress = _say_nothing) -> Diagnosis:
    """Find out why a WebSocket fails, or that it works.

    Args:
        case: What is to be diagnosed.
        offline: Open no connection: the configuration speaks, and what the logs tell of before.
        progress: Gets the title of each step before it is made.
    """
    asker = Asker(case.network, case.options, progress)
    _mark_logs(case)
    if not offline:
        progress("the opening handshake")
        begin = time.monotonic()
        asker.note("site", "the opening handshake", handshake(case.endpoint, case.options, case.network)[0],
                   time.monotonic() - begin)  # fmt: skip
    facts = _facts(case, asker.results.get("site"))
    if offline:
        return diagnose(_with_logs(case, facts))
    facts = replace(facts, results=asker.results)
    while not asker.spent and (todo := plan(facts)):
        for experiment in todo:
            if not asker.spent:
                asker.ask(experiment)
    if facts.works:
        _measure(case, facts, asker)
    return diagnose(_with_logs(case, facts), tuple(asker.tried))


def _mark_logs(case: Case) -> None:
    """Remember where the logs of the scope that will answer end."""
    if case.logs is not None:
        expected = _predicted(case, None)
        case.logs.mark(expected.outcome.scope or expected.outcome.server if expected else None)


def _facts(case: Case, site: Observation | None) -> Facts:
    """What is known before any further experiment."""
    predicted = _predicted(case, site)
    forwarded = predicted.outcome.forwarded if predicted else None
    inner = _next_hop(case, forwarded)
    return Facts(
        case.endpoint,
        case.options,
        predicted,
        _judged(case, predicted),
        _backends(case, forwarded),
        around=case.around(forwarded) if case.around else Surroundings(),
        nginx=_nginx_here(case, site),
        inner=inner,
        inner_findings=_judged(case, inner),
        ports=_ports(case),
        page=case.page,
        symptom=case.symptom,
    )


def _judged(case: Case, predicted: Trace | None) -> tuple[Finding, ...]:
    return tuple(case.judge(predicted)) if case.judge and predicted else ()


def _with_logs(case: Case, facts: Facts) -> Facts:
    if case.logs is None:
        return facts
    timeout = facts.forwarded.idle_timeout if facts.forwarded else None
    clues = case.logs.clues(case.endpoint.target, timeout)
    return replace(facts, clues=clues, unknown=(*facts.unknown, *case.logs.doubts()))


def _predicted(case: Case, through: Observation | None) -> Trace | None:
    if case.config is None:
        return None
    sent = through.handshake.request if through and through.handshake else build_request(case.endpoint, case.options)
    address = _address(through) if case.here else None
    arrival = arrival_of(case.endpoint, sent, address)
    found = predict(case.config, arrival, case.builds)
    elsewhere = _listener_for(case) if found.outcome.kind == "closed" and found.outcome.server is None else None
    if elsewhere is None or elsewhere.port is None:
        return found
    reason = f"the configuration has no server for this name at {_shown(case, address)}"
    doubt = Unknown(f"{reason}: what stands in front is taken to come to {elsewhere.socket}")
    own = None if elsewhere.socket.is_wildcard else elsewhere.address
    sni = arrival.sni if elsewhere.ssl else None
    other = replace(arrival, port=elsewhere.port, tls=elsewhere.ssl, address=own, sni=sni)
    found = predict(case.config, other, case.builds)
    return replace(found, unknown=(*found.unknown, doubt))


def _shown(case: Case, address: str | None) -> str:
    return f"{address}:{case.endpoint.port}" if address else f"port {case.endpoint.port}"


def _listener_for(case: Case) -> Group | None:
    """The listener with this name, where the URL leads to something in front of nginx."""
    return next(iter(_ranked(case)), None)


def _ranked(case: Case) -> list[Group]:
    """The addresses at which the configuration has the host, the likeliest first: same scheme, same port."""
    groups = _groups(case)
    return sorted(groups, key=lambda group: (group.ssl != case.endpoint.tls, group.port != case.endpoint.port))


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


def is_here(host: str, *, look_up: bool = True) -> bool:
    """Whether a host name or address is this machine's own.

    Args:
        host: The name or address.
        look_up: Whether a name's address may be asked for; else only ``localhost`` and addresses can be.
    """
    if not look_up and host.lower() != "localhost" and not _is_address(host):
        return False
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
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
    usable = _peers(forwarded)
    return (usable[0], forwarded.upstream.tls) if usable and forwarded and forwarded.upstream else None


def _peers(forwarded: Forwarded | None) -> tuple[str, ...]:
    upstream = forwarded.upstream if forwarded else None
    if upstream is None or (forwarded is not None and forwarded.handler.name != "proxy_pass"):
        return ()
    return tuple(peer.address for peer in upstream.peers if not peer.down and not peer.backup)


def _backends(case: Case, forwarded: Forwarded | None) -> tuple[Place, ...]:
    """Where the backend can be asked: at the address that was told, or at those of the configuration, if it is here."""
    if case.direct is not None:
        return (Place(case.direct, backend=True, insecure=True),)
    if not case.here or forwarded is None or forwarded.upstream is None:
        return ()
    found = []
    for address in _peers(forwarded):
        try:
            endpoint, path = parse_address(address, tls=forwarded.upstream.tls)
        except UsageError:
            continue
        found.append(Place(endpoint, unix=path, backend=True, insecure=True))
    return tuple(found)


def _groups(case: Case) -> tuple[Group, ...]:
    """The addresses at which the configuration has a server for the host."""
    if case.config is None:
        return ()
    host = "" if _is_address(case.endpoint.host) else case.endpoint.host
    groups = listeners(case.config, case.builds[0]).groups
    return tuple(group for group in groups if group.port is not None and (not host or _answers(group, host)))


def _answers(group: Group, host: str) -> bool:
    chosen = group.find(host)
    named = chosen.origin is not None and chosen.origin.name == "server_name"
    return named or len(group.servers) == 1


def _ports(case: Case) -> tuple[tuple[int, bool], ...]:
    """The ports at which the configuration offers the host, and whether with TLS."""
    return tuple(dict.fromkeys((group.port, group.ssl) for group in _groups(case) if group.port is not None))


def _nginx_here(case: Case, site: Observation | None) -> Place | None:
    """nginx's own address on this machine, unless the live handshake went straight there."""
    address = _address(site)
    if not case.here or address is None or case.config is None:
        return None
    ranked = _ranked(case)
    if _is_own(address) and any(_takes(group, address, case.endpoint.port) for group in ranked):
        return None
    port = ranked[0].port if ranked else None
    if port is None:
        return None
    group = ranked[0]
    scheme = "wss" if group.ssl else "ws"
    own = "127.0.0.1" if group.socket.is_wildcard else group.address
    preface = b"PROXY TCP4 127.0.0.1 127.0.0.1 65000 %d\r\n" % port if group.proxy_protocol else b""
    endpoint = replace(case.endpoint, scheme=scheme, port=port)
    return Place(endpoint, insecure=True, address=own, preface=preface)


def _takes(group: Group, address: str, port: int) -> bool:
    return group.port == port and (group.socket.is_wildcard or group.address == address)


def _next_hop(case: Case, forwarded: Forwarded | None) -> Trace | None:
    """What the same nginx makes of the request where its backend is another server of its own."""
    peers = _peers(forwarded)
    if not case.here or case.config is None or not peers or forwarded is None or forwarded.request is None:
        return None
    if peers[0].startswith("unix:"):
        arrival = Arrival(forwarded.request, None, None, peers[0].removeprefix("unix:").rstrip(":"))
    else:
        host, _, port = peers[0].rpartition(":")
        if not _is_address(host.strip("[]")) or not port.isdecimal():
            return None
        tls = forwarded.upstream.tls if forwarded.upstream else False
        arrival = Arrival(forwarded.request, int(port), host.strip("[]"), None, tls)
    found = predict(case.config, arrival, case.builds)
    return found if found.outcome.kind == "proxied" else None


def _measure(case: Case, facts: Facts, asker: Asker) -> None:
    """The long ones, on demand: the silent tunnel through the site and straight to the backend, and the heartbeat."""
    backend = facts.backends[0] if facts.backends else None
    if case.idle > 0:
        site = Place(case.endpoint)
        probes: list[tuple[str, str, Probe, Place]] = [
            ("idle", "a silent tunnel through the site", idle(case.endpoint, case.options, limit=case.idle), site)
        ]
        if backend is not None:
            options = replace(case.options, host=case.options.host or case.endpoint.host_header)
            endpoint = replace(backend.endpoint, target=_target(facts))
            probes.append(
                ("idle-direct", "a silent tunnel straight to the backend", idle(endpoint, options, limit=case.idle),
                 replace(backend, endpoint=endpoint))
            )  # fmt: skip
        timeout = facts.forwarded.idle_timeout if facts.forwarded else None
        if timeout is not None and timeout * 1.5 < case.idle:
            pinging = idle(case.endpoint, case.options, limit=timeout * 1.5, ping_every=timeout / 3)
            probes.append(("idle-ping", "a tunnel with a ping from the client now and then", pinging, site))
        said = f" (the configuration says {timeout:g} s)" if timeout is not None else ""
        _together(probes, asker, case.idle, said=said)
    if case.heartbeat > 0:
        probe = heartbeat(case.endpoint, case.options, listen=case.heartbeat)
        _together([("heartbeat", "the server's heartbeat", probe, Place(case.endpoint))], asker, case.heartbeat)


def _target(facts: Facts) -> str:
    request = facts.forwarded.request if facts.forwarded else None
    return request.target if request else facts.endpoint.target


def _together(probes: Sequence[tuple[str, str, Probe, Place]], asker: Asker, limit: float, *, said: str = "") -> None:
    """Run probes at the same time, each on its own connection, so that their figures compare."""
    shown = ", ".join(title for _, title, _, _ in probes) + said

    def one(name: str, title: str, probe: Probe, place: Place) -> None:
        begin = time.monotonic()
        try:
            seen = run(probe, place.endpoint, asker.network_to(place), tick=tick)
        except ConnectError as error:
            probe.close()
            seen = Observation(Verdict.FAILED, error.message, error.class_, connection=error.connection)
        asker.note(name, title, seen, time.monotonic() - begin, answer=seen.message)

    def tick(at: float) -> None:
        asker.progress(f"{shown}: {at:.0f} of {limit:.0f} s")

    threads = [threading.Thread(target=one, args=item, daemon=True) for item in probes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
