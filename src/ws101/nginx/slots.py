"""What kind of value a directive takes, where it takes one: numbers, sizes, times, words of a list, variables.

Measured on nginx 1.22.1, 1.25.4 and 1.31.3: each directive was given each kind of value, and the answers were sorted.
The kinds are those of src/core/ngx_conf_file.c (ngx_conf_set_num_slot and its like).
"""

from __future__ import annotations

from ws101.nginx.directives import parse_size, parse_time
from ws101.text import lower

__all__ = ["COMPLEX", "KINDS", "WORDS", "is_number", "value_error"]

_NUMBERS = (
    "epoll_events fastcgi_cache_min_uses fastcgi_next_upstream_tries grpc_next_upstream_tries grpc_ssl_verify_depth "
    "http2_max_concurrent_streams http3_max_concurrent_streams keepalive_requests limit_conn_status limit_req_status "
    "map_hash_bucket_size map_hash_max_size max_headers max_ranges memcached_gzip_flag memcached_next_upstream_tries "
    "min_delete_depth open_file_cache_min_uses proxy_cache_min_uses proxy_headers_hash_bucket_size "
    "proxy_headers_hash_max_size proxy_next_upstream_tries proxy_ssl_verify_depth quic_active_connection_id_limit "
    "referer_hash_bucket_size referer_hash_max_size scgi_cache_min_uses scgi_next_upstream_tries "
    "server_names_hash_bucket_size server_names_hash_max_size ssl_verify_depth tunnel_next_upstream_tries "
    "types_hash_bucket_size types_hash_max_size userid_service uwsgi_cache_min_uses uwsgi_modifier1 uwsgi_modifier2 "
    "uwsgi_next_upstream_tries uwsgi_ssl_verify_depth variables_hash_bucket_size variables_hash_max_size "
    "worker_aio_requests worker_rlimit_nofile"
)
_SIZES = (
    "client_body_buffer_size client_header_buffer_size connection_pool_size fastcgi_buffer_size fastcgi_send_lowat "
    "fastcgi_socket_rcvbuf fastcgi_socket_sndbuf grpc_buffer_size grpc_socket_rcvbuf grpc_socket_sndbuf "
    "gzip_min_length http2_body_preread_size http2_chunk_size http2_pool_size http2_recv_buffer_size "
    "http3_stream_buffer_size memcached_buffer_size mp4_buffer_size mp4_max_buffer_size postpone_gzipping "
    "postpone_output proxy_buffer_size proxy_send_lowat proxy_socket_rcvbuf proxy_socket_sndbuf read_ahead "
    "request_pool_size scgi_buffer_size scgi_socket_rcvbuf scgi_socket_sndbuf send_lowat sendfile_max_chunk slice "
    "ssi_min_file_chunk ssi_value_length ssl_buffer_size subrequest_output_buffer_size tunnel_buffer_size "
    "tunnel_send_lowat tunnel_socket_rcvbuf tunnel_socket_sndbuf uwsgi_buffer_size uwsgi_socket_rcvbuf "
    "uwsgi_socket_sndbuf"
)
_OFFSETS = (
    "client_max_body_size directio directio_alignment fastcgi_cache_max_range_offset proxy_cache_max_range_offset "
    "scgi_cache_max_range_offset uwsgi_cache_max_range_offset worker_rlimit_core"
)
_TIMES = (
    "accept_mutex_delay auth_delay client_body_timeout client_header_timeout fastcgi_cache_lock_age "
    "fastcgi_cache_lock_timeout fastcgi_connect_timeout fastcgi_next_upstream_timeout fastcgi_read_timeout "
    "fastcgi_send_timeout grpc_connect_timeout grpc_next_upstream_timeout grpc_read_timeout grpc_send_timeout "
    "keepalive_min_timeout keepalive_time lingering_time lingering_timeout memcached_connect_timeout "
    "memcached_next_upstream_timeout memcached_read_timeout memcached_send_timeout proxy_cache_lock_age "
    "proxy_cache_lock_timeout proxy_connect_timeout proxy_next_upstream_timeout proxy_read_timeout proxy_send_timeout "
    "resolver_timeout scgi_cache_lock_age scgi_cache_lock_timeout scgi_connect_timeout scgi_next_upstream_timeout "
    "scgi_read_timeout scgi_send_timeout send_timeout timer_resolution tunnel_connect_timeout "
    "tunnel_next_upstream_timeout tunnel_read_timeout tunnel_send_timeout uwsgi_cache_lock_age "
    "uwsgi_cache_lock_timeout uwsgi_connect_timeout uwsgi_next_upstream_timeout uwsgi_read_timeout uwsgi_send_timeout "
    "worker_shutdown_timeout"
)
_SECONDS = "open_file_cache_valid ssl_session_timeout userid_expires"
_LIMIT_RATES = "limit_rate limit_rate_after fastcgi_limit_rate proxy_limit_rate scgi_limit_rate uwsgi_limit_rate"
_BUFFERS = (
    "fastcgi_buffers gunzip_buffers gzip_buffers large_client_header_buffers output_buffers proxy_buffers scgi_buffers "
    "uwsgi_buffers"
)

KINDS: dict[str, str] = {
    name: kind
    for kind, names in (
        ("number", _NUMBERS),
        ("size", _SIZES),
        ("offset", _OFFSETS),
        ("time", _TIMES),
        ("seconds", _SECONDS),
        ("rate", _LIMIT_RATES),
        ("buffers", _BUFFERS),
    )
    for name in names.split(" ")
}
"""The kind of a directive's value, by its name."""

