"""JSON reports: one function a command; the keys and their order are an API (docs/reference/formats.md).

Every function returns a dict of plain values, and ``dump`` turns it into text.  Paths and configuration text are UTF-8;
header values and raw requests are latin-1 decodings of their bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from ws101.findings import Finding, Fix
from ws101.http1 import Headers, Request, Response
from ws101.nginx.build import Build
from ws101.nginx.config import Unknown
from ws101.nginx.outcome import Decision, Forwarded, Outcome, Trace
from ws101.probes.attribution import attribute
from ws101.probes.core import Check, Connection, HandshakeResult, Observation, TlsFacts
from ws101.probes.masking import mask_response as masked_response
from ws101.report.subject import Subject, condition
from ws101.report.texts import as_json_text, masked
from ws101.rules.base.page import Sample
from ws101.rules.base.registry import Rule
from ws101.text import Source, Span

__all__ = ["Json", "dump", "explain", "probe", "rules"]

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


def probe(url: str, seen: Observation) -> Json:
    """``ws101/probe/1``.

    Args:
        url: The address, secrets masked.
        seen: What the probe saw.
    """
    shake = seen.handshake
    response = masked_response(shake.response) if shake and shake.response else None
    who = attribute(shake.response if shake else None)
    return {
        "schema": "ws101/probe/1",
        "url": url,
        "verdict": seen.verdict.value,
        "class": seen.class_ or None,
        "message": as_json_text(seen.message),
        "help": seen.help or None,
        "request": request(shake.request) if shake else None,
        "response": _response(response, shake) if response and shake else None,
        "answered_by": who.who,
        "checks": [_check(check) for check in shake.checks] if shake else [],
        "timings": _timings(seen.connection),
        "connection": _connection(seen.connection),
        "transcript": [{"at": e.at, "direction": e.direction, "text": e.text} for e in seen.transcript],
    }


def _response(item: Response, shake: HandshakeResult) -> Json:
    return {
        "version": item.version,
        "status": item.status,
        "reason": item.reason,
        "headers": _headers(item.headers),
        "body_lines": [as_json_text(line) for line in shake.body_lines],
        "faults": [fault.value for fault in shake.faults],
        "complete": shake.complete,
    }


def _check(item: Check) -> Json:
    return {
        "name": item.name,
        "passed": item.passed,
        "message": as_json_text(item.message),
        "section": item.section,
        "class": item.class_ or None,
    }


def _timings(connection: Connection | None) -> Json | None:
    if connection is None:
        return None
    steps = connection.timings
    return {"dns": steps.dns, "tcp": steps.tcp, "tls": steps.tls, "http": steps.http}


def _connection(item: Connection | None) -> Json | None:
    if item is None:
        return None
    return {"address": item.address or None, "tried": list(item.tried), "proxy": item.proxy or None, "tls": _tls(item.tls)}


def _tls(facts: TlsFacts | None) -> Json | None:
    if facts is None:
        return None
    chain = [
        {
            "subject": cert.subject,
            "issuer": cert.issuer,
            "not_before": cert.not_before,
            "not_after": cert.not_after,
            "names": list(cert.names),
        }
        for cert in facts.chain
    ]
    return {
        "version": facts.version or None,
        "cipher": facts.cipher or None,
        "alpn": facts.alpn,
        "trusted": facts.trusted,
        "name_matches": facts.name_matches,
        "problem": facts.problem or None,
        "chain": chain,
    }


def rules(chosen: Iterable[Rule]) -> Json:
    """``ws101/rules/1``: the pages of the rules."""
    return {"schema": "ws101/rules/1", "rules": [_rule(item) for item in chosen]}


def _rule(item: Rule) -> Json:
    page = item.page
    return {
        "rule": item.name,
        "code": item.code,
        "level": item.level.value,
        "summary": page.summary,
        "details": page.details,
        "why": page.why,
        "examples": [{"bad": _sample(pair.bad), "good": _sample(pair.good)} for pair in page.pairs],
        "fix_safety": page.fix_safety or None,
        "references": list(page.references),
    }


def _sample(item: Sample) -> Json:
    return {
        "files": [{"file": name, "text": text} for name, text in item.files],
        "urls": list(item.urls),
        "nginx": item.nginx or None,
        "style": item.style,
        "unsafe": item.unsafe,
    }
