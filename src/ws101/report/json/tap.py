"""``ws101 tap`` as JSON: one object a line, ``ws101/tap/1``."""

from __future__ import annotations

import json

from ws101.http1 import Request, Response
from ws101.probes.tapping import Heard
from ws101.report.json.base import Json, headers
from ws101.report.texts import as_json_text

__all__ = ["tap", "tap_line"]


def tap(item: Heard) -> Json:
    """One thing that passed, as ``ws101/tap/1``."""
    return {
        "schema": "ws101/tap/1",
        "event": item.kind,
        "at": item.at,
        "connection": item.connection,
        "message": as_json_text(item.message) or None,
        "request": _request(item.head) if isinstance(item.head, Request) else None,
        "response": _response(item.head) if isinstance(item.head, Response) else None,
        "lacks": [as_json_text(one) for one in item.lacks],
        "seconds": item.seconds,
        "bytes": {"up": item.up, "down": item.down},
        "frames": {"up": item.frames[0], "down": item.frames[1]},
    }


def tap_line(item: Heard) -> str:
    """The same as one line."""
    return json.dumps(tap(item), ensure_ascii=False) + "\n"


def _request(item: Request) -> Json:
    return {"method": item.method, "target": item.target, "version": item.version, "headers": headers(item.headers)}


def _response(item: Response) -> Json:
    return {"version": item.version, "status": item.status, "reason": item.reason, "headers": headers(item.headers)}
