"""``ws101 check`` as SARIF 2.1.0, for code scanning, dashboards and editors.

Standard: OASIS, Static Analysis Results Interchange Format Version 2.1.0; the section numbers below are its own.
Columns count Unicode code points; regions of files carry byte offsets beside lines and columns.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from ws101 import __version__
from ws101.check import SUPPRESSION, CheckReport
from ws101.findings import Finding, Fix, Level, Safety
from ws101.nginx.config import Unknown
from ws101.report.json.base import Json
from ws101.report.places import Places
from ws101.report.subject import Subject
from ws101.report.texts import as_json_text
from ws101.rules import RULES
from ws101.rules.base.page import Page, Pair
from ws101.rules.base.registry import Rule
from ws101.syntax import Problem
from ws101.text import Edit, Source, Span

__all__ = ["SCHEMA", "sarif"]

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
"""Where the standard publishes its schema."""

_BASE = "BASE"
_REFUSED = "WS000"
_OWN_RULES: tuple[tuple[str, str, Level, str], ...] = (
    (_REFUSED, "refused-by-nginx", Level.ERROR, "nginx refuses to load the configuration."),
    ("WS100", SUPPRESSION, Level.WARNING, "A comment for ws101 says nothing that it understands, or silences nothing."),
)
_CODES = (*(code for code, _, _, _ in _OWN_RULES), *(rule.code for rule in RULES))

Result = tuple[Subject, CheckReport]
Example = Callable[[Pair], str]


def sarif(results: Sequence[Result], places: Places, exit_code: int) -> Json:
    """A log with one run (3.13, 3.14).

    Args:
        results: Each configuration with what the rules found.
        places: Where the files lie.
        exit_code: What the command ends with.
    """
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [_Log(results, places).run(exit_code)]}


class _Log:
    def __init__(self, results: Sequence[Result], places: Places) -> None:
        self.results = results
        self.places = places
        self.seen: Counter[str] = Counter()

    def run(self, exit_code: int) -> Json:
        """The one run: the tool with all its rules, how it went, the files, the findings."""
        return {
            "tool": {"driver": _driver()},
            "columnKind": "unicodeCodePoints",
            "originalUriBaseIds": {_BASE: {"uri": self.places.base_uri}},
            "invocations": [self._invocation(exit_code)],
            "artifacts": [{"location": self._artifact(path)} for path in self._paths()],
            "results": list(self._results()),
        }

    def _paths(self) -> dict[str, None]:
        return dict.fromkeys(path for subject, _ in self.results for path in subject.sources)

    def _invocation(self, exit_code: int) -> Json:
        """3.20; what could not be known is a notification, for it is no result and must not get lost."""
        return {
            "executionSuccessful": exit_code != 2,
            "exitCode": exit_code,
            "toolExecutionNotifications": [
                self._notification(item, subject) for subject, report in self.results for item in report.unknown
            ],
        }

    def _notification(self, item: Unknown, subject: Subject) -> Json:
        found: Json = {"level": "note", "message": {"text": _plain(f"unknown: {item.reason}")}}
        if item.origin is not None:
            directive = item.origin.directive
            span = Span(directive.source.path, directive.start, directive.end)
            found["locations"] = [self._location(span, subject)]
        return found

    def _results(self) -> Iterator[Json]:
        for subject, report in self.results:
            yield from (self._problem(item, subject) for item in report.unsaid)
            yield from (self._finding(entry.finding, subject) for entry in report.entries)
            for entry in report.suppressed:
                yield {**self._finding(entry.finding, subject), "suppressions": [{"kind": "inSource"}]}

    def _problem(self, item: Problem, subject: Subject) -> Json:
        return self._result(_REFUSED, Level.ERROR, item.message, item.span, subject)

    def _finding(self, item: Finding, subject: Subject) -> Json:
        text = f"{item.message}\n{item.help}" if item.help else item.message
        found = self._result(item.code, item.level, text, item.span, subject)
        if item.labels:
            found["relatedLocations"] = [
                {"id": number, **self._location(label.span, subject), "message": {"text": _plain(label.message)}}
                for number, label in enumerate(item.labels, 1)
            ]
        fixes = [fix for fix in (item.fix, *item.other_fixes) if fix is not None]
        if fixes:
            found["fixes"] = [self._fix(fix, subject) for fix in fixes]
        return found

    def _result(self, code: str, level: Level, text: str, span: Span, subject: Subject) -> Json:
        return {
            "ruleId": code,
            "ruleIndex": _CODES.index(code),
            "level": level.value,
            "message": {"text": _plain(text)},
            "locations": [self._location(span, subject)],
            "partialFingerprints": {"place/v1": self._fingerprint(code, span, subject)},
        }

    def _fingerprint(self, code: str, span: Span, subject: Subject) -> str:
        """3.27.17: the same while the finding's line stays the same, wherever the line moves to."""
        source = subject.sources.get(span.path)
        line = source.line_text(source.line(span.start)) if source else ""
        key = "\0".join((code, self.places.path(span.path), " ".join(line.split(" "))))
        self.seen[key] += 1
        data = f"{key}\0{self.seen[key]}".encode("utf-8", "backslashreplace")
        return hashlib.sha256(data).hexdigest()[:32]

    def _artifact(self, path: str) -> Json:
        uri, inside = self.places.uri(path)
        return {"uri": uri, "uriBaseId": _BASE} if inside else {"uri": uri}

    def _location(self, span: Span, subject: Subject) -> Json:
        place: Json = {"artifactLocation": self._artifact(span.path)}
        source = subject.sources.get(span.path)
        if source is not None:
            snippet = _content(source.text[span.start : span.end])
            place["region"] = {**_region(source, span), **({"snippet": snippet} if snippet.get("text") else {})}
        return {"physicalLocation": place}

    def _fix(self, fix: Fix, subject: Subject) -> Json:
        """3.55; SARIF knows no unsafe fixes, so the description says it."""
        unsafe = fix.safety is Safety.UNSAFE
        note = f" (unsafe: {fix.reason or 'it changes other requests too'})" if unsafe else ""
        paths = dict.fromkeys(edit.span.path for edit in fix.edits)
        changes = [
            {
                "artifactLocation": self._artifact(path),
                "replacements": [_replacement(e, subject.sources.get(path)) for e in fix.edits if e.span.path == path],
            }
            for path in paths
        ]
        return {"description": {"text": _plain(fix.title + note)}, "artifactChanges": changes}


