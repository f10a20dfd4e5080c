"""Which directives reach out of a configuration, and what the sandbox does about each."""

from __future__ import annotations

__all__ = [
    "BLOCKS_DROPPED",
    "CERTIFICATES",
    "CONTEXTS",
    "DROPPED",
    "OTHER_PASSES",
    "TRUST",
    "WRITTEN",
    "is_code",
]

CONTEXTS = frozenset(
    (
        *("main", "events", "http", "server", "location", "upstream"),
        *("if-in-server", "if-in-location", "limit_except"),
    )
)
"""The blocks whose entries are directives; those of a map or of types are not."""

_KINS = ("proxy", "fastcgi", "uwsgi", "scgi", "grpc", "memcached", "tunnel")
_SSL_KINS = ("proxy", "grpc", "uwsgi")

DROPPED = {
    **dict.fromkeys(("daemon", "master_process", "pid", "lock_file", "user"), ""),
    **dict.fromkeys(("working_directory", "google_perftools_profiles", "worker_rlimit_core"), ""),
    **dict.fromkeys(("ssl_crl", "ssl_password_file", "ssl_ech_file", "ssl_encrypted_hello_key"), ""),
    **{f"{kin}_ssl_{what}": "" for kin in _SSL_KINS for what in ("crl", "password_file")},
    **dict.fromkeys(("ssl_stapling", "ssl_stapling_verify", "ssl_stapling_file", "ssl_stapling_responder"), ""),
    **dict.fromkeys(("ssl_ocsp", "ssl_ocsp_responder", "ssl_ocsp_cache"), ""),
    **{f"{kin}_bind": "the address that nginx connects from" for kin in _KINS},
    **{f"{kin}_store": "what it would write" for kin in ("proxy", "fastcgi", "uwsgi", "scgi")},
    **{f"{kin}_ssl_verify": "the backend's certificate is the sandbox's own" for kin in _SSL_KINS},
    "state": "",
}
"""Directives that are left out, and why if a user would wonder; empty where it makes no difference to a request."""

BLOCKS_DROPPED = {
    "stream": "TCP and UDP are not tried, only HTTP",
    "mail": "mail is not tried, only HTTP",
    "mgmt": "it reports to a server outside",
    "otel_exporter": "it reports to a server outside",
    "acme_issuer": "it asks a server outside for certificates",
}
"""Blocks that are left out, and why."""

WRITTEN = frozenset(
    (
        *("error_log", "access_log", "client_body_temp_path"),
        *(f"{kin}_{what}" for kin in ("proxy", "fastcgi", "uwsgi", "scgi") for what in ("temp_path", "cache_path")),
    )
)
"""Directives whose first argument names what nginx writes."""

CERTIFICATES = {
    "ssl_certificate": ("rsa.pem", "ec.pem"),
    "ssl_certificate_key": ("rsa.key", "ec.key"),
    **{f"{kin}_ssl_certificate": ("ec.pem",) for kin in _SSL_KINS},
    **{f"{kin}_ssl_certificate_key": ("ec.key",) for kin in _SSL_KINS},
    "ssl_dhparam": ("dh.pem",),
    "ssl_session_ticket_key": ("ticket.key",),
}
"""Directives that name certificates and keys, and the generated files that take their place; with both kinds of keys,
whatever ciphers are asked for can be had."""

TRUST = frozenset(
    (
        *("ssl_client_certificate", "ssl_trusted_certificate"),
        *(f"{kin}_ssl_trusted_certificate" for kin in _SSL_KINS),
    )
)
"""Directives that name whom to trust: the generated certificates."""

OTHER_PASSES = {
    "fastcgi_pass": "",
    "uwsgi_pass": "uwsgi://",
    "scgi_pass": "",
    "grpc_pass": "grpc://",
    "memcached_pass": "",
    "tunnel_pass": "",
}
"""What speaks another protocol to a backend, and the scheme to write: all are led where nobody listens."""

_CODE_ENDS = ("_by_lua", "_by_lua_block", "_by_lua_file")
_CODE_NAMES = frozenset(
    (
        *("perl", "perl_set", "perl_require", "perl_modules", "js_content", "js_access", "js_set", "js_periodic"),
        *("js_import", "js_include", "js_header_filter", "js_body_filter", "js_preload_object", "js_fetch_proxy"),
        *("init_by_lua", "acme_certificate", "passenger_enabled", "passenger_root"),
    )
)


def is_code(name: str) -> bool:
    """Whether a directive lets code of the user's run inside nginx, which may connect to anything."""
    return name in _CODE_NAMES or name.endswith(_CODE_ENDS)
