"""``@rule``: a function from the facts of a configuration to findings, and its manual page."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from functools import cache

from ws101.findings import Finding, Fix, Label, Level
from ws101.lazy import dataclass
from ws101.nginx.config import Scope
from ws101.rules.base.aims import Aim
from ws101.rules.base.context import Context
from ws101.rules.base.edits import is_possible
from ws101.rules.base.page import Page, parse_page
from ws101.text import Span

__all__ = ["Bites", "Check", "Found", "Rule", "rule"]


class Bites:
    """When a fault shows on the way of a WebSocket: what bites first is reported first."""

    START = 0
    """nginx refuses the configuration."""
    ROUTE = 10
    """The request does not get to the location."""
    ACCESS = 20
    """nginx itself answers."""
    FORWARD = 30
    """The backend gets no valid opening handshake."""
    BACKEND = 40
    """The backend refuses it, or is not reached."""
    ANSWER = 50
    """The 101 does not get back."""
    TUNNEL = 60
    """The tunnel does not last."""
    OTHERS = 70
    """Other requests suffer."""
    ADVICE = 80
    """Nothing fails today."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a rule yields; the registry adds the rule's name, code and level.

    Args:
        message: One clause about this configuration: cause, then effect.
        span: The place that decides.
        aims: The routes concerned.
        labels: Other places that explain it.
        fix: The fix, if an edit can mend it.
        other_fixes: Further fixes.
        help: The advice in words.
        level: If it differs from the rule's.
        scopes: The scopes concerned, where no aim is.
        refused: Whether nginx refuses the configuration for this: then there is no outcome that a fix could change.
        refusal: What nginx says then, if the message says it all: it is not said a second time.
        garbled: Whether nothing else can be told of these places: words there ran together.
        spared: Those of the places that a WebSocket may reach on another way: another address, another URL.
    """

    message: str
    span: Span
    aims: tuple[Aim, ...] = ()
    labels: tuple[Label, ...] = ()
    fix: Fix | None = None
    other_fixes: tuple[Fix, ...] = ()
    help: str = ""
    level: Level | None = None
    scopes: tuple[Scope, ...] = ()
    refused: bool = False
    refusal: str = ""
    garbled: bool = False
    spared: tuple[Scope, ...] = ()

    @property
    def places(self) -> tuple[Scope, ...]:
        """The scopes concerned."""
        return (*(aim.scope for aim in self.aims), *self.scopes)


Check = Callable[[Context], Iterable[Found]]
"""A rule's function.  Its messages must not depend on nginx's version: findings of several versions are merged."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule.

    Args:
        code: For example ``WS101``; never reused.
        name: For example ``upgrade-not-forwarded``.
        level: How bad a finding is, if it is sure that the route is meant for WebSockets.
        bites: When it shows, see ``Bites``.
        function: The check.
    """

    code: str
    name: str
    level: Level
    bites: int
    function: Check

    @property
    def page(self) -> Page:
        """The manual page.

        Raises:
            ValueError: If the docstring is no page.
        """
        return _page(self.function)

    def check(self, context: Context) -> Iterator[tuple[Found, Finding]]:
        """Run the rule."""
        for found in self.function(context):
            level = found.level or self.level
            if level is Level.ERROR and found.aims and not any(aim.intent.is_sure for aim in found.aims):
                level = Level.WARNING
            fix = found.fix if found.fix is not None and is_possible(found.fix) else None
            others = tuple(other for other in found.other_fixes if is_possible(other))
            yield (
                found,
                Finding(
                    self.name,
                    self.code,
                    level,
                    found.message,
                    found.span,
                    found.labels,
                    fix,
                    others,
                    found.help,
                ),
            )


@cache
def _page(function: Check) -> Page:
    return parse_page(inspect.getdoc(function) or "")


def rule(code: str, name: str, level: Level, *, bites: int) -> Callable[[Check], Rule]:
    """Make a function a rule; its docstring is its manual page."""

    def decorate(function: Check) -> Rule:
        return Rule(code, name, level, bites, function)

    return decorate
