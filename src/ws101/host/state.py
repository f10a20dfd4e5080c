"""Where changes are remembered; read at every start of the program, so it needs next to nothing."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["state_folder"]


def state_folder(explicit: str | os.PathLike[str] | None = None) -> Path:
    """Where changes are remembered: the folder named, else ``$WS101_STATE``, else ``/var/lib/ws101`` for root, else
    ``$XDG_STATE_HOME/ws101`` or ``~/.local/state/ws101``.
    """
    named = explicit or os.environ.get("WS101_STATE")
    if named:
        return Path(named).absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/ws101")
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "ws101"
