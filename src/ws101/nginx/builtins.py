"""nginx's built-in variables, as far as the request and the connection decide them.

One table: name to function.  A function returns the text, None (or "") for "not found", or ``Unknown``.
Source: src/http/ngx_http_variables.c:ngx_http_core_variables and the modules' own lists.
"""

from __future__ import annotations

import binascii
import ipaddress
from collections.abc import Callable

from ws101.nginx.config import Unknown
from ws101.nginx.inherit import effective
from ws101.nginx.state import State
from ws101.text import lower

__all__ = ["BUILTINS", "PREFIXES", "RUN_TIME", "is_cacheable", "server_address", "server_name"]

Value = str | Unknown | None

_ASKED_EVERY_TIME = frozenset(
    "arg_ args connection_time date_gmt date_local document_root document_uri is_args limit_conn_status limit_rate "
    "limit_req_status msec proxy_host proxy_internal_body_length proxy_internal_chunked proxy_port query_string "
    "realpath_root request_filename request_length request_method request_time status upstream_cookie_ upstream_http_ "
    "upstream_trailer_ uri".split()
)
"""Variables that nginx works out anew at each use (NGX_HTTP_VAR_NOCACHEABLE)."""

RUN_TIME = frozenset(
    "ancient_browser connection connection_requests connection_time connections_active connections_reading "
    "connections_waiting connections_writing date_gmt date_local hostname invalid_referer modern_browser msec msie "
    "pid proxy_add_via realpath_root remote_port request_body_file request_id request_length request_time "
    "secure_link secure_link_expires session_log_id ssl_cipher ssl_ciphers ssl_curve ssl_curves ssl_protocol "
    "ssl_session_id ssl_session_reused ssl_alpn_protocol ssl_client_cert ssl_client_escaped_cert "
    "ssl_client_fingerprint ssl_client_i_dn ssl_client_i_dn_legacy ssl_client_raw_cert ssl_client_s_dn "
    "ssl_client_s_dn_legacy ssl_client_serial ssl_client_sigalg ssl_client_v_end ssl_client_v_remain "
    "ssl_client_v_start ssl_client_verify ssl_early_data ssl_ech_outer_server_name ssl_ech_status ssl_sigalg "
    "ssl_sigalgs status tcpinfo_rcv_space tcpinfo_rtt tcpinfo_rttvar tcpinfo_snd_cwnd time_iso8601 time_local "
    "uid_got uid_reset uid_set geoip_area_code geoip_city geoip_city_continent_code geoip_city_country_code "
    "geoip_city_country_code3 geoip_city_country_name geoip_country_code geoip_country_code3 geoip_country_name "
    "geoip_dma_code geoip_latitude geoip_longitude geoip_org geoip_postal_code geoip_region geoip_region_name".split()
)
"""Variables whose value only a running nginx knows."""

_EMPTY_BEFORE_THE_ANSWER = (
    "limit_rate:0 request_completion: request_body_file: pipe:. gzip_ratio: "
    "limit_conn_status: limit_req_status: upstream_addr: upstream_bytes_received: upstream_bytes_sent: "
    "upstream_cache_status: upstream_cache_etag: upstream_cache_last_modified: upstream_connect_time: "
    "upstream_header_time: upstream_response_length: upstream_response_time: upstream_status: http2: http3: "
    "memcached_key: slice_range:"
)


def is_cacheable(name: str) -> bool:
    """Whether nginx works a variable (or a family such as ``http_``) out once a request."""
    return name not in _ASKED_EVERY_TIME


def server_name(state: State) -> Value:
    """``$server_name``: the first name of the server block (nginx: ngx_http_core_merge_srv_conf)."""
    names = [arg for placed in state.server.all("server_name") for arg in placed.args]
    if not names:
        return ""
    if "$hostname" in names[0]:
        return Unknown("the machine's own name is known only at run time", state.server.first("server_name"))
    return names[0] if names[0].startswith("~") else lower(names[0]).removeprefix(".")


