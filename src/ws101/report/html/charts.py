"""Charts as tables: each row is a name, a bar and a figure, so that they can be read aloud, folded and printed.

A bar is a picture of what the row says in words beside it, and is hidden from screen readers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ws101.lazy import dataclass
from ws101.report.html.base import Markup, element, joined

__all__ = ["Bar", "chart"]

_WIDTH, _HEIGHT = 1000, 20
_THINNEST = 4.0


@dataclass(frozen=True, slots=True)
class Bar:
    """A row of a chart.

    Args:
        name: What is measured.
        figure: The result in words.
        start: Where the bar begins, in the chart's unit.
        length: How long it is; 0 draws none.
        role: ``plain``, ``good``, ``bad`` or ``warn``: its colour.
        ticks: Further moments to mark on it.
        open: Whether it might go on beyond its end.
    """

    name: str
    figure: str
    start: float = 0.0
    length: float = 0.0
    role: str = "plain"
    ticks: tuple[float, ...] = ()
    open: bool = False


def chart(
    caption: str, heads: tuple[str, str], bars: Sequence[Bar], *, limit: float | None = None, mark: str = ""
) -> Markup:
    """A chart.

    Args:
        caption: What it shows, one clause.
        heads: The heads of the columns of names and of figures.
        bars: The rows.
        limit: A value to be marked by a line through all rows; None marks none.
        mark: What that value is.
    """
    ends = [bar.start + bar.length for bar in bars] + [tick for bar in bars for tick in bar.ticks]
    most = max([*ends, limit or 0.0]) * (1.0 if limit is None else 1.06) or 1.0
    rows = (_row(bar, most, limit) for bar in bars)
    head = element(
        "tr", _head(heads[0]), element("td", class_="bar"), _head(heads[1])
    )  # the bars have nothing to say to those who cannot see them
    note = element("p", element("span", class_="limit-key"), mark, class_="remark") if limit is not None else ""
    table = element(
        "table", element("caption", caption), element("thead", head), element("tbody", *rows), class_="chart"
    )
    return joined((table, note))


def _head(text: str) -> Markup:
    return element("th", text, scope="col")


def _row(bar: Bar, most: float, limit: float | None) -> Markup:
    scale = _WIDTH / most
    parts = [*_drawn(bar, scale), *(_line(tick * scale, "tick") for tick in bar.ticks)]
    if limit is not None:
        parts.append(_line(limit * scale, "limit"))
    picture = element(
        "svg", *parts, viewBox=f"0 0 {_WIDTH} {_HEIGHT}", preserveAspectRatio="none", aria_hidden="true",
        focusable="false",
    )  # fmt: skip
    name, figure = element("th", bar.name, scope="row"), element("td", bar.figure, class_="figure")
    return element("tr", name, element("td", picture, class_="bar"), figure)


def _drawn(bar: Bar, scale: float) -> Iterable[Markup]:
    if bar.length > 0:
        width = min(max(_THINNEST, bar.length * scale), _WIDTH)
        left = min(bar.start * scale, _WIDTH - width)
        role = f"{bar.role} open" if bar.open else bar.role
        yield element("rect", x=f"{left:.1f}", y="3", width=f"{width:.1f}", height=f"{_HEIGHT - 6}", class_=role)


def _line(at: float, role: str) -> Markup:
    here = f"{at:.1f}"
    return element("line", x1=here, x2=here, y1="0", y2=str(_HEIGHT), class_=role)
