"""Markup that cannot be broken out of: every part of an element is escaped, unless it is markup already.

What could steer a terminal, turn text around or hide it is shown as an escape, as on the terminal: a page is copied
from, and a mail shows it beside other text.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

from ws101.lazy import lazy_pattern
from ws101.probes.masking import mask
from ws101.report.style import pieces
from ws101.text import printable

__all__ = ["Markup", "colored", "element", "escaped", "joined", "row", "table", "told"]

_VOID = frozenset({"br", "hr", "meta", "wbr"})
_UNSAFE = lazy_pattern(r"[^\n\t\x20-\x7e]")


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def escaped(text: str) -> Markup:
    """A text as HTML; markup stays as it is."""
    return text if isinstance(text, Markup) else Markup(html.escape(_UNSAFE.sub(_shown, text), quote=True))


def _shown(found: re.Match[str]) -> str:
    char = found[0]
    return char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode("ascii")


def joined(parts: Iterable[str], between: str = "") -> Markup:
    """Parts one after the other, each escaped."""
    return Markup(escaped(between).join(map(escaped, parts)))


def element(tag: str, *parts: str, **attributes: str | None) -> Markup:
    """An element.

    Args:
        tag: Its name.
        parts: What stands in it: text is escaped, markup is not.
        attributes: Python's spelling: ``class_`` is ``class``, ``aria_label`` is ``aria-label``.  None leaves one out.
    """
    given = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escaped(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    inside = joined(parts)
    if not inside and tag in _VOID:
        return Markup(f"<{tag}{given}>")
    return Markup(f"<{tag}{given}>{inside}</{tag}>")


def table(caption: str, heads: Sequence[str], rows: Iterable[Markup], name: str) -> Markup:
    """A table with a head for each column, that stands row below row where there is little room.

    Args:
        caption: What it shows.
        heads: The heads of the columns.
        rows: The rows, of `row`.
        name: Its class.
    """
    head = element("thead", element("tr", *(element("th", text, scope="col") for text in heads)))
    return element("table", element("caption", caption), head, element("tbody", *rows), class_=f"{name} stack")


def row(heads: Sequence[str], cells: Sequence[str], looks: Sequence[str] = (), *, name: str = "") -> Markup:
    """A row of a table; the first cell names it, unless it looks like the others.

    Args:
        heads: The heads of the columns, which stand before each cell where there is little room.
        cells: What stands in it.
        looks: The class of each cell; ``th`` for one that names the row.
        name: The row's class.
    """
    made = []
    for at, (head, cell) in enumerate(zip(heads, cells, strict=True)):
        look = looks[at] if at < len(looks) else ""
        if look == "th":
            made.append(element("th", cell, scope="row", data_label=head))
        else:
            made.append(element("td", cell, class_=look or None, data_label=head))
    return element("tr", *made, class_=name or None)


def told(text: str) -> Markup:
    """Latin-1 text from a file or a network, secrets masked, as HTML."""
    return escaped(printable(mask(text)))


def colored(lines: Iterable[str]) -> Markup:
    """Lines that were painted for a terminal, as HTML: each role is a class."""
    shown = ("".join(element("span", text, class_=role) if role else escaped(text) for role, text in pieces(line))
             for line in lines)  # fmt: skip
    return Markup("\n".join(shown))
