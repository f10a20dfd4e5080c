"""Causes on the way through: what nginx, or a proxy nobody named, makes of the handshake.

The proof is an equality: the answer that the client got is the answer that the backend gives to the changed request,
and with the change undone it opens a tunnel.
"""

from __future__ import annotations

from ws101.diagnose.base import Facts, RootCause, blame
from ws101.diagnose.experiments import CANDIDATES
from ws101.findings import Level
from ws101.nginx.outcome import HeaderFate
from ws101.text import Span

__all__ = ["CAUSES", "agreement"]


def agreement(facts: Facts) -> tuple[str, ...]:
    """What the backend's own answers say about the prediction, one clause each."""
    clauses = []
    if facts.equals("replay"):
        clauses.append(f"the predicted request, sent straight to the backend, gets the same: {facts.said('replay')}")
    if facts.passed("direct"):
        clauses.append("the same handshake straight to the backend succeeds")
    return tuple(clauses)


def _restored(facts: Facts, part: str) -> tuple[str, ...]:
    """The evidence that one part put back makes the predicted request work; empty if it does not."""
    name = f"restore-{part}"
    if not facts.passed(name):
        return ()
    return (*agreement(facts), f"{_TITLES[part]}, the predicted request succeeds")


_TITLES = {
    "handshake": "with HTTP/1.1, Connection and Upgrade as the client sent them",
    "connection": "with Connection as the client sent it",
    "host": "with Host as the client sent it",
    "target": "with the path as the client sent it",
    "forwarded": "without X-Forwarded-* and their like",
    "origin": "with Origin as the client sent it",
    "credentials": "with the client's cookies and credentials",
    "subprotocol": "with Sec-WebSocket-Protocol as the client sent it",
}


def _by(facts: Facts, part: str) -> tuple[str, ...]:
    return tuple(name for name in ("site", "direct", "replay", f"restore-{part}") if name in facts.results)


def _confidence(facts: Facts) -> str:
    return "proven" if facts.equals("replay") else "likely"


def _fate(facts: Facts, name: str) -> HeaderFate | None:
    return facts.forwarded.fate(name) if facts.forwarded else None


def _place(facts: Facts, name: str) -> Span | None:
    """The directive that makes a header field what it is; without one, the proxy_pass."""
    fate = _fate(facts, name)
    if fate is not None and fate.origin is not None:
        return fate.origin.span
    return facts.forwarded.handler.span if facts.forwarded else None


def exact_connection(facts: Facts) -> RootCause | None:
    """The backend compares Connection as a whole, and nginx's spelling is another one."""
    evidence = _restored(facts, "connection")
    if not evidence or facts.forwarded is None or facts.forwarded.tunnel is False:
        return None
    fate = _fate(facts, "Connection")
    return blame(
        "backend-exact-connection-match",
        _confidence(facts),
        f'the backend does not take Connection: {fate.value if fate else "upgrade"}, it wants exactly "Upgrade"',
        *evidence,
        help='proxy_set_header Connection "Upgrade" with a capital U satisfies it; the mistake is the backend\'s',
        by=_by(facts, "connection"),
        span=_place(facts, "Connection"),
    )


def lost_handshake(facts: Facts) -> RootCause | None:
    """nginx's request is no opening handshake, and no rule says why."""
    evidence = _restored(facts, "handshake")
    if not evidence or facts.forwarded is None or facts.forwarded.tunnel is not False:
        return None
    if any(finding.level is Level.ERROR for finding in facts.findings):
        return None
    faults = facts.forwarded.faults
    rule = next((name for fault, name in _BY_FAULT if fault in faults), "upgrade-not-forwarded")
    if {"upgrade-missing", "connection-wrong"} <= set(faults) or {"upgrade-missing", "connection-missing"} <= set(
        faults
    ):
        rule = "upgrade-not-forwarded"
    return blame(
        rule,
        _confidence(facts),
        f"what nginx makes of the handshake is none: {', '.join(faults)}",
        *evidence,
        help="forward Upgrade and Connection over HTTP/1.1 in the location that nginx takes",
        by=_by(facts, "handshake"),
        span=facts.forwarded.handler.span,
    )


_BY_FAULT = (
    ("upgrade-missing", "missing-upgrade-header"),
    ("upgrade-wrong", "upgrade-header-wrong-value"),
    ("connection-missing", "missing-connection-header"),
    ("connection-wrong", "missing-connection-header"),
    ("http-version", "missing-http-version"),
)


def changed_host(facts: Facts) -> RootCause | None:
    """The application compares Host with Origin, or with its own name, and nginx sends another one."""
    evidence = _restored(facts, "host")
    if not evidence or facts.sent is None:
        return None
    fate = _fate(facts, "Host")
    sent, asked = facts.sent.header("Host") or "", fate.value if fate else ""
    lost_port = asked != sent and sent.rpartition(":")[0] == asked
    rule = "host-port-lost" if lost_port else "host-not-forwarded"
    message = f"the backend gets Host: {asked}, not the {sent} that the client asked for, and refuses the handshake"
    return blame(
        rule,
        _confidence(facts),
        message,
        *evidence,
        _with_origin(facts),
        help="proxy_set_header Host $http_host; or, on ports 80 and 443 alone, $host",
        by=_by(facts, "host"),
        span=_place(facts, "Host"),
    )


def _with_origin(facts: Facts) -> str:
    origin = facts.sent.header("Origin") if facts.sent else None
    return f"the client's Origin is {origin}: applications compare it with Host" if origin else ""


