"""A diagnosis: what the model predicts, joined with what was observed."""

from __future__ import annotations

from dataclasses import dataclass

from ws101.findings import Fix, Level
from ws101.http1 import Headers
from ws101.nginx.config import Unknown
from ws101.nginx.outcome import Trace
from ws101.probes.core import Timings
from ws101.text import Span

__all__ = ["Diagnosis", "Observed", "RootCause"]


@dataclass(frozen=True, slots=True)
class RootCause:
    """One cause of a broken or degraded WebSocket.

    Args:
        rule: The rule's name.
        level: How bad it is.
        confidence: ``proven`` (model and observation agree, or the configuration alone proves it), ``likely`` or
            ``possible``.
        message: One clause: cause, then effect.
        span: The directive that decides; None if it is not in the configuration.
        evidence: What speaks for it, one clause each.
        fix: The edit that mends it, if one can.
        help: The advice in words.
    """

    rule: str
    level: Level
    confidence: str
    message: str
    span: Span | None = None
    evidence: tuple[str, ...] = ()
    fix: Fix | None = None
    help: str = ""


@dataclass(frozen=True, slots=True)
class Observed:
    """What answered the live handshake; secrets masked.

    Args:
        status: The status; None if no HTTP answer came.
        reason: Its phrase.
        answered_by: ``backend``, ``nginx``, ``other`` or ``nobody``.
        timings: DNS, TCP, TLS and first byte, seconds.
        headers: The answer's header fields.
        body_excerpt: The first lines of the body.
        message: What the probe says of it, one clause.
    """

    status: int | None
    reason: str
    answered_by: str
    timings: Timings
    headers: Headers = ()
    body_excerpt: tuple[str, ...] = ()
    message: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why a WebSocket fails, or that it works.

    Args:
        url: The address, secrets masked.
        verdict: ``works``, ``degraded``, ``broken`` or ``unknown``.
        root_causes: The first one to bite first.
        observed: The live handshake; None offline.
        predicted: What the model says; None without a configuration.
        agrees: Whether both tell the same; None if there are not both.
        unknown: What could not be known.
    """

    url: str
    verdict: str
    root_causes: tuple[RootCause, ...] = ()
    observed: Observed | None = None
    predicted: Trace | None = None
    agrees: bool | None = None
    unknown: tuple[Unknown, ...] = ()
