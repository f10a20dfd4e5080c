"""Where changes are remembered; read at every start of the program, so it needs next to nothing."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["CLOSED", "may_be_unfinished", "state_folder"]

CLOSED = ("applied", "rolled back", "not started")
"""The steps that end a change's journal."""


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


def may_be_unfinished(state: Path) -> bool:
    """Whether one of the changes was perhaps interrupted; if so, ``recovery.left_over`` knows.

    Args:
        state: The state folder.

    Raises:
        OSError: There is no such folder, or it cannot be read.
    """
    return any(not _is_closed(folder / "journal.jsonl") for folder in (state / "changes").iterdir())


def _is_closed(journal: Path) -> bool:
    """Whether a whole line says that the change came to its end: a look at the bytes, as ``Journal.append`` writes."""
    try:
        lines = b"\n" + journal.read_bytes()
    except (FileNotFoundError, NotADirectoryError):  # nothing was begun
        return True
    whole = lines[: lines.rindex(b"\n")]
    return any(f'\n{{"step": "{step}"'.encode() in whole for step in CLOSED)
