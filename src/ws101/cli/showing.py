"""A diff on standard output."""

from __future__ import annotations

from ws101.cli.console import Console
from ws101.cli.inputs import Loaded
from ws101.fix import FixResult
from ws101.report.diff import paint_diff, text_diff_lines

__all__ = ["show_diff"]


def show_diff(loaded: Loaded, result: FixResult, out: Console) -> None:
    """Coloured and masked on a terminal; elsewhere byte for byte, so that ``patch`` takes it."""
    lines = list(text_diff_lines(loaded.config.sources, result.texts))
    if not lines:
        return
    if out.stream.isatty() or out.style.color:
        out.write("\n".join(paint_diff(lines, out.style)) + "\n")
    else:
        out.write_bytes("".join(lines).encode("latin-1"))
