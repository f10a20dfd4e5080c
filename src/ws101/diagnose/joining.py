"""The verdict: prediction, experiments, comparison and logs joined into causes, the first to bite first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from ws101.diagnose import application, below, beyond, forwarding, gateway, life
from ws101.diagnose.base import CONFIDENCES, Diagnosis, Facts, Observed, RootCause, Tried, blame
from ws101.diagnose.experiments import VARIANTS
from ws101.diagnose.tracing import from_trace
from ws101.findings import Finding, Level
from ws101.probes.attribution import answered_by
from ws101.probes.core import Observation, Timings
from ws101.probes.masking import mask_request, mask_response, secrets_of
from ws101.rules import find_rule
from ws101.rules.base.registry import Bites

__all__ = ["diagnose", "observe"]

Cause = Callable[[Facts], RootCause | None]


def observe(probed: Observation) -> Observed:
    """What a probe of the opening handshake saw, in short."""
    result = probed.handshake
    who = answered_by(result.response if result else None)
    secrets = secrets_of(result.request) if result else ()
    response = mask_response(result.response, secrets) if result and result.response else None
    return Observed(
        status=response.status if response else None,
        reason=response.reason if response else "",
        answered_by=str(who.who),
        timings=probed.connection.timings if probed.connection else Timings(),
        headers=response.headers if response else (),
        body_excerpt=result.body_lines if result else (),
        message=probed.message,
        attribution=who.evidence,
        request=mask_request(result.request) if result and _was_sent(probed) else None,
        response=response,
    )


def _was_sent(probed: Observation) -> bool:
    return any(entry.direction == "sent" for entry in probed.transcript)


def diagnose(facts: Facts, tried: tuple[Tried, ...] = ()) -> Diagnosis:
    """Join all that is known.

    Args:
        facts: What the model says and what the experiments gave.
        tried: The experiments as they are to be reported.
    """
    unknown = (*(facts.predicted.unknown if facts.predicted else ()), *facts.unknown)
    url = facts.endpoint.url
    if facts.site is None:
        causes = _offline_causes(facts)
        return Diagnosis(url, _offline_verdict(facts, causes), causes, None, facts.predicted, None, unknown)
    causes = _live_causes(facts)
    return Diagnosis(
        url,
        _live_verdict(facts, causes),
        causes,
        observe(facts.site),
        facts.predicted,
        beyond.agrees(facts),
        unknown,
        tried,
        _next_question(facts, causes),
    )


def _offline_causes(facts: Facts) -> tuple[RootCause, ...]:
    configured = tuple(_configured(finding, facts) for finding in facts.findings)
    errors = any(cause.level is Level.ERROR for cause in configured)
    traced = () if errors else from_trace(facts.predicted)
    found = (below.mixed_content(facts), beyond.inner_hop(facts), *(cause(facts) for cause in life.TOLD))
    known = {cause.rule for cause in (*traced, *configured, *_kept(found))}
    logged = [cause for cause in life.logged(facts) if cause.rule not in known]
    return _ordered([[*_kept(found[:1])], [*traced], [*configured], [*_kept(found[1:])], logged])


def _kept(causes: Iterable[RootCause | None]) -> list[RootCause]:
    return [cause for cause in causes if cause is not None]


def _offline_verdict(facts: Facts, causes: tuple[RootCause, ...]) -> str:
    """Works only if nothing that could refuse the handshake is unknown."""
    if any(cause.level is Level.ERROR for cause in causes):
        return "broken"
    predicted, forwarded = facts.predicted, facts.forwarded
    if predicted is None or forwarded is None:
        return "unknown"
    gates = [u for u in predicted.unknown if u not in forwarded.unknown]
    if gates or forwarded.tunnel is None or predicted.outcome.status not in (None, 101):
        return "unknown"
    return "degraded" if any(cause.level is Level.WARNING for cause in causes) else "works"


def _live_verdict(facts: Facts, causes: tuple[RootCause, ...]) -> str:
    levels = {cause.level for cause in causes}
    if Level.ERROR in levels:
        return "broken"
    if facts.works:
        return "degraded" if Level.WARNING in levels else "works"
    return "broken" if facts.class_of("site") else "unknown"


def _live_causes(facts: Facts) -> tuple[RootCause, ...]:
    """Every cause that speaks, in the order in which a request meets them; the last resorts only if none does."""
    configured = [_configured(finding, facts) for finding in facts.findings]
    if facts.works:
        configured = [_relieved(facts, _by_luck(cause)) for cause in configured]
    traced = from_trace(facts.predicted) if beyond.agrees(facts) and not facts.works else ()
    if any(cause.level is Level.ERROR for cause in configured):
        traced = ()
    rooms = [
        _asked(below.CAUSES, facts),
        _asked(beyond.CAUSES, facts),
        _asked(gateway.CAUSES, facts),
        [*traced],
        configured,
        _asked(forwarding.CAUSES, facts),
        _asked(application.CAUSES, facts),
        _asked(life.CAUSES, facts),
    ]
    rooms = _steady(facts, rooms)
    if below.unreachable(facts) is not None:
        later = [cause for cause in configured if _needs_a_connection(cause)]
        first = _ordered([*rooms[:4], [c for c in configured if c not in later], *rooms[5:]])
        return tuple(sorted((*first, *_ordered([later])), key=lambda cause: cause.level.rank))
    if facts.by_nginx and facts.status in _BEFORE_FORWARDING:
        rooms[4], rooms[6] = rooms[6], rooms[4]  # nginx refuses before it forwards
    if not facts.works and not any(cause.level is Level.ERROR for room in rooms for cause in room):
        rooms.append(_fallback(facts))
    elif facts.works:
        rooms.append(_kept((beyond.differs(facts),)))
    return _ordered(rooms)


def _steady(facts: Facts, rooms: list[list[RootCause]]) -> list[list[RootCause]]:
    """Without what was concluded from answers that change by themselves; a bad address of the upstream says more."""
    unsteady, uneven = beyond.intermittent(facts), application.uneven(facts)
    if unsteady is None and uneven is None:
        return rooms
    kept = [[cause for cause in room if not VARIANTS & {*cause.decided_by}] for room in rooms]
    return kept if uneven is not None else [*kept, *([[unsteady]] if unsteady else [])]


def _needs_a_connection(cause: RootCause) -> bool:
    """Whether it shows only to who gets as far as nginx; a file that is not loaded may be why nobody listens."""
    rule = find_rule(cause.rule)
    return rule is not None and rule.bites >= Bites.ROUTE and cause.rule != "config-not-included"


_BEFORE_FORWARDING = (401, 403, 407, 413, 414, 431, 494)


def _asked(causes: Iterable[Cause], facts: Facts) -> list[RootCause]:
    return _kept(cause(facts) for cause in causes)


def _fallback(facts: Facts) -> list[RootCause]:
    """Where nothing is certain: the most frequent cause of such an answer, and how to settle it."""
    found = _kept((beyond.differs(facts), *_asked((*gateway.LAST_RESORT, *application.LAST_RESORT), facts)))
    return found or [_spoilt_somewhere(facts) or _unexplained(facts)]


def _spoilt_somewhere(facts: Facts) -> RootCause | None:
    """Without a configuration: the answers of backends that did not get an opening handshake."""
    if facts.predicted is not None or facts.by_nginx or facts.status not in (400, 404, 426, 505):
        return None
    return blame(
        "upgrade-not-forwarded",
        "likely" if facts.status in (426, 505) else "possible",
        "the backend did not get a valid opening handshake: a proxy on the way drops its header fields",
        facts.site.message if facts.site else "",
        "a plain request without Upgrade gets the same answer" if facts.equals("plain") else "",
        help=_CONF,
        by=("site", "plain") if facts.equals("plain") else ("site",),
    )


def _unexplained(facts: Facts) -> RootCause:
    site = facts.site
    assert site is not None
    if facts.response is None and site.class_ in _WITHOUT_ANSWER:
        rule, message = _WITHOUT_ANSWER[site.class_]
        return blame(rule, "possible", message, site.message, help=site.help or _ASK)
    if site.class_ in ("eof", "reset", "timeout"):
        message = "the answer breaks off: what answers is broken, or something on the way cuts it"
        return blame("backend-handshake-invalid", "possible", message, site.message, help=site.help or _ASK)
    return blame("unexplained", "possible", site.message, help=site.help or _ASK)


_CLOSED = "the connection is closed without an answer: so nginx does with a name that it does not serve (return 444)"
_WITHOUT_ANSWER = {
    "eof": ("server-name-mismatch", _CLOSED),
    "reset": ("server-name-mismatch", _CLOSED),
    "timeout": ("upstream-slow-504", "what listens there takes the handshake and does not answer in time"),
    "not-http": ("client-wrong-public-port", "what answers at this port is no web server"),
    "malformed-head": ("client-wrong-public-port", "what answers at this port does not speak HTTP properly"),
}


def _by_luck(cause: RootCause) -> RootCause:
    """An error whose handshake works all the same: this backend is lenient, the next one need not be."""
    if cause.level is not Level.ERROR:
        return cause
    evidence = (*cause.evidence, "the backend accepts it all the same; others would not")
    return replace(cause, level=Level.WARNING, evidence=evidence)


def _relieved(facts: Facts, cause: RootCause) -> RootCause:
    """A warning that the measurement takes back: plain requests that this backend does not mind, pings in time."""
    if cause.rule == "connection-always-upgrade" and facts.equals("plain", "direct-plain"):
        said = f"a plain request gets the same through nginx and straight from the backend: {facts.said('plain')}"
        return replace(cause, level=Level.NOTE, evidence=(*cause.evidence, said), decided_by=("plain", "direct-plain"))
    if cause.rule == "read-timeout" and (said := life.pinged_in_time(facts)):
        return replace(cause, level=Level.NOTE, evidence=(*cause.evidence, said), decided_by=("heartbeat",))
    return cause


_PLACES = (" here", "here too")
"""How a label ends that only shows a place: without its line it says nothing."""


def _configured(finding: Finding, facts: Facts) -> RootCause:
    """A finding as a cause: the labels, the live answer, the backend's own answers speak for it."""
    support = [label.message for label in finding.labels if not label.message.endswith(_PLACES)]
    by: tuple[str, ...] = ()
    if finding.level is Level.ERROR and facts.site is not None and not facts.works:
        if facts.status is not None:
            support.append(f"the live handshake gets {facts.said('site')}")
        support += forwarding.agreement(facts)
        if facts.passed("restore-handshake"):
            support.append("with HTTP/1.1, Connection and Upgrade put back, the predicted request succeeds")
        by = tuple(name for name in ("site", "direct", "replay", "restore-handshake") if name in facts.results)
    advice = finding.help or (finding.fix.title if finding.fix else "")
    return RootCause(
        finding.rule, finding.level, "proven", finding.message, finding.span, tuple(support), finding.fix, advice, by
    )


