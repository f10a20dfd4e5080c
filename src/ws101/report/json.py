"""JSON reports: one function a command; the keys and their order are an API (docs/reference/formats.md).

Every function returns a dict of plain values, and ``dump`` turns it into text.  Paths and configuration text are UTF-8;
header values and raw requests are latin-1 decodings of their bytes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ws101.findings import Finding, Fix
from ws101.http1 import Headers, Request
from ws101.nginx.build import Build
from ws101.nginx.config import Unknown
from ws101.nginx.outcome import Decision, Forwarded, Outcome, Trace
from ws101.report.subject import Subject, condition
from ws101.report.texts import as_json_text, masked
from ws101.text import Source, Span

__all__ = ["Json", "dump", "explain"]

Json = dict[str, Any]


def dump(report: Json) -> str:
    """The report as text, two blanks a level; what is no UTF-8 stands as a lone surrogate escape."""
    return json.dumps(report, ensure_ascii=False, indent=2) + "\n"


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
        {"message": label.message, **span_start(subject.sources.get(label.span.path), label.span)} for label in item.labels
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


def _headers(headers: Headers) -> list[list[str]]:
    return [[name, value] for name, value in headers]


def request(item: Request | None) -> Json | None:
    """A request, secrets masked."""
    if item is None:
        return None
    shown = masked(item)
    return {
        "method": shown.method,
        "target": shown.target,
        "version": shown.version,
        "headers": _headers(shown.headers),
        "raw": shown.encode().decode("latin-1"),
    }


def _upstream(forwarded: Forwarded | None) -> Json | None:
    upstream = forwarded.upstream if forwarded else None
    if upstream is None:
        return None
    addresses = [peer.address for peer in upstream.peers]
    return {
        "name": upstream.name,
        "address": addresses[0] if len(addresses) == 1 else None,
        "addresses": addresses,
        "tls": upstream.tls,
    }


def _fates(forwarded: Forwarded) -> list[Json]:
    shown = masked(Request("GET", "/", headers=tuple((f.name, f.value) for f in forwarded.headers))).headers
    return [
        {
            "name": fate.name,
            "value": value,
            "fate": fate.fate,
            "why": as_json_text(fate.why),
            "file": as_json_text(fate.origin.directive.source.path) if fate.origin else None,
            "line": fate.origin.directive.line if fate.origin else None,
        }
        for fate, (_, value) in zip(forwarded.headers, shown, strict=True)
    ]


def outcome(item: Outcome) -> Json:
    """What nginx does in the end."""
    forwarded = item.forwarded
    return {
        "kind": item.kind,
        "status": item.status,
        "location": as_json_text(item.location) if item.location is not None else None,
        "upstream": _upstream(forwarded),
        "request": request(forwarded.request) if forwarded else None,
        "headers": _fates(forwarded) if forwarded else None,
        "tunnel": forwarded.tunnel if forwarded else (None if item.kind == "unknown" else False),
        "faults": list(forwarded.faults) if forwarded else [],
        "idle_timeout": forwarded.idle_timeout if forwarded else None,
        "body": as_json_text(item.body) if item.body is not None else None,
    }


def decision(item: Decision) -> Json:
    """One step, and the directive that decided it."""
    directive = item.origin.directive if item.origin else None
    return {
        "step": item.step,
        "chosen": as_json_text(item.chosen),
        "why": as_json_text(item.why),
        "file": as_json_text(directive.source.path) if directive else None,
        "line": directive.line if directive else None,
    }


def _variant(builds: Sequence[Build], trace: Trace) -> Json:
    return {
        "condition": condition(builds),
        "versions": [build.number for build in builds],
        "decisions": [decision(d) for d in trace.decisions],
        **outcome(trace.outcome),
    }


def unknowns(traces: Sequence[Trace], subject: Subject) -> list[Json]:
    """What could not be known, each once: the traces' own, their forwarded requests', and the configuration's."""
    items = [u for t in traces for u in (*t.unknown, *(t.outcome.forwarded.unknown if t.outcome.forwarded else ()))]
    found = [unknown(item) for item in (*items, *subject.config.unknown)]
    return [item for at, item in enumerate(found) if item not in found[:at]]


def explain(url: str, subject: Subject, variants: Sequence[tuple[Sequence[Build], Trace]]) -> Json:
    """``ws101/explain/1``.

    Args:
        url: The address that was asked about.
        subject: The configuration.
        variants: Each different result, with the builds that give it.
    """
    single = variants[0][1] if len(variants) == 1 else None
    report: Json = {"schema": "ws101/explain/1", "url": url, "nginx": nginx(subject)}
    report["decisions"] = [decision(d) for d in single.decisions] if single else None
    report["outcome"] = outcome(single.outcome) if single else None
    if single is None:
        report["outcomes"] = [_variant(builds, trace) for builds, trace in variants]
    report["unknown"] = unknowns([trace for _, trace in variants], subject)
    return report
