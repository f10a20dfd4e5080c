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


def trace_all(config: Config, arrival: Arrival, builds: Sequence[Build]) -> Variants:
    """Trace a request for each build; results that differ in nothing but the build stand together."""
    groups: list[tuple[list[Build], Trace]] = []
    for build in builds:
        result = trace(config, arrival, build)
        same = next((group for group, known in groups if known == result), None)
        if same is None:
            groups.append(([build], result))
        else:
            same.append(build)
    return tuple((tuple(group), result) for group, result in groups)
