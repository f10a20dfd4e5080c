"""Tunnels that ended together: did a worker end them that was told to go?  The error log's notices say so, or not.

A worker that is told to go by a reload writes ``gracefully shutting down``, and ``worker_shutdown_timeout`` later it
ends the tunnels that it still has (nginx: src/os/unix/ngx_process_cycle.c:ngx_worker_process_cycle,
src/core/ngx_cycle.c:ngx_set_shutdown_timer).  That is at the level ``notice``: an error log at its default level tells
neither that it was so nor that it was not.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from ws101.lazy import dataclass, lazy_pattern
from ws101.logs import AccessEntry, ErrorLine, bursts, read_errors

__all__ = ["Together", "largest_together", "moment"]

_LATE = 1.5
"""Seconds by which a busy worker is late; the logs tell whole seconds."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_EPOCH = lazy_pattern(r"([0-9]{1,10})(?:\.[0-9]{1,6})?")
_DASHED = lazy_pattern(r"([0-9]{4})[-/]([0-9]{2})[-/]([0-9]{2})[T ]([0-9]{2}):([0-9]{2}):([0-9]{2}).*")
_LOCAL = lazy_pattern(r"([0-9]{2})/([A-Z][a-z]{2})/([0-9]{4}):([0-9]{2}):([0-9]{2}):([0-9]{2}).*")


@dataclass(frozen=True, slots=True)
class Together:
    """Tunnels that ended within a second.

    Args:
        entries: Their lines.
        certain: Whether a worker that was told to go ended them; None if the error log does not tell.
    """

    entries: tuple[AccessEntry, ...]
    certain: bool | None

    @property
    def one_client(self) -> bool:
        """Whether all are of one address, and of one program as far as is known, which may have closed them itself."""
        clients = {(entry.client, entry.agent) for entry in self.entries}
        return len(clients) == 1 and bool(next(iter(clients))[0])


def moment(written: str) -> float | None:
    """When a log's line was written, in seconds on this machine's clock; None if the text is no such time.

    Args:
        written: As ``$msec``, ``$time_iso8601``, ``$time_local`` or the error log have it; nginx writes all but the
            first in its local time, which is taken to be this machine's.
    """
    if match := _EPOCH.fullmatch(written):
        return float(match[1])
    if match := _DASHED.fullmatch(written):
        parts = [int(part) for part in match.groups()]
    elif (match := _LOCAL.fullmatch(written)) and match[2] in _MONTHS:
        parts = [int(match[3]), _MONTHS.index(match[2]) + 1, *(int(match[at]) for at in (1, 4, 5, 6))]
    else:
        return None
    try:
        return time.mktime((*parts, 0, 0, -1))  # type: ignore[arg-type]
    except (OverflowError, ValueError):
        return None


def largest_together(
    entries: Iterable[AccessEntry], error_logs: Sequence[str], limit: float | None = None
) -> Together | None:
    """The tunnels that ended together, those first that a worker ended; None where none are worth a word.

    One client's tunnels that ended together are none: it may have left, and no log tells that from a worker that goes.

    Args:
        entries: The lines of an access log, in its order.
        error_logs: The texts of the error logs that workers write to.
        limit: ``worker_shutdown_timeout`` in seconds; None if it is not set, and nothing but the end of its tunnels
            ends a worker that was told to go.
    """
    lines = [tuple(read_errors(text)) for text in error_logs]
    found = [Together(group, _ended_by_worker(group, lines, limit)) for group in bursts(entries)]
    kept = [one for one in found if one.certain or not one.one_client]
    order = {True: 2, None: 1, False: 0}
    return max(kept, key=lambda one: (order[one.certain], len(one.entries)), default=None)


def _ended_by_worker(
    group: Sequence[AccessEntry], logs: Sequence[Sequence[ErrorLine]], limit: float | None
) -> bool | None:
    """Whether a worker was told to go just so long before; None if no log would show it."""
    if limit is None:
        return False
    at = moment(group[0].ended)
    if at is None:
        return None
    told = at - limit
    covered = False
    for lines in logs:
        notices = [when for line in lines if line.level == "notice" and (when := moment(line.time)) is not None]
        going = (moment(line.time) for line in lines if line.message == "gracefully shutting down")
        if any(when is not None and abs(when - told) <= _LATE for when in going):
            return True
        covered = covered or bool(notices and min(notices) < told - _LATE)
    return False if covered else None
