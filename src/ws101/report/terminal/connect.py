"""What ``ws101 connect`` shows: messages, control frames, the end; nothing from the network stands there raw."""

from __future__ import annotations

import json

from ws101.lazy import lazy_pattern
from ws101.probes.frames import Ending, Seen
from ws101.probes.talk import COMMANDS
from ws101.report.style import Style, columns
from ws101.report.texts import seconds
from ws101.text import printable

__all__ = ["ended", "hexdump", "note", "pretty_json", "received", "sent", "usage"]

_SHOWN = 32 * 1024
_DUMPED = 1024
_TOKEN = lazy_pattern(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+')
_JSON_LIMIT = 1024 * 1024
_DEPTH = 100


def received(seen: Seen, style: Style, *, stamp: str = "", trip: float | None = None) -> str:
    """A message or a control frame from the server.

    Args:
        seen: The frame.
        style: What the terminal can show.
        stamp: The time of day; empty shows none.
        trip: For a pong, the round trip in seconds.
    """
    head = _head("<", "good", style, stamp)
    if seen.kind == "text":
        return head + _indented(_text(seen.data), len(stamp) + (3 if stamp else 2), style)
    if seen.kind == "binary":
        return (
            head
            + style.paint("dim", f"binary, {len(seen.data)} bytes")
            + "".join(f"\n  {line}" for line in hexdump(seen.data))
        )
    said = f" {printable(seen.data.decode('latin-1'))}" if seen.data and seen.kind != "close" else ""
    took = f" after {trip * 1000:.1f} ms" if trip is not None else ""
    return head + style.paint("dim", seen.kind + took + said)


def sent(what: str, style: Style, *, stamp: str = "") -> str:
    """Something that was sent without being typed: a pong, a message of ``--execute``."""
    return _head(">", "path", style, stamp) + style.paint("dim", printable(what))


def note(text: str, style: Style, *, stamp: str = "") -> str:
    """A line about the connection."""
    return _head("*", "note", style, stamp) + printable(text)


def ended(ending: Ending, style: Style, *, stamp: str = "") -> str:
    """How the tunnel ended."""
    if ending.how == "close":
        code = "without a code" if ending.code == 1005 else f"with code {ending.code}"
        reason = f": {printable(ending.reason.encode('utf-8').decode('latin-1'))}" if ending.reason else ""
        return _head("*", "note", style, stamp) + f"closed {code}{reason}"
    words = {
        "fin": f"cut after {seconds(ending.at)}, without a close frame: "
        "a crash, a timeout on the way, or an application that hangs up",
        "reset": "reset",
    }
    said = words.get(ending.how) or printable(ending.reason or ending.how)
    return (
        _head("*", "error", style, stamp) + f"the connection was {said}"
        if ending.how in words
        else (_head("*", "error", style, stamp) + said)
    )


def usage(style: Style) -> str:
    """The commands."""
    rows = [(style.paint("code", f"{name} {args}".rstrip()), said) for name, args, said in COMMANDS]
    return "\n".join(columns(rows, indent=2))


def _head(sign: str, role: str, style: Style, stamp: str) -> str:
    return (style.paint("dim", stamp) + " " if stamp else "") + style.paint(role, sign) + " "


def _indented(text: str, indent: int, style: Style) -> str:
    """Lines below the first stand under it; a long text is cut, and that is said."""
    cut = len(text) - _SHOWN
    lines = [printable(line) for line in text[:_SHOWN].split("\n")]
    if cut > 0:
        lines.append(style.paint("dim", f"({cut} more bytes; /save FILE writes all of it)"))
    return ("\n" + " " * indent).join(lines)


def _text(data: bytes) -> str:
    """The message as latin-1 text; JSON is laid out over several lines."""
    if data[:1] in (b"{", b"[") and len(data) <= _JSON_LIMIT:
        laid_out = pretty_json(data.decode("utf-8", "surrogateescape"))
        if laid_out is not None:
            return laid_out.encode("utf-8", "surrogateescape").decode("latin-1")
    return data.decode("latin-1").removesuffix("\n")


def pretty_json(text: str) -> str | None:
    """JSON laid out over several lines, every token as it came: no number is rounded, no repeated key lost.

    Args:
        text: Any text.

    Returns:
        None if it is not JSON, or nested deeper than 100 levels.
    """
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return None
    parts: list[str] = []
    depth, opened = 0, False
    for word in _TOKEN.findall(text):
        if word in ("]", "}"):
            depth -= 1
            parts.append(word if opened else "\n" + "  " * depth + word)
            opened = False
            continue
        if opened:
            parts.append("\n" + "  " * depth)
        opened = word in ("[", "{")
        depth += opened
        if depth > _DEPTH:
            return None
        parts.append({",": ",\n" + "  " * depth, ":": ": "}.get(word, word))
    return "".join(parts)


def hexdump(data: bytes) -> list[str]:
    """Sixteen bytes a line: offset, hexadecimal, ASCII; cut after 1 KiB."""
    lines = []
    for at in range(0, min(len(data), _DUMPED), 16):
        row = data[at : at + 16]
        shown = "".join(chr(b) if 32 <= b < 127 else "." for b in row)
        lines.append(f"{at:06x}  {row[:8].hex(' '):<23}  {row[8:].hex(' '):<23}  {shown}".rstrip(" "))
    if len(data) > _DUMPED:
        lines.append(f"({len(data) - _DUMPED} more bytes)")
    return lines
