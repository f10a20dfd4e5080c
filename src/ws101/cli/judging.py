"""The findings on the way of one request, with the safety of their fixes proven."""

from __future__ import annotations

from dataclasses import replace

from ws101.check import CheckReport, Entry, check
from ws101.cli.inputs import Loaded
from ws101.findings import Finding
from ws101.fix import proven
from ws101.nginx.config import Scope
from ws101.nginx.outcome import Trace
from ws101.rules.base.aims import location_of
from ws101.rules.base.options import Options

__all__ = ["findings_on"]


def findings_on(trace: Trace, loaded: Loaded, url: str) -> tuple[Finding, ...]:
    """The findings that concern the route of a trace, the first to bite first.

    Args:
        trace: The request's way.
        loaded: The configuration.
        url: The address, which is thereby told to be a WebSocket's.
    """
    options = Options(urls=(url,))
    report = check(loaded.config, loaded.builds, options, table=False)
    mine = tuple(entry for entry in report.entries if _concerns(entry, trace))
    return _proven(replace(report, entries=mine), options).findings


def _proven(report: CheckReport, options: Options) -> CheckReport:
    return proven(report, options) if report.entries else report


def _concerns(entry: Entry, trace: Trace) -> bool:
    """Whether a finding is about the scope that answers, or about no scope at all (nginx refuses the file)."""
    scope = trace.outcome.scope
    if not entry.places:
        return entry.bites == 0
    return scope is not None and any(_same(place, scope) for place in entry.places)


def _same(place: Scope, scope: Scope) -> bool:
    return place is scope or location_of(place) is location_of(scope)
