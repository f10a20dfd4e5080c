"""What decides about a change, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ws101.lazy import dataclass

__all__ = ["NO_PROOF", "Applied", "NotStarted", "Outcome", "Proof", "RolledBack", "Step", "Verdict", "advice"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a proof says: go on (keep it, it is proven), or not, and why.

    Args:
        ok: Whether to go on.
        reason: What was seen.
        seen: What was measured, as the journal keeps it.
        shortfall: What is not as it should be, although it is kept; empty if nothing.
        measured: Whether anything was.
    """

    ok: bool
    reason: str = ""
    seen: tuple[Mapping[str, object], ...] = ()
    shortfall: str = ""
    measured: bool = True


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
        return Verdict(True, "nobody measured it", measured=False)

    def after_rollback(self) -> Verdict:
        return Verdict(True, "nobody measured it", measured=False)


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
        shortfall: What the proof saw that is not as it should be; empty if nothing.
    """

    id: str
    steps: tuple[Step, ...]
    reason: str
    proven: bool
    shortfall: str = ""


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
"""What became of a change."""


_ADVICE = (
    (
        "changed by someone else",
        "compare the file with the bytes before and after, and put back by hand what is wanted",
    ),
    (
        "would refuse the mixture",
        "nginx runs what the files hold now; edit what was changed since, then put back the rest",
    ),
    ("not reloaded", "the files are as they were: start nginx, or reload it, once it is there"),
    (
        "did not load the old files",
        "the files are as they were, but nginx may run others: see its error log, then reload",
    ),
    ("refuses the old files", "the old files were refused before the change already: mend them, then reload"),
    ("could not be measured", "the files are as they were: look at the site yourself"),
    ("before the change", "the files are as they were: the backend may answer otherwise by itself; look at the site"),
    ("disk is full", "free some space, then run ws101 undo --recover, or copy the old bytes back"),
    ("read-only", "make the file system writable, then copy the old bytes back"),
)
"""What to do about each trouble that putting back can have, by words of it."""

_ANY = "copy the old bytes back where they are not, test with nginx -t, and reload"


def advice(trouble: str, kept: str) -> tuple[str, ...]:
    """What to do about a change that was not put back completely.

    Args:
        trouble: What is not as it was (see ``RolledBack``).
        kept: The folder that holds the bytes: ``N.old`` before, ``N.new`` after the change, in the order of writing.
    """
    found = tuple(what for words, what in _ADVICE if words in trouble) or (_ANY,)
    return (*found, f"the bytes before (.old) and after (.new) the change lie in {kept}")
