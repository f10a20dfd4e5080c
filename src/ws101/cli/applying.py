"""Applying a fix to the running nginx, and saying how it went."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from ws101.cli.changing import ApplyOptions, apply_fix
from ws101.cli.console import Console
from ws101.cli.inputs import Loaded
from ws101.cli.showing import show_diff
from ws101.fix import FixResult
from ws101.host.outcome import Applied, NotStarted, Outcome, RolledBack
from ws101.host.proof import LiveProof, Measured, Watched
from ws101.report.json.base import Json, dump
from ws101.report.json.fix import apply, fixed
from ws101.report.terminal.fix import Ending, StepLine, ending, notes
from ws101.text import printable

__all__ = ["apply_and_report", "as_json", "class_of", "ending_of", "steps_of"]

_EXIT_CODES = {
    "proven": 0,
    "undone": 0,
    "unproven": 0,
    "delivered": 1,
    "rolled-back": 1,
    "damaged": 2,
    "not-started": 2,
}
_WORDS = {
    "proven": ("good", "PROVEN"),
    "delivered": ("warning", "DELIVERED"),
    "unproven": ("warning", "KEPT, NOT PROVEN"),
    "undone": ("good", "TAKEN BACK"),
    "rolled-back": ("error", "PUT BACK"),
    "damaged": ("error", "NOT AS IT WAS"),
    "not-started": ("error", "NOTHING CHANGED"),
}


def apply_and_report(
    loaded: Loaded, result: FixResult, options: ApplyOptions, *, out: Console, console: Console, output: str
) -> int:
    """Apply and report; the exit code: 0 proven, 1 delivered or put back, 2 not started."""
    human = output != "json"
    if human:
        show_diff(loaded, result, out)
        console.write(notes(result, loaded.subject, console.style) + "\n")
    outcome, proof = apply_fix(loaded, result, options, _progress(console) if human else None)
    digests = _digests(result) if isinstance(outcome, Applied) else ()
    class_ = class_of(outcome, proof)
    if human:
        undo = f"ws101 undo {outcome.id}" if isinstance(outcome, Applied) else ""
        console.write(ending(steps_of(outcome), ending_of(outcome, proof), digests, console.style, undo=undo))
    else:
        applied = as_json(outcome, proof, digests)
        written = tuple(result.texts) if isinstance(outcome, Applied) else ()
        out.write_data(dump(fixed(result, loaded.subject, written=written, applied=applied)))
    return _EXIT_CODES[class_] or (1 if result.has_errors else 0)


def _progress(console: Console) -> Callable[[str, Watched, Measured], None]:
    def show(phase: str, watched: Watched, seen: Measured) -> None:
        status = seen.status if seen.status is not None else "no answer"
        role = "good" if seen.works else "dim"
        where = printable(watched.endpoint.url)
        console.write(
            f"  {phase:<7} {console.style.paint(role, str(status))}  {where}  (a plain request: {seen.plain})"
        )

    return show


def class_of(outcome: Outcome, proof: LiveProof | None = None) -> str:
    """How a change ended, in one word for programs; without a proof it is one that took another back."""
    if isinstance(outcome, NotStarted):
        return "not-started"
    if isinstance(outcome, RolledBack):
        return "rolled-back" if outcome.restored else "damaged"
    if proof is None:
        return "undone"
    if proof.delivered:
        return "delivered"
    return "proven" if outcome.proven else "unproven"


def ending_of(outcome: Outcome, proof: LiveProof | None = None) -> Ending:
    """How a change ended, for people."""
    role, word = _WORDS[class_of(outcome, proof)]
    said = outcome.reason if proof is not None else "the files are as they were before the change"
    if isinstance(outcome, RolledBack | NotStarted):
        said = outcome.reason
    if proof is not None and proof.delivered:
        said = f"{'; '.join(proof.delivered)}; if it wants credentials, pass --header"
    if isinstance(outcome, RolledBack) and not outcome.restored:
        said = f"{said}; {outcome.trouble}"
    if isinstance(outcome, NotStarted) and outcome.help:
        said = f"{said}; {outcome.help}"
    return role, word, said


def steps_of(outcome: Outcome) -> tuple[StepLine, ...]:
    """What was done."""
    return tuple((step.name, step.seconds, step.detail) for step in outcome.steps)


def as_json(outcome: Outcome, proof: LiveProof | None, digests: tuple[tuple[str, str], ...]) -> Json:
    """How a change went, for programs."""
    change = None if isinstance(outcome, NotStarted) else outcome.id
    said = ending_of(outcome, proof)[2]
    return apply(class_of(outcome, proof), said, steps_of(outcome), change=change, digests=digests)


def _digests(result: FixResult) -> tuple[tuple[str, str], ...]:
    return tuple((hashlib.sha256(t.encode("latin-1")).hexdigest(), path) for path, t in result.texts.items())
