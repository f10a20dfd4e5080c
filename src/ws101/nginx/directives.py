"""Which directive may stand where, with which arguments: nginx's own verdict on a single directive, in its words.

The tables in ``data/`` were read from nginx's sources, release by release.  The order of the checks is nginx's
(src/core/ngx_conf_file.c: ngx_conf_handler): the name, the context, the end (``;`` or ``{``), the number of arguments,
then the value.  What only the binary's modules can decide is never called an error.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Protocol, cast

from ws101.lazy import dataclass
from ws101.nginx.build import Build, Version
from ws101.syntax import Directive
from ws101.text import lower

__all__ = [
    "HANDLED_BLOCKS",
    "DirectiveRow",
    "Verdict",
    "duplicates",
    "inner_context",
    "is_known",
    "may_repeat",
    "modules_are_known",
    "parse_flag",
    "parse_size",
    "parse_time",
    "rows",
    "third_party",
    "variable_known",
    "verdict",
    "verdicts",
]

HANDLED_BLOCKS = frozenset({"map", "geo", "types", "split_clients", "charset_map"})
"""Blocks whose entries are no directives: a handler of their own reads them."""

_INNER = {
    ("main", "http"): "http",
    ("main", "events"): "events",
    ("main", "stream"): "stream",
    ("main", "mail"): "mail",
    ("http", "server"): "server",
    ("http", "upstream"): "upstream",
    ("server", "location"): "location",
    ("location", "location"): "location",
    ("server", "if"): "if-in-server",
    ("location", "if"): "if-in-location",
    ("location", "limit_except"): "limit_except",
    ("stream", "server"): "stream-server",
    ("stream", "upstream"): "stream-upstream",
    ("mail", "server"): "mail-server",
}
_CONTEXTS = frozenset({"main", *_INNER.values()})
_MAX_ARGS = 7
"""More words than this never fit a directive of fixed arguments (nginx: NGX_CONF_MAX_ARGS, the name included: 8)."""

_THIRD_PARTY = {
    "Lua": "lua_* *_by_lua *_by_lua_block *_by_lua_file",
    "njs": "js_* subrequest_output_buffer_size",
    "headers-more": "more_set_headers more_clear_headers more_set_input_headers more_clear_input_headers",
    "echo": "echo echo_*",
    "ModSecurity": "modsecurity modsecurity_*",
    "GeoIP2": "geoip2 geoip2_*",
    "Brotli": "brotli brotli_*",
    "Zstandard": "zstd zstd_*",
    "NGINX Plus": "auth_jwt auth_jwt_* auth_oidc auth_oidc_* oidc_provider zone_sync zone_sync_* keyval keyval_zone "
    "status_zone api api_* health_check health_check_* match state ntlm queue session_log session_log_* mqtt mqtt_* "
    "f4f f4f_* hls hls_* fastcgi_cache_purge proxy_cache_purge scgi_cache_purge uwsgi_cache_purge internal_redirect "
    "proxy_session_drop num_map mgmt license_token usage_report status status_format upstream_conf app_protect_*",
    "ACME": "acme_*",
    "OpenTelemetry, OpenTracing": "otel_* opentelemetry opentelemetry_* opentracing opentracing_*",
    "Passenger": "passenger_*",
    "PageSpeed": "pagespeed",
    "vhost traffic status": "vhost_traffic_status vhost_traffic_status_* stream_server_traffic_status "
    "stream_server_traffic_status_*",
    "set-misc": "set_quote_* set_unescape_uri set_escape_uri set_hashed_upstream set_encode_* set_decode_* set_md5 "
    "set_sha1 set_random set_secure_random_* set_rotate set_local_today set_formatted_* set_if_empty set_hmac_* "
    "set_base32_alphabet set_misc_base32_padding",
    "nchan, push stream": "nchan_* push_stream_*",
    "RTMP": "rtmp rtmp_* application live record record_* publish_notify exec_* on_publish on_play on_done "
    "on_publish_done",
    "upload": "upload_*",
    "cache purge": "*_cache_purge",
    "substitutions": "subs_filter subs_filter_* replace_filter replace_filter_*",
    "fancyindex": "fancyindex fancyindex_*",
    "LDAP, PAM and other authentication": "auth_ldap auth_ldap_* auth_pam auth_pam_* auth_gss auth_gss_* auth_digest "
    "auth_digest_* ldap_server",
    "NAXSI": "SecRulesEnabled SecRulesDisabled LearningMode DeniedUrl CheckRule BasicRule MainRule LibInjectionSql "
    "LibInjectionXss naxsi_*",
    "upstream checks": "check check_* fair upstream_fair jvm_route",
    "Redis, memcached, databases": "redis_* redis2_* memc_* srcache_* drizzle_* postgres_* rds_json rds_json_*",
    "dynamic data of the OpenResty bundle": "array_* encrypted_session_* iconv_* set_form_input set_form_input_multi "
    "xss_* coolkit_*",
    "WebDAV extensions": "dav_ext_methods dav_ext_lock dav_ext_lock_zone",
    "proxy CONNECT": "proxy_connect proxy_connect_*",
    "testcookie": "testcookie testcookie_*",
    "security headers": "security_headers security_headers_* hide_server_tokens",
    "cookie flag": "set_cookie_flag",
    "video": "vod vod_* http_flv_live hls_*",
    "concat": "concat concat_*",
}
"""Well-known directives of modules outside nginx's own sources, by name; ``*`` stands for anything."""