def trusted_proxies(facts: Facts) -> RootCause | None:
    """The application refuses a proxy that it does not know: X-Forwarded-* from a stranger."""
    evidence = _restored(facts, "forwarded")
    alone = facts.failed("as-forwarded") and facts.equals("as-forwarded") and facts.passed("direct")
    if not evidence and not alone:
        return None
    shown = evidence or ("with X-Forwarded-For the backend gives the same answer, and without it a tunnel",)
    return blame(
        "trusted-proxies-400",
        _confidence(facts) if evidence else "proven",
        "the application refuses X-Forwarded-* from a proxy that is not on its list",
        *shown,
        help="put nginx's address on the application's list of trusted proxies (trusted_proxies, use_x_forwarded_for)",
        by=_by(facts, "forwarded") if evidence else ("site", "direct", "as-forwarded"),
        span=_place(facts, "X-Forwarded-For") if evidence else None,
    )


def changed_path(facts: Facts) -> RootCause | None:
    """nginx asks the backend for another path than the client asked nginx for."""
    evidence = _restored(facts, "target")
    predicted = facts.forwarded.request if facts.forwarded else None
    if not evidence or predicted is None or facts.sent is None:
        return None
    return blame(
        "proxy-pass-trailing-slash",
        _confidence(facts),
        f"nginx asks the backend for {predicted.target}, the client asked for {facts.sent.target}",
        *evidence,
        help="leave the path out of proxy_pass, so that it is passed on as it is",
        by=_by(facts, "target"),
        span=facts.forwarded.handler.span if facts.forwarded else None,
    )


def changed_field(facts: Facts) -> RootCause | None:
    """Another header field that nginx changes or drops decides."""
    for part, name, rule in _FIELDS:
        evidence = _restored(facts, part)
        if evidence:
            message = f"the backend does not get {name} as the client sent it, and refuses the handshake"
            return blame(
                rule,
                _confidence(facts),
                message,
                *evidence,
                help=f"let {name} through: no proxy_set_header {name} on this path",
                by=_by(facts, part),
                span=_place(facts, name),
            )
    return None


_FIELDS = (
    ("origin", "Origin", "app-origin-allowlist"),
    ("credentials", "Authorization", "credentials-not-forwarded"),
    ("subprotocol", "Sec-WebSocket-Protocol", "subprotocol-mismatch"),
)


def some_proxy(facts: Facts) -> RootCause | None:
    """Without a configuration: what the backend says to a handshake that has been spoilt in a known way."""
    if facts.forwarded is not None or not facts.passed("direct") or facts.works:
        return None
    equal = [(name, rule, title) for name, rule, title, _ in CANDIDATES if facts.failed(name) and facts.equals(name)]
    if not equal:
        return None
    rules = tuple(dict.fromkeys(rule for _, rule, _ in equal))
    first, *others = (title for _, _, title in equal)
    more = f"so it does {'; or '.join(others)}" if others else ""
    several = "; ".join(rules[1:])
    return blame(
        rules[0],
        "proven" if len(rules) == 1 else "likely",
        "a proxy on the way spoils the handshake: the backend, asked directly, takes it",
        f"straight to the backend, {first}, it gives the same answer as the site: {facts.said('site')}",
        more,
        f"this backend answers alike to: {several}" if several else "",
        "the same handshake straight to the backend succeeds",
        help="run ws101 where nginx runs, or give its configuration: ssh HOST sudo nginx -T | ws101 URL --conf -",
        by=("site", "direct", *(name for name, _, _ in equal)),
    )


def own_host_wanted(facts: Facts) -> RootCause | None:
    """Without a configuration: with its own Host in place of the client's the backend answers as the site does."""
    if facts.forwarded is not None or not facts.passed("direct") or facts.works:
        return None
    if not (facts.failed("as-own-host") and facts.equals("as-own-host")):
        return None
    return blame(
        "host-not-forwarded",
        "proven",
        "the proxy sends the backend's own address as Host, and the application refuses that",
        f"straight to the backend with its own Host it gives the same answer as the site: {facts.said('site')}",
        "the same handshake with the client's Host succeeds there",
        help="proxy_set_header Host $http_host; or, on ports 80 and 443 alone, $host",
        by=("site", "direct", "as-own-host"),
    )


_BROKEN_101 = (
    *("missing-upgrade", "wrong-upgrade", "missing-connection", "wrong-connection", "missing-accept"),
    *("accept-mismatch", "http-version", "malformed-head", "head-too-large", "masked-frame", "html-after-101"),
    *("invalid-frame", "unrequested-extension"),
)


def spoilt_answer(facts: Facts) -> RootCause | None:
    """A 101 that clients refuse: nginx took something out of it, or the backend itself makes it so."""
    if facts.status != 101 or facts.class_of("site") not in _BROKEN_101 or facts.site is None:
        return None
    hidden = facts.passed("direct")
    if hidden:
        return blame(
            "proxy-hide-upgrade-header",
            "proven",
            "the backend's 101 is good, and on the way something is taken out of it that clients need",
            facts.site.message,
            "the same handshake straight to the backend succeeds",
            help="no proxy_hide_header for Upgrade or Sec-WebSocket-Accept on this path",
            by=("site", "direct"),
            span=facts.forwarded.handler.span if facts.forwarded else None,
        )
    same = facts.class_of("direct") == facts.class_of("site")
    return blame(
        "backend-handshake-invalid",
        "proven" if same else "likely",
        f"what answers says 101 and is no proper WebSocket server: {facts.site.message}",
        f"straight to the backend too: {facts.results['direct'].message}" if same else "",
        help="use a WebSocket library of the application's framework, and no hand-made answer",
        by=("site", "direct") if same else ("site",),
    )


CAUSES = (
    *(
        spoilt_answer,
        exact_connection,
        lost_handshake,
        changed_host,
        trusted_proxies,
        changed_path,
        changed_field,
        some_proxy,
    ),
    own_host_wanted,
)
"""Each decided by an experiment of its own."""
