"""``ws101 diff`` as JSON: ``ws101/diff/1``; and the same as a part of ``ws101/drift/1``."""

from __future__ import annotations

from ws101.changes import Compared, Comparison, RouteChange
from ws101.nginx.config import Placed
from ws101.report.json.base import Json, nginx, unknown
from ws101.report.json.explain import outcome
from ws101.report.subject import Subject, condition
from ws101.report.texts import as_json_text

__all__ = ["comparison", "diff", "meaning"]


def diff(item: Comparison, subject: Subject) -> Json:
    """``ws101/diff/1``.

    Args:
        item: The two configurations compared.
        subject: The new one, and the nginx versions.
    """
    return {
        "schema": "ws101/diff/1",
        "class": item.class_,
        "nginx": nginx(subject),
        "old": as_json_text(item.old.path),
        "new": as_json_text(item.new.path),
        **comparison(item, every=True),
    }


def meaning(item: Comparison | None, unknown_because: str = "") -> Json:
    """What changes of files mean, as a part of ``ws101/drift/1``.

    Args:
        item: The two configurations compared; None if that is not known.
        unknown_because: Why it is not known.
    """
    if item is not None:
        return {"class": item.class_, "reason": None, **comparison(item, every=False)}
    return {
        "class": "unknown",
        "reason": as_json_text(unknown_because),
        "problems": [],
        "routes": [],
        "around": [],
        "unknown": [],
    }


def comparison(item: Comparison, *, every: bool) -> Json:
    """What differs.

    Args:
        item: The two configurations compared.
        every: Whether to list the routes that are the same too.
    """
    return {
        "problems": [
            {"message": as_json_text(p.message), "file": as_json_text(p.span.path), "line": p.line}
            for p in item.problems
        ],
        "routes": [_route(route, item) for route in (item.routes if every else item.touched)],
        "around": [as_json_text(clause) for clause in item.around],
        "unknown": [unknown(u) for u in (*item.old.unknown, *item.new.unknown)],
    }


def _route(item: RouteChange, whole: Comparison) -> Json:
    return {
        "listen": [as_json_text(text) for text in item.listen],
        "server_names": [as_json_text(text) for text in item.server_names],
        "location": as_json_text(item.location),
        "old": _place(item.old),
        "new": _place(item.new),
        "change": item.change,
        "websocket": item.websocket,
        "requests": [_compared(request, whole) for request in item.requests],
        "settings": [as_json_text(clause) for clause in item.settings],
    }


def _place(placed: Placed | None) -> Json | None:
    if placed is None:
        return None
    return {"file": as_json_text(placed.directive.source.path), "line": placed.directive.line}


def _compared(item: Compared, whole: Comparison) -> Json:
    request = item.request
    return {
        "kind": item.kind,
        "method": request.method,
        "target": as_json_text(request.target),
        "host": as_json_text(next((value for name, value in request.headers if name == "Host"), "")),
        "before": outcome(item.before) if item.before is not None else None,
        "after": outcome(item.after) if item.after is not None else None,
        "differences": [as_json_text(clause) for clause in item.differences],
        "unknown": [unknown(u) for u in item.unknown],
        "condition": None if item.builds == whole.builds else condition(item.builds, whole.builds),
    }
