"""The rules: one file each, and ``RULES``, the explicit list of all of them."""

from __future__ import annotations

from ws101.rules import (
    access_denied,
    auth_basic,
    auth_request_inherits_upgrade,
    config_syntax_error,
    connection_always_upgrade,
    connection_cleared,
    connection_keep_alive,
    duplicate_upgrade_header,
    handshake_fields_dropped,
    handshake_request_changed,
    header_inheritance_reset,
    headers_in_wrong_location,
    http_to_https_redirect,
    invisible_characters,
    location_slash_redirect,
    map_close_defeats_keepalive,
    map_misdefined,
    map_variable_undefined,
    missing_connection_header,
    missing_http_version,
    missing_resolver,
    missing_upgrade_header,
    no_sticky_sessions,
    no_websocket_location_spa_fallback,
    proxy_hide_upgrade_header,
    read_timeout,
    regex_location_shadows,
    reload_drops_connections,
    upgrade_header_wrong_value,
    upgrade_not_forwarded,
    variable_proxy_pass_uri,
    waf_modsecurity,
    wrong_proxy_module,
)
from ws101.rules.base.options import Options
from ws101.rules.base.registry import Rule

__all__ = ["RULES", "Options", "Rule", "find_rule"]

RULES: tuple[Rule, ...] = (
    upgrade_not_forwarded.check,
    missing_upgrade_header.check,
    missing_connection_header.check,
    connection_cleared.check,
    connection_keep_alive.check,
    missing_http_version.check,
    upgrade_header_wrong_value.check,
    header_inheritance_reset.check,
    headers_in_wrong_location.check,
    map_variable_undefined.check,
    location_slash_redirect.check,
    read_timeout.check,
    map_misdefined.check,
    duplicate_upgrade_header.check,
    proxy_hide_upgrade_header.check,
    wrong_proxy_module.check,
    missing_resolver.check,
    variable_proxy_pass_uri.check,
    connection_always_upgrade.check,
    no_sticky_sessions.check,
    map_close_defeats_keepalive.check,
    reload_drops_connections.check,
    auth_basic.check,
    access_denied.check,
    no_websocket_location_spa_fallback.check,
    http_to_https_redirect.check,
    config_syntax_error.check,
    handshake_fields_dropped.check,
    handshake_request_changed.check,
    regex_location_shadows.check,
    auth_request_inherits_upgrade.check,
    invisible_characters.check,
    waf_modsecurity.check,
)
"""Every rule, by code."""


def find_rule(name: str) -> Rule | None:
    """The rule with a name or a code."""
    return next((rule for rule in RULES if name in (rule.name, rule.code)), None)
