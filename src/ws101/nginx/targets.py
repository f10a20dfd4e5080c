"""The parts of a request target: the path, decoded and normalised, and the host, validated.

Source: src/http/ngx_http_parse.c (ngx_http_parse_complex_uri), src/http/ngx_http_request.c (ngx_http_validate_host).
"""

from __future__ import annotations

import re
from functools import lru_cache

from ws101.lazy import dataclass, lazy_pattern
from ws101.nginx.build import Build
from ws101.text import lower

__all__ = ["UriParts", "decimal", "normalise_uri", "valid_host", "validate_host"]

_LAX_HOST = lazy_pattern(r"[^\x00-\x20\x7f/]*")
_STRICT_HOST = lazy_pattern(r"(\[[A-Za-z0-9:._~!$&'()*+,;=-]*\]|(?!\[)[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::([0-9]*))?")
_DIGITS = lazy_pattern(r"[0-9]+")
_CHANGES = lazy_pattern(r"%|//|/\.|#")
"""What makes a path another one once it is read."""


@dataclass(frozen=True, slots=True)
class UriParts:
    """A request target, read: the decoded path, the raw arguments, whether the path held ``%XX``."""

    uri: str
    args: str
    quoted: bool


def validate_host(value: str, build: Build) -> str | None:
    """The host in a Host field or a request line: lower case, without port and one trailing dot; None if invalid.

    Until 1.29.3 nearly everything is a host and the port is not looked at; then RFC 3986 section 3.2.2 rules.
    """
    host = valid_host(value, build.does("strict_host"))
    return host[0] if host is not None else None


@lru_cache(maxsize=4096)
def valid_host(value: str, strict: bool) -> tuple[str, int | None] | None:
    """The same with the port that came with it; ``strict`` is the behaviour ``strict_host`` of a build."""
    return _strict_host(value) if strict else _lax_host(value)


def _strict_host(value: str) -> tuple[str, int | None] | None:
    found = _STRICT_HOST.fullmatch(value)
    if found is None or ".." in found[1]:
        return None
    port = decimal(found[2] or "0", 65535)
    host = found[1].removesuffix(".")
    return (lower(host), port or None) if host and port is not None else None


def decimal(digits: str, largest: int) -> int | None:
    """The number that decimal digits write; None if they don't, or if it is too large."""
    if not _DIGITS.fullmatch(digits):
        return None
    number = int(digits.lstrip("0")[:20] or "0")
    return number if number <= largest else None


def _lax_host(value: str) -> tuple[str, int | None] | None:
    """The last dot counts as trailing only if it stands right before the port; brackets only at the start."""
    if not _LAX_HOST.fullmatch(value) or ".." in value:
        return None
    end = len(value)
    if value.startswith("["):
        end = value.find("]") + 1 or end
    elif ":" in value:
        end = value.index(":")
    if value.rfind(".") == end - 1:
        end -= 1
    port = decimal(value[end:].partition(":")[2], 65535)
    return (lower(value[:end]), port or None) if end > 0 else None


@lru_cache(maxsize=4096)
def normalise_uri(target: str, merge_slashes: bool = True, empty_path: bool = False) -> UriParts | None:
    """Decode and normalise a request target.

    Args:
        target: Without scheme and authority, beginning with ``/``; with ``empty_path`` with ``?``.
        merge_slashes: Whether ``//`` becomes ``/``.
        empty_path: The target is ``?args`` behind an authority: the path is ``/``.

    Returns:
        None if nginx refuses it: a bad ``%XX``, a NUL, a path above the root.
    """
    if not empty_path and _CHANGES.search(target) is None:
        path, _, args = target.partition("?")
        return UriParts(path, args, False)
    text = "/" + target if empty_path else target
    out = _Path(merge_slashes)
    at = out.read(text)
    if at < 0:
        return None
    args = text[at + 1 :].partition("#")[0] if text.startswith("?", at) else ""
    return UriParts("".join(out.chars), args, out.quoted)


class _Path:
    """The path of a URI on its way to ``r->uri`` (nginx: ngx_http_parse_complex_uri)."""

    __slots__ = ("chars", "merge", "quoted")

    def __init__(self, merge_slashes: bool) -> None:
        self.chars: list[str] = []
        self.merge = merge_slashes
        self.quoted = False

    def read(self, text: str) -> int:
        """Read up to ``?``, ``#`` or the end and return where that is; -1 if nginx refuses."""
        at, segment = 0, 0
        while True:
            ended = at >= len(text) or text[at] in "?#"
            char, literal, width = ("/", False, 1) if ended else self._char(text, at)
            if width == 0:
                return -1
            if char == "/" and not literal:
                if not self._close_segment(segment, ended):
                    return -1
                if ended:
                    return at
                segment = len(self.chars)
            else:
                self.chars.append(char)
            at += width

    def _char(self, text: str, at: int) -> tuple[str, bool, int]:
        """The next character, whether it is only itself, and how many bytes it takes; 0 if it is bad."""
        if text[at] != "%":
            return text[at], False, 1
        self.quoted = True
        digits = text[at + 1 : at + 3]
        if not re.fullmatch("[0-9A-Fa-f]{2}", digits) or digits == "00":
            return "", False, 0
        return chr(int(digits, 16)), False, 3

    def _close_segment(self, start: int, ended: bool) -> bool:
        """End the segment that began at ``start``: resolve dots, merge slashes."""
        chars = self.chars
        segment = "".join(chars[start:]) if len(chars) - start <= 2 else ""
        if start > 0 and segment == ".":
            chars.pop()
        elif start > 0 and segment == "..":
            del chars[-3:]
            while chars and chars[-1] != "/":
                chars.pop()
            if not chars:
                return False
        elif not ended and (len(chars) > start or not chars or not self.merge):
            chars.append("/")
        return True
