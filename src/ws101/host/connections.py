"""How many connections a reload touches: those that the serving workers of a master hold now, from /proc.

A reload ends none of them: their worker keeps them until they end, unless ``worker_shutdown_timeout`` stood in the
configuration that was running before (nginx: src/core/ngx_cycle.c:ngx_set_shutdown_timer).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ws101.host.workers import workers
from ws101.lazy import dataclass, lazy_pattern

__all__ = ["Connections", "connections_of"]

_PROC = Path("/proc")
_SOCKET = lazy_pattern(rb"socket:\[(\d+)\]")
_ESTABLISHED, _LISTEN = b"01", b"0A"


@dataclass(frozen=True, slots=True)
class Connections:
    """TCP connections of the workers that serve.

    Args:
        clients: Those that came in: their local port is one that nginx listens on.
        backends: Those that went out.  A tunnel is one of each.
    """

    clients: int
    backends: int


def connections_of(master: int) -> Connections | None:
    """The connections that the serving workers of a master hold; None if that is hidden from us.

    Args:
        master: The master's process id.
    """
    serving = [worker.pid for worker in workers(master) if not worker.leaving]
    found = [_of_worker(pid) for pid in serving]
    if not found or any(one is None for one in found):
        return None
    known = [one for one in found if one is not None]
    return Connections(sum(one.clients for one in known), sum(one.backends for one in known))


def _of_worker(pid: int) -> Connections | None:
    """A worker's connections, read from its own descriptors and its own network namespace."""
    try:
        mine = set(_sockets(pid))
        rows = [*_rows(pid, "tcp"), *_rows(pid, "tcp6")]
    except OSError:
        return None
    ports = {local for local, state, inode in rows if state == _LISTEN and inode in mine}
    established = [local for local, state, inode in rows if state == _ESTABLISHED and inode in mine]
    clients = sum(local in ports for local in established)
    return Connections(clients, len(established) - clients)


def _sockets(pid: int) -> Iterator[bytes]:
    """The inodes of a process's sockets."""
    folder = b"/proc/%d/fd/" % pid
    for name in os.listdir(folder):  # noqa: PTH208 (ten thousands of them: names alone are cheaper)
        try:
            found = _SOCKET.fullmatch(os.readlink(folder + name))  # noqa: PTH115
        except FileNotFoundError:
            continue
        if found:
            yield found[1]


def _rows(pid: int, table: str) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Local port, state and inode of each line (Linux: Documentation/networking/proc_net_tcp.rst)."""
    try:
        lines = (_PROC / str(pid) / "net" / table).read_bytes().split(b"\n")[1:]
    except FileNotFoundError:  # a kernel without IPv6
        return
    for line in lines:
        fields = line.split()
        if len(fields) > 9:
            yield fields[1].rpartition(b":")[2], fields[3], fields[9]
