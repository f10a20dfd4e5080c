"""``ws101 probe`` as JSON: ``ws101/probe/1``."""

from __future__ import annotations

from ws101.http1 import Response
from ws101.probes.attribution import answered_by
from ws101.probes.core import Check, Connection, HandshakeResult, Observation, TlsFacts
from ws101.probes.masking import mask_response
from ws101.report.json.base import Json, headers, request
from ws101.report.texts import as_json_text

__all__ = ["probe", "timings"]


def probe(url: str, seen: Observation, name: str = "handshake") -> Json:
    """``ws101/probe/1``.

    Args:
        url: The address, secrets masked.
        seen: What the probe saw.
        name: Which probe it was.
    """
    shake = seen.handshake
    response = mask_response(shake.response) if shake and shake.response else None
    who = answered_by(shake.response if shake else None)
    return {
        "schema": "ws101/probe/1",
        "url": url,
        "probe": name,
        "verdict": seen.verdict.value,
        "class": seen.class_ or None,
        "message": as_json_text(seen.message),
        "help": seen.help or None,
        "details": {key: as_json_text(value) if isinstance(value, str) else value for key, value in seen.details},
        "request": request(shake.request) if shake else None,
        "response": _response(response, shake) if response and shake else None,
        "answered_by": who.who.value,
        "checks": [_check(check) for check in shake.checks] if shake else [],
        "timings": timings(seen.connection),
        "connection": _connection(seen.connection),
        "transcript": [{"at": e.at, "direction": e.direction, "text": e.text} for e in seen.transcript],
    }


def _response(item: Response, shake: HandshakeResult) -> Json:
    return {
        "version": item.version,
        "status": item.status,
        "reason": item.reason,
        "headers": headers(item.headers),
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


def timings(connection: Connection | None) -> Json | None:
    """Seconds of each step; null without a connection."""
    if connection is None:
        return None
    steps = connection.timings
    return {"dns": steps.dns, "tcp": steps.tcp, "tls": steps.tls, "http": steps.http}


def _connection(item: Connection | None) -> Json | None:
    if item is None:
        return None
    return {
        "address": item.address or None,
        "tried": list(item.tried),
        "proxy": item.proxy or None,
        "tls": _tls(item.tls),
    }


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
