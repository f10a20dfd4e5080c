"""What an editor shows: marks in a text, the edits of a fix, and what nginx does at a place.

Places are those of the Language Server Protocol 3.17: lines and characters from 0, a character being a code unit of the
encoding that was agreed on; CR LF, LF and a lone CR end a line there, whatever nginx makes of them.
"""

from __future__ import annotations

import dataclasses
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from functools import cached_property

from ws101.check import CheckReport
from ws101.findings import Finding, Fix, Label, Safety
from ws101.lazy import dataclass, lazy_pattern
from ws101.nginx.build import Build
from ws101.nginx.config import Config, Route, Scope
from ws101.nginx.locations import location_name
from ws101.nginx.outcome import Forwarded
from ws101.nginx.trace import answer
from ws101.report.subject import condition
from ws101.report.terminal.explain import FAULTS
from ws101.report.terminal.hops import hop_rows
from ws101.report.texts import as_json_text, joined, seconds, shown_where
from ws101.rules.base.urls import handshake_request
from ws101.text import Source, Span, printable

__all__ = ["Lines", "Mark", "Place", "Range", "fix_title", "hover", "marks"]

_LINE_END = lazy_pattern("\r\n|\n|\r")
_BYTES_A_UNIT = {"utf-8": 1, "utf-16": 2, "utf-32": 4}
_UNITS = {"utf-8": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}


@dataclass(frozen=True, slots=True)
class Place:
    """A line and a character of it, from 0."""

    line: int
    character: int


@dataclass(frozen=True, slots=True)
class Range:
    """From a place to the one before which it ends."""

    start: Place
    end: Place


