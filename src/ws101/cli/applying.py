"""Applying a fix to the running nginx, and saying how it went."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping

import click

from ws101.changes import compare_configs
from ws101.cli.changing import ApplyOptions, Change, change_of, get_ready
from ws101.cli.console import Console
from ws101.cli.inputs import Loaded
from ws101.cli.showing import show_diff
from ws101.fix import FixResult
from ws101.host.journal import state_folder
from ws101.host.links import Content
from ws101.host.outcome import Applied, NotStarted, Outcome, RolledBack, advice
from ws101.host.proof import LiveProof, Measured, OnMeasured, Watched
from ws101.report.json.base import Json, dump
from ws101.report.json.fix import apply, fixed
from ws101.report.terminal.changes import meaning
from ws101.report.terminal.fix import Ending, StepLine, ending, notes
from ws101.report.terminal.plan import reach
from ws101.text import printable

__all__ = [
    "apply_and_report",
    "as_json",
    "carry_out",
    "class_of",
    "ending_of",
    "exit_code",
    "progress",
    "show_advice",
    "steps_of",
]

_EXIT_CODES = {
    "proven": 0,
    "undone": 0,
    "undone-unmeasured": 0,
    "undone-otherwise": 1,
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
    "undone-unmeasured": ("warning", "TAKEN BACK, NOT MEASURED"),
    "undone-otherwise": ("warning", "TAKEN BACK, NOT AS BEFORE"),
    "rolled-back": ("error", "PUT BACK"),
    "damaged": ("error", "NOT AS IT WAS"),
    "not-started": ("error", "NOTHING CHANGED"),
}


def apply_and_report(
    loaded: Loaded,
    result: FixResult,
    options: ApplyOptions,
    *,
    out: Console,
    console: Console,
    output: str,
    yes: bool = False,
) -> int:
    """Apply fixes and report; the exit code: 0 proven, 1 delivered or put back, 2 not started."""
    human = output != "json"
    if human:
        show_diff(loaded, result, out)
        console.write(notes(result, loaded.subject, console.style) + "\n")
    outcome, proof = carry_out(change_of(loaded, result), options, console=console, human=human, yes=yes)
    digests = _digests(result.texts) if isinstance(outcome, Applied) else ()
    if not human:
        applied = as_json(outcome, proof, digests)
        written = tuple(result.texts) if isinstance(outcome, Applied) else ()
        out.write_data(dump(fixed(result, loaded.subject, written=written, applied=applied)))
    return exit_code(outcome, proof) or (1 if result.has_errors else 0)


def carry_out(
    change: Change, options: ApplyOptions, *, console: Console, human: bool, yes: bool
) -> tuple[Outcome, LiveProof]:
    """Say what the change means and touches, ask, make it, and say how it went."""
    ready = get_ready(change, options, progress(console) if human else None)
    asking = not yes and console.stream.isatty() and sys.stdin.isatty()
    if human or asking:
        console.write(meaning_of(change, console) + reach(ready.reach, console.style))
    if asking and not click.confirm("\nApply it?", err=True):
        outcome: Outcome = NotStarted((), "you said no")
    else:
        outcome = ready.transaction.run()
    if human:
        undo = f"ws101 undo {outcome.id}" if isinstance(outcome, Applied) else ""
        digests = _digests({path: new for path, (_, new) in change.edits.items()}) if undo else ()
        console.write(ending(steps_of(outcome), ending_of(outcome, ready.proof), digests, console.style, undo=undo))
        show_advice(outcome, console)
    return outcome, ready.proof


def meaning_of(change: Change, console: Console) -> str:
    """The routes whose outcome changes, from the model."""
    found = compare_configs(change.loaded.config, change.config, change.loaded.builds)
    return meaning(found, console.style) + "\n"


def show_advice(outcome: Outcome, console: Console) -> None:
    """What to do where not everything could be put back."""
    if isinstance(outcome, RolledBack) and outcome.trouble:
        kept = str(state_folder() / "changes" / outcome.id)
        for line in advice(outcome.trouble, kept):
            console.write(f"  {console.style.paint('good', 'help')}: {printable(line, limit=400)}")


def exit_code(outcome: Outcome, proof: LiveProof | None = None) -> int:
    """0 proven, kept or taken back; 1 delivered, put back, or taken back and answered otherwise than before; 2 not
    started, or not as it was.
    """
    return _EXIT_CODES[class_of(outcome, proof)]


def progress(console: Console) -> OnMeasured:
    """What shows each measurement as it is made."""

    def show(phase: str, watched: Watched, seen: Measured) -> None:
        status = seen.status if seen.status is not None else "no answer"
        role = "good" if seen.works else "dim"
        where = printable(watched.endpoint.url)
        page = f"  (a plain request: {seen.plain})" if seen.plain is not None else ""
        console.write(f"  {phase:<7} {console.style.paint(role, str(status))}  {where}{page}")

    return show


def class_of(outcome: Outcome, proof: LiveProof | None = None) -> str:
    """How a change ended, in one word for programs; without a proof it is one that took another back."""
    if isinstance(outcome, NotStarted):
        return "not-started"
    if isinstance(outcome, RolledBack):
        return "rolled-back" if outcome.restored else "damaged"
    if proof is None:
        return "undone" if outcome.proven else "undone-otherwise" if outcome.shortfall else "undone-unmeasured"
    if proof.delivered:
        return "delivered"
    return "proven" if outcome.proven and not proof.silent else "unproven"


def ending_of(outcome: Outcome, proof: LiveProof | None = None) -> Ending:
    """How a change ended, for people."""
    role, word = _WORDS[class_of(outcome, proof)]
    said = outcome.reason
    if isinstance(outcome, Applied) and proof is None:
        said = f"the files are as they were before the change; {outcome.shortfall or outcome.reason}"
    if isinstance(outcome, Applied) and proof is not None and proof.delivered:
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


def _digests(files: Mapping[str, str | Content]) -> tuple[tuple[str, str], ...]:
    """SHA-256 and name of every file that was written."""
    contents = {path: data.encode("latin-1") if isinstance(data, str) else data for path, data in files.items()}
    return tuple((hashlib.sha256(data).hexdigest(), path) for path, data in contents.items() if isinstance(data, bytes))
