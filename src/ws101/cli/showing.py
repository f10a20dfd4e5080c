"""Diffs on standard output."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ws101.cli.console import Console
from ws101.cli.inputs import Loaded
from ws101.host.links import Content, Link
from ws101.report.diff import link_diff_lines, paint_diff, text_diff_lines
from ws101.text import Source

if TYPE_CHECKING:
    from ws101.fix import FixResult
    from ws101.host.transaction import Changes

__all__ = ["differences", "show_diff", "show_lines"]


def show_diff(loaded: Loaded, result: FixResult, out: Console) -> None:
    """Coloured and masked on a terminal; elsewhere byte for byte, so that ``patch`` takes it."""
    show_lines(list(text_diff_lines(loaded.config.sources, result.texts)), out)


def show_lines(lines: Sequence[str], out: Console) -> None:
    """As `show_diff`, where the lines of the diff are at hand."""
    if not lines:
        return
    if out.stream.isatty() or out.style.color:
        out.write("\n".join(paint_diff(lines, out.style)) + "\n")
    else:
        out.write_bytes("".join(lines).encode("latin-1"))


def differences(edits: Changes) -> dict[str, list[str]]:
    """The diff of each file and symlink of a change, line by line, latin-1, by name."""
    return {name: list(_lines(name, old, new)) for name, (old, new) in edits.items()}


def _lines(name: str, old: Content, new: Content) -> Iterator[str]:
    if isinstance(old, Link):
        yield from link_diff_lines(name, old.target, made=False)
    if isinstance(old, bytes) or isinstance(new, bytes):
        sources = {name: Source.from_bytes(name, old)} if isinstance(old, bytes) else {}
        yield from text_diff_lines(sources, {name: new.decode("latin-1") if isinstance(new, bytes) else ""})
    if isinstance(new, Link):
        yield from link_diff_lines(name, new.target, made=True)
