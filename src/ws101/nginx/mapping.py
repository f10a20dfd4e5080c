"""The lines of map, split_clients and geo blocks as nginx checks them while it reads.

Source: src/http/modules/ngx_http_map_module.c (ngx_http_map), ngx_http_split_clients_module.c (ngx_http_split_clients),
ngx_http_geo_module.c (ngx_http_geo).
"""

from __future__ import annotations

import re
from typing import Protocol

from ws101.lazy import lazy_pattern
from ws101.nginx.names import NameTable
from ws101.nginx.readings import FINE, Reading, pattern, texts
from ws101.syntax import Directive
from ws101.text import lower

__all__ = ["Table", "check_entry"]

_PERCENT = lazy_pattern(r"([0-9]+)(?:\.([0-9]{1,2}))?%", re.ASCII)


class Table(Protocol):
    """A block whose lines are checked."""

    context: str
    seen: set[str]
    names: NameTable[bool] | None


def check_entry(table: Table, directive: Directive, args: tuple[str, ...]) -> tuple[str | None, Reading]:
    """What nginx says of one line's key, and the line's reading, which may hold an error too.

    Args:
        table: The block; it remembers the keys.
        directive: The line.
        args: What stands after the key.
    """
    if directive.block is not None or (directive.name == "include" and len(args) == 1):
        return None, FINE
    if table.context == "map":
        return _map(table, directive.name, args)
    if table.context == "split_clients":
        return _split(directive.name, args), FINE
    if table.context == "types" and directive.name == "include":
        return 'invalid number of arguments in "include" directive', FINE
    return None, FINE


def _map(table: Table, key: str, args: tuple[str, ...]) -> tuple[str | None, Reading]:
    if len(args) != 1:
        if not args and key in ("hostnames", "volatile"):
            table.seen.add(key)
        return None, FINE
    value = texts(args[0])
    if value.error:
        return None, value
    if key == "default":
        repeated = "default" in table.seen
        table.seen.add("default")
        return ("duplicate default map parameter" if repeated else None), value
    if key.startswith("~"):
        caseless = key.startswith("~*")
        matched = pattern(key[2 if caseless else 1 :], caseless=caseless)
        return None, Reading(matched.error, value.uses, matched.defines)
    key = key.removeprefix("\\")
    assert table.names is not None
    added = table.names.add(key, True, wildcards="hostnames" in table.seen)
    if added == "conflict":
        return f'conflicting parameter "{lower(key)}"', value  # nginx has put it in lower case by then
    return (f'invalid hostname or wildcard "{key}"' if added == "invalid" else None), value


def _split(key: str, args: tuple[str, ...]) -> str | None:
    if len(args) != 1:
        return "invalid number of parameters"
    found = _PERCENT.fullmatch(key)
    if key == "*" or (found and int(found[1]) * 100 + int(found[2] or 0) > 0):
        return None
    return f'invalid percent value "{key}"'
