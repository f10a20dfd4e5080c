"""``ws101 fix`` for people: what the fixes do, which were held back, what is left, and how the change went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ws101.check import Entry
from ws101.findings import Finding, Fix
from ws101.fix import FixResult
from ws101.report.style import Style, wrap
from ws101.report.subject import Subject
from ws101.report.terminal.probe import banner
from ws101.report.texts import seconds
from ws101.rules.base.aims import location_of
from ws101.text import printable

__all__ = ["Ending", "StepLine", "ending", "notes"]

StepLine = tuple[str, float, str]
"""A step of a change: its name, how long it took in seconds, what was seen."""

Ending = tuple[str, str, str]
"""How a change ended: role, word, sentence."""


def notes(result: FixResult, subject: Subject, style: Style, *, commands: Sequence[tuple[str, str]] = ()) -> str:
    """What goes with the diff.

    Args:
        result: What came of fixing.
        subject: The configuration.
        style: What the terminal can show.
        commands: What can be done next: a purpose and a command each.
    """
    lines: list[str] = []
    held = [entry for entry in result.report.entries if entry.finding.fix is not None]
    titles = Counter(item.fix.title for item in result.applied)
    titles.update(entry.finding.fix.title for entry in held if entry.finding.fix is not None)
    for item in result.applied:
        lines += _line("good", "tick", item.finding.rule, _title(item.fix, item.entry, titles), style)
    for entry in held:
        fix = entry.finding.fix
        assert fix is not None
        why = fix.reason or "it changes other requests too"
        text = f"{_title(fix, entry, titles)}: held back as unsafe, {why}"
        lines += _line("warning", "cross", entry.finding.rule, text, style)
    for finding in (f for f in result.report.findings if f.fix is None):
        lines += _line(finding.level.value, "cross", finding.rule, _left(finding), style)
    if not lines:
        lines.append(f"{style.paint('good', 'nothing to fix')} in {printable(subject.config.path)}")
    width = max((len(purpose) for purpose, _ in commands), default=0)
    for purpose, command in commands:
        lines.append(f"{purpose.ljust(width)}  {style.paint('code', command)}")
    return "\n".join(lines)


def _title(fix: Fix, entry: Entry, titles: Counter[str]) -> str:
    """What a fix does; and for what, where others do the same elsewhere."""
    places = list(dict.fromkeys(location_of(place).title for place in entry.places))
    return f"{places[0]}: {fix.title}" if titles[fix.title] > 1 and len(places) == 1 else fix.title


def _left(finding: Finding) -> str:
    advice = f"; {finding.help}" if finding.help else ""
    return f"{finding.message}{advice}"


def _line(role: str, sign: str, name: str, text: str, style: Style) -> list[str]:
    first, *rest = wrap(f"{name}: {printable(text)}", style.width - 4)
    head = style.paint(role, name) + first.removeprefix(name)
    return [f"{style.paint(role, style.glyph(sign))} {head}", *(f"    {line}" for line in rest)]


def ending(
    steps: Sequence[StepLine], end: Ending, digests: Sequence[tuple[str, str]], style: Style, *, undo: str = ""
) -> str:
    """How applying went.

    Args:
        steps: What was done.
        end: How it ended.
        digests: SHA-256 and path of every file written.
        style: What the terminal can show.
        undo: The command that takes it back; empty if there is nothing to take back.
    """
    lines = []
    for name, took, detail in steps:
        first, *rest = wrap(printable(detail), style.width - 26)
        lines.append(f"  {name:<10} {style.paint('dim', f'{seconds(took):>8}')}  {first}".rstrip())
        lines += [" " * 23 + line for line in rest]
    role, word, said = end
    first, *rest = wrap(printable(said), max(20, style.width - len(word) - 4))
    lines += ["", banner(role, word, first, style), *(" " * (len(word) + 4) + line for line in rest)]
    lines += [style.paint("dim", f"sha256 {digest}  {printable(path)}") for digest, path in digests]
    if undo:
        lines.append(f"take it back  {style.paint('code', undo)}")
    return "\n".join(lines)
