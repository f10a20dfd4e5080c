"""``ws101 verify`` as JSON: ``ws101/verify/1``."""

from __future__ import annotations

from ws101.http1 import Response
from ws101.probes.core import HandshakeResult, Observation
from ws101.probes.masking import mask_response
from ws101.probes.verification import Step, Verification
from ws101.report.json.base import Json, headers, request
from ws101.report.json.probe import timings
from ws101.report.texts import as_json_text

__all__ = ["verify"]


def verify(url: str, found: Verification) -> Json:
    """``ws101/verify/1``.

    Args:
        url: The address, secrets masked.
        found: The three steps.
    """
    return {
        "schema": "ws101/verify/1",
        "url": url,
        "verdict": found.state.value,
        "steps": [_step(step) for step in found.steps],
        "browser": _browser(found.browser) if found.browser else None,
        "client": {
            **_heads(found.client.handshake),
            "timings": timings(found.client.connection),
            "latency": found.latency,
        },
    }


def _step(step: Step) -> Json:
    return {
        "step": step.name,
        "state": step.state.value,
        "message": as_json_text(step.message),
        "class": step.class_ or None,
        "help": step.help or None,
    }


def _browser(seen: Observation) -> Json:
    names = ("opened", "status", "echoed", "frames_sent", "frames_received", "close_code", "clean")
    return {
        "name": seen.detail("browser"),
        "page": seen.detail("page"),
        "console": None if seen.passed else as_json_text(seen.message),
        **{name: seen.detail(name) for name in names},
        **_heads(seen.handshake),
    }


def _heads(shake: HandshakeResult | None) -> Json:
    response = mask_response(shake.response) if shake and shake.response else None
    return {"request": request(shake.request) if shake else None, "response": _response(response)}


def _response(item: Response | None) -> Json | None:
    if item is None:
        return None
    return {"version": item.version, "status": item.status, "reason": item.reason, "headers": headers(item.headers)}
