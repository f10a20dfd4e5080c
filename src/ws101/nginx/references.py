"""``reference``: the files that a configuration names beside its includes: certificates, keys, passwords, code.

A relative name starts in the main file's folder, or in nginx's prefix (nginx: src/core/ngx_conf_file.c:
ngx_conf_full_name, its last argument; for Lua, lua-nginx-module: "relative to the server prefix path").  What nginx
writes (logs, caches, the pid file) and what it serves (``root``, ``alias``) is not loaded and not listed.
"""

from __future__ import annotations

from ws101.lazy import dataclass
from ws101.syntax import Directive

__all__ = ["STEMS", "Reference", "reference"]

STEMS = ("include", "ssl", "_file", "certificate", "geoip", "js_", "load_module", "perl", "xslt", "xml_", "lua", "_ech")
"""A text without any of these names no file."""

_TLS = ("certificate", "certificate_key", "trusted_certificate", "crl", "password_file")
_LUA = (
    *("access", "balancer", "body_filter", "content", "exit_worker", "header_filter", "init", "init_worker", "log"),
    *("preread", "proxy_ssl_certificate", "proxy_ssl_verify", "rewrite", "server_rewrite", "ssl_certificate"),
    *("ssl_client_hello", "ssl_session_fetch", "ssl_session_store"),
)
_IN_CONF = frozenset(
    (
        *(f"{protocol}_ssl_{what}" for protocol in ("proxy", "grpc", "uwsgi", "zone_sync") for what in _TLS),
        *(f"ssl_{what}" for what in (*_TLS, "client_certificate", "dhparam", "session_ticket_key", "stapling_file")),
        *("ssl_encrypted_hello_key", "ssl_ech_file", "auth_basic_user_file", "auth_jwt_key_file"),
        *("js_include", "js_import", "js_fetch_trusted_certificate", "js_preload_object"),
        *(
            "geoip_country",
            "geoip_city",
            "geoip_org",
            "geoip2",
            "modsecurity_rules_file",
            "auth_oidc_trusted_certificate",
        ),
    )
)
_IN_PREFIX = frozenset(
    (
        *("load_module", "xslt_stylesheet", "xml_entities", "perl_require", "set_by_lua_file"),
        *(f"{phase}_by_lua_file" for phase in _LUA),
        *(f"lua_ssl_{what}" for what in ("trusted_certificate", "certificate", "certificate_key", "crl")),
    )
)
_FOLDERS = frozenset(("lua_package_path", "lua_package_cpath", "js_path", "perl_modules"))
_NO_FILE = ("data:", "engine:", "store:", "object:")
_LIVE = frozenset(("auth_basic_user_file",))
_LOADS_MORE = {
    "modsecurity_rules_file": "what its rules include",
    "js_import": "the modules that it imports",
    "js_include": "the modules that it imports",
    "perl_require": "the modules that it requires",
} | {f"{phase}_by_lua_file": "the modules that it requires" for phase in (*_LUA, "set")}


@dataclass(frozen=True, slots=True)
class Reference:
    """A file that a directive names.

    Args:
        name: As the directive has it; empty if it names none that could be opened now.
        in_prefix: Whether a relative name starts in nginx's prefix instead of the main file's folder.
        live: Whether nginx reads it for each request, so that a change counts at once.
        unknown: What is loaded beyond this file, or why there is none; empty if there is nothing to say.
    """

    name: str
    in_prefix: bool = False
    live: bool = False
    unknown: str = ""


def reference(directive: Directive) -> Reference | None:
    """The file that a directive names; None if it is a directive that names none."""
    name = directive.name
    if name in _FOLDERS:
        return Reference("", unknown="what code loads from there")
    if name not in _IN_CONF and name not in _IN_PREFIX:
        return None
    args = directive.args
    at = {"js_import": -1, "js_preload_object": -1, "set_by_lua_file": 1}.get(name, 0)
    if len(args) <= max(at, 0) or not args[at]:
        return None
    path = args[at]
    if path.startswith(_NO_FILE):
        return Reference("", unknown="no file, but a key that is held elsewhere")
    if "$" in path:
        return Reference("", unknown="only run time knows the name")
    return Reference(path, name in _IN_PREFIX, name in _LIVE, _LOADS_MORE.get(name, ""))