def _ordered(rooms: list[list[RootCause]]) -> tuple[RootCause, ...]:
    """Errors before warnings, the surer first, then by room; what two rooms say of one cause is joined."""
    joined: dict[str, RootCause] = {}
    for cause in (cause for room in rooms for cause in room):
        known = joined.get(cause.rule)
        joined[cause.rule] = cause if known is None else _joined(known, cause)
    return tuple(sorted(joined.values(), key=lambda cause: (cause.level.rank, CONFIDENCES.index(cause.confidence))))


def _joined(one: RootCause, two: RootCause) -> RootCause:
    """One cause of two: place and fix of the one that has them, the evidence of both."""
    main, other = (two, one) if two.fix is not None and one.fix is None else (one, two)
    return replace(
        main,
        level=min(one.level, two.level, key=lambda level: level.rank),
        confidence=min(one.confidence, two.confidence, key=CONFIDENCES.index),
        span=main.span or other.span,
        evidence=tuple(dict.fromkeys((*main.evidence, *other.evidence))),
        help=other.help or main.help,
        decided_by=tuple(dict.fromkeys((*main.decided_by, *other.decided_by))),
    )


def _next_question(facts: Facts, causes: tuple[RootCause, ...]) -> str:
    """What would settle it, where nothing has."""
    errors = [cause for cause in causes if cause.level is Level.ERROR]
    if facts.works and "1006" in facts.symptom and "idle" not in facts.results:
        return "the handshake works; measure how long a tunnel may stay silent: add --idle"
    if facts.works or not errors or errors[0].confidence == "proven":
        return ""
    if "direct" not in facts.results and facts.response is not None:
        return _ASK if facts.predicted is None else "give the backend's own address: --direct ws://HOST:PORT/PATH"
    return _CONF if facts.predicted is None else ""


_CONF = "run ws101 where nginx runs, or give its configuration: ssh HOST sudo nginx -T | ws101 URL --conf -"
_ASK = "give the configuration with --conf, or the backend's own address with --direct"
