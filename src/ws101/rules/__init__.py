"""The rules: one file each, and ``RULES``, the explicit list of all of them."""

from __future__ import annotations

from ws101.rules import (
    connection_cleared,
    connection_keep_alive,
    header_inheritance_reset,
    headers_in_wrong_location,
    location_slash_redirect,
    map_variable_undefined,
    missing_connection_header,
    missing_http_version,
    missing_upgrade_header,
    read_timeout,
    upgrade_header_wrong_value,
    upgrade_not_forwarded,
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
)
"""Every rule, by code."""


def find_rule(name: str) -> Rule | None:
    """The rule with a name or a code."""
    return next((rule for rule in RULES if name in (rule.name, rule.code)), None)
