"""The exact request that reaches the upstream (nginx: src/http/modules/ngx_http_proxy_module.c).

Theory of operation.  What a location does to every request is compiled once into a ``Plan``: the URL, the header fields
(the user's, then nginx's defaults whose names the user did not take, in nginx's order), the switches.  A request then
runs through the plan.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace

from ws101.http1 import Request
from ws101.nginx.bodies import body_limit, body_of, kept_of_too_long
from ws101.nginx.config import Placed, Unknown
from ws101.nginx.escapes import escape_uri
from ws101.nginx.inherit import effective, is_on
from ws101.nginx.outcome import SENT, Fate, Forwarded, Upstream
from ws101.nginx.plan import Field, Plan, plan_of
from ws101.nginx.proxyurl import ProxyUrl, UrlError, parse_proxy_url
from ws101.nginx.requests import HeaderLine
from ws101.nginx.state import State, Unanswerable
from ws101.nginx.tunnel import handshake_faults
from ws101.nginx.upstreams import find_block, locate, members, names_a_host
from ws101.nginx.variables import CAPTURE_CONFLICT, evaluate

__all__ = ["BadGateway", "forwarded"]

_ENCRYPTED = frozenset(("grpcs", "suwsgi"))


class BadGateway(Exception):
    """nginx cannot make or send the request: the status it answers, why, and what it would have sent."""

    def __init__(self, status: int, reason: str, origin: Placed | None, made: Forwarded | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.origin = origin
        self.made = made


def forwarded(state: State) -> Forwarded:
    """What the location in which a request has arrived sends upstream.

    Raises:
        BadGateway: If nginx itself answers, because it cannot make the request.
        Unanswerable: If where it goes hangs on something only run time knows.
    """
    cached = _caches(state)
    plan = plan_of(state.scope, state.handler.name, state.build, cached) if state.handler is not None else None
    if plan is None:
        raise BadGateway(500, "no upstream configuration", state.handler)
    if plan.handler.name != "proxy_pass":
        return _other_protocol(state, plan)
    url = plan.url or _worked_out_url(state, plan)
    upstream = plan.upstream or locate(state.config, state.build, url, plan.handler)
    state.proxy_host, state.proxy_port = upstream.name, url.port_text
    _read_body(state)
    made = _made(state, plan, url, upstream, cached)
    for unknown in members(upstream.block).looked_up if upstream.block is not None else ():
        state.wonder(unknown)
    if plan.url is None:
        _needs_resolver(state, plan, url, made)
    return _sent(upstream, made)


def _read_body(state: State) -> None:
    """Read a chunked body, which may turn out to be too long."""
    kept = kept_of_too_long(state)
    if kept is not None:
        state.discarded, state.read_length = True, kept
        raise BadGateway(413, "client intended to send too large chunked body", body_limit(state.scope)[1])


def _sent(upstream: Upstream, made: Forwarded) -> Forwarded:
    """What is sent; an upstream whose peers are all marked down is never asked."""
    if upstream.block is not None and members(upstream.block).are_down:
        raise BadGateway(502, f'no live upstreams in "{upstream.name}"', upstream.block.opener, made)
    return made


def _made(state: State, plan: Plan, url: ProxyUrl, upstream: Upstream, cached: bool) -> Forwarded:
    """Make the request, in nginx's order: body, method, target, header fields.

    nginx makes it twice, first to know how long it gets; a map's regular expression may change captures on the way.
    """
    unknown = [*plan.unknown, *state.left_open]
    matches = state.matches
    body = body_of(state, plan, unknown)
    method = _method(state, plan, cached, unknown)
    target = _target(state, plan, url)
    fates = _headers(state, plan, unknown)
    if state.matches != matches and (fates, body) != (_headers(state, plan, []), body_of(state, plan, [])):
        unknown.append(CAPTURE_CONFLICT)
    request = None
    if not unknown and isinstance(method, str) and isinstance(body, str):
        sent = tuple([(name, value) for name, value, fate, _, _ in fates if fate in SENT])
        request = Request(method, target, plan.http_version, sent, body)
    tunnel, faults = _tunnel(state, plan, fates, method)
    open_questions = tuple(dict.fromkeys(unknown)) if unknown else ()
    return Forwarded(
        plan.handler,
        upstream,
        request,
        fates,
        tunnel,
        faults,
        plan.idle_timeout,
        plan.idle_origin,
        open_questions,
    )


def _tunnel(
    state: State, plan: Plan, fates: tuple[Fate, ...], method: str | None
) -> tuple[bool | None, tuple[str, ...]]:
    """Whether what arrives is an opening handshake, and why not."""
    length = state.body_length
    is_open = isinstance(length, Unknown) or bool(plan.unknown)
    faults, undecided = handshake_faults(
        plan.http_version, method, fates, None if isinstance(length, Unknown) else length
    )
    return (False if faults else None if undecided or is_open else True), faults


def _caches(state: State) -> bool:
    """Whether the answer to this request may be kept (nginx: ngx_http_upstream_cache)."""
    if not state.config.uses("proxy_cache"):
        return False
    cache = effective(state.scope, "proxy_cache").text
    if cache is None or cache == "off":
        return False
    methods = effective(state.scope, "proxy_cache_methods").value
    allowed = {method.upper() for method in methods} if isinstance(methods, tuple) else set()
    return state.method in {"GET", "HEAD"} | allowed


def _method(state: State, plan: Plan, cached: bool, unknown: list[Unknown]) -> str | None:
    """The method; HEAD becomes GET so that the answer can be kept."""
    if cached and state.method == "HEAD" and is_on(effective(state.scope, "proxy_cache_convert_head"), True) is True:
        return "GET"
    if plan.method is None:
        return state.method
    method = evaluate(state, plan.method)
    if isinstance(method, Unknown):
        unknown.append(method)
        return None
    return method


def _other_protocol(state: State, plan: Plan) -> Forwarded:
    """fastcgi, uwsgi, scgi, grpc, memcached: no HTTP/1 request reaches the backend."""
    upstream = Upstream(plan.template.literal)
    if plan.template.is_literal:
        scheme, separator, rest = plan.template.literal.rpartition("://")
        with contextlib.suppress(UrlError):
            url = parse_proxy_url(f"http://{rest}")
            found = locate(state.config, state.build, url, plan.handler)
            upstream = replace(found, name=rest, tls=separator != "" and scheme in _ENCRYPTED)
    _read_body(state)
    timeout, origin = plan.idle_timeout, plan.idle_origin
    return _sent(upstream, Forwarded(plan.handler, upstream, None, (), False, ("protocol",), timeout, origin))


def _worked_out_url(state: State, plan: Plan) -> ProxyUrl:
    """The URL that the variables of a proxy_pass make."""
    text = evaluate(state, plan.template)
    if isinstance(text, Unknown):
        raise Unanswerable(Unknown(f"where proxy_pass leads is unknown: {text.reason}", plan.handler))
    try:
        url = parse_proxy_url(text)
    except UrlError as error:
        raise BadGateway(500, f'{error.message} in "{text}"', plan.handler) from error
    if url.uri.startswith("?"):
        return ProxyUrl(url.tls, url.host, url.port, url.no_port, url.is_unix, "/" + url.uri)
    return url


def _needs_resolver(state: State, plan: Plan, url: ProxyUrl, made: Forwarded) -> None:
    """A name that comes out of variables is looked up, once the request is made; without a resolver that is 502."""
    if not names_a_host(url, find_block(state.config, url)):
        return
    resolver = effective(state.scope, "resolver")
    if resolver.value is None and CAPTURE_CONFLICT in made.unknown:
        raise Unanswerable(CAPTURE_CONFLICT)
    if resolver.value is None:
        raise BadGateway(502, f"no resolver defined to resolve {url.host}", plan.handler)
    state.wonder(Unknown(f'"{url.host}" is looked up at run time', resolver.origin or plan.handler))


def _target(state: State, plan: Plan, url: ProxyUrl) -> str:
    """The request target: three cases (ngx_http_proxy_create_request)."""
    if plan.url is None and url.uri:
        return url.uri
    if not url.uri and state.valid_unparsed_uri:
        return state.received.target
    cut = min(len(plan.location), len(state.uri)) if state.valid_location and url.uri else 0
    rest = state.uri[cut:]
    if state.received.quoted_uri or state.internal:
        rest = escape_uri(rest)
    target = (url.uri if state.valid_location else "") + rest + (f"?{state.args}" if state.args else "")
    if not target:
        raise BadGateway(500, "zero length URI to proxy", plan.handler)
    return target


def _headers(state: State, plan: Plan, unknown: list[Unknown]) -> tuple[Fate, ...]:
    """The fate of every header field: those nginx sets, then the client's."""
    fates: list[Fate] = []
    has_body = state.body_length is not None
    for field in plan.fields:
        if field.needs_body and not has_body:
            continue
        fate = field.fixed or _worked_out(state, field, unknown)
        if fate is not None:
            fates.append(fate)
    received, taken = state.received, plan.taken
    for line in received.lines:
        if plan.passes_headers and line.key not in taken:
            fates.append((line.name, line.value, "passed", None, ""))
        else:
            fates.append(_kept_back(state, plan, line, unknown))
    for name, why in received.dropped:
        fates.append((name, "", "ignored", None, why))
    return tuple(fates)


