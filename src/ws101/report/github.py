"""``ws101 check`` as annotations of GitHub Actions: workflow commands, one a line.

Source: actions/toolkit, packages/core/src/command.ts (``escapeData``, ``escapeProperty``): in the message ``%``, CR and
LF are percent-encoded, in properties ``:`` and ``,`` too; a value that is not encoded could begin a command of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ws101.check import CheckReport
from ws101.findings import Level
from ws101.report.places import Places
from ws101.report.style import PLAIN
from ws101.report.subject import Subject
from ws101.report.terminal.check import summary
from ws101.report.texts import count
from ws101.text import Source, Span, printable

__all__ = ["github"]

_COMMANDS = {Level.ERROR: "error", Level.WARNING: "warning", Level.NOTE: "notice"}


def github(results: Sequence[tuple[Subject, CheckReport]], places: Places) -> str:
    """The annotations, and a line that sums up.

    Args:
        results: Each configuration with what the rules found.
        places: Where the files lie; paths are relative to the repository's root, if that is the base.
    """
    return "\n".join(line for subject, report in results for line in _lines(subject, report, places))


def _lines(subject: Subject, report: CheckReport, places: Places) -> Iterator[str]:
    for problem in report.unsaid:
        source = subject.sources.get(problem.span.path)
        place = {"file": places.path(problem.span.path), "line": str(problem.line)}
        yield _command("error", place if source else {}, "refused by nginx", problem.message)
    for item in report.findings:
        place = _place(item.span, subject.sources.get(item.span.path), places)
        advice = item.fix.title if item.fix is not None else item.help
        text = f"{item.message}\n{'fix' if item.fix is not None else 'help'}: {advice}" if advice else item.message
        yield _command(_COMMANDS[item.level], place, f"{item.code} {item.rule}", text)
    for unknown in report.unknown:
        found: dict[str, str] = {}
        if unknown.origin is not None:
            directive = unknown.origin.directive
            found = {"file": places.path(directive.source.path), "line": str(directive.line)}
        yield _command("notice", found, "unknown", unknown.reason)
    yield f"ws101: {summary(report, PLAIN)} in {count(len(subject.sources), 'file')}; {printable(subject.nginx_line)}"


def _place(span: Span, source: Source | None, places: Places) -> dict[str, str]:
    """File, lines and, within one line, columns: GitHub takes columns only there."""
    found = {"file": places.path(span.path)}
    if source is None:
        return found
    start, end = source.position(span.start), source.position(max(span.end - 1, span.start))
    found |= {"line": str(start.line), "endLine": str(end.line)}
    if start.line == end.line:
        found |= {"col": str(start.column), "endColumn": str(end.column)}
    return found


def _command(name: str, place: dict[str, str], title: str, message: str) -> str:
    fields = ",".join(f"{key}={_property(value)}" for key, value in {**place, "title": title}.items())
    text = "\n".join(printable(line) for line in message.split("\n"))
    return f"::{name} {fields}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(printable(text)).replace(":", "%3A").replace(",", "%2C")
