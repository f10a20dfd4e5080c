"""What is said before a change is confirmed: how many connections its reload touches, and what becomes of them."""

from __future__ import annotations

from ws101.lazy import dataclass
from ws101.report.style import Style, wrap
from ws101.text import printable

__all__ = ["Reach", "reach"]


@dataclass(frozen=True, slots=True)
class Reach:
    """What a reload touches.

    Args:
        clients: TCP connections of clients that are open now; None if that is hidden from us.
        backends: Those to backends; a tunnel is one of each.
        shutdown_timeout: The ``worker_shutdown_timeout`` in the files; empty if there is none.
        known: Whether the files are what nginx runs: none was changed since they were loaded.
    """

    clients: int | None
    backends: int | None
    shutdown_timeout: str = ""
    known: bool = True


def reach(item: Reach, style: Style) -> str:
    """What a reload touches, for people."""
    role = "warning" if item.shutdown_timeout or not item.known else "dim"
    first, *rest = wrap(f"{_open(item)}; {_fate(item)}", style.width - 8)
    return "\n".join([f"{style.paint(role, 'reload')}  {first}", *(f"        {line}" for line in rest)])


def _open(item: Reach) -> str:
    if item.clients is None:
        return "how many connections are open is hidden from us"
    if not item.clients and not item.backends:
        return "no connection is open now"
    return f"{item.clients} connections of clients and {item.backends} to backends are open now"


def _fate(item: Reach) -> str:
    if item.shutdown_timeout:
        unsure = "" if item.known else " (if that is what nginx runs: files were changed since it loaded them)"
        time = printable(item.shutdown_timeout)
        return f"worker_shutdown_timeout {time} cuts those that are still open {time} after the reload{unsure}"
    if not item.known:
        return "files were changed since nginx loaded them, so whether it cuts them after some time is unknown"
    return "the old workers keep them until they end by themselves"
