"""``ws101 check`` for people: the findings with their places, the table of routes, what is not known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from ws101.check import CheckReport
from ws101.findings import Finding, Fix, Level, Safety
from ws101.report.excerpt import Mark, excerpt
from ws101.report.style import Style, columns, cut, wrap
from ws101.report.subject import Subject
from ws101.report.terminal.explain import unknown_lines
from ws101.report.texts import count, joined
from ws101.syntax import Problem
from ws101.text import printable

__all__ = ["check", "findings_lines", "summary"]

_MOST_ROUTES = 40


def check(subject: Subject, report: CheckReport, style: Style, *, fix_command: str = "") -> str:
    """The report of one configuration.

    Args:
        subject: The configuration.
        report: What the rules found.
        style: What the terminal can show.
        fix_command: The command that shows the fixes.
    """
    lines = [line for item in report.unsaid for line in (*_problem(item, subject, style), "")]
    lines += findings_lines(report.findings, subject, style)
    lines += _table(report, subject, style)
    lines += unknown_lines(report.unknown, style)
    lines += _closing(subject, report, style, fix_command)
    return "\n".join(lines)


def _problem(item: Problem, subject: Subject, style: Style) -> list[str]:
    """What nginx refuses to read."""
    head = f"{style.paint('error', 'nginx refuses this')}: {printable(item.message)}"
    return [head, *excerpt(subject.sources, [Mark(item.span)], style)]


def findings_lines(findings: Sequence[Finding], subject: Subject, style: Style) -> list[str]:
    """Every finding with its source, followed by an empty line each."""
    return [line for item in findings for line in (*_finding(item, subject, style), "")]


def _finding(item: Finding, subject: Subject, style: Style) -> Iterator[str]:
    role = item.level.value
    label = f"{role}[{item.rule}]"
    first, *rest = wrap(f"{label}: {printable(item.message)}", style.width)
    yield style.paint(role, label) + style.paint("title", first.removeprefix(label))
    yield from (style.paint("title", f"  {line}") for line in rest)
    marks = [Mark(item.span, role=role)]
    marks += [Mark(label.span, printable(label.message), "note", primary=False) for label in item.labels]
    yield from excerpt(subject.sources, marks, style)
    if item.fix is not None:
        yield from _fix(item.fix, style)
    for other in item.other_fixes:
        yield from _fix(other, style)
    if item.help:
        yield from _said("help", printable(item.help), style)


def _fix(fix: Fix, style: Style) -> list[str]:
    unsafe = fix.safety is Safety.UNSAFE
    lines = _said("fix", printable(fix.title), style)
    return (
        [*lines, *_said("unsafe", printable(fix.reason or "it changes other requests too"), style)] if unsafe else lines
    )


def _said(label: str, text: str, style: Style) -> list[str]:
    first, *rest = wrap(text, style.width - 6 - len(label))
    role = "warning" if label == "unsafe" else "good"
    indent = " " * (len(label) + 6)
    return [f"  = {style.paint(role, label)}: {first}", *(f"{indent}{line}" for line in rest)]


_ANSWERS = {True: ("good", "yes"), False: ("error", "no"), None: ("unknown", "unknown")}


def _table(report: CheckReport, subject: Subject, style: Style) -> list[str]:
    """Would a WebSocket get through here?  Those meant for WebSockets first."""
    routes = report.routes
    if not routes:
        return []
    order = {"intended": 0, "possible": 1, "none": 2}
    shown = sorted(routes, key=lambda row: order[row.websocket])[:_MOST_ROUTES]
    base = subject.config.prefix.rstrip("/") + "/"
    rows = [tuple(style.paint("dim", head) for head in ("server", "location", "goes to", "WebSocket", "", ""))]
    for row in shown:
        role, answer = _ANSWERS[row.through]
        name = row.server_names[0] if row.server_names and row.server_names[0] else joined(row.listen[:1])
        name = "?" if subject.config.fragment in ("server", "location") else name  # the server around it was not given
        more = f" +{len(row.server_names) - 1}" if len(row.server_names) > 1 else ""
        note = joined(row.rules) or (row.instead if row.websocket != "none" else "not meant for WebSockets, it seems")
        place = f"{row.file.removeprefix(base)}:{row.line}"
        cells = (f"{name}{more}", row.location, row.upstream or "?")
        plain = [cut(printable(cell), 34, style) for cell in cells]
        role = "dim" if row.websocket == "none" and row.through is False else role
        said = style.paint("dim", cut(printable(note), 40, style))
        rows.append((*plain, style.paint(role, answer), said, style.paint("path", printable(place))))
    left = len(routes) - len(shown)
    rest = [f"  and {count(left, 'route')} more (--format json lists them all)"] if left else []
    if report.problems:
        rest.append("  (nginx refuses these files: a yes counts when it accepts them)")
    return [style.paint("title", "Would a WebSocket get through here?"), *columns(rows, indent=2), *rest, ""]


def summary(report: CheckReport, style: Style) -> str:
    """``2 errors, 1 warning``; in green if there is nothing."""
    counted = Counter(item.level for item in report.findings)
    parts = [style.paint(level.value, count(counted[level], level.value)) for level in Level if counted[level]]
    if report.unsaid:
        parts.insert(0, style.paint("error", count(len(report.unsaid), "syntax problem")))
    if not parts and _is_open(report):
        return style.paint("unknown", "no findings, but not everything is known,")
    return ", ".join(parts) or style.paint("good", "no findings")


def _is_open(report: CheckReport) -> bool:
    """Whether the answer is unknown for a route that is meant for WebSockets, or for all that is there."""
    meant = [row.through for row in report.routes if row.websocket != "none"]
    return None in meant or (not report.routes and any(item.origin is not None for item in report.unknown))


def _closing(subject: Subject, report: CheckReport, style: Style, fix_command: str) -> list[str]:
    files = count(len(subject.sources), "file")
    dot = style.glyph("dot")
    silenced = f" {dot} {count(len(report.suppressed), 'finding')} suppressed" if report.suppressed else ""
    lines = [f"{summary(report, style)} in {files}{silenced} {dot} {style.paint('dim', subject.nginx_line)}"]
    return [*lines, *(_fixable(report, style, fix_command) if fix_command else ())]


def _fixable(report: CheckReport, style: Style, fix_command: str) -> Iterator[str]:
    """What the command would mend, as it stands and with --unsafe, which leaves the notes alone."""
    fixes = [(item.level, item.fix.safety) for item in report.findings if item.fix is not None]
    safe = sum(safety is Safety.SAFE for _, safety in fixes)
    unsafe = sum(safety is Safety.UNSAFE and level is not Level.NOTE for level, safety in fixes)
    if any(item.rule == "config-syntax-error" for item in report.findings):
        if safe or unsafe:
            yield f"{safe + unsafe} can be fixed when nginx accepts the files: mend first what it refuses"
        return
    if safe:
        yield f"{safe} can be fixed: {style.paint('code', fix_command)}"
    if unsafe:
        more = " more" if safe else ""
        command = style.paint("code", f"{fix_command} --unsafe")
        yield f"{unsafe}{more} can be fixed by an edit that changes other requests too: {command}"
