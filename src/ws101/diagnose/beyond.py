"""Causes beyond this configuration: another hop, another server, an older configuration that still runs."""

from __future__ import annotations

from ws101.diagnose.base import Facts, RootCause, blame
from ws101.diagnose.experiments import CONTROLS
from ws101.findings import Level
from ws101.nginx.outcome import Forwarded
from ws101.probes.attribution import Answerer

__all__ = ["CAUSES", "agrees", "differs", "intermittent", "not_reloaded"]

_EDGE_STATUS = frozenset({520, 521, 522, 523, 524, 525, 526, 530})
_MARKS = ("cf-ray", "x-amz-cf-id", "x-azure-ref", "x-served-by", "x-cache", "age", "cf-cache-status")


def agrees(facts: Facts) -> bool | None:
    """Whether what came back is what the prediction lets expect; None if it lets expect nothing.

    A backend may accept a handshake that arrives in HTTP/1.0, so a 101 contradicts only a lost header field.  Where
    the backend was sent the predicted request itself, its answer is what the client must see.
    """
    outcome = facts.predicted.outcome if facts.predicted else None
    if outcome is None or facts.site is None or outcome.kind == "unknown":
        return None
    if outcome.forwarded is None:
        if outcome.kind == "static":
            return facts.status != 101 and facts.status is not None
        return facts.status is None if outcome.kind == "closed" else facts.status == outcome.status
    if facts.works:
        return not set(outcome.forwarded.faults) - {"http-version"}
    if "replay" in facts.results and not facts.by_nginx and facts.status is not None:
        if facts.equals("replay"):
            return True
        return None if _refuse_each_in_its_way(facts, outcome.forwarded) else False
    return None if outcome.forwarded.tunnel else facts.status is not None


def _refuse_each_in_its_way(facts: Facts, forwarded: Forwarded) -> bool:
    """Several backends, and one refuses the client as another refuses the predicted request: no two words alike."""
    peers = forwarded.upstream.peers if forwarded.upstream is not None else ()
    return len(peers) > 1 and facts.failed("replay")


def differs(facts: Facts) -> RootCause | None:
    """The live server does what this configuration cannot; nothing says that files were changed since."""
    if agrees(facts) is not False or facts.around.stale:
        return None
    if facts.works:
        return blame(
            "prediction-differs",
            "likely",
            "the live server completes a handshake that this configuration would not forward",
            help="this configuration is not the one that runs: name the right one with --conf, or reload nginx",
            level=Level.WARNING,
        )
    passes = "the predicted request, sent straight to the backend, opens a tunnel" if facts.passed("replay") else ""
    other = f"nginx on this machine, asked directly: {facts.said('nginx-here')}" if facts.nginx else ""
    return blame(
        "prediction-differs",
        "likely",
        "this is not what the configuration says should happen: another server answers, or another configuration runs",
        f"the live handshake gets {facts.said('site')}",
        passes,
        other,
        help="see that the name leads to this nginx (--resolve HOST:PORT:ADDRESS), and that this configuration runs",
        by=("site", "replay") if passes else ("site",),
    )


def not_reloaded(facts: Facts) -> RootCause | None:
    """Files were changed after the workers that answer had started."""
    stale = facts.around.stale
    if not stale or agrees(facts) is True:
        return None
    files = ", ".join(stale[:3]) + (", ..." if len(stale) > 3 else "")
    passes = facts.passed("replay") and not facts.works
    return blame(
        "not-reloaded",
        "proven",
        "nginx still runs an older configuration: files were changed after its workers had started",
        f"changed since: {files}",
        "what the changed configuration sends to the backend opens a tunnel there" if passes else "",
        help="test and reload: nginx -t && nginx -s reload",
        by=("site", "replay") if passes else ("site",),
        level=Level.WARNING if facts.works else Level.ERROR,
    )


def intermittent(facts: Facts) -> RootCause | None:
    """The same handshake now succeeds and now fails: nothing that two answers tell apart can be concluded."""
    made = [name for name in ("site", *CONTROLS) if name in facts.results]
    good = [name for name in made if facts.passed(name)]
    bad = [name for name in made if facts.failed(name)]
    if not good or not bad:
        return None
    return blame(
        "intermittent",
        "proven",
        f"the same handshake now succeeds and now fails: of {len(made)}, {len(bad)} failed",
        f"when it fails: {facts.said(bad[0])}",
        help="several backends of which one is bad, or a limit: compare each backend with --direct",
        by=tuple(made),
        level=Level.ERROR if not facts.works else Level.WARNING,
    )


