"""What a location does to every request that it forwards, worked out once (nginx: ngx_http_proxy_module.c).

A request then only runs through the plan: what depends on the configuration alone is already there.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from ws101.lazy import dataclass
from ws101.nginx.build import Build
from ws101.nginx.config import Placed, Scope, Unknown
from ws101.nginx.inherit import effective, effective_all, is_on
from ws101.nginx.locations import location_name
from ws101.nginx.outcome import Fate, Upstream
from ws101.nginx.proxyurl import ProxyUrl, UrlError, parse_proxy_url
from ws101.nginx.templates import Template, parse_template
from ws101.nginx.tunnel import idle_timeout
from ws101.nginx.upstreams import locate
from ws101.text import lower

__all__ = ["Field", "Plan", "governing_handler", "plan_of"]

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
_key = lru_cache(maxsize=4096)(lower)
_OF_THE_BODY = frozenset(("$proxy_internal_body_length", "$proxy_internal_chunked"))
_CACHE_DEFAULTS = ("If-Modified-Since", "If-Unmodified-Since", "If-None-Match", "If-Match", "Range", "If-Range")


@dataclass(frozen=True, slots=True)
class Field:
    """One header field that nginx sets.

    Args:
        name: As it is sent.
        template: Its value; nothing is sent if it is empty.
        text: The value as written.
        origin: The proxy_set_header; None for a default of nginx.
        fixed: Its fate where no request changes it; None if it is worked out for each, or never sent at all.
        falls_back: Whether ``$proxy_host`` takes the place of an empty value (Host, from 1.31.4 on in HTTP/1.1).
        needs_body: Whether it sends nothing where there is no body.
    """

    name: str
    template: Template
    text: str
    origin: Placed | None
    fixed: Fate | None
    falls_back: bool = False
    needs_body: bool = False

    @property
    def is_silent(self) -> bool:
        """Whether it sends nothing and says nothing: a default that only keeps the client's field back."""
        return self.origin is None and self.template.is_literal and not self.text and not self.falls_back


@dataclass(frozen=True, slots=True)
class Plan:
    """What a location does to every request it forwards.

    Args:
        handler: The proxy_pass or its kin.
        location: The location's name, which the URI part of proxy_pass replaces.
        template: The URL with its variables.
        url, upstream: Of a URL without variables.
        fields: The header fields nginx sets, without those that send nothing.
        taken: Every field nginx sets or keeps back, by lower-case name.
        http_version: For the request line.
        passes_headers, passes_body, buffers_body: proxy_pass_request_headers and so on.
        withheld_by: The proxy_pass_request_headers that withholds.
        method, body: proxy_method and proxy_set_body.
        idle_timeout, idle_origin: Seconds a tunnel may stay silent, and who says so.
        unknown: What an unreadable include leaves open.
    """

    handler: Placed
    location: str
    template: Template
    url: ProxyUrl | None
    upstream: Upstream | None
    fields: tuple[Field, ...]
    taken: dict[str, Field]
    http_version: str
    passes_headers: bool
    withheld_by: Placed | None
    passes_body: bool
    buffers_body: bool
    method: Template | None
    body: Template | None
    idle_timeout: float | None
    idle_origin: Placed | None
    unknown: tuple[Unknown, ...]


def governing_handler(scope: Scope, name: str) -> tuple[Placed, Scope] | None:
    """Where a scope's settings of a handler such as ``proxy_pass`` come from, and the scope that stands in.

    An ``if`` and a ``limit_except`` inherit it from their location; a nested location does not.
    """
    for level in scope.outward:
        if name in level.index:
            return level.all(name)[0], level
        if level.kind not in ("if-in-location", "limit_except"):
            return None
    return None


def plan_of(scope: Scope, name: str, build: Build, cached: bool) -> Plan | None:
    """The plan of a scope; None if that handler has no backend there, as after an ``if`` that brought it in.

    Args:
        scope: A location, or an ``if`` or ``limit_except`` in one.
        name: The handler, for example ``proxy_pass``.
        build: The nginx.
        cached: Whether the answer may be kept, which keeps more of the client's fields back.
    """
    key = ("plan", name, build, cached)
    memo = scope.memo
    if key not in memo:
        memo[key] = _compile(scope, name, build, cached)
    return memo[key]  # type: ignore[return-value]  # the memo of this key holds nothing else