_FOLDERS = {
    "Lua": "lua-nginx-module",
    "njs": "njs",
    "headers-more": "headers-more-nginx-module",
    "echo": "echo-nginx-module",
    "ModSecurity": "ModSecurity-nginx",
    "GeoIP2": "geoip2",
    "Brotli": "ngx_brotli",
    "set-misc": "set-misc-nginx-module",
    "proxy CONNECT": "proxy_connect",
    "RTMP": "rtmp",
}
"""What the source folders of modules outside nginx's sources are called."""

_LISTED_FOLDERS = (*_FOLDERS.values(), "ngx_devel_kit", "nginx-auth-jwt", "nginx-keyval")
"""Folders of modules all of whose directives are listed; the development kit has none."""

_PLATFORM = frozenset({"kqueue_module", "devpoll_module", "eventport_module", "iocp_module", "epoll_module"})
"""Modules that the operating system decides, not the configure arguments."""

_SSL = ("--with-http_ssl_module", "--with-mail_ssl_module", "--with-stream_ssl_module", "--with-http_v3_module")
_NEEDS_ONE_OF = {
    "thread_pool": ("--with-threads",),
    "google_perftools_module": ("--with-google_perftools_module",),
    "event_openssl": _SSL,
    "event_openssl_cache": _SSL,
    "event_quic_bpf": ("--with-http_v3_module",),
}
"""Modules that are there with any of these configure arguments."""

_BACKPORTED = frozenset({"max_headers"})
"""Directives that distributions added to releases that did not have them."""


_REPEATED_ENDINGS = (
    *("_types", "_hide_header", "_pass_header", "_set_header", "_param", "_conf_command", "_protocols", "_no_cache"),
    *("_cache_bypass", "_cache_methods", "_cache_use_stale", "_cache_path", "_next_upstream"),
    *("_ignore_headers", "_capabilities", "_auth", "_session_cache"),
)
_REPEATED_NAMES = (
    "access_log add_header add_trailer allow ancient_browser ancient_browser_value auth_http_header auth_request_set "
    "break dav_methods debug_connection deny early_hints empty_gif env error_log error_page fastcgi_catch_stderr "
    "fastcgi_cache_valid fastcgi_split_path_info flv gzip_disable gzip_proxied hash http2_idle_timeout "
    "http2_max_concurrent_pushes "
    "http2_max_field_size http2_max_header_size http2_max_requests http2_push http2_push_preload http2_recv_timeout "
    "image_filter include index ip_hash keepalive_disable least_conn least_time limit_conn limit_conn_zone limit_req "
    "limit_req_zone listen load_module log_format mirror modern_browser modern_browser_value mp4 pass perl "
    "perl_modules perl_require perl_set protocol proxy_cookie_domain proxy_cookie_flags proxy_cookie_path "
    "proxy_cache_valid scgi_cache_valid uwsgi_cache_valid "
    "proxy_redirect proxy_ssl_alpn random return rewrite server server_name set set_real_ip_from ssl_alpn "
    "ssl_certificate ssl_certificate_key ssl_ech_file ssl_engine ssl_session_ticket_key sticky stub_status sub_filter "
    "thread_pool userid_flags valid_referers xml_entities xslt_string_param xslt_stylesheet zone"
)
_REPEATED = frozenset(_REPEATED_NAMES.split(" "))
"""Directives that may stand twice in one block, or whose second one is refused for another reason (its values)."""


