"""Free ports on the loopback address, chosen by the kernel."""

from __future__ import annotations

import atexit
import socket
import sys
from collections import deque

__all__ = ["LOOPBACK", "free_ports"]

LOOPBACK = "127.0.0.1"
"""Where everything of the lab listens: nothing is reachable from another machine."""

_held: deque[socket.socket] = deque()
_HOLD = 512


def free_ports(n: int) -> tuple[int, ...]:
    """Ports on 127.0.0.1 that nobody listens on, and that nobody else gets from the kernel for now.

    On Linux each stays bound here without listening: the kernel then gives it to nobody who asks for any port, while a
    server that asks for it by number and with SO_REUSEADDR, as nginx and asyncio do, gets it.  The last 512 are held.
    """
    taken = [_bound() for _ in range(n)]
    ports = tuple(int(sock.getsockname()[1]) for sock in taken)
    if sys.platform == "linux":
        _held.extend(taken)
        taken = [_held.popleft() for _ in range(max(0, len(_held) - _HOLD))]
    for sock in taken:
        sock.close()
    return ports


def _bound() -> socket.socket:
    """A socket bound to a port of the kernel's choice."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((LOOPBACK, 0))
    return sock


@atexit.register
def _release() -> None:
    while _held:
        _held.pop().close()
