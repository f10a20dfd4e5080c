"""The worker processes of a running nginx: who serves, and who is on the way out.

``nginx -s reload`` returns before anything has changed.  What tells the end of a reload is the process table: new
workers of the same master run, and the old ones say *shutting down* (nginx: src/os/unix/ngx_process_cycle.c).
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from ws101.lazy import dataclass

__all__ = ["Worker", "children", "unnamed", "workers"]

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker process.

    Args:
        pid: Its process id.
        leaving: It serves the connections it has and accepts no new ones.
    """

    pid: int
    leaving: bool


def workers(master: int) -> tuple[Worker, ...]:
    """The workers of a master process that have named themselves; empty if there is no such master."""
    return tuple(
        Worker(pid, "shutting down" in title)
        for pid, title in _children(master)
        if title.startswith("nginx: worker process")
    )


def children(master: int) -> tuple[int, ...]:
    """The process ids of all children of a master: workers, the cache's helpers, and those not yet named."""
    return tuple(pid for pid, _ in _children(master))


def unnamed(master: int) -> tuple[int, ...]:
    """Children that still carry their master's name: a worker does for some milliseconds after it was forked.

    nginx: src/os/unix/ngx_process_cycle.c:ngx_worker_process_cycle names the process after ngx_worker_process_init.
    A child with workers of its own is another master, as while the program is upgraded.
    """
    return tuple(
        pid
        for pid, title in _children(master)
        if not title.startswith(("nginx: worker", "nginx: cache")) and not children(pid)
    )


def _children(master: int) -> Iterator[tuple[int, str]]:
    return _children_in_proc(master) if _PROC.joinpath("self").exists() else _children_by_ps(master)


def _children_in_proc(parent: int) -> Iterator[tuple[int, str]]:
    """Process id and title of each child (Linux)."""
    for pid in _child_ids(parent):
        try:
            title = _PROC.joinpath(str(pid), "cmdline").read_bytes()
        except OSError:
            continue
        yield pid, title.decode("latin-1").rstrip("\0")


def _child_ids(parent: int) -> list[int]:
    """Children of a process, from the kernel's own list where it keeps one (CONFIG_PROC_CHILDREN), else by search."""
    try:
        return [int(pid) for pid in _PROC.joinpath(f"{parent}/task/{parent}/children").read_text().split()]
    except OSError:
        return [int(folder.name) for folder in _PROC.glob("[0-9]*") if _parent_of(folder) == parent]


def _parent_of(folder: Path) -> int | None:
    """The parent's id in ``/proc/PID/stat``; the second field may hold blanks and brackets, so count from its end."""
    try:
        return int(folder.joinpath("stat").read_text(encoding="latin-1").rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return None


def _children_by_ps(parent: int) -> Iterator[tuple[int, str]]:
    """Process id and title of each child, where there is no /proc."""
    listing = subprocess.run(["/bin/ps", "-axo", "pid=,ppid=,command="], capture_output=True, check=False).stdout
    for line in listing.decode("latin-1").splitlines():
        pid, ppid, title = line.split(None, 2)
        if int(ppid) == parent:
            yield int(pid), title
