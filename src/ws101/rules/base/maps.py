"""The map that tells upgrades from plain requests: found and used under whatever name it has, else written."""

from __future__ import annotations

import posixpath
from itertools import chain, count

from ws101.edit import create_file
from ws101.nginx.builtins import BUILTINS, PREFIXES, RUN_TIME
from ws101.nginx.config import Config, MemoryFiles
from ws101.nginx.maps import MapTable, geo_tables, map_tables, split_tables
from ws101.nginx.templates import parse_template
from ws101.nginx.variables import declared_variables
from ws101.rules.base.aims import Aim
from ws101.rules.base.causes import Cause
from ws101.rules.base.context import Context
from ws101.rules.base.edits import insert_before, prepend
from ws101.syntax import Directive
from ws101.text import Edit, lower, strip

__all__ = ["find_upgrade_map", "has_upgrade", "is_defined", "map_edit", "map_lines", "upgrade_value"]

_NAMES = ("connection_upgrade", "websocket_connection", "ws101_connection")
_FILE = "websocket_upgrade.conf"
_WILD = frozenset("*?[")
_BEFORE_KEEPALIVE = (1, 29, 7)


def has_upgrade(value: str) -> bool:
    """Whether a Connection value carries the option ``upgrade`` (RFC 9110 section 7.6.1)."""
    return any(lower(strip(part)) == "upgrade" for part in value.split(","))


def is_defined(config: Config, name: str) -> bool:
    """Whether nginx, its modules or the configuration define a variable (lower case, without ``$``)."""
    # In the order of what each costs: the last one looks at every block.
    tables = (map_tables, geo_tables, split_tables, declared_variables)
    if name in BUILTINS or name in RUN_TIME or any(name in table(config) for table in tables):
        return True
    return any(name.startswith(prefix) and len(name) > len(prefix) for prefix, _ in PREFIXES)


def find_upgrade_map(config: Config) -> str | None:
    """The name of a map of ``$http_upgrade`` that gives ``upgrade`` for a WebSocket and no ``upgrade`` without.

    Not one that ``set`` overrides somewhere.
    """
    overridden = declared_variables(config)
    for name, table in map_tables(config).items():
        if name not in overridden and table.source in ("$http_upgrade", "${http_upgrade}"):
            websocket, plain = _literal(table, "websocket"), _literal(table, "")
            if websocket is not None and plain is not None and has_upgrade(websocket) and not has_upgrade(plain):
                return name
    return None


def _literal(table: MapTable, source: str) -> str | None:
    """What a map gives for a text; None if that is no plain text."""
    value = table.lookup(source).value or ""
    template = parse_template(value)
    return template.literal if template.is_literal else None


def upgrade_value(context: Context) -> tuple[str, tuple[Edit, ...]] | None:
    """The map's name (without ``$``), and the edits that create it if need be; None if there is no place for one."""
    found = find_upgrade_map(context.config)
    if found is not None:
        return found, ()
    name = _free_name(context.config)
    edit = map_edit(context, name)
    return (name, (edit,)) if edit is not None else None


def map_edit(context: Context, name: str) -> Edit | None:
    """The edit that writes the map: a new file in a folder that ``http`` includes, else into ``http`` itself.

    Every route without a map asks for the same one, and the answer takes a look at every route: it is remembered.
    """
    key = f"rules: map {name}"
    if key not in context.memo:
        context.memo[key] = _map_edit(context, name)
    found = context.memo[key]
    assert found is None or isinstance(found, Edit)
    return found


def _map_edit(context: Context, name: str) -> Edit | None:
    config, lines = context.config, map_lines(context, name)
    http = config.http
    if http is None:
        return None
    if http.opener is None:
        top = config.trees[config.path].directives
        return insert_before(top[0], lines) if config.fragment == "http" and top else None
    directive = http.opener.directive
    path = _free_file(config, directive)
    if path is None:
        return prepend(directive, lines)
    folder = posixpath.dirname(path)
    beside = (source for name, source in config.sources.items() if posixpath.dirname(name) == folder and source.text)
    return create_file(path, lines, like=next(beside, directive.source))


def map_lines(context: Context, name: str) -> tuple[str, ...]:
    """The map as text."""
    empty = _empty_case(context)
    head = f"map $http_upgrade ${name} {{"
    return (head, "    default upgrade;", f"    ''      {empty or repr('')};", "}")


def _free_name(config: Config) -> str:
    taken = map_tables(config).keys() | declared_variables(config).keys()
    names = chain(_NAMES, (f"{_NAMES[0]}_{number}" for number in count(2)))
    return next(name for name in names if name not in taken)


def _empty_case(context: Context) -> str:
    """What plain requests get today: ``close`` or nothing; nothing if the version is unknown.

    ``close`` would cost a new upstream connection for each request wherever nginx keeps them open today.
    """
    if len(context.builds) > 1 or context.build.version >= _BEFORE_KEEPALIVE:
        return ""
    broken = [aim for aim in context.aims if context.fault(aim, "Connection").cause is not Cause.FINE]
    today = [_closes(context, aim) for aim in broken or context.aims]
    return "close" if all(closes is not False for closes in today) and any(today) else ""


def _closes(context: Context, aim: Aim) -> bool | None:
    """Whether plain requests there close their connection to the backend; None if they don't get there."""
    plain = context.plain(aim)
    if plain is None:
        return None
    fate = plain.fate("Connection")
    keeps = plain.upstream is not None and plain.upstream.uses_keepalive
    closes = fate is not None and (fate.fate == "unknown" or lower(fate.value) == "close")
    return closes and not keeps


def _free_file(config: Config, http: Directive) -> str | None:
    """The path of a new file that one of http's includes takes in; None if there is no such folder."""
    patterns = [d.args[0] for d in http.block or () if d.name == "include" and d.block is None and len(d.args) == 1]
    for pattern in sorted(patterns, key=lambda p: "sites" in p):
        path = posixpath.join(config.prefix, pattern)
        folder = posixpath.dirname(path)
        target = posixpath.join(folder, _FILE)
        takes_in = _WILD & set(path) and MemoryFiles({target: b""}).glob(path) == (target,)
        if takes_in and target not in config.files.glob(path) and _exists(config, folder, path):
            return target
    return None


def _exists(config: Config, folder: str, pattern: str) -> bool:
    return bool(config.files.glob(pattern) or config.files.glob(folder))
