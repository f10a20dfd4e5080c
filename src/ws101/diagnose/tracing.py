"""What the configuration alone does to the handshake where no rule speaks."""

from __future__ import annotations

from ws101.diagnose.base import RootCause
from ws101.findings import Level
from ws101.nginx.outcome import Outcome, Trace

__all__ = ["from_trace"]

_SMALLER = "large_client_header_buffers 4 32k; better: smaller cookies, and no token in the query"
_BY_REASON = (
    (
        "plain HTTP request to HTTPS port",
        ("plain-http-to-https-port", "a plain request comes to a TLS port", "use wss:// in the client's URL"),
    ),
    (
        "too long header line",
        ("header-too-large", "a header field is longer than large_client_header_buffers takes", _SMALLER),
    ),
    ("too large request", ("header-too-large", "the header fields are more than nginx takes", _SMALLER)),
)
"""What the last decision says, and the cause: the status alone does not tell."""

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
    400: ("bad-request", "nginx itself refuses the request as malformed", ""),
    401: ("auth-basic", "basic authentication is asked for, which most clients do not send with the handshake", ""),
    403: ("access-denied", "access rules refuse this client", ""),
    404: ("no-websocket-location-spa-fallback", "nginx itself answers 404", "add a location that proxies this path"),
    413: ("request-too-large", "nginx refuses a request of this size", ""),
    414: ("header-too-large", "the request line is longer than large_client_header_buffers takes", _SMALLER),
    502: ("missing-resolver", "nginx cannot look up the backend's name", "add a resolver directive"),
}


def from_trace(predicted: Trace | None) -> tuple[RootCause, ...]:
    """The cause that the trace alone gives: none if the request is passed on, or nobody can know."""
    if predicted is None or predicted.outcome.kind in ("proxied", "unknown"):
        return ()
    why_last = predicted.decisions[-1].why if predicted.decisions else ""
    said = next((words for part, words in _BY_REASON if part in why_last), None)
    rule, message, advice = said or _words(predicted.outcome)
    last = next((d for d in reversed(predicted.decisions) if d.origin is not None), None)
    span = last.origin.span if last and last.origin else None
    why = tuple(f"{d.step}: {d.chosen} ({d.why})" for d in predicted.decisions[-2:])
    return (RootCause(rule, Level.ERROR, "proven", message, span, why, None, advice),)


def _words(outcome: Outcome) -> tuple[str, str, str]:
    rule, message, advice = _BY_OUTCOME.get(outcome.kind) or _BY_STATUS.get(
        outcome.status or 0, ("server-name-mismatch", f"nginx itself answers {outcome.status}", "")
    )
    if outcome.status in (301, 302, 307, 308) and (outcome.location or "").startswith("https://"):
        return "http-to-https-redirect", message, "open it with wss://"
    return rule, message, advice
