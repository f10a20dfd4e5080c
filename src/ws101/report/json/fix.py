"""``ws101 fix`` and ``ws101 undo`` as JSON: ``ws101/fix/1``, ``ws101/undo/1``."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Protocol

from ws101.fix import Applied, FixResult
from ws101.report.diff import text_diff_lines
from ws101.report.json.base import Json, finding, fix, nginx, span_start
from ws101.report.subject import Subject
from ws101.report.terminal.fix import StepLine
from ws101.report.terminal.history import Past
from ws101.report.texts import as_json_text

__all__ = ["applied", "apply", "fixed", "history", "recovered", "undo"]


def fixed(result: FixResult, subject: Subject, *, written: Sequence[str] = (), applied: Json | None = None) -> Json:
    """``ws101/fix/1``.

    Args:
        result: What came of fixing.
        subject: The configuration before.
        written: The files that were written.
        applied: How applying went (see `apply`); None if it was not asked for.
    """
    after = Subject(result.config, subject.builds, subject.source, subject.program, subject.given)
    held = [item for item in result.report.findings if item.fix is not None]
    return {
        "schema": "ws101/fix/1",
        "class": _class(result, applied),
        "nginx": nginx(subject),
        "changed": _changed(result.texts, subject),
        "fixed": [_fixed(item, subject) for item in result.applied],
        "held_back": [
            {"rule": item.rule, "reason": item.fix.reason if item.fix else "", "fix": fix(item.fix)} for item in held
        ],
        "findings": [finding(item, after) for item in result.report.findings],
        "written": [as_json_text(path) for path in written],
        "applied": applied,
    }


def _class(result: FixResult, applied: Json | None) -> str:
    if applied is not None:
        return str(applied["class"])
    return "errors-remain" if result.has_errors else "fixed" if result.texts else "nothing-to-fix"


def _changed(texts: Mapping[str, str], subject: Subject) -> list[Json]:
    return [
        {
            "file": as_json_text(path),
            "created": path not in subject.sources,
            "diff": as_json_text("".join(text_diff_lines(subject.sources, {path: text}))),
        }
        for path, text in texts.items()
    ]


def _fixed(item: Applied, subject: Subject) -> Json:
    span = item.finding.span
    place = span_start(subject.sources.get(span.path), span)
    return {"rule": item.finding.rule, "title": item.fix.title, "safety": item.fix.safety.value, **place}


def apply(
    class_: str, reason: str, steps: Sequence[StepLine], *, change: str | None, digests: Sequence[tuple[str, str]]
) -> Json:
    """How a change of the running nginx went.

    Args:
        class_: ``proven``, ``delivered``, ``unproven``, ``rolled-back``, ``damaged`` or ``not-started``.
        reason: Why it was kept, taken back or not begun.
        steps: What was done.
        change: The change's id, for ``undo``; None if nothing was changed.
        digests: SHA-256 and path of every file written.
    """
    return {
        "class": class_,
        "reason": as_json_text(reason),
        "change": change,
        "steps": [{"step": name, "seconds": took, "detail": as_json_text(detail)} for name, took, detail in steps],
        "files": [{"file": as_json_text(path), "sha256": digest} for digest, path in digests],
    }


def applied(diffs: Mapping[str, Sequence[str]], created: Container[str], ending: Json | None) -> Json:
    """``ws101/apply/1``.

    Args:
        diffs: The diff of every file and symlink that changes, line by line, by name.
        created: The names that are new.
        ending: How applying went (see `apply`); None if there was nothing to change.
    """
    changed = [
        {"file": as_json_text(path), "created": path in created, "diff": as_json_text("".join(lines))}
        for path, lines in diffs.items()
    ]
    class_ = "nothing-to-change" if ending is None else str(ending["class"])
    return {"schema": "ws101/apply/1", "class": class_, "changed": changed, "applied": ending}


def undo(applied: Json) -> Json:
    """``ws101/undo/1``."""
    return {"schema": "ws101/undo/1", **applied}


class Dated(Past, Protocol):
    """A change with the time it began, in seconds since the epoch."""

    @property
    def at(self) -> float:
        """When it began."""


class Recovery(Protocol):
    """What was done about an interrupted change (see ``ws101.host.recovery.Recovered``)."""

    @property
    def id(self) -> str:
        """The change."""

    @property
    def action(self) -> str:
        """``finished``, ``put back`` or ``cleaned``."""

    @property
    def trouble(self) -> str:
        """What is not as it was."""


def history(changes: Sequence[Dated]) -> Json:
    """``ws101/undo/1`` of ``undo --list``: every change, in the order given."""
    rows = [
        {
            "change": change.id,
            "at": change.at,
            "title": as_json_text(change.title),
            "state": change.state,
            "proof": as_json_text(change.proof),
            "files": [as_json_text(path) for path in change.paths],
        }
        for change in changes
    ]
    return {"schema": "ws101/undo/1", "changes": rows}


def recovered(done: Sequence[Recovery]) -> Json:
    """``ws101/undo/1`` of ``undo --recover``: what was done about each interrupted change."""
    rows = [{"change": one.id, "action": one.action, "trouble": as_json_text(one.trouble)} for one in done]
    return {"schema": "ws101/undo/1", "recovered": rows}
