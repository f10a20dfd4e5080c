"""The exact request that reaches the upstream (nginx: src/http/modules/ngx_http_proxy_module.c).

Theory of operation.  What a location does to every request is compiled once into a ``_Plan``: the URL, the list of header
fields (the user's, then nginx's defaults whose names the user did not take, in nginx's order), the switches.  A request
then runs through the plan.
"""

from __future__ import annotations

from dataclasses import dataclass

from ws101.http1 import Request
from ws101.nginx.build import Build
from ws101.nginx.config import Placed, Scope, Unknown
from ws101.nginx.directives import parse_size, parse_time
from ws101.nginx.escapes import escape_uri
from ws101.nginx.inherit import effective, effective_all, is_on
from ws101.nginx.locations import location_name
from ws101.nginx.outcome import Forwarded, HeaderFate, Upstream
from ws101.nginx.proxyurl import ProxyUrl, UrlError, parse_proxy_url
from ws101.nginx.rewrite import own_handler
from ws101.nginx.state import State, Unanswerable
from ws101.nginx.templates import Template, parse_template
from ws101.nginx.upstreams import find_block, locate, names_a_host
from ws101.nginx.variables import evaluate
from ws101.text import lower

__all__ = ["BadGateway", "body_limit", "forwarded", "governing_handler", "idle_timeout"]

_DEFAULTS = (
    ("Host", "$proxy_host"),
    ("Connection", "close"),
    ("Proxy-Connection", ""),
    ("Content-Length", "$proxy_internal_body_length"),
    ("Transfer-Encoding", "$proxy_internal_chunked"),
    ("TE", ""),
    ("Keep-Alive", ""),
    ("Expect", ""),
    ("Upgrade", ""),
)
_CACHE_DEFAULTS = ("If-Modified-Since", "If-Unmodified-Since", "If-None-Match", "If-Match", "Range", "If-Range")
_DEFAULT_TIMEOUT = 60.0
_DEFAULT_BODY = 1 << 20


