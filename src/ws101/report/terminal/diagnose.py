"""``ws101 diagnose`` for people: the verdict, the cause, the three hops, the fix, and how to apply it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ws101.diagnose import Diagnosis, Observed, RootCause, Tried
from ws101.probes.attribution import Answerer
from ws101.report.diff import diff_lines, paint_diff
from ws101.report.excerpt import Mark, excerpt
from ws101.report.style import Style, wrap
from ws101.report.subject import Subject
from ws101.report.terminal.explain import labelled, timeout_line, tunnel_line, unknown_lines
from ws101.report.terminal.hops import hop_rows, hops
from ws101.report.terminal.probe import ANSWERED, banner
from ws101.report.texts import field, seconds
from ws101.text import printable

__all__ = ["diagnose", "gathered"]

_ROLES = {"works": "good", "degraded": "warning", "broken": "error", "unknown": "unknown"}


def diagnose(
    found: Diagnosis, subject: Subject | None, style: Style, *, apply_command: str = "", pasted: str = ""
) -> str:
    """A diagnosis.

    Args:
        found: The diagnosis.
        subject: The configuration; None without one.
        style: What the terminal can show.
        apply_command: The command that applies the first fix; empty if there is none to offer.
        pasted: What the browser's line said, if one was given.
    """
    lines = [*_head(found, style, pasted), ""]
    for number, cause in enumerate(found.root_causes, 1):
        lines += [*_cause(cause, number if len(found.root_causes) > 1 else 0, subject, style), ""]
    lines += _path(found, subject, style)
    lines += _answer(found, style)
    lines += _experiments(found, style)
    lines += _fixes(found.root_causes, subject, style, apply_command)
    lines += unknown_lines(found.unknown, style)
    if subject is not None:
        lines.append(style.paint("dim", f"{printable(subject.config.path)}, read as {subject.nginx_line}"))
    return "\n".join(lines).rstrip()


def _head(found: Diagnosis, style: Style, pasted: str) -> list[str]:
    lines = [banner(_ROLES[found.verdict], found.verdict.upper(), style.paint("title", printable(found.url)), style)]
    seen = found.observed
    if seen is not None:
        lines += ["", f"  {_status(seen, style)}"]
        if seen.message and seen.status is None:
            lines += [f"  {line}" for line in wrap(printable(seen.message), style.width - 4)]
    if pasted:
        lines.append(f"  {style.paint('dim', printable(pasted))}")
    if found.agrees is False:
        lines += ["", f"  {style.paint('warning', 'This is not what the configuration says should happen.')}"]
    return lines


def _status(seen: Observed, style: Style) -> str:
    role = "good" if seen.status == 101 else "error"
    if seen.status is None:
        return style.paint(role, "no answer")
    status = style.paint(role, printable(f"{seen.status} {seen.reason}".rstrip()))
    return f"{status}  answered by {ANSWERED[Answerer(seen.answered_by)]}, {seconds(_total(seen))}"


def _total(seen: Observed) -> float:
    steps = seen.timings
    return sum(step for step in (steps.dns, steps.tcp, steps.tls, steps.http) if step is not None)


def _cause(cause: RootCause, number: int, subject: Subject | None, style: Style) -> list[str]:
    label = f"{number}. " if number else ""
    name = style.paint(cause.level.value, f"{cause.level.value}[{cause.rule}]")
    first, *rest = wrap(printable(cause.message), style.width - 4)
    lines = [f"{label}{name} {style.paint('dim', cause.confidence)}", f"  {style.paint('title', first)}"]
    lines += [f"  {style.paint('title', line)}" for line in rest]
    if cause.span is not None and subject is not None:
        lines += excerpt(subject.sources, [Mark(cause.span, role=cause.level.value)], style)
    for clause in cause.evidence:
        first, *rest = wrap(printable(clause), style.width - 6)
        lines += [f"  {style.glyph('bullet')} {first}", *(f"    {line}" for line in rest)]
    if cause.help and (cause.fix is None or cause.help != cause.fix.title):
        first, *rest = wrap(printable(cause.help), style.width - 10)
        lines += [f"  {style.paint('good', 'help')}: {first}", *(f"        {line}" for line in rest)]
    return lines


def _path(found: Diagnosis, subject: Subject | None, style: Style) -> list[str]:
    """The three hops, where a backend is reached."""
    if found.predicted is None or found.predicted.outcome.forwarded is None:
        return []
    forwarded = found.predicted.outcome.forwarded
    upstream = printable(forwarded.upstream.url) if forwarded.upstream else ""
    rows = hop_rows(
        found.predicted.arrival.request,
        forwarded,
        subject.version if subject else None,
        subject.config.prefix if subject else "",
    )
    lines = [*hops(rows, style, upstream=upstream)]
    if forwarded.tunnel:
        lines += ["", *labelled("timeout", timeout_line(forwarded, subject.config.prefix if subject else ""), style)]
    else:
        lines += ["", *labelled("tunnel", tunnel_line(forwarded, style), style)]
    return [*lines, ""]


def _answer(found: Diagnosis, style: Style) -> list[str]:
    """What came back, where it was no tunnel."""
    seen = found.observed
    if seen is None or seen.status is None or (seen.status == 101 and found.verdict != "broken"):
        return []
    lines = [style.paint("title", "The answer"), f"  {printable(f'{seen.status} {seen.reason}'.rstrip())}"]
    lines += [f"  {field(name, value)}" for name, value in seen.headers]
    bar = style.paint("dim", style.glyph("bar"))
    lines += [f"  {bar} {printable(line)}" for line in seen.body_excerpt]
    return [*lines, ""]


def _experiments(found: Diagnosis, style: Style) -> list[str]:
    """What was tried, beside the handshake itself; the experiments that decided are marked."""
    deciding = {name for cause in found.root_causes for name in cause.decided_by}
    rows = gathered(item for item in found.tried if item.name != "site")
    question = [f"  {style.paint('good', 'next')}: {printable(found.next_question)}"] if found.next_question else []
    if not rows or found.verdict == "works":
        return [*question, ""] if question else []
    lines = [style.paint("title", "What was tried")]
    for item, times in rows:
        mark = style.paint("good", style.glyph("tick")) if item.passed else style.paint("error", style.glyph("cross"))
        again = f", {times} times" if times > 1 else ""
        first, *rest = wrap(printable(f"{item.title}{again}: {item.answer}"), style.width - 6)
        role = "title" if item.name in deciding else "dim"
        lines += [f"  {mark} {style.paint(role, first)}", *(f"    {style.paint(role, line)}" for line in rest)]
    return [*lines, *question, ""]


def gathered(items: Iterable[Tried]) -> list[tuple[Tried, int]]:
    """Experiments of which those that were made again, with the same answer, are one with their number."""
    found: dict[tuple[str, str], list[Tried]] = {}
    for item in items:
        found.setdefault((item.title, item.answer), []).append(item)
    return [(group[0], len(group)) for group in found.values()]


def _fixes(causes: Sequence[RootCause], subject: Subject | None, style: Style, command: str) -> list[str]:
    """The first fix of each cause as one diff each, and the command that applies them."""
    lines: list[str] = []
    for fix in dict.fromkeys(cause.fix for cause in causes if cause.fix is not None):
        note = f"  {style.paint('warning', 'unsafe')}: {fix.reason}" if fix.reason else ""
        lines += [f"{style.paint('good', 'Fix')}  {printable(fix.title)}", *([note] if note else [])]
        sources = subject.sources if subject else {}
        lines += [f"  {line}" for line in paint_diff(diff_lines(sources, fix.edits), style)]
        lines.append("")
    if command:
        lines += [f"{style.paint('good', 'Apply it')}  {style.paint('code', command)}", ""]
    return lines
