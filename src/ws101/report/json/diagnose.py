"""``ws101 diagnose`` as JSON: ``ws101/diagnose/1``."""

from __future__ import annotations

from ws101.diagnose import Diagnosis, Observed, RootCause, Tried
from ws101.nginx.outcome import Trace
from ws101.probes.masking import mask_headers
from ws101.report.json.base import Json, fix, headers, nginx, span_start, unknown
from ws101.report.json.explain import decision, outcome
from ws101.report.subject import Subject
from ws101.report.texts import as_json_text

__all__ = ["diagnose"]


def diagnose(found: Diagnosis, subject: Subject | None) -> Json:
    """A diagnosis.

    Args:
        found: The diagnosis.
        subject: The configuration; None without one.
    """
    return {
        "schema": "ws101/diagnose/1",
        "url": found.url,
        "verdict": found.verdict,
        "class": found.root_causes[0].rule if found.root_causes else None,
        "nginx": nginx(subject) if subject else None,
        "root_causes": [_cause(item, subject) for item in found.root_causes],
        "observed": _observed(found.observed),
        "predicted": _predicted(found.predicted),
        "agrees": found.agrees,
        "experiments": [_tried(item) for item in found.tried],
        "next_question": as_json_text(found.next_question) or None,
        "unknown": [unknown(item) for item in found.unknown],
    }


def _tried(item: Tried) -> Json:
    return {
        "name": item.name,
        "title": as_json_text(item.title),
        "answer": as_json_text(item.answer),
        "passed": item.passed,
        "seconds": item.seconds,
    }


def _cause(item: RootCause, subject: Subject | None) -> Json:
    source = subject.sources.get(item.span.path) if subject and item.span else None
    place = span_start(source, item.span) if item.span else {"file": None, "line": None, "column": None}
    return {
        "rule": item.rule,
        "level": item.level.value,
        "confidence": item.confidence,
        "message": as_json_text(item.message),
        **place,
        "evidence": [as_json_text(clause) for clause in item.evidence],
        "fix": fix(item.fix),
        "help": as_json_text(item.help) or None,
        "decided_by": [*item.decided_by],
    }


def _observed(item: Observed | None) -> Json | None:
    if item is None:
        return None
    steps = item.timings
    return {
        "status": item.status,
        "reason": item.reason,
        "answered_by": item.answered_by,
        "attribution": [as_json_text(clause) for clause in item.attribution],
        "timings": {"dns": steps.dns, "tcp": steps.tcp, "tls": steps.tls, "http": steps.http},
        "message": as_json_text(item.message),
        "headers": headers(mask_headers(item.headers)),
        "body_lines": [as_json_text(line) for line in item.body_excerpt],
    }


def _predicted(item: Trace | None) -> Json | None:
    return {**outcome(item.outcome), "decisions": [decision(d) for d in item.decisions]} if item else None
