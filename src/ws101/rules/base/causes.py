"""Why a header field does not arrive: one cause for each of Upgrade and Connection.

The rules about header fields share this classification, so that each fault is named once, by its cause.
"""

from __future__ import annotations

import enum

from ws101.lazy import dataclass
from ws101.nginx.config import Placed, Scope, Unknown
from ws101.nginx.inherit import effective_all, level_of
from ws101.nginx.outcome import Forwarded
from ws101.nginx.templates import parse_template
from ws101.rules.base.aims import adds_upgrade, attempts_upgrade
from ws101.text import lower, strip

__all__ = ["Cause", "Fault", "answered_upgrade", "fault_of", "local_anchor", "lost_field"]

_HEADER = "proxy_set_header"


class Cause(enum.Enum):
    """Why one of the two header fields does not arrive as it must."""

    FINE = "it arrives"
    UNKNOWN = "its value is known only at run time"
    MISSING = "nothing sets it"
    LOST = "it was inherited until another proxy_set_header reset the list"
    CLEARED = "it is set to nothing"
    REPEATED = "it is set twice"
    WRONG = "it is set to another value"
    MAPPED = "it is set through a variable that has another value"


@dataclass(frozen=True, slots=True)
class Fault:
    """What became of one header field.

    Args:
        name: ``Upgrade`` or ``Connection``.
        cause: Why.
        value: What is sent instead; empty if nothing is.
        origin: The directive that decided; None for nginx's default.
        lost: For ``LOST``: the outer directive that would have set it.
    """

    name: str
    cause: Cause
    value: str = ""
    origin: Placed | None = None
    lost: Placed | None = None

    @property
    def is_absent(self) -> bool:
        """Whether nothing in the configuration speaks of the field here."""
        return self.cause is Cause.MISSING


def fault_of(scope: Scope, forwarded: Forwarded, name: str) -> Fault:
    """Why the field ``Upgrade`` or ``Connection`` of an opening handshake does not arrive as it must."""
    key = lower(name)
    fate = forwarded.fate(name)
    if fate is not None and fate.fate == "unknown":
        return Fault(name, Cause.UNKNOWN, "", fate.origin)
    if not any(fault.startswith(f"{key}-") for fault in forwarded.faults):
        return Fault(name, Cause.FINE)
    origin = fate.origin if fate is not None else None
    value = fate.value if fate is not None else ""
    if f"{key}-repeated" in forwarded.faults:
        return Fault(name, Cause.REPEATED, value, origin)
    if origin is None:
        lost = lost_field(scope, name)
        return Fault(name, Cause.LOST if lost else Cause.MISSING, value, _resetting(scope) if lost else None, lost)
    written = origin.args[1] if len(origin.args) > 1 else ""
    if parse_template(written).variables:
        return Fault(name, Cause.MAPPED, value, origin)
    cleared = not value or lower(strip(value)) == "close"
    return Fault(name, Cause.CLEARED if cleared else Cause.WRONG, value, origin)


def lost_field(scope: Scope, name: str) -> Placed | None:
    """The outer proxy_set_header of this name that would pass an upgrade on, were the list not reset further in."""
    level = level_of(scope, _HEADER)
    if level is None or isinstance(level, Unknown):
        return None
    outer = level.parent
    for beyond in outer.outward if outer is not None else ():
        for placed in reversed(beyond.all(_HEADER)):
            if lower(placed.args[0] if placed.args else "") == lower(name):
                return placed if attempts_upgrade(placed) else None
    return None


def _resetting(scope: Scope) -> Placed | None:
    """The directive that reset the list: the first of the innermost level that has any."""
    lines = effective_all(scope, _HEADER)
    return lines[0] if not isinstance(lines, Unknown) and lines else None


def local_anchor(placed: Placed) -> Placed:
    """The directive that stands in the scope's own block for it: itself, or the include it came through."""
    opener = placed.scope.opener
    depth = len(opener.via) if opener is not None else 0
    if len(placed.via) <= depth:
        return placed
    return Placed(placed.via[depth], placed.scope, placed.via[:depth])


def answered_upgrade(scope: Scope) -> Placed | None:
    """The add_header that gives a WebSocket's Upgrade to the client instead of the backend; None if there is none."""
    lines = effective_all(scope, "add_header")
    return next((p for p in lines if adds_upgrade(p)), None) if not isinstance(lines, Unknown) else None
