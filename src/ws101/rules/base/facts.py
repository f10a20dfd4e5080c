"""Small questions that several rules ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ws101.findings import Label
from ws101.nginx.config import Placed
from ws101.rules.base.aims import Aim, location_of
from ws101.rules.base.causes import Fault
from ws101.rules.base.context import Context
from ws101.syntax import Directive
from ws101.text import Span, printable

__all__ = ["by_origin", "head_label", "header_faults", "place", "show"]


def place(aim: Aim) -> Span:
    """The location block that answers, whole; in a part cut out of a location, the directive that hands on."""
    opener = _opener(aim)
    return opener.directive.span if opener.directive.block is not None else opener.span


def head_label(aim: Aim, message: str) -> Label:
    """A label at the head of the location that answers."""
    return Label(_opener(aim).span, message)


def _opener(aim: Aim) -> Placed:
    found = location_of(aim.scope).opener or aim.route.handler
    assert found is not None, "an aim is a route with a handler"
    return found


def show(text: str) -> str:
    """Text from a configuration for a message."""
    return printable(text, limit=80)


def header_faults(context: Context) -> Iterator[tuple[Aim, Fault, Fault]]:
    """The aims whose Upgrade or Connection field does not arrive, with what became of each."""
    return iter(context.header_faults)


def by_origin(
    context: Context, name: str, wanted: Callable[[Fault], bool]
) -> Iterator[tuple[Placed, Fault, tuple[Aim, ...]]]:
    """The directives that decide a faulty field, each with the aims it decides for."""
    found: dict[Directive, tuple[Placed, Fault, list[Aim]]] = {}
    for aim, upgrade, connection in header_faults(context):
        fault = upgrade if name == "Upgrade" else connection
        if fault.origin is not None and wanted(fault):
            found.setdefault(fault.origin.directive, (fault.origin, fault, []))[2].append(aim)
    return ((origin, fault, tuple(aims)) for origin, fault, aims in found.values())