def _worked_out(state: State, field: Field, unknown: list[Unknown]) -> Fate | None:
    """The fate of a field whose value each request gives; None for a default that sends nothing."""
    value = evaluate(state, field.template)
    if isinstance(value, Unknown):
        unknown.append(Unknown(value.reason, field.origin or value.origin))
        return field.name, field.text, "unknown", field.origin, value.reason
    if not value and field.falls_back:
        value = state.proxy_host
    if value:
        return field.name, value, "default" if field.origin is None else "set", field.origin, ""
    if field.origin is not None:
        return field.name, "", "cleared", field.origin, "its value is empty"
    return None


def _kept_back(state: State, plan: Plan, line: HeaderLine, unknown: list[Unknown]) -> Fate:
    """The fate of a client's field that is not passed on as it came."""
    name = line.name
    field = plan.taken.get(line.key)
    if field is None:
        return name, "", "withheld", plan.withheld_by, ""
    if name in state.received.invalid:
        why = f"whether proxy_set_header {name} replaces the client's field depends on nginx's hash table"
        unknown.append(Unknown(why))
        return name, line.value, "unknown", field.origin, why
    if field.origin is not None:
        return name, "", "replaced", field.origin, "proxy_set_header sets it"
    return name, "", "dropped", None, "nginx sends its own or none"
