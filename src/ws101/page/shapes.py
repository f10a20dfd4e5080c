"""Answers as the page shows them: texts fit for people, and pieces of text with the role that colours them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ws101.check import CheckReport, RouteRow
from ws101.findings import Finding, Fix, Level
from ws101.fix import FixResult
from ws101.manifest import Drift
from ws101.nginx.build import Build
from ws101.nginx.config import Unknown
from ws101.nginx.outcome import Trace
from ws101.report.excerpt import Mark, excerpt
from ws101.report.json.base import Json
from ws101.report.style import PLAIN, Style, pieces
from ws101.report.subject import Subject, condition
from ws101.report.terminal.explain import ending_line, timeout_line, tunnel_line
from ws101.report.terminal.hops import hop_rows
from ws101.report.texts import as_json_text, count, joined, shown_where
from ws101.rules import RULES
from ws101.syntax import Problem
from ws101.text import printable

__all__ = ["MOST", "drift", "explain", "findings", "look", "mend"]

MOST = 50
"""How many findings are given at once."""

_PAINTED = Style(color=True, width=120)
_ANSWERS = {True: "yes", False: "no", None: "unknown"}
_MEANT = {
    "intended": "meant for WebSockets",
    "possible": "may be meant for WebSockets",
    "none": "not meant for them, it seems",
}
_STEPS = ("connection", "request", "server", "location", "rewrite", "access", "content", "upstream")


def _coloured(lines: Sequence[str]) -> list[list[str]]:
    """Painted lines as pairs of role and text."""
    return [[role, text] for role, text in pieces(_PAINTED.finish("\n".join(lines)))]


def look(subject: Subject, report: CheckReport, unseen: Sequence[str]) -> Json:
    """The findings, the routes, and what is not known.

    Args:
        subject: The configuration.
        report: What the rules found.
        unseen: What was not given, one clause each.
    """
    levels = {level.value: sum(f.level is level for f in report.findings) for level in Level}
    order = {"intended": 0, "possible": 1, "none": 2}
    rows = sorted(report.routes, key=lambda row: order[row.websocket])
    return {
        "nginx": _nginx_line(subject),
        "counts": {**levels, "problem": len(report.problems), "suppressed": len(report.suppressed)},
        "servers": len(subject.config.servers),
        "problems": [_problem(item, subject) for item in report.problems[:MOST]],
        "findings": findings(subject, report, 0),
        "routes": [_route(row, subject) for row in rows],
        "unknown": list(dict.fromkeys((*unseen, *_unknown(report.unknown, subject)))),
    }


def findings(subject: Subject, report: CheckReport, start: int) -> list[Json]:
    """The next findings, `MOST` of them at most; each with its source takes a millisecond or two.

    Args:
        subject: The configuration.
        report: What the rules found.
        start: How many were shown before.
    """
    return [_finding(item, subject) for item in report.findings[start : start + MOST]]


def _nginx_line(subject: Subject) -> str:
    if subject.source == "unknown":
        return f"nginx of any version since {subject.builds[0].number}"
    return f"nginx {subject.builds[0].number}"


def _unknown(items: Sequence[Unknown], subject: Subject) -> list[str]:
    texts = [(printable(item.reason), shown_where(item.origin, subject.config.prefix)) for item in items]
    return [f"{text} ({place})" if place else text for text, place in texts]


def _problem(item: Problem, subject: Subject) -> Json:
    lines = excerpt(subject.sources, [Mark(item.span)], _PAINTED, base=subject.config.prefix)
    return {"message": printable(item.message), "excerpt": _coloured(lines)}


def _finding(item: Finding, subject: Subject) -> Json:
    marks = [Mark(item.span, role=item.level.value)]
    marks += [Mark(label.span, printable(label.message), "note", primary=False) for label in item.labels]
    rule = _BY_NAME.get(item.rule)
    return {
        "level": item.level.value,
        "rule": item.rule,
        "code": item.code,
        "message": printable(item.message),
        "excerpt": _coloured(excerpt(subject.sources, marks, _PAINTED, base=subject.config.prefix)),
        "fixes": [_fix(found) for found in (item.fix, *item.other_fixes) if found is not None],
        "help": printable(item.help),
        "why": rule.page.why if rule is not None else "",
    }


_BY_NAME = {rule.name: rule for rule in RULES}


def _fix(item: Fix) -> Json:
    return {"title": printable(item.title), "safety": item.safety.value, "reason": printable(item.reason)}


def _route(row: RouteRow, subject: Subject) -> Json:
    names = [printable(name) for name in row.server_names if name]
    base = subject.config.prefix.rstrip("/") + "/"
    return {
        "server": names[0] if names else printable(joined(row.listen[:1])),
        "more": [printable(text) for text in (*names[1:], *row.listen)],
        "location": printable(row.location),
        "upstream": printable(row.upstream) if row.upstream else "?",
        "answer": _ANSWERS[row.through],
        "websocket": row.websocket,
        "note": joined(row.rules) or (row.instead if row.websocket != "none" else "") or _MEANT[row.websocket],
        "place": printable(f"{row.file.removeprefix(base)}:{row.line}"),
    }


def explain(url: str, subject: Subject, variants: Sequence[tuple[Sequence[Build], Trace]]) -> Json:
    """The path of one request, for every range of versions in which it differs.

    Args:
        url: The address, secrets masked.
        subject: The configuration.
        variants: Each different result, with the builds that give it.
    """
    items: list[Unknown] = [*subject.config.unknown]
    for _, trace in variants:
        forwarded = trace.outcome.forwarded
        items += (*trace.unknown, *(forwarded.unknown if forwarded else ()))
    shown = [_variant(condition(builds) if len(variants) > 1 else "", trace, subject) for builds, trace in variants]
    return {"url": url, "variants": shown, "unknown": list(dict.fromkeys(_unknown(items, subject)))}


def _variant(heading: str, trace: Trace, subject: Subject) -> Json:
    base, outcome = subject.config.prefix, trace.outcome
    forwarded = outcome.forwarded
    steps = [
        {
            "step": item.step,
            "chosen": printable(item.chosen.removeprefix(f"{item.step} ")),
            "why": printable(item.why),
            "place": shown_where(item.origin, base),
        }
        for item in trace.decisions
        if item.step in _STEPS
    ]
    said: Json = {"heading": heading, "steps": steps, "answer": None, "hops": [], "tunnel": None, "timeout": None}
    if forwarded is None:
        kind = "unknown" if outcome.kind == "unknown" else "no"
        body = printable(outcome.body, limit=200) if outcome.body else ""
        return said | {"answer": {"kind": kind, "text": ending_line(outcome), "body": body}}
    rows = hop_rows(trace.arrival.request, forwarded, subject.version, base)
    return said | {
        "upstream": printable(forwarded.upstream.url) if forwarded.upstream else "a backend only run time knows",
        "hops": [{"client": r.client, "nginx": r.nginx, "backend": r.backend, "lost": r.lost} for r in rows],
        "tunnel": {"kind": _ANSWERS[forwarded.tunnel], "text": tunnel_line(forwarded, PLAIN)},
        "timeout": timeout_line(forwarded, base) if forwarded.tunnel is not False else None,
    }


def mend(result: FixResult, texts: Mapping[str, str]) -> Json:
    """What the fixes are, which were held back, and the fixed files.

    Args:
        result: What came of fixing.
        texts: The new text of each changed file, in latin-1, by the name to show.
    """
    held = [item for item in result.report.findings if item.fix is not None]
    left = [item for item in result.report.findings if item.fix is None]
    return {
        "applied": [{"rule": item.finding.rule, "title": printable(item.fix.title)} for item in result.applied],
        "held": [{"rule": item.rule, **_fix(item.fix)} for item in held if item.fix is not None],
        "left": [
            {"rule": item.rule, "message": printable(item.message), "help": printable(item.help)} for item in left
        ],
        "files": [{"name": as_json_text(name), "shown": printable(name), "text": text} for name, text in texts.items()],
        "remain": count(sum(f.level is Level.ERROR for f in result.report.findings), "error"),
    }


def drift(item: Drift, name: str) -> Json:
    """What differs from a manifest.

    Args:
        item: What was found.
        name: The manifest's name.
    """
    return {
        "name": name,
        "class": item.class_,
        "files": len(item.new.entries),
        "changes": [
            {"kind": change.kind, "name": printable(change.name), "detail": printable(change.detail)}
            for change in item.changes
        ],
    }
