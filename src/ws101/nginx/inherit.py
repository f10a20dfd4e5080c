"""What rules in a scope: the nearest level that sets a directive wins, whole (nginx's ``merge_loc_conf``).

A scalar takes the innermost value.  An array directive (``proxy_set_header``, ``error_page``, ``add_header``,
``proxy_hide_header``) is taken whole from the innermost level that has any of it: one line in a location discards every
inherited one.
"""

from __future__ import annotations

from ws101.lazy import dataclass
from ws101.nginx.config import Placed, Scope, Unknown

__all__ = ["Setting", "effective", "effective_all", "is_on", "level_of"]


@dataclass(frozen=True, slots=True)
class Setting:
    """The effective arguments of a directive and the directive that set them.

    ``value`` is None where nothing sets it (nginx's default rules), ``Unknown`` where an unreadable include may set it.
    """

    value: tuple[str, ...] | Unknown | None
    origin: Placed | None = None

    @property
    def text(self) -> str | None:
        """The first argument, if it is known and set."""
        return self.value[0] if isinstance(self.value, tuple) and self.value else None


_UNSET = Setting(None)


def level_of(scope: Scope, name: str) -> Scope | Unknown | None:
    """The innermost level that sets a directive; None if no level does."""
    level: Scope | None = scope
    while level is not None:
        if name in level.index:
            return level
        if level.opaque:
            return Unknown(f'"{name}" may be set in a file that could not be read', level.opaque[0])
        level = level.parent
    return None


def effective(scope: Scope, name: str) -> Setting:
    """The effective value of a scalar directive."""
    if not scope.config.uses(name):
        return _UNSET
    level = level_of(scope, name)
    if level is None:
        return _UNSET
    if isinstance(level, Unknown):
        return Setting(level, level.origin)
    placed = level.all(name)[0]
    return Setting(placed.args, placed)


def effective_all(scope: Scope, name: str) -> tuple[Placed, ...] | Unknown:
    """Every line of an array directive that counts: those of the innermost level that has any."""
    level = level_of(scope, name)
    if level is None:
        return ()
    if isinstance(level, Unknown):
        return level
    if level.opaque:
        return Unknown(f'more "{name}" may be set in a file that could not be read', level.opaque[0])
    return level.all(name)


def is_on(setting: Setting, default: bool) -> bool | Unknown:
    """The value of a flag directive."""
    if isinstance(setting.value, Unknown):
        return setting.value
    return default if setting.text is None else setting.text.lower() == "on"
