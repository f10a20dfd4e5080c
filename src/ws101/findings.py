"""What ws101 says about a configuration: ``Finding``, its ``Label``s and its ``Fix``."""

from __future__ import annotations

import enum

from ws101.lazy import dataclass
from ws101.text import Edit, Span

__all__ = ["Finding", "Fix", "Label", "Level", "Safety"]


class Level(enum.Enum):
    """How bad it is; SARIF's words."""

    ERROR = "error"
    """A WebSocket cannot work."""
    WARNING = "warning"
    """It works and will bite."""
    NOTE = "note"
    """Advice."""

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return ("error", "warning", "note").index(self.value)


class Safety(enum.Enum):
    """Whether a fix may be applied without asking."""

    SAFE = "safe"
    """Proven by the model: every other request gets the same outcome."""
    UNSAFE = "unsafe"
    """Something else changes; the reason is shown and ``--unsafe`` is needed."""


@dataclass(frozen=True, slots=True)
class Label:
    """A second place that explains a finding."""

    span: Span
    message: str


@dataclass(frozen=True, slots=True)
class Fix:
    """Edits that remove a finding.

    Args:
        title: The advice, in the imperative.
        edits: All edits, in any number of files.
        safety: Safe only if every other request keeps its outcome.
        reason: Why it is unsafe; for a safe fix, that this is not proven yet; empty if it is.
    """

    title: str
    edits: tuple[Edit, ...]
    safety: Safety = Safety.SAFE
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault of one configuration.

    Args:
        rule: The rule's name, for example ``upgrade-not-forwarded``.
        code: The rule's code, for example ``WS101``.
        level: How bad it is.
        message: One clause about this configuration: cause, then effect.
        span: The place that decides.
        labels: Other places that explain it.
        fix: The fix that removes it, if an edit can.
        other_fixes: Further fixes, unsafe ones included.
        help: The advice in words, where no edit is offered or more is to be said.
    """

    rule: str
    code: str
    level: Level
    message: str
    span: Span
    labels: tuple[Label, ...] = ()
    fix: Fix | None = None
    other_fixes: tuple[Fix, ...] = ()
    help: str = ""
