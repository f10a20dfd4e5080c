"""What the JSON reports share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ws101.findings import Finding, Fix
from ws101.http1 import Headers, Request
from ws101.nginx.config import Unknown
from ws101.report.subject import Subject
from ws101.report.texts import as_json_text, masked
from ws101.text import Source, Span

__all__ = ["Json", "dump", "finding", "fix", "headers", "nginx", "pieces", "request", "span_start", "unknown"]

Json = dict[str, Any]
"""A JSON object.  An iterator in it, not deeper than one level, is a list that is made while it is written."""


def dump(report: Json) -> str:
    """The report as text, two blanks a level; what is no UTF-8 stands as a lone surrogate escape."""
    return "".join(pieces(report))


def pieces(report: Json) -> Iterator[str]:
    """The same, piece by piece: that of a large configuration is never held whole."""
    yield from _written(report, "\n")
    yield "\n"


_encoded = json.JSONEncoder(ensure_ascii=False).encode
_quoted = json.encoder.encode_basestring
_WORDS = {None: "null", True: "true", False: "false"}


def _written(value: Any, line: str) -> Iterator[str]:
    """The text of a report in pieces, ``line`` being the line end and the blanks before its closing bracket.

    As ``json.dumps`` with an indent, which takes four times as long and keeps every bracket as a piece of its own.
    """
    inner = f"{line}  "
    if isinstance(value, dict) and value:
        between = "{"
        for key, item in value.items():
            yield f"{between}{inner}{_quoted(key)}: "
            yield from _written(item, inner)
            between = ","
        yield f"{line}}}"
    elif isinstance(value, list | tuple | Iterator):
        between = "["
        for item in value:
            yield f"{between}{inner}{_whole(item, inner)}"
            between = ","
        yield f"{line}]" if between == "," else "[]"
    else:
        yield _whole(value, line)


def _whole(value: Any, line: str) -> str:
    """The same in one piece."""
    kind = type(value)
    if kind is str:
        return _quoted(value)
    if value is None or kind is bool:
        return _WORDS[value]
    if kind is int:
        return str(value)
    inner = f"{line}  "
    if kind is dict and value:
        parts = [f"{_quoted(key)}: {_quoted(v) if type(v) is str else _whole(v, inner)}" for key, v in value.items()]
        return f"{{{inner}{f',{inner}'.join(parts)}{line}}}"
    if kind is list and not value:
        return "[]"
    if isinstance(value, list | tuple) and value:
        parts = [_quoted(item) if type(item) is str else _whole(item, inner) for item in value]
        return f"[{inner}{f',{inner}'.join(parts)}{line}]"
    return _encoded(value)


def nginx(subject: Subject) -> Json:
    """Which nginx."""
    return {"version": subject.version, "source": subject.source}


def unknown(item: Unknown) -> Json:
    """What could not be known, and the directive that makes it so."""
    place = item.origin
    return {
        "message": as_json_text(item.reason),
        "file": as_json_text(place.directive.source.path) if place else None,
        "line": place.directive.line if place else None,
    }


def span_start(source: Source | None, span: Span) -> Json:
    """File, line and column of a span's start; null where the file could not be read."""
    at = source.position(span.start) if source else None
    return {
        "file": as_json_text(span.path),
        "line": at.line if at else None,
        "column": at.column if at else None,
    }


def fix(item: Fix | None) -> Json | None:
    """A fix and its edits."""
    if item is None:
        return None
    edits = [
        {"file": as_json_text(e.span.path), "start": e.span.start, "end": e.span.end, "text": as_json_text(e.text)}
        for e in item.edits
    ]
    reason = {"reason": item.reason} if item.reason else {}
    return {"title": item.title, "safety": item.safety.value, **reason, "edits": edits}


def finding(item: Finding, subject: Subject) -> Json:
    """A finding with its places, 1-based lines and columns."""
    source = subject.sources.get(item.span.path)
    end = source.position(item.span.end) if source else None
    related = [
        {"message": label.message, **span_start(subject.sources.get(label.span.path), label.span)}
        for label in item.labels
    ]
    return {
        "rule": item.rule,
        "code": item.code,
        "level": item.level.value,
        "message": as_json_text(item.message),
        **span_start(source, item.span),
        "end_line": end.line if end else None,
        "end_column": end.column if end else None,
        "related": related,
        "fix": fix(item.fix),
        "other_fixes": [fix(other) for other in item.other_fixes],
        "help": item.help or None,
    }


def headers(fields: Headers) -> list[list[str]]:
    """Header fields in wire order."""
    return [[name, value] for name, value in fields]


def request(item: Request | None) -> Json | None:
    """A request, secrets masked."""
    if item is None:
        return None
    shown = masked(item)
    return {
        "method": shown.method,
        "target": shown.target,
        "version": shown.version,
        "headers": headers(shown.headers),
        "raw": shown.encode().decode("latin-1"),
    }
