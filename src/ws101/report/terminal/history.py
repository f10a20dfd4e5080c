"""``ws101 undo --list`` for people: the changes that were made, with what was seen of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ws101.report.style import Style, wrap
from ws101.text import printable

__all__ = ["Past", "history"]

_ROLES = {"applied": "good", "interrupted": "error", "rolled back": "warning"}


class Past(Protocol):
    """A change that was made (see ``ws101.host.journal.Change``)."""

    @property
    def id(self) -> str:
        """Its name for ``undo``."""

    @property
    def state(self) -> str:
        """What became of it."""

    @property
    def title(self) -> str:
        """What it was."""

    @property
    def proof(self) -> str:
        """Why it was kept or taken back."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The files it concerned."""


def history(changes: Sequence[tuple[str, Past]], style: Style) -> str:
    """Every change: when it was made, what became of it, its files, and its proof.

    Args:
        changes: The time it was made, as text, and the change; in the order to be shown.
        style: What the terminal can show.
    """
    lines: list[str] = []
    for when, change in changes:
        state = style.paint(_ROLES.get(change.state, "dim"), change.state)
        lines.append(f"{change.id}  {when}  {state}  {printable(change.title)}")
        said = f"proof: {change.proof}" if change.proof else "no proof was written down"
        for text in (*change.paths, said):
            lines += [f"    {line}" for line in wrap(printable(text, limit=400), style.width - 4)]
    return "\n".join(lines) or "no change was ever made"