class BadGateway(Exception):
    """nginx cannot make or send the request: the status it answers, and why."""

    def __init__(self, status: int, reason: str, origin: Placed | None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.origin = origin


@dataclass(frozen=True, slots=True)
class _Field:
    """One header field nginx sets: its name, its value, who says so."""

    name: str
    template: Template
    text: str
    origin: Placed | None


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a location does to every request it forwards."""

    handler: Placed
    location: str
    template: Template
    url: ProxyUrl | None
    fields: tuple[_Field, ...]
    taken: dict[str, _Field]
    http_version: str
    passes_headers: bool
    passes_body: bool
    buffers_body: bool
    method: str
    body: str | None
    uses_captures: bool
    unknown: tuple[Unknown, ...]


def governing_handler(scope: Scope) -> tuple[Placed, Scope] | None:
    """The handler whose settings a scope has, and the scope it stands in.

    An ``if`` and a ``limit_except`` inherit it from their location; a nested location does not (3.4).
    """
    for level in scope.outward:
        found = own_handler(level)
        if found is not None:
            return found, level
        if level.kind not in ("if-in-location", "limit_except"):
            return None
    return None


def _plan(scope: Scope, build: Build, cached: bool) -> _Plan | None:
    key = ("plan", build, cached)
    if key not in scope.memo:
        scope.memo[key] = _compile(scope, build, cached)
    return scope.memo[key]  # type: ignore[return-value]  # the memo of this key holds nothing else


def _compile(scope: Scope, build: Build, cached: bool) -> _Plan | None:
    governing = governing_handler(scope)
    if governing is None:
        return None
    handler, level = governing
    unknown: list[Unknown] = []
    text = handler.args[0] if handler.args else ""
    template = parse_template(text)
    version = effective(scope, "proxy_http_version")
    if isinstance(version.value, Unknown):
        unknown.append(version.value)
    fields = _fields(scope, build, cached, unknown)
    body = effective(scope, "proxy_set_body").text
    return _Plan(
        handler=handler,
        location=location_name(level).name if level.kind == "location" and level.opener else "",
        template=template,
        url=_static_url(template),
        fields=fields,
        taken={lower(f.name): f for f in fields},
        http_version=f"HTTP/{version.text or build.default_http_version}",
        passes_headers=_flag(scope, "proxy_pass_request_headers", True, unknown),
        passes_body=_flag(scope, "proxy_pass_request_body", True, unknown),
        buffers_body=_flag(scope, "proxy_request_buffering", True, unknown),
        method=effective(scope, "proxy_method").text or "",
        body=body,
        uses_captures=any(template.has_captures for template in (parse_template(body or ""), *(f.template for f in fields))),
        unknown=tuple(unknown),
    )


def _static_url(template: Template) -> ProxyUrl | None:
    if not template.is_literal or template.error:
        return None
    try:
        return parse_proxy_url(template.literal)
    except UrlError:
        return None


def _flag(scope: Scope, name: str, default: bool, unknown: list[Unknown]) -> bool:
    value = is_on(effective(scope, name), default)
    if isinstance(value, Unknown):
        unknown.append(value)
        return default
    return value


def _fields(scope: Scope, build: Build, cached: bool, unknown: list[Unknown]) -> tuple[_Field, ...]:
    """The user's fields, then the defaults whose names are free (ngx_http_proxy_init_headers)."""
    own = effective_all(scope, "proxy_set_header")
    if isinstance(own, Unknown):
        unknown.append(own)
        own = ()
    fields = [_Field(p.args[0], parse_template(p.args[1]), p.args[1], p) for p in own if len(p.args) == 2]
    taken = {lower(field.name) for field in fields}
    for name, value in (*_DEFAULTS, *((n, "") for n in _CACHE_DEFAULTS if cached)):
        if lower(name) in taken or (name == "Proxy-Connection" and not build.does("drops_proxy_connection")):
            continue
        if name == "Connection" and not build.does("sends_connection_close"):
            value = ""
        fields.append(_Field(name, parse_template(value), value, None))
    return tuple(_host_first(fields) if build.does("host_first") else fields)


def _host_first(fields: list[_Field]) -> list[_Field]:
    """From 1.31.4 on: one Host, the last that is set, before everything else."""
    hosts = [f for f in fields if lower(f.name) == "host"]
    return [_Field("Host", *_value_of(hosts[-1])), *(f for f in fields if lower(f.name) != "host")]


def _value_of(field: _Field) -> tuple[Template, str, Placed | None]:
    return field.template, field.text, field.origin


def _caches(state: State) -> bool:
    """Whether the answer to this request may be kept (nginx: ngx_http_upstream_cache)."""
    cache = effective(state.scope, "proxy_cache").text
    if cache is None or cache == "off":
        return False
    methods = effective(state.scope, "proxy_cache_methods").value
    allowed = {m.upper() for m in methods} if isinstance(methods, tuple) else set()
    return state.method in {"GET", "HEAD"} | allowed


def forwarded(state: State) -> Forwarded:
    """What the location in which a request has arrived sends upstream.

    Raises:
        BadGateway: If nginx itself answers, because it cannot make the request.
        Unanswerable: If where it goes hangs on something only run time knows.
    """
    cached = _caches(state)
    plan = _plan(state.scope, state.build, cached)
    if plan is None:
        raise BadGateway(500, "no upstream configuration", state.handler)
    if plan.handler.name != "proxy_pass":
        return _other_protocol(state, plan)
    url = _url(state, plan)
    state.proxy_host, state.proxy_port = url.host_header, url.port_text
    _refuse_large(state)
    upstream = locate(state.config, state.build, url, plan.handler)
    _needs_resolver(state, plan, url)
    unknown = list(plan.unknown)
    captures = state.captures
    body = _body(state, plan, unknown)
    method = _method(state, plan, cached, unknown)
    target = _target(state, plan, url)
    fates, complete = _headers(state, plan, unknown)
    if plan.uses_captures and state.captures is not captures:
        complete = False
        unknown.append(Unknown("a map's regular expression changes $1 while the request that uses it is made"))
    request = None
    if complete and not plan.unknown and isinstance(method, str) and isinstance(body, str):
        sent = tuple((h.name, h.value) for h in fates if h.fate in ("set", "default", "passed"))
        request = Request(method, target, plan.http_version, sent, body)
    return _judged(state, plan, upstream, request, fates, method, unknown)


def _judged(
    state: State,
    plan: _Plan,
    upstream: Upstream,
    request: Request | None,
    fates: tuple[HeaderFate, ...],
    method: str | None,
    unknown: list[Unknown],
) -> Forwarded:
    length = None if isinstance(state.body_length, Unknown) else state.body_length
    faults, undecided = handshake_faults(plan.http_version, method, fates, length)
    open_body = isinstance(state.body_length, Unknown)
    tunnel = False if faults else None if undecided or open_body or plan.unknown else True
    seconds, origin = idle_timeout(state.scope)
    return Forwarded(
        plan.handler, upstream, request, fates, tunnel, faults, seconds, origin, tuple(dict.fromkeys(unknown))
    )


def _method(state: State, plan: _Plan, cached: bool, unknown: list[Unknown]) -> str | None:
    """The method; HEAD becomes GET so that the answer can be kept."""
    if cached and state.method == "HEAD" and is_on(effective(state.scope, "proxy_cache_convert_head"), True) is True:
        return "GET"
    return _value(state, plan.method, unknown) if plan.method else state.method


def _other_protocol(state: State, plan: _Plan) -> Forwarded:
    """fastcgi, uwsgi, scgi, grpc, memcached: no HTTP/1 request reaches the backend."""
    name = plan.handler.args[0] if plan.handler.args else ""
    seconds, origin = idle_timeout(state.scope)
    return Forwarded(plan.handler, Upstream(name), None, (), False, ("protocol",), seconds, origin)


def _url(state: State, plan: _Plan) -> ProxyUrl:
    if plan.url is not None:
        return plan.url
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


def body_limit(scope: Scope) -> tuple[int | None, Placed | None]:
    """The most bytes a body may have and who says so; None without a limit."""
    setting = effective(scope, "client_max_body_size")
    limit = _DEFAULT_BODY if setting.text is None else parse_size(setting.text, offset=True)
    return limit or None, setting.origin


def _refuse_large(state: State) -> None:
    """A chunked body shows its length only when it is read (nginx: ngx_http_request_body_chunked_filter)."""
    if not state.received.chunked or state.discarded:
        return
    limit, origin = body_limit(state.scope)
    if limit is not None and len(_dechunked(state.arrival.request.body)) > limit:
        raise BadGateway(413, "client intended to send too large chunked body", origin)


def _needs_resolver(state: State, plan: _Plan, url: ProxyUrl) -> None:
    """A name that comes out of variables is looked up at run time, which needs a resolver."""
    if plan.url is not None or not names_a_host(url, find_block(state.config, url)):
        return
    resolver = effective(state.scope, "resolver")
    if resolver.value is None:
        raise BadGateway(502, f"no resolver defined to resolve {url.host}", plan.handler)
    state.wonder(Unknown(f'"{url.host}" is looked up at run time', resolver.origin or plan.handler))


def _body(state: State, plan: _Plan, unknown: list[Unknown]) -> str | None:
    received, body = state.received, state.arrival.request.body
    if state.discarded:
        return _discarded_body(state, plan, unknown)
    if received.chunked and not _passes_as_it_comes(plan):
        body = _dechunked(body)
        state.read_length = len(body)
    if plan.body is not None:
        text = _value(state, plan.body, unknown)
        state.body_length = Unknown("how long the body set by proxy_set_body is") if text is None else len(text)
        return text
    if received.chunked and state.read_length is None:
        state.body_length = Unknown("how much of a chunked body has arrived when it is passed on unbuffered")
        return None
    state.body_length = state.read_length if received.chunked else received.content_length
    return body[: state.body_length or 0] if plan.passes_body else ""


def _discarded_body(state: State, plan: _Plan, unknown: list[Unknown]) -> str | None:
    """The body after nginx has thrown the client's away (nginx: ngx_http_discard_request_body)."""
    if plan.body is not None:
        text = _value(state, plan.body, unknown)
        state.body_length = Unknown("how long the body set by proxy_set_body is") if text is None else len(text)
        return text
    state.body_length = 0 if state.received.chunked or state.received.content_length is not None else None
    return ""


def _passes_as_it_comes(plan: _Plan) -> bool:
    """Whether a chunked body is passed on before it is complete (nginx: ngx_http_proxy_handler)."""
    buffers = plan.buffers_body or not plan.passes_body or plan.body is not None
    return not buffers and plan.http_version != "HTTP/1.0"


def _dechunked(body: str) -> str:
    """A chunked body's content (RFC 9112 section 7.1), as far as it came."""
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
    return "".join(parts)


def _value(state: State, text: str, unknown: list[Unknown]) -> str | None:
    value = evaluate(state, parse_template(text))
    if isinstance(value, Unknown):
        unknown.append(value)
        return None
    return value


def _target(state: State, plan: _Plan, url: ProxyUrl) -> str:
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


def _headers(state: State, plan: _Plan, unknown: list[Unknown]) -> tuple[tuple[HeaderFate, ...], bool]:
    """The fate of every header field, and whether all that is sent is known."""
    fates: list[HeaderFate] = []
    complete = True
    for field in plan.fields:
        value = evaluate(state, field.template)
        if isinstance(value, Unknown):
            complete = False
            unknown.append(Unknown(value.reason, field.origin or value.origin))
            fates.append(HeaderFate(field.name, field.text, "unknown", field.origin, value.reason))
        elif value or (lower(field.name) == "host" and _falls_back(state, plan)):
            fates.append(
                HeaderFate(field.name, value or state.proxy_host, "set" if field.origin else "default", field.origin)
            )
        elif field.origin is not None:
            fates.append(HeaderFate(field.name, "", "cleared", field.origin, "its value is empty"))
    for name, value in state.received.headers:
        fates.append(_client_field(state, plan, name, value))
        complete = complete and fates[-1].fate != "unknown"
        if fates[-1].fate == "unknown":
            unknown.append(Unknown(fates[-1].why))
    fates += (HeaderFate(name, "", "ignored", None, why) for name, why in state.received.dropped)
    return tuple(fates), complete


def _falls_back(state: State, plan: _Plan) -> bool:
    """From 1.31.4 on an empty Host falls back to $proxy_host in HTTP/1.1."""
    return state.build.does("host_first") and plan.http_version == "HTTP/1.1"


def _client_field(state: State, plan: _Plan, name: str, value: str) -> HeaderFate:
    field = plan.taken.get(lower(name))
    if field is not None:
        if name in state.received.invalid:
            why = f"whether proxy_set_header {name} replaces the client's field depends on nginx's hash table"
            return HeaderFate(name, value, "unknown", field.origin, why)
        if field.origin is not None:
            return HeaderFate(name, "", "replaced", field.origin, "proxy_set_header sets it")
        return HeaderFate(name, "", "dropped", None, "nginx sends its own or none")
    if not plan.passes_headers:
        return HeaderFate(name, "", "withheld", effective(state.scope, "proxy_pass_request_headers").origin)
    return HeaderFate(name, value, "passed")


def idle_timeout(scope: Scope) -> tuple[float | None, Placed | None]:
    """Seconds a tunnel may stay silent in both directions, and the proxy_read_timeout that says so.

    Source: src/http/ngx_http_upstream.c:ngx_http_upstream_process_upgraded.
    """
    setting = effective(scope, "proxy_read_timeout")
    if isinstance(setting.value, Unknown):
        return None, setting.origin
    if setting.text is None:
        return _DEFAULT_TIMEOUT, None
    milliseconds = parse_time(setting.text)
    return (None if milliseconds is None else milliseconds / 1000), setting.origin


def handshake_faults(
    http_version: str, method: str | None, fates: tuple[HeaderFate, ...], body_length: int | None
) -> tuple[tuple[str, ...], bool]:
    """What makes a request no valid opening handshake (RFC 6455 section 4.2.1), and whether more is undecided."""
    faults: list[str] = []
    if http_version != "HTTP/1.1":
        faults.append("http-version")
    if method not in (None, "GET"):
        faults.append("method")
    sent = [h for h in fates if h.fate in ("set", "default", "passed")]
    open_names = {lower(h.name) for h in fates if h.fate == "unknown"}
    for name, token in (("upgrade", "websocket"), ("connection", "upgrade")):
        values = [h.value for h in sent if lower(h.name) == name]
        if name in open_names:
            continue
        if not values:
            faults.append(f"{name}-missing")
        elif token not in {lower(t.strip(" \t")) for v in values for t in v.split(",")}:
            faults.append(f"{name}-wrong")
        elif name == "upgrade" and len(values) > 1:
            faults.append("upgrade-repeated")
    for name, label in (("sec-websocket-key", "key"), ("sec-websocket-version", "version")):
        count = sum(lower(h.name) == name for h in sent)
        if name not in open_names and count != 1:
            faults.append(f"{label}-missing" if count == 0 else f"{label}-repeated")
    if body_length or any(lower(h.name) == "content-length" and h.value.strip("0") for h in sent):
        faults.append("body")
    undecided = method is None or bool(
        open_names & {"upgrade", "connection", "content-length", "sec-websocket-key", "sec-websocket-version"}
    )
    return tuple(faults), undecided