def _compile(scope: Scope, name: str, build: Build, cached: bool) -> Plan | None:
    governing = governing_handler(scope, name)
    if governing is None:
        return None
    handler, level = governing
    unknown: list[Unknown] = []
    template = parse_template(handler.args[0] if handler.args else "")
    version = effective(scope, "proxy_http_version")
    if isinstance(version.value, Unknown):
        unknown.append(version.value)
    http_version = f"HTTP/{version.text or build.default_http_version}"
    url = _static_url(template)
    fields = _fields(scope, build, unknown, url=url, http_version=http_version, cached=cached)
    timeout, timeout_origin = idle_timeout(scope)
    return Plan(
        handler=handler,
        location=location_name(level).name if level.kind == "location" and level.opener else "",
        template=template,
        url=url,
        upstream=locate(scope.config, build, url, handler) if url is not None else None,
        fields=tuple([field for field in fields if not field.is_silent]),
        taken={_key(field.name): field for field in fields},
        http_version=http_version,
        passes_headers=_flag(scope, "proxy_pass_request_headers", True, unknown),
        withheld_by=effective(scope, "proxy_pass_request_headers").origin,
        passes_body=_flag(scope, "proxy_pass_request_body", True, unknown),
        buffers_body=_flag(scope, "proxy_request_buffering", True, unknown),
        method=_template(scope, "proxy_method"),
        body=_template(scope, "proxy_set_body"),
        idle_timeout=timeout,
        idle_origin=timeout_origin,
        unknown=tuple(unknown),
    )


def _template(scope: Scope, name: str) -> Template | None:
    text = effective(scope, name).text
    return None if text is None else parse_template(text)


def _static_url(template: Template) -> ProxyUrl | None:
    if not template.is_literal:
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


def _fields(
    scope: Scope, build: Build, unknown: list[Unknown], *, url: ProxyUrl | None, http_version: str, cached: bool
) -> tuple[Field, ...]:
    """The user's fields, then the defaults whose names are free (nginx: ngx_http_proxy_init_headers)."""
    own = _own_fields(scope)
    if isinstance(own, Unknown):
        unknown.append(own)
        own = ()
    taken = {_key(field.name) for field in own}
    fields = [*own, *(field for field in _default_fields(build, cached) if _key(field.name) not in taken)]
    if url is not None and "host" not in taken:
        at = len(own)
        fields[at] = replace(fields[at], fixed=("Host", url.host_header, "default", None, ""))
    return tuple(_host_first(fields, http_version == "HTTP/1.1") if build.does("host_first") else fields)


def _own_fields(scope: Scope) -> tuple[Field, ...] | Unknown:
    """The fields of the level that rules; worked out once for all that inherit them."""
    own = effective_all(scope, "proxy_set_header")
    if isinstance(own, Unknown) or not own:
        return own if isinstance(own, Unknown) else ()
    memo = own[0].scope.memo
    if "own fields" not in memo:
        written = [(placed.args, placed) for placed in own]
        memo["own fields"] = tuple([_field(args[0], args[1], placed) for args, placed in written if len(args) == 2])
    return memo["own fields"]  # type: ignore[return-value]  # the memo of this key holds nothing else


@lru_cache(maxsize=64)
def _default_fields(build: Build, cached: bool) -> tuple[Field, ...]:
    """nginx's own fields, Host first."""
    names = dict.fromkeys(_CACHE_DEFAULTS if cached else (), "")
    values = dict(_DEFAULTS) | names
    if not build.does("drops_proxy_connection"):
        del values["Proxy-Connection"]
    if not build.does("sends_connection_close"):
        values["Connection"] = ""
    return tuple(replace(_field(name, text, None), needs_body=text in _OF_THE_BODY) for name, text in values.items())


def _field(name: str, text: str, origin: Placed | None) -> Field:
    template = parse_template(text)
    fixed: Fate | None = None
    if template.is_literal and text:
        fixed = (name, template.literal, "default" if origin is None else "set", origin, "")
    elif template.is_literal and origin is not None:
        fixed = (name, "", "cleared", origin, "its value is empty")
    return Field(name, template, text, origin, fixed)


def _host_first(fields: list[Field], falls_back: bool) -> list[Field]:
    """From 1.31.4 on: one Host, the last that is set, before everything else; in HTTP/1.1 never without a value."""
    host = [field for field in fields if lower(field.name) == "host"][-1]
    fixed = host.fixed
    if fixed is not None:
        fixed = None if falls_back and not fixed[1] else ("Host", *fixed[1:])
    first = replace(host, name="Host", fixed=fixed, falls_back=falls_back)
    return [first, *(field for field in fields if lower(field.name) != "host")]
