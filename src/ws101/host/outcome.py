"""What decides about a change, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["NO_PROOF", "Applied", "NotStarted", "Outcome", "Proof", "RolledBack", "Step", "Verdict"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a proof says: go on (keep it, it is proven), or not, and why."""

    ok: bool
    reason: str = ""


class Proof(Protocol):
    """Who decides about a change, by measuring."""

    def before(self) -> Verdict:
        """Measure before anything is written; not ok stops there."""

    def after(self) -> Verdict:
        """Measure the new configuration; not ok rolls it back."""

    def after_rollback(self) -> Verdict:
        """Measure whether the old behaviour is back."""


@dataclass(frozen=True, slots=True)
class _NoProof:
    def before(self) -> Verdict:
        return Verdict(True)

    def after(self) -> Verdict:
        return Verdict(True, "nobody measured it")

    def after_rollback(self) -> Verdict:
        return Verdict(True, "nobody measured it")


NO_PROOF: Proof = _NoProof()
"""Keeps whatever ``nginx -t`` accepts and nginx loads."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a transaction: its name, when it began (seconds since the epoch), how long it took, what was seen."""

    name: str
    at: float
    seconds: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Applied:
    """The change stands.

    Args:
        id: To take it back with ``undo``.
        steps: What was done.
        reason: The proof's words.
        proven: Whether nginx runs it and the proof saw it; else it was only accepted by ``nginx -t`` and written.
    """

    id: str
    steps: tuple[Step, ...]
    reason: str
    proven: bool


@dataclass(frozen=True, slots=True)
class RolledBack:
    """The change was made and taken back.

    Args:
        id: Where the journal and the bytes are kept.
        steps: What was done.
        reason: Why it was taken back.
        restored: Whether every file is as it was and nginx runs the old configuration.
        trouble: What is not as it was; empty if ``restored``.
    """

    id: str
    steps: tuple[Step, ...]
    reason: str
    restored: bool
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class NotStarted:
    """Nothing was changed, and why."""

    steps: tuple[Step, ...]
    reason: str
    where: str = ""
    help: str = ""


Outcome = Applied | RolledBack | NotStarted
