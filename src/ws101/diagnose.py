"""A diagnosis: what the model predicts, joined with what was observed.

Theory of operation.  The rules say what is wrong in the configuration on the way of this request; the trace says what
nginx does with it; the probe says what came back.  Where rules and probe tell the same, the cause is proven.  Where the
configuration is fine and the handshake still fails, the answer, the same handshake straight to the backend, and the
predicted request straight to the backend tell who is to blame.  Where the live server does what this configuration
cannot, that is a finding too: it is not this configuration that runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ws101.findings import Finding, Fix, Level
from ws101.http1 import Headers
from ws101.nginx.config import Unknown
from ws101.nginx.outcome import Outcome, Trace
from ws101.probes.attribution import answered_by
from ws101.probes.core import HandshakeResult, Observation, Timings
from ws101.text import Span

__all__ = ["Diagnosis", "Evidence", "Observed", "RootCause", "diagnose", "observe"]


@dataclass(frozen=True, slots=True)
class RootCause:
    """One cause of a broken or degraded WebSocket.

    Args:
        rule: The rule's name.
        level: How bad it is.
        confidence: ``proven`` (model and observation agree, or the configuration alone proves it), ``likely`` or
            ``possible``.
        message: One clause: cause, then effect.
        span: The directive that decides; None if it is not in the configuration.
        evidence: What speaks for it, one clause each.
        fix: The edit that mends it, if one can.
        help: The advice in words.
    """

    rule: str
    level: Level
    confidence: str
    message: str
    span: Span | None = None
    evidence: tuple[str, ...] = ()
    fix: Fix | None = None
    help: str = ""


@dataclass(frozen=True, slots=True)
class Observed:
    """What answered the live handshake; secrets masked.

    Args:
        status: The status; None if no HTTP answer came.
        reason: Its phrase.
        answered_by: ``backend``, ``nginx``, ``other`` or ``nobody``.
        timings: DNS, TCP, TLS and first byte, seconds.
        headers: The answer's header fields.
        body_excerpt: The first lines of the body.
        message: What the probe says of it, one clause.
    """

    status: int | None
    reason: str
    answered_by: str
    timings: Timings
    headers: Headers = ()
    body_excerpt: tuple[str, ...] = ()
    message: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why a WebSocket fails, or that it works.

    Args:
        url: The address, secrets masked.
        verdict: ``works``, ``degraded``, ``broken`` or ``unknown``.
        root_causes: The first one to bite first.
        observed: The live handshake; None offline.
        predicted: What the model says; None without a configuration.
        agrees: Whether both tell the same; None if there are not both.
        unknown: What could not be known.
    """

    url: str
    verdict: str
    root_causes: tuple[RootCause, ...] = ()
    observed: Observed | None = None
    predicted: Trace | None = None
    agrees: bool | None = None
    unknown: tuple[Unknown, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was observed, as far as it was.

    Args:
        through: The opening handshake as the client sees it; None offline.
        direct: The same handshake straight to the backend.
        replay: The predicted request straight to the backend.
        stale: Files that changed after the running workers had loaded them.
    """

    through: Observation | None = None
    direct: Observation | None = None
    replay: HandshakeResult | None = None
    stale: tuple[str, ...] = ()


def observe(probed: Observation) -> Observed:
    """What a probe of the opening handshake saw, in short."""
    result = probed.handshake
    response = result.response if result else None
    return Observed(
        status=response.status if response else None,
        reason=response.reason if response else "",
        answered_by=str(answered_by(response).who),
        timings=probed.connection.timings if probed.connection else Timings(),
        headers=response.headers if response else (),
        body_excerpt=result.body_lines if result else (),
        message=probed.message,
    )


def diagnose(url: str, predicted: Trace | None, findings: Sequence[Finding], evidence: Evidence) -> Diagnosis:
    """Join prediction and observation.

    Args:
        url: The address, secrets masked.
        predicted: The trace of the opening handshake; None without a configuration.
        findings: The findings that concern the route it takes, the first to bite first.
        evidence: What was observed.
    """
    through = evidence.through
    unknown = predicted.unknown if predicted else ()
    if through is None:
        causes = _from_findings(findings, None, evidence) or _from_trace(predicted)
        return Diagnosis(url, _offline_verdict(predicted, causes), causes, None, predicted, None, unknown)
    observed = observe(through)
    agrees = _agrees(predicted, through)
    causes = _live_causes(predicted, findings, evidence, observed, agrees)
    verdict = _live_verdict(through, causes)
    return Diagnosis(url, verdict, causes, observed, predicted, agrees, unknown)


def _offline_verdict(predicted: Trace | None, causes: tuple[RootCause, ...]) -> str:
    """Works only if nothing that could refuse the handshake is unknown."""
    if any(cause.level is Level.ERROR for cause in causes):
        return "broken"
    if predicted is None or predicted.outcome.forwarded is None:
        return "unknown"
    forwarded = predicted.outcome.forwarded
    gates = [u for u in predicted.unknown if u not in forwarded.unknown]
    if gates or forwarded.tunnel is None or predicted.outcome.status not in (None, 101):
        return "unknown"
    return "degraded" if any(cause.level is Level.WARNING for cause in causes) else "works"


def _live_verdict(through: Observation, causes: tuple[RootCause, ...]) -> str:
    if through.passed:
        return "degraded" if any(cause.level is not Level.NOTE for cause in causes) else "works"
    return "broken" if through.class_ or any(cause.level is Level.ERROR for cause in causes) else "unknown"


def _agrees(predicted: Trace | None, through: Observation) -> bool | None:
    """Whether what came back is what the prediction lets expect; None if it lets expect nothing.

    A backend may accept a handshake that arrives in HTTP/1.0, so a 101 contradicts only a lost header field.
    """
    if predicted is None or predicted.outcome.kind == "unknown":
        return None
    outcome = predicted.outcome
    status = through.handshake.status if through.handshake else None
    if outcome.forwarded is None:
        return _agrees_without_backend(outcome, status)
    forwarded = outcome.forwarded
    if through.passed:
        return not set(forwarded.faults) - {"http-version"}
    return None if forwarded.tunnel else status is not None


def _agrees_without_backend(outcome: Outcome, status: int | None) -> bool | None:
    if outcome.kind == "static":
        return status != 101 and status is not None
    if outcome.kind == "closed":
        return status is None
    return status == outcome.status


def _live_causes(
    predicted: Trace | None, findings: Sequence[Finding], evidence: Evidence, observed: Observed, agrees: bool | None
) -> tuple[RootCause, ...]:
    through = evidence.through
    assert through is not None
    stale = _not_reloaded(evidence) if evidence.stale and agrees is not True else ()
    configured = _from_findings(findings, observed, evidence)
    if through.passed:
        differs = (_DIFFERS,) if agrees is False and not stale else ()
        return (*stale, *differs, *(_works_by_luck(cause) for cause in configured))
    if any(cause.level is Level.ERROR for cause in configured) and agrees is not False:
        return (*stale, *configured)
    traced = _from_trace(predicted) if agrees else ()
    return (*stale, *(traced or _from_answer(predicted, evidence, observed)), *configured)


_DIFFERS = RootCause(
    "prediction-differs",
    Level.WARNING,
    "likely",
    "the live server completes a handshake that this configuration would not forward",
    help="the configuration read here is not the one that runs: name the right one with --conf, or reload nginx",
)


def _not_reloaded(evidence: Evidence) -> tuple[RootCause, ...]:
    files = ", ".join(evidence.stale[:3]) + (", ..." if len(evidence.stale) > 3 else "")
    return (
        RootCause(
            "not-reloaded",
            Level.ERROR if evidence.through and not evidence.through.passed else Level.WARNING,
            "proven",
            "nginx still runs an older configuration: files were changed after its workers started",
            evidence=(f"changed since: {files}",),
            help="test and reload: nginx -t && nginx -s reload",
        ),
    )


def _works_by_luck(cause: RootCause) -> RootCause:
    """An error whose handshake works all the same: this backend is lenient, the next one need not be."""
    if cause.level is not Level.ERROR:
        return cause
    evidence = (*cause.evidence, "the backend accepts it all the same; others would not")
    return RootCause(cause.rule, Level.WARNING, "proven", cause.message, cause.span, evidence, cause.fix, cause.help)


def _from_findings(findings: Sequence[Finding], observed: Observed | None, evidence: Evidence) -> tuple[RootCause, ...]:
    return tuple(
        RootCause(f.rule, f.level, "proven", f.message, f.span, _support(f, observed, evidence), f.fix, _advice(f))
        for f in findings
    )


def _advice(finding: Finding) -> str:
    return finding.help or (finding.fix.title if finding.fix else "")


def _support(finding: Finding, observed: Observed | None, evidence: Evidence) -> tuple[str, ...]:
    """What speaks for a finding: the labels, the live answer, the two answers of the backend itself."""
    support = [label.message for label in finding.labels]
    if finding.level is not Level.ERROR or observed is None or evidence.through is None or evidence.through.passed:
        return tuple(support)
    if observed.status is not None:
        support.append(f"the live handshake got {observed.status} {observed.reason}".rstrip())
    replayed = evidence.replay.status if evidence.replay else None
    if replayed is not None and replayed == observed.status:
        support.append(f"the predicted request, sent straight to the backend, gets the same {replayed}")
    if evidence.direct is not None and evidence.direct.passed:
        support.append("the same handshake straight to the backend succeeds")
    return tuple(support)


_BY_OUTCOME = {
    "static": (
        "no-websocket-location-spa-fallback",
        "no location hands this path to a backend: nginx looks for a file",
        "add a location that proxies this path",
    ),
    "closed": (
        "server-name-mismatch",
        "nginx closes the connection without an answer",
        "see the directive named above",
    ),
}
_BY_STATUS = {
    301: ("location-slash-redirect", "nginx redirects the handshake, and WebSocket clients do not follow", ""),
    302: ("http-to-https-redirect", "nginx redirects the handshake, and WebSocket clients do not follow", ""),
    400: (
        "plain-http-to-https-port",
        "nginx itself refuses the request",
        "use wss:// on a TLS port and ws:// elsewhere",
    ),
    401: ("auth-basic", "basic authentication is asked for, which most clients do not send with the handshake", ""),
    403: ("access-denied", "access rules refuse this client", ""),
    404: ("no-websocket-location-spa-fallback", "nginx itself answers 404", "add a location that proxies this path"),
    413: ("header-too-large", "nginx refuses a request of this size", ""),
    502: ("missing-resolver", "nginx cannot look up the backend's name", "add a resolver directive"),
}


def _from_trace(predicted: Trace | None) -> tuple[RootCause, ...]:
    """What the configuration alone does to the handshake where no rule speaks."""
    if predicted is None or predicted.outcome.kind in ("proxied", "unknown"):
        return ()
    outcome = predicted.outcome
    rule, message, advice = _BY_OUTCOME.get(outcome.kind) or _BY_STATUS.get(
        outcome.status or 0, ("server-name-mismatch", f"nginx itself answers {outcome.status}", "")
    )
    if outcome.status in (301, 302, 307, 308) and (outcome.location or "").startswith("https://"):
        rule, advice = "http-to-https-redirect", "open it with wss://"
    last = next((d for d in reversed(predicted.decisions) if d.origin is not None), None)
    span = last.origin.span if last and last.origin else None
    why = tuple(f"{d.step}: {d.chosen} ({d.why})" for d in predicted.decisions[-2:])
    return (RootCause(rule, Level.ERROR, "proven", message, span, why, None, advice),)


_BELOW_HTTP = {
    "dns": ("client-wrong-public-port", "the name does not resolve"),
    "refused": ("client-wrong-public-port", "nothing listens on this address and port"),
    "unreachable": ("client-wrong-public-port", "the address cannot be reached"),
    "certificate": (
        "tls-certificate-untrusted",
        "the certificate is not trusted, and browsers offer no exception for wss",
    ),
    "tls": ("tls-not-configured", "TLS fails on this port"),
    "tls-plain-mismatch": ("tls-not-configured", "this port does not speak what the URL's scheme says"),
    "http2-only": ("http2-without-rfc8441", "this port speaks only HTTP/2, in which nginx offers no WebSockets"),
}


def _from_answer(predicted: Trace | None, evidence: Evidence, observed: Observed) -> tuple[RootCause, ...]:
    """What the answer tells where the configuration explains nothing."""
    through = evidence.through
    assert through is not None
    below = _BELOW_HTTP.get(through.class_)
    if below:
        rule, message = below
        return (RootCause(rule, Level.ERROR, "likely", message, evidence=(through.message,), help=through.help),)
    if observed.answered_by == "nginx" and observed.status in _GATEWAY:
        rule, message, advice = _GATEWAY[observed.status]
        handler = predicted.outcome.forwarded.handler if predicted and predicted.outcome.forwarded else None
        span = handler.span if handler else None
        return (RootCause(rule, Level.ERROR, "likely", message, span, (through.message,), None, advice),)
    if evidence.direct is not None and not evidence.direct.passed:
        message = "the backend itself refuses the handshake, without nginx too"
        said = (f"straight to the backend: {evidence.direct.message}",)
        return (RootCause("backend-not-websocket-capable", Level.ERROR, "likely", message, None, said, None, _BACKEND),)
    if observed.status == 403:
        message = "the application refuses the handshake; most often because the Origin is not on its list"
        return (
            RootCause(
                "app-origin-allowlist", Level.ERROR, "possible", message, None, (through.message,), None, _ORIGIN
            ),
        )
    if observed.status in (400, 404, 426, 505) and predicted is None:
        message = "the backend did not get a valid opening handshake: a proxy on the way drops its header fields"
        return (
            RootCause("upgrade-not-forwarded", Level.ERROR, "likely", message, None, (through.message,), None, _CONF),
        )
    return (RootCause("unexplained", Level.ERROR, "possible", through.message, None, (), None, through.help or _ASK),)


_BACKEND = "look at the application: its port, its path, and whether a WebSocket library is installed"
_ORIGIN = "add the page's origin to the application's list, and see that nginx passes Host unchanged"
_CONF = "run ws101 where nginx runs, or give its configuration: ssh HOST sudo nginx -T | ws101 URL --conf -"
_ASK = "give the configuration with --conf, or the backend's own address with --direct"
_GATEWAY = {
    502: (
        "upstream-unreachable",
        "nginx cannot reach the backend, or the backend closes without an answer",
        "is the application up, and on this address?",
    ),
    504: ("upstream-slow-504", "the backend does not answer in time", "see the application's own log"),
    503: ("rate-limit", "nginx limits requests or connections here", "see limit_req and limit_conn, and the error log"),
    500: (
        "worker-connections",
        "nginx itself fails",
        "see the error log: worker_connections, a rewrite cycle, an auth_request",
    ),
}