def inner_hop(facts: Facts) -> RootCause | None:
    """The backend is the same nginx once more, and it spoils the handshake at that second server."""
    inner = facts.inner.outcome.forwarded if facts.inner else None
    if facts.works or inner is None or inner.tunnel is not False:
        return None
    if facts.forwarded is not None and facts.forwarded.tunnel is False:
        return None
    found = next((f for f in facts.inner_findings if f.level is Level.ERROR), None)
    message = "the backend is a second server of the same nginx, and what that one makes of the handshake is none"
    cause = blame(
        "second-proxy-hop",
        "proven",
        message,
        f"there: {found.message}" if found else f"there: {', '.join(inner.faults)}",
        f"straight to that hop: {facts.said('direct')}" if "direct" in facts.results else "",
        help="forward Upgrade and Connection over HTTP/1.1 at every hop",
        by=("site", "direct") if "direct" in facts.results else (),
        span=found.span if found else inner.handler.span,
    )
    fix = found.fix if found else None
    return RootCause(
        *(cause.rule, cause.level, cause.confidence, cause.message, cause.span, cause.evidence, fix, cause.help),
        cause.decided_by,
    )


def in_front(facts: Facts) -> RootCause | None:
    """nginx itself takes the handshake; what stands in front of it does not let it through."""
    if facts.works or not facts.passed("nginx-here"):
        return None
    marks = _edge_marks(facts)
    if facts.passed("encrypted") and not marks:
        return None  # over TLS the same way lets it through: it is something that reads plain text
    cdn = bool(marks) or facts.status in _EDGE_STATUS
    address = facts.site.connection.address if facts.site and facts.site.connection else ""
    return blame(
        "cdn-or-cache" if cdn else "outer-lb-no-websocket",
        "proven",
        "what stands in front of nginx (a load balancer, a CDN, another proxy) does not let the handshake through",
        f"by the public way{f' ({address})' if address else ''}: {facts.said('site')}",
        "straight to nginx on this machine the same handshake opens a tunnel",
        f"the answer bears the marks of an edge: {', '.join(marks)}" if marks else "",
        help="switch WebSockets on there, or let it pass TCP through; caching off for this path",
        by=("site", "nginx-here"),
    )


def _edge_marks(facts: Facts) -> tuple[str, ...]:
    if facts.response is None:
        return ()
    return tuple(name for name, _ in facts.response.headers if name.lower() in _MARKS)


def edge(facts: Facts) -> RootCause | None:
    """A CDN answers in the site's place, or from its cache."""
    if facts.works or facts.response is None or facts.passed("nginx-here"):
        return None
    cached = (facts.response.header("X-Cache") or "").upper().startswith("HIT") or facts.response.header("Age")
    own = facts.answerer.who is Answerer.OTHER or facts.status in _EDGE_STATUS
    if not (own or (cached and _edge_marks(facts))):
        return None
    direct = "straight to the backend the same handshake opens a tunnel" if facts.passed("direct") else ""
    return blame(
        "cdn-or-cache",
        "likely" if own or direct else "possible",
        "a CDN or load balancer answers in the site's place" if own else "the answer comes from a cache",
        f"the live handshake gets {facts.said('site')}",
        *facts.answerer.evidence[:2],
        direct,
        help="switch WebSockets on there and caching off for this path; past it: --resolve HOST:PORT:ADDRESS OF NGINX",
        by=("site", "direct") if direct else ("site",),
    )


def middlebox(facts: Facts) -> RootCause | None:
    """Over TLS, where nobody on the way can read it, the same handshake works."""
    if facts.works or facts.endpoint.tls or not facts.passed("encrypted") or facts.by_nginx:
        return None
    via = facts.response.header("Via") if facts.response else None
    tunnel = facts.forwarded is not None and facts.forwarded.tunnel is True
    if facts.forwarded is not None and not tunnel:
        return None
    return blame(
        "middlebox-strips-upgrade",
        "proven" if tunnel or via else "likely",
        "something on the way reads plain HTTP and takes the Upgrade out: over TLS the same handshake works",
        f"in plain text: {facts.said('site')}",
        f"over TLS: {facts.said('encrypted')}",
        f"the answer names a proxy: Via: {via[:80]}" if via else "",
        "the configuration forwards the handshake on the plain port too" if tunnel else "",
        help="use wss:// in the client's URL",
        by=("site", "encrypted"),
    )


CAUSES = (in_front, inner_hop, not_reloaded, edge, middlebox)
"""The more special first."""
