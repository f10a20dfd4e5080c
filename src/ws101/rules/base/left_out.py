"""Files that lie beside those that nginx loads, and are not loaded."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from ws101.lazy import dataclass
from ws101.nginx.config import Config, Placed
from ws101.rules.base.context import Context
from ws101.syntax import Tree, parse
from ws101.text import Source, lower

__all__ = ["LeftOut", "left_out"]

_FOLDERS = ("sites-available", "sites-enabled", "conf.d", "http.d", "vhosts.d", "servers")
_OFF = (".bak", ".old", ".orig", ".save", ".swp", ".disabled", ".off", ".inactive", ".example", ".sample", ".template")
_OFF_TOO = (".dist", ".tmp", ".rpmnew", ".rpmsave", ".dpkg-dist", ".dpkg-old", ".dpkg-new", ".md", ".txt~", "~")
_WILD = frozenset("*?[")
_MOST = 200
_KEY = "rules: left out"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that nginx does not load.

    Args:
        path: The file.
        include: The include whose pattern leaves it out, or the nearest thing to one.
        beside_pattern: Whether it lies in the very folder that the include reads.
        names: The plain server names in it.
        upgrades: Whether it forwards WebSocket upgrades.
    """

    path: str
    include: Placed
    beside_pattern: bool
    names: frozenset[str]
    upgrades: bool


def left_out(context: Context) -> tuple[LeftOut, ...]:
    """The files beside the loaded ones that hold servers; looked for once."""
    memo = context.config.main.memo
    if _KEY not in memo:
        memo[_KEY] = tuple(_find(context.config))
    return memo[_KEY]  # type: ignore[return-value]  # the memo of this key holds nothing else


def _find(config: Config) -> Iterator[LeftOut]:
    http = config.http
    if http is None or http.opener is None:
        return
    includes = [Placed(d, http) for d in http.opener.directive.block or () if d.name == "include" and len(d.args) == 1]
    folders: dict[str, tuple[Placed, bool]] = {}
    for include in includes:
        path = posixpath.join(config.prefix, include.args[0])
        if _WILD & set(posixpath.basename(path)) and not _WILD & set(posixpath.dirname(path)):
            folders.setdefault(posixpath.dirname(path), (include, True))
    nearest = includes[-1] if includes else http.opener
    for name in _FOLDERS:
        folders.setdefault(posixpath.join(config.prefix, name), (nearest, False))
    loaded = {source.text for source in config.sources.values()}
    for folder, (include, beside) in folders.items():
        for path in config.files.glob(posixpath.join(folder, "*"))[:_MOST]:
            found = _read(config, path, include, beside) if path not in config.sources and _is_on(path) else None
            if found is not None and found[1].source.text not in loaded:
                yield found[0]


def _is_on(path: str) -> bool:
    name = lower(posixpath.basename(path))
    return not name.startswith(".") and not name.endswith(_OFF + _OFF_TOO)


def _read(config: Config, path: str, include: Placed, beside: bool) -> tuple[LeftOut, Tree] | None:
    """What a file holds; None if it holds no server."""
    try:
        tree = parse(Source.from_bytes(path, config.files.read(path)))
    except OSError:
        return None
    servers = [d for d in tree.directives if d.name == "server" and d.block is not None]
    if tree.problems or not servers:
        return None
    lines = [d for server in servers for d in server.block or () if d.name == "server_name"]
    names = frozenset(lower(name) for line in lines for name in line.args)
    upgrades = any(
        d.name == "proxy_set_header" and lower(d.args[0] if d.args else "") == "upgrade" for d in tree.walk()
    )
    return LeftOut(path, include, beside, names, upgrades), tree
