"""One request through every nginx version in question, equal results together."""

from __future__ import annotations

from collections.abc import Sequence

from ws101.nginx.build import Build
from ws101.nginx.config import Config
from ws101.nginx.outcome import Arrival, Trace
from ws101.nginx.trace import trace

__all__ = ["Variants", "trace_all"]

Variants = tuple[tuple[tuple[Build, ...], Trace], ...]
"""Each different result, with the builds that give it."""


def trace_all(config: Config, arrival: Arrival, builds: Sequence[Build], *, exact: bool = True) -> Variants:
    """Trace a request for each build; results that differ in nothing that a report shows stand together.

    Args:
        config: The configuration.
        arrival: The request.
        builds: The versions.
        exact: Whether the order of header fields counts.
    """
    groups: dict[object, tuple[list[Build], Trace]] = {}
    for build in builds:
        result = trace(config, arrival, build)
        groups.setdefault(_seen(result, exact=exact), ([], result))[0].append(build)
    return tuple((tuple(group), result) for group, result in groups.values())


def _seen(result: Trace, *, exact: bool) -> object:
    """What a report shows of a trace."""
    outcome, forwarded = result.outcome, result.outcome.forwarded
    steps = tuple((d.step, d.chosen, d.why) for d in result.decisions)
    ends = (outcome.kind, outcome.status, outcome.location, outcome.body)
    doubts = tuple(item.reason for item in result.unknown)
    if forwarded is None:
        return steps, ends, doubts
    fates = [(f.name, f.value, f.fate) for f in forwarded.headers]
    sent = forwarded.request
    line = (sent.method, sent.target, sent.version, sent.body) if sent else None
    fields = tuple(fates if exact else sorted(fates))
    doubts += tuple(item.reason for item in forwarded.unknown)
    return steps, ends, doubts, line, fields, forwarded.tunnel, forwarded.faults, forwarded.idle_timeout