@dataclasses.dataclass(frozen=True)
class Lines:
    """A file's text as an editor counts it.

    Args:
        source: The file.
        encoding: ``utf-8``, ``utf-16`` or ``utf-32``.
    """

    source: Source
    encoding: str = "utf-16"

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(match.end() for match in _LINE_END.finditer(self.source.text))]

    def place(self, offset: int) -> Place:
        """The place of a byte offset."""
        line = bisect_right(self._starts, offset) - 1
        head = self.source.text[self._starts[line] : offset].encode("latin-1").decode("utf-8", "replace")
        return Place(line, len(head.encode(_UNITS[self.encoding], "replace")) // _BYTES_A_UNIT[self.encoding])

    def offset(self, place: Place) -> int:
        """The byte offset of a place; beyond the end of a line it is the line's end, as the protocol has it."""
        if place.line >= len(self._starts):
            return len(self.source.text)
        start = self._starts[place.line]
        end = self._starts[place.line + 1] if place.line + 1 < len(self._starts) else len(self.source.text)
        line = self.source.text[start:end].rstrip("\r\n").encode("latin-1").decode("utf-8", "replace")
        units = line.encode(_UNITS[self.encoding], "replace")[: place.character * _BYTES_A_UNIT[self.encoding]]
        return start + len(units.decode(_UNITS[self.encoding], "ignore").encode("utf-8", "replace"))

    def range(self, span: Span) -> Range:
        """The range of a span."""
        return Range(self.place(span.start), self.place(span.end))


@dataclass(frozen=True, slots=True)
class Mark:
    """A finding or a refusal, at its place in one file.

    Args:
        span: What to underline: never more than the first line of a block.
        level: ``error``, ``warning`` or ``note``.
        code: The rule's code and name; empty for what nginx refuses.
        message: What is wrong, and the advice.
        labels: Other places that explain it.
        finding: The finding; None for what nginx refuses.
    """

    span: Span
    level: str
    code: str
    message: str
    labels: tuple[Label, ...] = ()
    finding: Finding | None = None


def marks(report: CheckReport, path: str) -> tuple[Mark, ...]:
    """What is to be marked in a file.

    Args:
        report: What the rules found.
        path: The file.
    """
    sources = report.config.sources
    refused = [Mark(_head(p.span, sources), "error", "", _plain(p.message)) for p in report.problems]
    found = [
        Mark(
            _head(item.span, sources),
            item.level.value,
            f"{item.code} {item.rule}",
            _said(item),
            tuple(Label(_head(label.span, sources), _plain(label.message)) for label in item.labels),
            item,
        )
        for item in report.findings
    ]
    return tuple(mark for mark in (*refused, *found) if mark.span.path == path)


def _head(span: Span, sources: Mapping[str, Source]) -> Span:
    """The first line of a span, up to the brace of a block."""
    source = sources.get(span.path)
    if source is None:
        return span
    text = source.text[span.start : span.end]
    line = re.split("[\r\n]", text, maxsplit=1)[0]
    return span if line == text else Span(span.path, span.start, span.start + len(line.rstrip(" \t{")))


def _said(finding: Finding) -> str:
    message = _plain(finding.message)
    return f"{message}\n{finding.help}" if finding.help else message


def _plain(text: str) -> str:
    return as_json_text(text).encode("utf-8", "backslashreplace").decode("utf-8")


def fix_title(fix: Fix) -> str:
    """What the editor's menu says."""
    if fix.safety is Safety.SAFE:
        return fix.title
    return f"{fix.title} (unsafe: {fix.reason or 'it changes other requests too'})"


def hover(config: Config, builds: tuple[Build, ...], path: str, offset: int) -> str | None:
    """What nginx does with a WebSocket here, as Markdown; None where it does nothing with one.

    Args:
        config: The configuration.
        builds: The nginx versions it is read for.
        path: The file.
        offset: The place, in bytes.
    """
    route = _route_at(config, path, offset)
    if route is None:
        return None
    name = location_name(route.location) if route.location.kind == "location" else None
    target = name.name if name is not None and not name.is_regex and name.name.startswith("/") else "/ws"
    shown: dict[str, list[Build]] = {}
    for build in builds:
        shown.setdefault(_answer(config, route, target, build), []).append(build)
    title = f"**{_code(route.location.title)}** and a WebSocket's opening handshake"
    if len(shown) == 1:
        return f"{title}\n\n{next(iter(shown))}"
    return "\n\n".join([title, *(f"With {condition(some, builds)}:\n\n{text}" for text, some in shown.items())])


def _route_at(config: Config, path: str, offset: int) -> Route | None:
    """The route of the innermost block that holds the place."""

    def size(route: Route) -> int:
        opener = route.location.opener
        return opener.directive.end - opener.directive.start if opener is not None else 1 << 60

    return min((route for route in config.routes() if _holds(route.location, path, offset)), key=size, default=None)


def _holds(scope: Scope, path: str, offset: int) -> bool:
    opener = scope.opener
    if opener is None or scope.kind == "server":
        return False
    directive = opener.directive
    return directive.source.path == path and directive.start <= offset < directive.end


def _answer(config: Config, route: Route, target: str, build: Build) -> str:
    request = handshake_request(target)
    found = answer(route, request, build)
    forwarded = found.outcome.forwarded
    if forwarded is None:
        status = f" with {found.outcome.status}" if found.outcome.status else ""
        return f"It does not reach a backend: nginx's answer is *{found.outcome.kind}*{status}."
    rows = hop_rows(request, forwarded, build.number, config.prefix)
    table = ["| client sends | nginx | backend gets |", "|---|---|---|"]
    table += [f"| {_code(row.client)} | {_cell(row.nginx)} | {_code(row.backend)} |" for row in rows]
    where = f"Goes to {_code(forwarded.upstream.url)}." if forwarded.upstream is not None else ""
    return "\n\n".join(filter(None, (where, "\n".join(_verdict(forwarded, config)), "\n".join(table))))


def _verdict(forwarded: Forwarded, config: Config) -> Iterator[str]:
    if forwarded.tunnel is None:
        yield f"Whether a tunnel opens can't be known: {_cell('; '.join(item.reason for item in forwarded.unknown))}."
    elif not forwarded.tunnel:
        yield f"**No tunnel**: {joined(FAULTS[fault] for fault in forwarded.faults)}."
    else:
        place = shown_where(forwarded.idle_origin, config.prefix) or "nginx's default"
        silence = seconds(forwarded.idle_timeout)
        yield f"**A tunnel opens**; it may stay silent for {silence} (proxy_read_timeout, {_cell(place)})."


def _cell(text: str) -> str:
    return printable(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def _code(text: str) -> str:
    shown = printable(text).replace("|", "\\|").replace("`", "'")
    return f"`{shown}`" if shown else ""
