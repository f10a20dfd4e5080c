"""Causes at the gate: nginx itself answers, because it cannot reach the backend, waits in vain, or will not."""

from __future__ import annotations

from ws101.diagnose.base import Facts, Place, RootCause, blame
from ws101.logs import Clue
from ws101.nginx.inherit import effective_all
from ws101.probes.attribution import Answerer
from ws101.text import Span

__all__ = ["CAUSES", "fails_at_the_gate"]

_GATE = (500, 502, 503, 504)


def fails_at_the_gate(facts: Facts) -> bool:
    """Whether nginx, and not the backend, answered with 500, 502, 503 or 504 (429 where limit_*_status says so)."""
    if facts.status not in (*_GATE, 429) or facts.works:
        return False
    return facts.by_nginx or (facts.answerer.who is not Answerer.OTHER and _not_the_backends(facts))


def _not_the_backends(facts: Facts) -> bool:
    """A page of one's own hides who answered: then it is nginx if the backend, asked directly, says something else."""
    return "direct" in facts.results and facts.status_of("direct") != facts.status


def _span(facts: Facts) -> Span | None:
    return facts.forwarded.handler.span if facts.forwarded else None


def _line(clue: Clue | None) -> str:
    return f"{clue.path}: {clue.line}" if clue is not None else ""


def _answer(facts: Facts) -> str:
    return f"nginx answers {facts.said('site')}"


def _fresh(facts: Facts, *rules: str) -> Clue | None:
    clue = facts.clue(*rules)
    return clue if clue is not None and clue.fresh and clue.mine else None


def limited(facts: Facts) -> RootCause | None:
    """limit_req or limit_conn refuses; after a pause it may let the same handshake through."""
    if facts.status not in (429, 503) or not fails_at_the_gate(facts):
        return None
    clue, limit = _fresh(facts, "rate-limit"), _limit(facts)
    if clue is None and limit is None and not facts.passed("again"):
        return None
    proven = clue is not None or (limit is not None and facts.passed("again"))
    later = f"after a pause the same handshake gets {facts.said('again')}" if "again" in facts.results else ""
    return blame(
        "rate-limit",
        "proven" if proven else "likely",
        "nginx limits requests or connections here, and refuses this one",
        _answer(facts),
        later,
        _line(clue),
        help="give limit_req a burst with nodelay, count tunnels apart from pages, reconnect with jitter",
        by=("site", "again") if facts.passed("again") else ("site",),
        span=limit,
    )


def _limit(facts: Facts) -> Span | None:
    scope = facts.predicted.outcome.scope if facts.predicted else None
    for name in ("limit_req", "limit_conn"):
        found = effective_all(scope, name) if scope is not None else ()
        if isinstance(found, tuple) and found:
            return found[0].span
    return None


def exhausted(facts: Facts) -> RootCause | None:
    """A worker has no connection left: each tunnel takes two of worker_connections."""
    clue = _fresh(facts, "worker-connections")
    if facts.works or clue is None:
        return None
    return blame(
        "worker-connections",
        "proven",
        "nginx has no connection left: each tunnel takes two of a worker's worker_connections",
        _answer(facts) if facts.status else "nginx closes the connection without an answer",
        _line(clue),
        help="raise worker_connections and worker_rlimit_nofile, and look for clients that never leave",
    )


def auth_request(facts: Facts) -> RootCause | None:
    """The subrequest of auth_request carries Upgrade and Connection along, and the service stumbles over them."""
    clue = _fresh(facts, "auth-request-inherits-upgrade")
    scope = facts.predicted.outcome.scope if facts.predicted else None
    asked = effective_all(scope, "auth_request") if scope is not None else ()
    span = asked[0].span if isinstance(asked, tuple) and asked else None
    if facts.status != 500 or not fails_at_the_gate(facts) or (clue is None and span is None):
        return None
    return blame(
        "auth-request-inherits-upgrade",
        "proven" if clue else "likely",
        "the authentication subrequest fails: it carries the handshake's Upgrade and Connection along",
        _answer(facts),
        _line(clue),
        help='in the location of auth_request: proxy_set_header Upgrade ""; proxy_set_header Connection "";',
        span=span,
    )


def forbidden(facts: Facts) -> RootCause | None:
    """nginx may not connect: the socket's mode, or SELinux."""
    if facts.status != 502 or not fails_at_the_gate(facts):
        return None
    clue = _fresh(facts, "selinux-or-socket-permission")
    closed = next((why for path, why in facts.around.closed_sockets if _leads_to(facts, path)), "")
    selinux = facts.around.selinux and facts.passed("direct")
    if not (clue or closed or selinux):
        return None
    works = "the same handshake straight to the backend succeeds" if facts.passed("direct") else ""
    remedy = "setsebool -P httpd_can_network_connect 1" if selinux else "give nginx's user the right to write to it"
    return blame(
        "selinux-or-socket-permission",
        "proven" if clue or (closed and works) else "likely",
        "nginx is not allowed to connect to the backend",
        _answer(facts),
        closed,
        "SELinux enforces here, and httpd_can_network_connect is off" if selinux else "",
        works,
        _line(clue),
        help=remedy,
        by=("site", "direct") if works else ("site",),
        span=_span(facts),
    )


