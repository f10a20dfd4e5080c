"""The client's body on its way to the upstream: limits, chunks, what replaces it, what is thrown away.

Source: src/http/ngx_http_request_body.c, src/http/modules/ngx_http_proxy_module.c:ngx_http_proxy_create_request.
"""

from __future__ import annotations

from ws101.nginx.config import Placed, Scope, Unknown
from ws101.nginx.directives import parse_size
from ws101.nginx.inherit import effective
from ws101.nginx.plan import Plan
from ws101.nginx.state import State
from ws101.nginx.variables import evaluate

__all__ = ["body_limit", "body_of", "kept_of_too_long"]

_DEFAULT_LIMIT = 1 << 20


def body_limit(scope: Scope) -> tuple[int | None, Placed | None]:
    """The most bytes a body may have and who says so; None without a limit."""
    setting = effective(scope, "client_max_body_size")
    limit = _DEFAULT_LIMIT if setting.text is None else parse_size(setting.text, offset=True)
    return limit or None, setting.origin


def kept_of_too_long(state: State) -> int | None:
    """How many bytes nginx counts of a chunked body that exceeds the limit: the chunks before the one that is too much.

    None if it does not exceed it.  A chunked body shows its length only when it is read.
    """
    if not state.received.chunked or state.discarded or state.is_subrequest or state.body_was_read:
        return None
    limit, _ = body_limit(state.scope)
    counted = 0
    for chunk in _chunks(state.arrival.request.body) if limit is not None else ():
        if limit is not None and counted + len(chunk) > limit:
            return counted
        counted += len(chunk)
    return None


def body_of(state: State, plan: Plan, unknown: list[Unknown]) -> str | None:
    """The body that goes upstream; None if a part of it is unknown.  Notes its length in the state."""
    received, body = state.received, state.arrival.request.body
    if state.is_subrequest and not state.has_body:
        state.body_length = _counted(state)
        return "" if plan.body is None else _replaced(state, plan, unknown)
    if received.chunked and not state.discarded and (state.body_was_read or not _passes_as_it_comes(plan)):
        body = "".join(_chunks(body))
        state.read_length = len(body)
    if plan.body is not None:
        return _replaced(state, plan, unknown)
    if state.discarded:
        state.body_length = _counted(state)
        return ""
    if received.chunked and state.read_length is None:
        state.body_length = Unknown("how much of a chunked body has arrived when it is passed on unbuffered")
        return None
    state.body_length = _counted(state)
    return body[: state.body_length or 0] if plan.passes_body else ""


def _counted(state: State) -> int | None:
    """How many bytes nginx counts of the client's body; None if it has none, or has not read its chunks."""
    received = state.received
    if state.discarded:
        return (state.read_length or 0) if received.chunked or received.content_length is not None else None
    return state.read_length if received.chunked else received.content_length


def _replaced(state: State, plan: Plan, unknown: list[Unknown]) -> str | None:
    """What proxy_set_body puts in the body's place."""
    assert plan.body is not None
    text = evaluate(state, plan.body)
    if isinstance(text, Unknown):
        unknown.append(text)
        state.body_length = Unknown("how long the body set by proxy_set_body is")
        return None
    state.body_length = len(text)
    return text


def _passes_as_it_comes(plan: Plan) -> bool:
    """Whether a chunked body is passed on before it is complete (nginx: ngx_http_proxy_handler)."""
    buffers = plan.buffers_body or not plan.passes_body or plan.body is not None
    return not buffers and plan.http_version != "HTTP/1.0"


def _chunks(body: str) -> list[str]:
    """The chunks of a body (RFC 9112 section 7.1), as far as it came."""
    parts: list[str] = []
    at = 0
    while (end := body.find("\n", at)) >= 0:
        digits = body[at:end].partition(";")[0].strip(" \t\r")
        try:
            size = int(digits, 16)
        except ValueError:
            break
        if size == 0:
            break
        parts.append(body[end + 1 : end + 1 + size])
        at = body.find("\n", end + 1 + size) + 1
        if at == 0:
            break
    return parts
