"""``ws101 tap`` for people: each request as it arrives at the hop, each answer, and the end, as they pass."""

from __future__ import annotations

from ws101.http1 import Headers, Request, Response
from ws101.probes.tapping import Heard
from ws101.report.style import Style
from ws101.report.texts import count, field, joined, seconds
from ws101.text import lower, printable

__all__ = ["heard"]

_HANDSHAKE = ("upgrade", "connection", "sec-websocket-key", "sec-websocket-accept", "sec-websocket-version")
_VALUE = 2000


def heard(item: Heard, style: Style, *, stamp: str = "") -> str:
    """One thing that passed.

    Args:
        item: What.
        style: What the terminal can show.
        stamp: The time of day; empty shows none.
    """
    lead = f"{style.paint('dim', stamp)} " if stamp else ""
    number = style.paint("path", f"#{item.connection}") if item.connection else style.paint("warning", "tap")
    lines = _LINES[item.kind](item, style)
    return "\n".join([f"{lead}{number} {lines[0]}", *(f"    {line}" for line in lines[1:])])


def _opened(item: Heard, style: Style) -> list[str]:
    return [style.paint("dim", f"from {printable(item.message)}")]


def _request(item: Heard, style: Style) -> list[str]:
    request = item.head
    assert isinstance(request, Request)
    line = printable(f"{request.method} {request.target} {request.version}", limit=_VALUE)
    lines = [f"{style.glyph('arrow')} {style.paint('title', line)}", *_fields(request.headers, style)]
    if item.lacks:
        sign = style.paint("error", style.glyph("cross"))
        lines.append(f"{sign} no opening handshake as it arrives here: {printable(joined(item.lacks))}")
    return lines


def _response(item: Heard, style: Style) -> list[str]:
    response = item.head
    assert isinstance(response, Response)
    role = "good" if response.status == 101 else "error" if response.status >= 400 else "title"
    line = printable(f"{response.version} {response.status} {response.reason}".rstrip(), limit=_VALUE)
    took = style.paint("dim", f"after {seconds(item.seconds)}") if item.seconds is not None else ""
    return [f"{style.glyph('back')} {style.paint(role, line)} {took}".rstrip(), *_fields(response.headers, style)]


def _note(item: Heard, style: Style) -> list[str]:
    return [f"{style.paint('warning', '*')} {printable(item.message, limit=_VALUE)}"]


def _closed(item: Heard, style: Style) -> list[str]:
    dot = f" {style.glyph('dot')} "
    parts = [f"{item.up} bytes up, {item.down} down"]
    if any(item.frames):
        parts.append(f"{count(item.frames[0], 'frame')} up, {item.frames[1]} down")
    said = f"{printable(item.message)} after {seconds(item.seconds)}"
    return [f"{style.paint('dim', 'end')} {said}{style.paint('dim', dot + dot.join(parts))}"]


_LINES = {"opened": _opened, "request": _request, "response": _response, "note": _note, "closed": _closed}


def _fields(headers: Headers, style: Style) -> list[str]:
    lines = []
    for name, value in headers:
        shown = field(name, value[:_VALUE]) + ("…" if len(value) > _VALUE else "")
        lines.append(style.paint("code", shown) if lower(name) in _HANDSHAKE else shown)
    return lines
