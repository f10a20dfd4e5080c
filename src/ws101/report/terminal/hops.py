"""The three hops side by side: what the client sends, what nginx does with it, what the backend gets."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.http1 import Request
from ws101.lazy import dataclass
from ws101.nginx.outcome import Forwarded, HeaderFate
from ws101.report.style import Style, cut, pad, wrap
from ws101.report.texts import field, masked, shown_where
from ws101.text import lower, printable

__all__ = ["Row", "hop_rows", "hops"]

_NEEDED = ("upgrade", "connection")
_SAID = {
    "set": "set by {place}",
    "default": "nginx's default",
    "cleared": "cut: set to nothing by {place}",
    "dropped": "cut: nginx forwards it only if told to",
    "ignored": "ignored: {why}",
    "withheld": "cut: proxy_pass_request_headers off",
}
"""What nginx does with a field, by its fate."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the three columns.

    Args:
        client: What the client sends; empty if nothing.
        nginx: What nginx does with it; empty if nothing worth a word.
        backend: What the backend gets; empty if nothing.
        lost: Whether the handshake needs it and it does not arrive.
    """

    client: str
    nginx: str
    backend: str
    lost: bool = False


def hop_rows(client: Request, forwarded: Forwarded, version: str | None = None, base: str = "") -> tuple[Row, ...]:
    """The request line and every header field, in the client's order, then what nginx adds.

    Args:
        client: The request as the client sends it.
        forwarded: What nginx makes of it.
        version: The nginx version, to be named where its default decides.
        base: Paths below this folder are shown relative to it.
    """
    client = masked(client)
    return (_request_line(client, forwarded, version), *_fields(client, forwarded, base))


def _request_line(client: Request, forwarded: Forwarded, version: str | None) -> Row:
    sent = printable(f"{client.method} {client.target} {client.version}")
    request = forwarded.request
    if request is None:
        return Row(sent, "not known in full", "?")
    request = masked(request)
    got = printable(f"{request.method} {request.target} {request.version}")
    if "http-version" in forwarded.faults:
        return Row(sent, f"{request.version}: nginx {version}" if version else "nginx's HTTP version", got, lost=True)
    return Row(sent, "" if client.target == request.target else "the path is changed", got)


def _fields(client: Request, forwarded: Forwarded, base: str) -> Iterator[Row]:
    fates: dict[str, list[HeaderFate]] = {}
    for fate in forwarded.headers:
        fates.setdefault(lower(fate.name), []).append(fate)
    for name, value in client.headers:
        mine = fates.pop(lower(name), [])
        sent = field(name, value)
        if not mine:
            arrives = forwarded.request is not None and forwarded.request.header(name) is not None
            yield Row(sent, "", sent if arrives else "")
        for at, fate in enumerate(_told(mine)):
            yield _field(sent if at == 0 else "", fate, forwarded, base)
    for mine in fates.values():
        yield from (_field("", fate, forwarded, base) for fate in mine if fate.value)


def _told(fates: list[HeaderFate]) -> list[HeaderFate]:
    """What is sent under a name; if nothing is, the one that tells best how it was lost."""
    sent = [fate for fate in fates if fate.value]
    return sent or sorted(fates, key=lambda fate: fate.origin is None)[:1]


def _field(sent: str, fate: HeaderFate, forwarded: Forwarded, base: str) -> Row:
    """A field that nginx sets, passes or cuts."""
    shown = masked(Request("GET", "/", headers=((fate.name, fate.value),))).headers[0][1]
    place = shown_where(fate.origin, base).rpartition("/")[2]
    said = _SAID.get(fate.fate, "").format(place=place, why=printable(fate.why))
    lost = lower(fate.name) in _NEEDED and any(fault.startswith(lower(fate.name)) for fault in forwarded.faults)
    return Row(sent, said, field(fate.name, shown) if fate.value else "", lost)


def hops(rows: tuple[Row, ...], style: Style, *, upstream: str = "", indent: int = 2) -> list[str]:
    """The rows as three columns; below each other where the terminal is narrow."""
    room = style.width - indent
    return _stacked(rows, style, indent) if room < 76 else _side_by_side(rows, style, upstream, room, indent)


def _side_by_side(rows: tuple[Row, ...], style: Style, upstream: str, room: int, indent: int) -> list[str]:
    left, middle, right = _widths(rows, room - 8)
    gets = f"{upstream} gets"
    gets = gets if upstream and len(gets) <= right else "backend gets"
    head = f"{pad('client sends', left)}    {pad('nginx', middle)}    {gets}"
    margin, arrow = " " * indent, pad(style.glyph("arrow"), 2)
    lines = [margin + style.paint("title", head)]
    for row in rows:
        client, backend = pad(cut(row.client, left, style), left), cut(row.backend, right, style)
        first, *more = [cut(line, middle, style) for line in wrap(row.nginx, middle)]
        role = "error" if row.lost else "dim"
        said, out = style.paint(role, pad(first, middle)), arrow if row.backend else "  "
        cells = (_lost(client, row, style), _sign(row, style), said, out, _lost(backend, row, style))
        lines.append((margin + " ".join(cells)).rstrip())
        lines += [f"{margin}{' ' * (left + 4)}{style.paint(role, line)}" for line in more]
    return lines


def _widths(rows: tuple[Row, ...], room: int) -> tuple[int, int, int]:
    """Columns of the three hops: nginx's gets a third at most, the others share the rest as they need it."""
    widest = [
        max((len(text) for text in column), default=0)
        for column in zip(*((r.client, r.nginx, r.backend) for r in rows), strict=True)
    ]
    middle = min(widest[1], max(24, room // 3))
    left = min(widest[0], (room - middle) // 2)
    right = min(widest[2], room - middle - left)
    return max(left, 12), max(middle, 5), max(right, 12)


def _lost(text: str, row: Row, style: Style) -> str:
    return style.paint("error", text) if row.lost and text.strip() else text


def _sign(row: Row, style: Style) -> str:
    """How what the client sends enters nginx: onwards, or no further."""
    if not row.client:
        return "  "
    if row.backend:
        return pad(style.glyph("arrow"), 2)
    return style.paint("error" if row.lost else "dim", pad(style.glyph("cross"), 2))


def _stacked(rows: tuple[Row, ...], style: Style, indent: int) -> list[str]:
    """One field after the other, for narrow terminals."""
    lines, margin = [], " " * indent
    for row in rows:
        if row.client == row.backend and not row.nginx:
            lines.append(f"{margin}= {row.client}")
            continue
        if row.client:
            lines.append(f"{margin}{style.paint('removed', '-')} {row.client}")
        if row.backend:
            lines.append(f"{margin}{style.paint('added', '+')} {row.backend}")
        if row.nginx:
            lines.append(f"{margin}    {style.paint('error' if row.lost else 'dim', row.nginx)}")
    return [cut(line, style.width, style) if not style.color else line for line in lines]
