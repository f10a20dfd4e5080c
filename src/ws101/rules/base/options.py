"""What the user asks of the rules and their fixes."""

from __future__ import annotations

from ws101.errors import UsageError
from ws101.lazy import dataclass

__all__ = ["STYLES", "Options"]

STYLES = ("map", "quick")
"""The fix styles."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asks for.

    Args:
        style: ``map`` (one map for all, works for mixed traffic) or ``quick`` (a literal in the location).
        idle_timeout: Seconds that a fix writes into proxy_read_timeout.
        urls: URLs told to be WebSockets' (``ws``, ``wss``, ``http`` or ``https``).
        heartbeat: Seconds between pings, if measured or known for every route.
        select: Only these rules; empty for all.
        ignore: Not these rules.

    Raises:
        UsageError: If the style is none of these, or the time is not positive.
    """

    style: str = "map"
    idle_timeout: int = 86400
    urls: tuple[str, ...] = ()
    heartbeat: float | None = None
    select: frozenset[str] = frozenset()
    ignore: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.style not in STYLES:
            raise UsageError(f"there is no style {self.style}", help=f"choose {' or '.join(STYLES)}")
        if self.idle_timeout <= 0:
            raise UsageError("the idle timeout must be a positive number of seconds")
