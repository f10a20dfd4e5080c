"""``ws101 probe --many`` as JSON: ``ws101/many/1``."""

from __future__ import annotations

from ws101.probes.crowding import Cause, Drop, Failure, Many
from ws101.report.json.base import Json
from ws101.report.texts import as_json_text

__all__ = ["many"]


def many(url: str, found: Many, cause: Cause | None, reload: str | None) -> Json:
    """``ws101/many/1``.

    Args:
        url: The address, secrets masked.
        found: What became of them.
        cause: Of the first failure; None if none failed.
        reload: What was done to reload nginx; None if it was not reloaded.
    """
    return {
        "schema": "ws101/many/1",
        "url": url,
        "verdict": "passed" if found.good else "failed",
        "asked": found.asked,
        "tried": found.tried,
        "opened": found.opened,
        "peak": found.peak,
        "held": found.held,
        "opening": found.opening,
        "rate": found.rate,
        "latency": _latency(found.latencies),
        "stopped": found.stopped or None,
        "failures": dict(found.failures),
        "first_failure": _failure(found.first, cause) if found.first and cause else None,
        "drops": [_drop(drop) for drop in found.drops],
        "reload": _reload(found, reload) if reload is not None else None,
    }


def _latency(sorted_seconds: tuple[float, ...]) -> Json | None:
    if not sorted_seconds:
        return None
    size = len(sorted_seconds)
    return {"p50": sorted_seconds[size // 2], "p95": sorted_seconds[size * 95 // 100], "max": sorted_seconds[-1]}


def _failure(first: Failure, cause: Cause) -> Json:
    return {
        "number": first.number,
        "at": first.at,
        "class": first.refusal.class_ or None,
        "status": first.refusal.status,
        "answered_by": first.refusal.who.value,
        "message": as_json_text(first.refusal.message),
        "cause": cause.name,
        "confidence": cause.confidence,
        "why": as_json_text(cause.message),
        "help": cause.help or None,
    }


def _drop(drop: Drop) -> Json:
    return {"number": drop.number, "at": drop.at, "lasted": drop.lasted, "how": drop.how, "close_code": drop.code}


def _reload(found: Many, how: str) -> Json:
    begun, done = found.marks[0][1], found.marks[1][1]
    after = [drop.at - begun for drop in found.drops if drop.at >= begun]
    return {
        "how": how,
        "outcome": found.marks[1][0],
        "at": begun,
        "seconds": done - begun,
        "survived": found.held,
        "dropped": len(after),
        "first_drop": min(after, default=None),
        "last_drop": max(after, default=None),
    }