def _region(source: Source, span: Span) -> Json:
    """3.30: lines and columns, and the same as bytes."""
    start, end = source.position(span.start), source.position(span.end)
    return {
        "startLine": start.line,
        "startColumn": start.column,
        "endLine": end.line,
        "endColumn": end.column,
        "byteOffset": span.start,
        "byteLength": span.end - span.start,
    }


def _replacement(edit: Edit, source: Source | None) -> Json:
    """3.57; a file that is not there yet has a first line to insert at."""
    at = source or Source(edit.span.path, "")
    inserted = {"insertedContent": _content(edit.text)} if edit.text else {}
    return {"deletedRegion": _region(at, edit.span), **inserted}


def _content(text: str) -> Json:
    """3.3: text where the bytes are UTF-8, else the bytes themselves."""
    data = text.encode("latin-1", "replace")
    try:
        return {"text": data.decode("utf-8")}
    except UnicodeDecodeError:
        return {"binary": base64.b64encode(data).decode("ascii")}


def _plain(text: str) -> str:
    """Text for a message; what is no UTF-8 stands as an escape, for lone surrogates are no JSON."""
    return as_json_text(text).encode("utf-8", "backslashreplace").decode("utf-8")


def _driver() -> Json:
    own = [_descriptor(code, name, level, summary) for code, name, level, summary in _OWN_RULES]
    return {"name": "ws101", "version": __version__, "semanticVersion": __version__, "rules": [*own, *_rules(RULES)]}


def _rules(rules: Iterable[Rule]) -> Iterator[Json]:
    for rule in rules:
        page = rule.page
        yield {
            **_descriptor(rule.code, rule.name, rule.level, page.summary),
            "fullDescription": {"text": "\n\n".join(filter(None, (page.summary, page.details)))},
            "help": {"text": _help(page, _text_example), "markdown": _help(page, _markdown_example)},
            "properties": {"tags": ["nginx", "websocket"], "precision": "high"},
        }


def _descriptor(code: str, name: str, level: Level, summary: str) -> Json:
    """3.49."""
    return {
        "id": code,
        "name": name,
        "shortDescription": {"text": summary},
        "defaultConfiguration": {"level": level.value},
    }


def _help(page: Page, example: Example) -> str:
    parts = [page.why, *(example(pair) for pair in page.pairs[:1]), page.fix_safety, "\n".join(page.references)]
    return "\n\n".join(part for part in parts if part) or page.summary


def _text_example(pair: Pair) -> str:
    bad, good = (_files(sample.files) for sample in (pair.bad, pair.good))
    return f"Bad:\n\n{bad}\n\nGood:\n\n{good}"


def _markdown_example(pair: Pair) -> str:
    bad, good = (_files(sample.files) for sample in (pair.bad, pair.good))
    return f"**Bad**\n\n```nginx\n{bad}\n```\n\n**Good**\n\n```nginx\n{good}\n```"


def _files(files: tuple[tuple[str, str], ...]) -> str:
    if len(files) == 1:
        return files[0][1].rstrip("\n")
    return "\n\n".join(f"# file: {name}\n{text}".rstrip("\n") for name, text in files)