def _host(state: State) -> Value:
    return state.received.host or server_name(state)


def _header(state: State, name: str) -> Value:
    """``$http_name``: the field with ``-`` for ``_``; repeated ones joined from 1.23.0 on."""
    wanted = name.replace("-", "_")
    values = [line.value for line in state.received.lines if line.variable == wanted]
    if not values:
        return None
    if name == "cookie":
        return "; ".join(values)
    joins = state.build.does("joins_duplicate_headers") or name == "x_forwarded_for"
    return ", ".join(values) if joins else values[0]


def _argument(state: State, name: str) -> Value:
    for part in state.args.split("&"):
        if lower(part[: len(name) + 1]) == name + "=":
            return part[len(name) + 1 :]
    return None


def _content_length(state: State) -> Value:
    """The field, or how long a chunked body turned out to be (nginx: ngx_http_variable_content_length)."""
    if state.received.chunked:
        if isinstance(state.body_length, Unknown):
            return state.body_length
        if state.read_length is not None:
            return str(state.read_length)
        return "0" if state.discarded else None
    return _header(state, "content_length")


def _bytes_sent(state: State) -> Value:
    """Nothing yet, unless "100 Continue" went out, or the answer, while a copy is made."""
    if state.is_subrequest:
        return Unknown("how much of the answer has been sent")
    if _header(state, "expect") is None:
        return "0"
    return Unknown("whether 100 Continue has been sent")


def _body_length(state: State) -> Value:
    length = state.body_length
    return length if isinstance(length, Unknown) else "" if length is None else str(length)


def _cookie(state: State, name: str) -> Value:
    """``$cookie_name``: a value ends at a semicolon; until 1.30.0 a comma too begins a new pair.

    Source: src/http/ngx_http_parse.c (ngx_http_parse_multi_header_lines, ngx_http_parse_cookie_lines).
    """
    ends = ";" if state.build.does("cookies_by_semicolon_alone") else ";,"
    lines = (line.value for line in state.received.lines if line.key == "cookie")
    return next((value for line in lines if (value := _cookie_in(line, name, ends)) is not None), None)


def _cookie_in(line: str, name: str, ends: str) -> str | None:
    """The value of a name in a line of pairs; a name without ``=`` swallows the separator behind it, as in nginx."""
    at = 0
    while at < len(line):
        if lower(line[at : at + len(name)]) == name:
            at = _past(line, at + len(name), " ")
            if line[at : at + 1] == "=":
                return line[_past(line, at + 1, " ") :].partition(";")[0]
            at += 1
        while at < len(line) and line[at] not in ends:
            at += 1
        at = _past(line, at + 1, " ")
    return None


def _past(line: str, at: int, char: str) -> int:
    """Where a run of one character ends."""
    while line[at : at + 1] == char:
        at += 1
    return at


def _forwarded_for(state: State) -> Value:
    values = [line.value for line in state.received.lines if line.key == "x-forwarded-for"]
    return state.client if isinstance(state.client, Unknown) else ", ".join((*values, state.client))


def _remote_user(state: State) -> Value:
    value = _header(state, "authorization")
    if not isinstance(value, str) or lower(value[:6]) != "basic ":
        return None
    try:
        decoded = binascii.a2b_base64(value[6:].lstrip(" "), strict_mode=True).decode("latin-1")
    except (binascii.Error, ValueError):
        return None
    return decoded.partition(":")[0] if ":" in decoded else None


def server_address(state: State) -> str | Unknown:
    """``$server_addr``: the local address of the connection."""
    if state.arrival.unix is not None:
        return f"unix:{state.arrival.unix}"
    return state.arrival.address or Unknown("the address the client connected to is unknown")


