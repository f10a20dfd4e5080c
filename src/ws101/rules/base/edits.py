"""The edits of ``ws101.edit`` for rules: where the syntax is broken, an edit is impossible instead of an error.

A fix that holds an impossible edit is left out: the syntax must be mended first.
"""

from __future__ import annotations

from ws101 import edit
from ws101.edit import Lines
from ws101.errors import EditError
from ws101.findings import Fix
from ws101.syntax import Directive
from ws101.text import Edit, Span

__all__ = ["append", "insert_after", "insert_before", "is_possible", "prepend", "remove", "set_args"]

_IMPOSSIBLE = Edit(Span("", -1, -1), "")


def is_possible(fix: Fix) -> bool:
    """Whether a fix can be applied: it has edits, and none of them is impossible."""
    return bool(fix.edits) and _IMPOSSIBLE not in fix.edits


def append(block: Directive, lines: Lines) -> Edit:
    """Insert lines at the end of a block."""
    try:
        return edit.append(block, lines)
    except EditError:
        return _IMPOSSIBLE


def insert_after(directive: Directive, lines: Lines) -> Edit:
    """Insert lines after a directive."""
    try:
        return edit.insert_after(directive, lines)
    except EditError:
        return _IMPOSSIBLE


def insert_before(directive: Directive, lines: Lines) -> Edit:
    """Insert lines before a directive."""
    try:
        return edit.insert_before(directive, lines)
    except EditError:
        return _IMPOSSIBLE


def prepend(block: Directive, lines: Lines) -> Edit:
    """Insert lines at the start of a block."""
    try:
        return edit.prepend(block, lines)
    except EditError:
        return _IMPOSSIBLE


def remove(directive: Directive) -> Edit:
    """Delete a directive."""
    try:
        return edit.remove(directive)
    except EditError:
        return _IMPOSSIBLE


def set_args(directive: Directive, *args: str) -> tuple[Edit, ...]:
    """Set all arguments of a directive."""
    try:
        return edit.set_args(directive, *args)
    except EditError:
        return (_IMPOSSIBLE,)
