"""``ws101 check`` as JSON: ``ws101/check/1``."""

from __future__ import annotations

from collections.abc import Sequence

from ws101 import __version__
from ws101.check import CheckReport, RouteRow
from ws101.report.json.base import Json, finding, nginx, span_start, unknown
from ws101.report.subject import Subject
from ws101.report.texts import as_json_text
from ws101.syntax import Problem

__all__ = ["check"]


def check(results: Sequence[tuple[Subject, CheckReport]]) -> Json:
    """The findings of one or several configurations in one report.

    Args:
        results: Each configuration with its report; the first one names nginx.
    """
    return {
        "schema": "ws101/check/1",
        "tool": {"name": "ws101", "version": __version__},
        "nginx": nginx(results[0][0]),
        "files": [as_json_text(path) for subject, _ in results for path in subject.sources],
        "problems": [_problem(item, subject) for subject, report in results for item in report.problems],
        "findings": (finding(item, subject) for subject, report in results for item in report.findings),
        "routes": (_route(row) for _, report in results for row in report.routes),
        "unknown": [unknown(item) for _, report in results for item in report.unknown],
    }


def _problem(item: Problem, subject: Subject) -> Json:
    """What nginx refuses to read, on the line that nginx prints."""
    place = span_start(subject.sources.get(item.span.path), item.span)
    return {"message": as_json_text(item.message), **place, "line": item.line}


def _route(row: RouteRow) -> Json:
    return {
        "listen": [as_json_text(text) for text in row.listen],
        "server_names": [as_json_text(text) for text in row.server_names],
        "location": as_json_text(row.location),
        "file": as_json_text(row.file),
        "line": row.line,
        "upstream": as_json_text(row.upstream) if row.upstream is not None else None,
        "websocket": row.websocket,
        "tunnel": row.tunnel,
        "through": row.through,
        "rules": list(row.rules),
    }
