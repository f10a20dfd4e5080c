"""Words that messages share."""

from __future__ import annotations

__all__ = ["and_more", "in_seconds"]


def and_more(number: int) -> str:
    """`` (here and in 2 more places)``, to stand at the end of a message; empty for none."""
    return f" (here and in {number} more place{'s' if number > 1 else ''})" if number else ""


def in_seconds(seconds: float) -> str:
    """``60 s``, ``0.5 s``, ``1728000 s``."""
    return f"{seconds:.10g} s"