_COMPLEX = (
    "alias auth_basic auth_basic_user_file charset expires fastcgi_bind fastcgi_cache fastcgi_cache_bypass "
    "fastcgi_cache_key fastcgi_limit_rate fastcgi_no_cache fastcgi_store grpc_bind grpc_ssl_certificate "
    "grpc_ssl_certificate_key grpc_ssl_name hash index limit_rate limit_rate_after memcached_bind proxy_bind "
    "proxy_cache proxy_cache_bypass proxy_cache_key proxy_limit_rate proxy_method proxy_no_cache proxy_set_body "
    "proxy_ssl_certificate proxy_ssl_certificate_key proxy_ssl_name proxy_store root scgi_bind scgi_cache "
    "scgi_cache_bypass scgi_cache_key scgi_limit_rate scgi_no_cache scgi_store secure_link secure_link_md5 "
    "source_charset sub_filter try_files uwsgi_bind uwsgi_cache uwsgi_cache_bypass uwsgi_cache_key "
    "uwsgi_limit_rate uwsgi_no_cache uwsgi_ssl_certificate uwsgi_ssl_certificate_key uwsgi_ssl_name uwsgi_store"
)
COMPLEX = frozenset(_COMPLEX.split(" "))
"""Directives all of whose arguments may hold variables, and that compile them where they stand."""

_UPSTREAM_EVENTS = (
    "error timeout invalid_header non_idempotent http_500 http_502 http_503 http_504 http_403 http_404 http_429 off"
)
_STALE = "error timeout invalid_header updating http_500 http_502 http_503 http_504 http_403 http_404 http_429 off"
_IGNORED = (
    "X-Accel-Redirect X-Accel-Expires X-Accel-Limit-Rate X-Accel-Buffering X-Accel-Charset Expires Cache-Control "
    "Set-Cookie Vary"
)
_PROTOCOLS = "SSLv2 SSLv3 TLSv1 TLSv1.1 TLSv1.2 TLSv1.3"
_LOG_LEVELS = "info notice warn error"
_SWITCH = "on off"

WORDS: dict[str, tuple[str, ...]] = {
    name: tuple(words.split(" "))
    for names, words in (
        ("proxy_next_upstream", _UPSTREAM_EVENTS),
        ("fastcgi_next_upstream scgi_next_upstream uwsgi_next_upstream grpc_next_upstream", _UPSTREAM_EVENTS),
        ("memcached_next_upstream", "error timeout invalid_response not_found off"),
        ("proxy_cache_use_stale", _STALE),
        ("fastcgi_cache_use_stale scgi_cache_use_stale uwsgi_cache_use_stale", _STALE),
        ("proxy_ignore_headers fastcgi_ignore_headers scgi_ignore_headers uwsgi_ignore_headers", _IGNORED),
        ("ssl_protocols proxy_ssl_protocols grpc_ssl_protocols uwsgi_ssl_protocols", _PROTOCOLS),
        ("proxy_cache_methods fastcgi_cache_methods scgi_cache_methods uwsgi_cache_methods", "GET HEAD POST"),
        ("limit_conn_log_level limit_req_log_level", _LOG_LEVELS),
        ("gzip_http_version", "1.0 1.1"),
        ("gzip_proxied", "off expired no-cache no-store private no_last_modified no_etag auth any"),
        ("keepalive_disable", "none msie6 safari"),
        ("satisfy", "all any"),
        ("lingering_close", "off on always"),
        ("server_tokens", "off on build"),
        ("client_body_in_file_only", "off on clean"),
        ("if_modified_since", "off exact before"),
        ("gzip_static", "off on always"),
        ("ssl_verify_client", "off on optional optional_no_ca"),
        ("autoindex_format", "html json jsonp xml"),
        ("dav_methods", "off put delete mkcol copy move"),
        ("add_header_inherit add_trailer_inherit", "off on merge"),
        ("userid", "off log v1 on"),
        ("ssl_ocsp", "off on leaf"),
        ("debug_points", "stop abort"),
    )
    for name in names.split(" ")
}
"""The words a directive chooses from, without regard to case."""


def value_error(name: str, args: tuple[str, ...]) -> str | None:
    """Why nginx refuses a directive's values, in its words; None if they have no kind here, or are fine.

    Args:
        name: The directive.
        args: Its arguments, as many as it takes.
    """
    words = WORDS.get(name)
    if words is not None:
        known = [lower(word) for word in words]
        wrong = next((arg for arg in args if lower(arg) not in known), None)
        return None if wrong is None else f'invalid value "{wrong}"'
    kind = KINDS.get(name)
    return None if kind is None or _CHECKS[kind](args) else _message(name, kind)


def _message(name: str, kind: str) -> str:
    return f'"{name}" directive invalid {"number" if kind == "number" else "value"}'


def is_number(text: str) -> bool:
    """Whether a text is a number to nginx (src/core/ngx_string.c: ngx_atoi)."""
    return text.isascii() and text.isdigit() and (len(text) < 19 or int(text[:40]) <= 2**63 - 1)


def _is_rate(args: tuple[str, ...]) -> bool:
    return "$" in args[0] or parse_size(args[0]) is not None


def _are_buffers(args: tuple[str, ...]) -> bool:
    return is_number(args[0]) and int(args[0]) > 0 and bool(parse_size(args[1]))


_CHECKS = {
    "number": lambda args: is_number(args[0]),
    "size": lambda args: parse_size(args[0]) is not None,
    "offset": lambda args: parse_size(args[0], offset=True) is not None,
    "time": lambda args: parse_time(args[0]) is not None,
    "seconds": lambda args: parse_time(args[0], seconds=True) is not None,
    "rate": _is_rate,
    "buffers": _are_buffers,
}
