"""Text from files and networks, made fit for people and for JSON; and the small words that reports share."""

from __future__ import annotations

from collections.abc import Iterable

from ws101.http1 import Headers, Request
from ws101.nginx.config import Placed
from ws101.probes.masking import mask_headers, mask_request
from ws101.text import printable

__all__ = ["as_json_text", "count", "field", "joined", "masked", "masked_headers", "seconds", "shown_where", "span"]


def as_json_text(text: str) -> str:
    """Latin-1 text read as UTF-8; a byte that is none becomes its lone surrogate, so nothing is lost."""
    return text if text.isascii() else text.encode("latin-1", "replace").decode("utf-8", "surrogateescape")


def shown_where(placed: Placed | None, base: str = "") -> str:
    """``file:line`` of a directive, for people, below ``base`` relative to it; empty if there is none."""
    if placed is None:
        return ""
    prefix = base.rstrip("/") + "/"
    return printable(placed.where.removeprefix(prefix) if base else placed.where)


def seconds(value: float | None) -> str:
    """A time for people: ``0.4 ms``, ``12 ms``, ``3.2 s``, ``60 s``, ``24 h``; ``-`` for none."""
    if value is None:
        return "-"
    if value < 0.01:
        return f"{value * 1000:.1f} ms"
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 10 and value != int(value):
        return f"{value:.1f} s"
    for unit, length in (("h", 3600), ("min", 60)):
        if value >= 2 * length and value % length == 0:
            return f"{value / length:.0f} {unit}"
    return f"{value:.0f} s"


def span(low: int, high: int | None) -> str:
    """A stretch of time for people, in seconds: ``under 1 s``, ``55 s to 65 s``, ``24 h or more``."""
    if high is None:
        return f"{seconds(low)} or more"
    return f"{seconds(low)} to {seconds(high)}" if low else f"under {seconds(high)}"


def count(number: int, word: str) -> str:
    """``1 error``, ``2 errors``."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def joined(parts: Iterable[str], last: str = "and") -> str:
    """``a, b and c``."""
    items = list(parts)
    return f" {last} ".join(filter(None, (", ".join(items[:-1]), items[-1]))) if items else ""


def field(name: str, value: str) -> str:
    """A header field for people."""
    return printable(f"{name}: {value}")


def masked(request: Request) -> Request:
    """A request without its secrets."""
    return mask_request(request)


def masked_headers(headers: Headers) -> Headers:
    """Header fields without their secrets."""
    return mask_headers(headers)