@dataclass(frozen=True, slots=True)
class DirectiveRow:
    """One row of the table: a directive of one module.

    Args:
        name: The directive.
        module: The module that defines it.
        kind: ``simple``, ``flag`` or ``block``.
        contexts: Where it may stand; ``any`` means everywhere.
        args: The numbers of arguments it takes, or ``"1+"`` or ``"2+"``.
        since: The first release with this row; None: before the first one read.
        until: The last release with it; None: still there.
    """

    name: str
    module: str
    kind: str
    contexts: frozenset[str]
    args: tuple[int, ...] | str
    since: Version | None
    until: Version | None

    def in_version(self, version: Version) -> bool:
        """Whether a release has this row."""
        return (self.since is None or self.since <= version) and (self.until is None or version <= self.until)

    def stands_in(self, context: str) -> bool:
        """Whether it may stand in a context."""
        return context in self.contexts or "any" in self.contexts

    def takes(self, count: int) -> bool:
        """Whether it takes this number of arguments."""
        return count >= int(self.args[0]) if isinstance(self.args, str) else count in self.args and count <= _MAX_ARGS


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why nginx refuses a directive.

    Args:
        message: nginx's words.
        certain: False if a module that is perhaps built in, or a patch of the distribution, may know better.
    """

    message: str
    certain: bool = True


@dataclass(frozen=True, slots=True)
class _Table:
    found: dict[str, list[dict[str, Any]]]
    first: Version
    last: Version


def _version(text: str) -> Version:
    major, minor, patch = text.split(".")
    return int(major), int(minor), int(patch)


class _Loader(Protocol):
    def get_data(self, path: str) -> bytes: ...


def _load(name: str) -> bytes:
    """A table's bytes, wherever the package lies: the loader costs no import, importlib.resources 15 ms of them."""
    folder = __file__.replace("\\", "/").rpartition("/")[0]
    return cast("_Loader", __spec__.loader).get_data(f"{folder}/data/{name}")


@functools.cache
def _table() -> _Table:
    data = json.loads(_load("nginx-directives.json"))
    found: dict[str, list[dict[str, Any]]] = {}
    for row in data["directives"]:
        found.setdefault(row["name"], []).append(row)
    return _Table(found, _version(data["first"]), _version(data["last"]))


@functools.lru_cache(maxsize=2048)
def _rows(name: str) -> tuple[DirectiveRow, ...]:
    """All rows of a directive, in nginx's order; a run meets few of the 800."""
    return tuple(
        DirectiveRow(
            row["name"],
            row["module"],
            row["kind"],
            frozenset(row["contexts"]),
            row["args"] if isinstance(row["args"], str) else tuple(row["args"]),
            _version(row["since"]) if row["since"] else None,
            _version(row["until"]) if row["until"] else None,
        )
        for row in _table().found.get(name, ())
    )


def rows(name: str, context: str | None = None, version: Version | None = None) -> tuple[DirectiveRow, ...]:
    """The rows of a directive, in nginx's order.

    Args:
        name: The directive, in the case it is written in.
        context: Only those that may stand here.
        version: Only those of this release.
    """
    return tuple(
        row
        for row in _rows(name)
        if (context is None or row.stands_in(context)) and (version is None or row.in_version(version))
    )


def is_known(name: str) -> bool:
    """Whether any release of nginx itself has a directive of this name."""
    return name in _table().found