def _leads_to(facts: Facts, path: str) -> bool:
    return any(place.unix == path for place in facts.backends)


def stale_address(facts: Facts) -> RootCause | None:
    """nginx still has an address that the backend's name no longer has."""
    if facts.status not in (502, 504) or not fails_at_the_gate(facts):
        return None
    clue = next((c for c in facts.clues if c.fresh and c.upstream and c.mine), None)
    for name, addresses in facts.around.resolved:
        if not addresses or clue is None or _host(clue.upstream) in addresses or clue.upstream.startswith("unix:"):
            continue
        now = ", ".join(addresses)
        works = f"straight to {name} the same handshake succeeds" if facts.passed("direct") else ""
        return blame(
            "stale-upstream-dns",
            "proven" if works else "likely",
            f"nginx looked {name} up when it started and still asks {clue.upstream}; now it is {now}",
            _answer(facts),
            works,
            _line(clue),
            help="reload nginx now; for good: a resolver and the name in a variable, or resolve on the server (1.27.3)",
            by=("site", "direct") if works else ("site",),
            span=_span(facts),
        )
    return None


def _host(address: str) -> str:
    return address.rpartition(":")[0].strip("[]")


def ipv6_first(facts: Facts) -> RootCause | None:
    """localhost is ::1 first, and the application listens on 127.0.0.1 alone; or the other way round."""
    if facts.status != 502 or not fails_at_the_gate(facts):
        return None
    refused = [place for place in facts.backends if facts.class_of(_asked(facts, place)) == "refused"]
    reached = [place for place in facts.backends if _speaks(facts, _asked(facts, place))]
    hosts = {place.endpoint.host for place in facts.backends}
    if not refused or not reached or not {"127.0.0.1", "::1"} <= hosts:
        return None
    return blame(
        "localhost-ipv6",
        "proven",
        f"localhost means {refused[0].shown} too, where nothing listens: the application has {reached[0].shown} alone",
        _answer(facts),
        f"straight to {refused[0].shown}: {facts.said(_asked(facts, refused[0]))}",
        f"straight to {reached[0].shown}: {facts.said(_asked(facts, reached[0]))}",
        _line(_fresh(facts, "localhost-ipv6", "upstream-unreachable")),
        help=f"write {reached[0].shown} in place of localhost",
        by=("site", _asked(facts, refused[0]), _asked(facts, reached[0])),
        span=_span(facts),
    )


def _asked(facts: Facts, place: Place) -> str:
    """The name of the experiment that asked a place the ordinary handshake."""
    return "direct" if place == facts.backends[0] else f"peer-{place.shown}"


def _speaks(facts: Facts, name: str) -> bool:
    return facts.passed(name) or facts.status_of(name) is not None


def wrong_scheme(facts: Facts) -> RootCause | None:
    """https:// to a backend that speaks plain HTTP, or http:// to one that speaks TLS."""
    other = facts.results.get("direct-other-scheme")
    speaks = other is not None and other.handshake is not None and other.handshake.response is not None
    clue = _fresh(facts, "upstream-scheme-mismatch")
    if facts.works or not ((speaks and facts.class_of("other-scheme") != "") or speaks or clue):
        return None
    tls = facts.backends[0].endpoint.tls if facts.backends else True
    message = (
        "nginx speaks TLS to the backend, which does not"
        if tls
        else "nginx speaks plain HTTP to the backend, which wants TLS"
    )
    return blame(
        "upstream-scheme-mismatch",
        "proven",
        message,
        f"straight to the backend as configured: {facts.said('direct')}" if "direct" in facts.results else "",
        f"with the other scheme: {facts.said('direct-other-scheme')}" if speaks else "",
        _line(clue),
        help=f"write {'http' if tls else 'https'}:// in proxy_pass",
        by=("site", "direct", "direct-other-scheme") if speaks else ("site",),
        span=_span(facts),
    )


def unreachable(facts: Facts) -> RootCause | None:
    """Nothing listens where nginx looks for the backend."""
    if facts.status not in (502, 503) or not fails_at_the_gate(facts):
        return None
    tried = [name for name in facts.results if name == "direct" or name.startswith("peer-")]
    dead = [name for name in tried if facts.class_of(name) in ("refused", "unreachable", "dns")]
    clue = _fresh(facts, "upstream-unreachable", "localhost-ipv6", "stale-upstream-dns")
    resolver = _fresh(facts, "missing-resolver")
    if resolver is not None:
        message = "nginx cannot look up the backend's name: a name in a variable needs a resolver"
        help = "add a resolver directive with the address of your name server"
        return blame(
            "missing-resolver", "proven", message, _answer(facts), _line(resolver), help=help, span=_span(facts)
        )
    if not dead and clue is None:
        return None
    if any(_speaks(facts, name) for name in tried) and clue is None:
        return None
    lost = bool(dead) and all(facts.class_of(name) == "unreachable" for name in dead)
    where = facts.backends[0].shown if facts.backends else (clue.upstream if clue and clue.upstream else "its address")
    return blame(
        "upstream-unreachable",
        "proven" if dead or clue else "likely",
        f"no way leads to {where}, where nginx looks for the backend"
        if lost
        else f"nothing listens at {where}, where nginx looks for the backend",
        _answer(facts),
        *(f"{facts.results[name].message}" for name in dead[:2]),
        _line(clue),
        help="is that machine up, and is the network between the two?"
        if lost
        else "is the application up, and on this address and port?",
        by=("site", *dead),
        span=_span(facts),
    )


