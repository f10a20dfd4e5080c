"""What ps(1) tells of processes, for systems without /proc, such as macOS."""

from __future__ import annotations

import calendar
import subprocess
import time

from ws101.lazy import dataclass

__all__ = ["Listed", "listed"]

_COLUMNS = "pid=,ppid=,uid=,lstart=,command="
_STARTED = "%a %b %d %H:%M:%S %Y"
_PS = "/bin/ps"


@dataclass(frozen=True, slots=True)
class Listed:
    """A process as ps lists it.

    Args:
        pid: Its process id.
        parent: Its parent's.
        uid: The user it runs as.
        started: Its start in seconds since the epoch, to the second.
        title: Its command line as it shows it.
    """

    pid: int
    parent: int
    uid: int
    started: int
    title: str


def listed() -> dict[int, Listed]:
    """Every process by id; none if there is no ps."""
    try:
        done = subprocess.run(
            [_PS, "-axo", _COLUMNS], capture_output=True, check=False, timeout=10, env={"LC_ALL": "C", "TZ": "UTC0"}
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    found = (_read(line) for line in done.stdout.decode("latin-1").split("\n"))
    return {process.pid: process for process in found if process is not None}


def _read(line: str) -> Listed | None:
    """A line: three numbers, the start in five words, the command."""
    words = line.split(None, 8)
    if len(words) < 9:
        return None
    try:
        began = time.strptime(" ".join(words[3:8]), _STARTED)
        return Listed(int(words[0]), int(words[1]), int(words[2]), calendar.timegm(began), words[8])
    except ValueError:
        return None