@functools.cache
def _third_party_names() -> tuple[dict[str, str], tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
    """Module by full name, by prefix, by suffix."""
    words = [(word, module) for module, text in _THIRD_PARTY.items() for word in text.split()]
    exact = {word: module for word, module in words if "*" not in word}
    prefixes = tuple((word[:-1], module) for word, module in words if word[-1] == "*")
    return exact, prefixes, tuple((word[1:], module) for word, module in words if word[0] == "*")


@functools.cache
def third_party(name: str) -> str | None:
    """The well-known module outside nginx's sources that a directive belongs to; None if it is none of them."""
    if is_known(name):
        return None
    exact, prefixes, suffixes = _third_party_names()
    by_prefix = (module for prefix, module in prefixes if name.startswith(prefix))
    by_suffix = (module for suffix, module in suffixes if name.endswith(suffix))
    return exact.get(name) or next(by_prefix, None) or next(by_suffix, None)


def inner_context(name: str, context: str) -> str:
    """The context inside a block directive; a block that nginx itself does not have is its own context."""
    return _INNER.get((context, name), name)


def verdicts(
    directive: Directive, context: str, build: Build | None = None, loaded: Collection[str] | None = None
) -> Iterator[Verdict]:
    """nginx's verdict on one directive, as an iterator of none or one (nginx stops at the first)."""
    found = verdict(directive, context, build, loaded)
    if found is not None:
        yield found


def verdict(
    directive: Directive, context: str, build: Build | None = None, loaded: Collection[str] | None = None
) -> Verdict | None:
    """Why nginx refuses a directive by its name, context, end, number of arguments or flag; None if it does not.

    Args:
        directive: The directive.  One that is cut (a Problem of its file) has no verdict.
        context: Where it stands: a context of the tables, or the name of the block.  In a block that is not nginx's own
            nothing is refused.
        build: Which nginx; None if the version is unknown: then only what every release refuses is refused.
        loaded: The files that ``load_module`` names in this configuration; None if that is not known.
    """
    if not directive.terminated:
        return None
    if context in HANDLED_BLOCKS:
        return _entry_verdict(directive, context)
    if context not in _CONTEXTS:
        return None
    table = _table()
    candidates = _rows(directive.name)
    if not candidates:
        return _unlisted(directive.name, build, loaded)
    if build is not None and build.version > table.last and directive.name not in _BACKPORTED:
        build = Build(table.last, build.arguments, build.source)
    versions = (build.version,) if build else _turning_points(candidates, table.first)
    found: Verdict | None = None
    for version in versions:
        here = [
            row for row in candidates if row.in_version(version) and _has_module(row.module, build, loaded) is not False
        ]
        message = _refusal(directive, context, here)
        if message is None:
            return None
        elsewhere = bool(here) and all(row.module in _PLATFORM for row in here)
        backported = directive.name in _BACKPORTED and not here and _may_be_patched(build)
        found = Verdict(message, certain=not elsewhere and not backported)
    return found


def may_repeat(name: str) -> bool:
    """Whether a second directive of this name in one block is not certainly refused.

    Measured on nginx 1.22.1, 1.25.4 and 1.31.3; block directives and names that nginx itself does not have may repeat.
    """
    candidates = _rows(name)
    simple = bool(candidates) and all(row.kind != "block" for row in candidates)
    return not simple or name in _REPEATED or name.endswith(_REPEATED_ENDINGS)


def duplicates(block: Iterable[Directive], context: str) -> Iterator[tuple[Directive, Verdict]]:
    """The directives of one block that nginx refuses as a second one of their name.

    Args:
        block: Its directives in nginx's order, includes expanded.
        context: The block's context; nothing is refused in blocks that are not nginx's own.
    """
    seen: set[str] = set()
    if context in _CONTEXTS:
        for directive in block:
            if directive.name in seen and not may_repeat(directive.name):
                yield directive, Verdict(f'"{directive.name}" directive is duplicate')
            seen.add(directive.name)


def _may_be_patched(build: Build | None) -> bool:
    """Whether a build may be a distribution's, which may hold more than its number says."""
    if build is None or build.arguments is None:
        return True
    return any(argument.startswith("--conf-path=/") for argument in build.arguments)


def _turning_points(candidates: tuple[DirectiveRow, ...], first: Version) -> tuple[Version, ...]:
    """The releases at which the rows of a directive change; the newest last."""
    points = {first}
    for row in candidates:
        points |= {row.since} if row.since else set()
        points |= {(row.until[0], row.until[1], row.until[2] + 1)} if row.until else set()
    return tuple(sorted(points))


def _refusal(directive: Directive, context: str, candidates: list[DirectiveRow]) -> str | None:
    """The message for a directive whose possible rows are these."""
    name = directive.name
    if not candidates:
        return f'unknown directive "{name}"'
    row = next((row for row in candidates if row.stands_in(context)), None)
    if row is None:
        return f'"{name}" directive is not allowed here'
    if row.kind != "block" and directive.block is not None:
        return f'directive "{name}" is not terminated by ";"'
    if row.kind == "block" and directive.block is None:
        return f'directive "{name}" has no opening "{{"'
    args = directive.args
    if not row.takes(len(args)):
        return f'invalid number of arguments in "{name}" directive'
    if row.kind == "flag" and parse_flag(args[0]) is None:
        return f'invalid value "{args[0]}" in "{name}" directive, it must be "on" or "off"'
    return None


def _unlisted(name: str, build: Build | None, loaded: Collection[str] | None) -> Verdict | None:
    """The verdict on a name that nginx itself does not have."""
    arguments = build.arguments if build is not None else None
    none_loaded = loaded is not None and not any("ngx_http_" in file or "ngx_stream_js" in file for file in loaded)
    decided = arguments is not None and none_loaded and modules_are_known(arguments)
    module = third_party(name)
    if module and not (decided and _is_absent(module, arguments or ())):
        return None
    printed = name.partition("\0")[0]  # nginx prints a C string
    return Verdict(f'unknown directive "{printed}"', certain=decided)


def _added(arguments: tuple[str, ...]) -> list[str]:
    """The folders of the modules that were compiled in beside nginx's own."""
    given = ("--add-module=", "--add-dynamic-module=")
    return [argument.partition("=")[2] for argument in arguments if argument.startswith(given)]


def _is_absent(module: str, arguments: tuple[str, ...]) -> bool:
    """Whether a build certainly lacks a module outside nginx's sources."""
    folders = _added(arguments)
    token = _FOLDERS.get(module)
    return not folders or (token is not None and not any(token in folder for folder in folders))


def modules_are_known(arguments: tuple[str, ...]) -> bool:
    """Whether every module that was compiled in is nginx's own or one whose directives are listed here by name."""
    return all(any(name in folder for name in _LISTED_FOLDERS) for folder in _added(arguments))


def _has_module(module: str, build: Build | None, loaded: Collection[str] | None) -> bool | None:
    """Whether a build has the module of a row; None if that is not known."""
    if build is None or build.arguments is None or module in _PLATFORM:
        return None
    if module in _NEEDS_ONE_OF:
        return any(argument in build.arguments for argument in _NEEDS_ONE_OF[module])
    present: bool | None = True
    for option in _options(module):
        if any(
            argument in (f"--with-{option}=dynamic", f"--with-{option}_module=dynamic") for argument in build.arguments
        ):
            file = "ngx_" + option.removesuffix("_module")
            has = None if loaded is None else any(file in name for name in loaded)
        else:
            has = build.has_module(option)
        present = False if has is False or present is False else has and present
    return present


def _options(module: str) -> Iterator[str]:
    """The configure options a module depends on, without ``--with-`` and ``_module``."""
    family = module.split("_", 1)[0]
    if family in ("stream", "mail"):
        yield family
    name = module.removesuffix("_module")
    if name.endswith("_filter") and name != "http_image_filter":
        name = name.removesuffix("_filter")
    if name.startswith(("http_", "stream_", "mail_")) and name not in (
        "http_core",
        "http_upstream",
        "stream_core",
        "mail_core",
    ):
        yield name


def _entry_verdict(directive: Directive, block: str) -> Verdict | None:
    """What the handlers of ``map`` and its like refuse by shape alone."""
    if directive.block is not None:
        return Verdict('unexpected "{"')
    words = 1 + len(directive.args)
    if block == "map" and words != 2 and not (words == 1 and directive.name in ("hostnames", "volatile")):
        return Verdict("invalid number of the map parameters")
    return None


def variable_known(name: str, version: Version | None = None, build: Build | None = None) -> bool | None:
    """Whether nginx itself defines an http variable.

    Args:
        name: Without the ``$``.
        version: Which release; None: any of those read.
        build: Whose modules count, if they are known.

    Returns:
        True or False; None if only the binary's modules can tell: a module that is perhaps not built in.
    """
    best: bool | None = False
    for prefix, module, since, until in _variables().get(name, ()) or _family(name):
        if prefix and len(name) <= len(prefix):
            continue
        if version is None or ((since is None or since <= version) and (until is None or version <= until)):
            has = _has_module(module, build, None) if build else True
            if has:
                return True
            best = None if has is None else best
    return best


_VariableRow = tuple[str, str, "Version | None", "Version | None"]


@functools.cache
def _variables() -> dict[str, tuple[_VariableRow, ...]]:
    """Rows by name; those of a family (``http_``) under the family's prefix too."""
    data = json.loads(_load("nginx-variables.json"))
    found: dict[str, tuple[_VariableRow, ...]] = {}
    for row in data["variables"]:
        since, until = row["since"], row["until"]
        entry = (
            row["name"] if row["prefix"] else "",
            row["module"],
            _version(since) if since else None,
            _version(until) if until else None,
        )
        found[row["name"]] = (*found.get(row["name"], ()), entry)
    return found


def _family(name: str) -> tuple[_VariableRow, ...]:
    families = (entries for entries in _variables().values() if entries[0][0] and name.startswith(entries[0][0]))
    return next(families, ())


def parse_flag(text: str) -> bool | None:
    """``on`` or ``off`` in any case; None for anything else (src/core/ngx_conf_file.c: ngx_conf_set_flag_slot)."""
    return {"on": True, "off": False}.get(lower(text))


_INT_MAX = 2**63 - 1
_SIZES = {"k": 1024, "m": 1024**2, "g": 1024**3}


def parse_size(text: str, *, offset: bool = False) -> int | None:
    """Bytes: digits and ``k`` or ``m``, for offsets ``g`` too; None if invalid.

    The source is src/core/ngx_parse.c: ngx_parse_size and ngx_parse_offset.
    """
    unit = lower(text[-1:])
    scale = _SIZES.get(unit, 1) if offset or unit != "g" else 1
    digits = text[:-1] if scale > 1 else text
    if not digits or not all("0" <= char <= "9" for char in digits):
        return None
    value = int(digits[:30]) * scale if len(digits) < 30 else _INT_MAX + 1
    return value if value <= _INT_MAX else None


_STEPS = {"y": 1, "M": 2, "w": 3, "d": 4, "h": 5, "m": 6, "s": 7, "ms": 8, " ": 9}
"""nginx's order of the units: each must come after the one before it."""

_SECONDS = {"y": 31536000, "M": 2592000, "w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1, " ": 1}


def parse_time(text: str, *, seconds: bool = False) -> int | None:
    """Milliseconds; None if invalid (src/core/ngx_parse.c: ngx_parse_time).

    Args:
        text: For example ``1h30m``, ``1h 30m``, ``500ms`` or ``60``.
        seconds: For directives counted in seconds: ``y`` and ``M`` are allowed, ``ms`` is not.
    """
    step, total, at, size = (0 if seconds else 2), 0, 0, len(text)
    digits, seen = "", False
    while at < size:
        char = text[at]
        at += 1
        if "0" <= char <= "9":
            digits, seen = digits + char, True
            continue
        unit = "ms" if char == "m" and text[at : at + 1] == "s" else char
        at += len(unit) - 1
        new = _STEPS.get(unit, 0)
        late = step >= 7 if unit == " " else step >= new and not (unit == "y" and step == 0)
        if not new or late or (unit == "ms" and seconds) or len(digits) > 20:
            return None
        step = new
        total += int(digits or "0") * (1 if unit == "ms" else 1000 * _SECONDS[unit])
        digits = ""
        while text[at : at + 1] == " ":
            at += 1
    if not seen or len(digits) > 20:
        return None
    total += int(digits or "0") * 1000
    return total if total <= _INT_MAX * (1000 if seconds else 1) else None