def _document_root(state: State) -> Value:
    if state.scope.all("alias"):
        return Unknown("$document_root under an alias depends on the file system")
    root = effective(state.scope, "root")
    if isinstance(root.value, Unknown):
        return root.value
    if root.text is None or not root.text.startswith("/") or "$" in root.text:
        return Unknown("the root folder depends on where nginx is installed", root.origin)
    return root.text


def _request_filename(state: State) -> Value:
    root = _document_root(state)
    return root + state.uri if isinstance(root, str) else root


def _request_line(state: State) -> Value:
    request = state.arrival.request
    return f"{request.method} {request.target} {request.version}"


def _request_port(state: State) -> Value:
    host = state.received.http_host or ""
    tail = host.rpartition("]")[2] if host.startswith("[") else host
    return tail.partition(":")[2]


def _binary_address(state: State) -> Value:
    if isinstance(state.client, Unknown):
        return state.client
    try:
        return ipaddress.ip_address(state.client).packed.decode("latin-1")
    except ValueError:
        return state.client


def _request_body(state: State) -> Value:
    return Unknown("$request_body is known only once the body was read") if state.arrival.request.body else ""


def _only_with_tls(state: State) -> Value:
    return (state.arrival.sni or "") if state.arrival.tls else ""


BUILTINS: dict[str, Callable[[State], Value]] = {
    "args": lambda s: s.args,
    "binary_remote_addr": _binary_address,
    "body_bytes_sent": _bytes_sent,
    "bytes_sent": _bytes_sent,
    "content_length": _content_length,
    "content_type": lambda s: _header(s, "content_type"),
    "document_root": _document_root,
    "document_uri": lambda s: s.uri,
    "host": _host,
    "https": lambda s: "on" if s.arrival.tls else "",
    "is_args": lambda s: "?" if s.args else "",
    "is_request_port": lambda s: ":" if _request_port(s) else "",
    "nginx_version": lambda s: s.build.number,
    "proxy_add_x_forwarded_for": _forwarded_for,
    "proxy_host": lambda s: s.proxy_host,
    "proxy_internal_body_length": _body_length,
    "proxy_internal_chunked": lambda s: s.body_length if isinstance(s.body_length, Unknown) else "",
    "proxy_port": lambda s: s.proxy_port,
    "query_string": lambda s: s.args,
    "realip_remote_addr": lambda s: s.arrival.client,
    "remote_addr": lambda s: s.client,
    "remote_user": _remote_user,
    "request": _request_line,
    "request_body": _request_body,
    "request_filename": _request_filename,
    "request_method": lambda s: s.main_method or s.method,
    "request_port": _request_port,
    "request_uri": lambda s: s.received.target,
    "scheme": lambda s: "https" if s.arrival.tls else "http",
    "server_addr": server_address,
    "server_name": server_name,
    "server_port": lambda s: "" if s.arrival.port is None else str(s.arrival.port),
    "server_protocol": lambda s: s.received.version,
    "ssl_server_name": _only_with_tls,
    "uri": lambda s: s.uri,
}
"""Name to function; it returns the text, None (or "") for "not found", or ``Unknown``."""
for _pair in _EMPTY_BEFORE_THE_ANSWER.split(" "):
    _name, _, _text = _pair.partition(":")
    BUILTINS.setdefault(_name, lambda _s, text=_text: text)  # type: ignore[misc]  # a default binds the loop's text

PREFIXES: tuple[tuple[str, Callable[[State, str], Value]], ...] = (
    ("http_", _header),
    ("arg_", _argument),
    ("cookie_", _cookie),
    ("sent_http_", lambda _s, _n: ""),
    ("sent_trailer_", lambda _s, _n: ""),
    ("upstream_http_", lambda _s, _n: ""),
    ("upstream_cookie_", lambda _s, _n: ""),
    ("upstream_trailer_", lambda _s, _n: ""),
    ("proxy_protocol_", lambda _s, _n: Unknown("what the PROXY protocol says is known only at run time")),
)
"""Families of variables: the beginning of their names, and a function of the rest."""
