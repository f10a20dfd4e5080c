"""``ws101 explain`` as JSON: ``ws101/explain/1``."""

from __future__ import annotations

from collections.abc import Sequence

from ws101.http1 import Request
from ws101.nginx.build import Build
from ws101.nginx.outcome import Decision, Forwarded, Outcome, Trace
from ws101.report.json.base import Json, nginx, request, unknown
from ws101.report.subject import Subject, condition
from ws101.report.texts import as_json_text, masked

__all__ = ["decision", "explain", "outcome", "unknowns"]


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
