"""A diff on standard output."""

from __future__ import annotations

from collections.abc import Mapping

from ws101.cli.console import Console
from ws101.cli.inputs import Loaded
from ws101.fix import FixResult
from ws101.report.diff import paint_diff, text_diff_lines
from ws101.text import Source

__all__ = ["show_diff", "show_texts"]


def show_diff(loaded: Loaded, result: FixResult, out: Console) -> None:
    """Coloured and masked on a terminal; elsewhere byte for byte, so that ``patch`` takes it."""
    show_texts(loaded.config.sources, result.texts, out)


def show_texts(sources: Mapping[str, Source], texts: Mapping[str, str], out: Console) -> None:
    """As `show_diff`, from the old files to new texts."""
    lines = list(text_diff_lines(sources, texts))
    if not lines:
        return
    if out.stream.isatty() or out.style.color:
        out.write("\n".join(paint_diff(lines, out.style)) + "\n")
    else:
        out.write_bytes("".join(lines).encode("latin-1"))