def slow(facts: Facts) -> RootCause | None:
    """The backend takes the handshake and does not answer in time."""
    if facts.status != 504 or not fails_at_the_gate(facts):
        return None
    silent = facts.class_of("direct") in ("timeout", "unreachable")
    clue = _fresh(facts, "upstream-slow-504")
    return blame(
        "upstream-slow-504",
        "proven" if silent or clue else "likely",
        "the backend does not answer the handshake in time",
        _answer(facts),
        f"straight to the backend: {facts.said('direct')}" if silent else "",
        _line(clue),
        help="see the application's own log: it hangs before it answers; a longer timeout only makes clients wait",
        by=("site", "direct") if silent else ("site",),
        span=_span(facts),
    )


def silent(facts: Facts) -> RootCause | None:
    """Nobody answers within our patience: the backend hangs, and nginx waits for it."""
    if facts.class_of("site") != "timeout" or "direct" not in facts.results:
        return None
    if facts.class_of("direct") != "timeout":
        return None
    return blame(
        "upstream-slow-504",
        "proven",
        "the backend takes the handshake and never answers; nginx waits until proxy_read_timeout and then says 504",
        f"through nginx: {facts.said('site')}",
        f"straight to the backend: {facts.said('direct')}",
        help="see the application's own log: it hangs before it answers",
        by=("site", "direct"),
        span=_span(facts),
    )


def backend_closes(facts: Facts) -> RootCause | None:
    """The backend closes whatever it is asked, directly too."""
    if (
        facts.status != 502
        or not fails_at_the_gate(facts)
        or facts.class_of("direct") not in ("eof", "reset", "not-http")
    ):
        return None
    return blame(
        "backend-not-websocket-capable",
        "proven",
        "what listens at the backend's address closes the connection without an answer, without nginx too",
        _answer(facts),
        f"straight to the backend: {facts.said('direct')}",
        _line(_fresh(facts, "backend-closes")),
        help="look at the application: another program may have its port, or it speaks another protocol",
        by=("site", "direct"),
        span=_span(facts),
    )


_BY_CLUE = {
    "proxy-buffer-too-small": (
        "the backend's answer has more header fields than proxy_buffer_size takes",
        "raise proxy_buffer_size (and proxy_buffers), or send smaller cookies",
    ),
    "redirect-cycle": ("nginx goes in a circle inside itself", "see rewrite, try_files and error_page"),
    "backend-closes": (
        "the backend closes the connection without an answer",
        "compare with the same handshake straight to it: --direct",
    ),
}


def told_by_log(facts: Facts) -> RootCause | None:
    """What only the error log tells."""
    if not fails_at_the_gate(facts):
        return None
    for rule, (message, help) in _BY_CLUE.items():
        clue = _fresh(facts, rule)
        if clue is not None:
            name = "upstream-unreachable" if rule == "backend-closes" else rule
            return blame(name, "likely", message, _answer(facts), _line(clue), help=help, span=_span(facts))
    return None


def _last_resort(facts: Facts) -> RootCause | None:
    """An answer of nginx at the gate that nothing else explains."""
    if not fails_at_the_gate(facts) or facts.status not in _LAST:
        return None
    rule, message, help = _LAST[facts.status]
    tried = f"straight to the backend: {facts.said('direct')}" if "direct" in facts.results else ""
    return blame(rule, "possible", message, _answer(facts), tried, help=help, span=_span(facts))


_LAST = {
    502: (
        "upstream-unreachable",
        "nginx cannot reach the backend, or the backend closes without an answer",
        "is the application up, and on this address? the error log says which: give it with --error-log",
    ),
    503: (
        "rate-limit",
        "nginx limits requests or connections here, or has no backend left",
        "see limit_req, limit_conn and the error log",
    ),
    500: (
        "worker-connections",
        "nginx itself fails: worker_connections, an auth_request, or a circle of rewrites",
        "the error log says which: give it with --error-log",
    ),
}

CAUSES = (
    *(limited, exhausted, auth_request, forbidden, stale_address, ipv6_first, wrong_scheme, unreachable, slow, silent),
    *(backend_closes, told_by_log),
)
"""The more special first."""

LAST_RESORT = (_last_resort,)
"""Asked only where nothing else explains the answer."""
