"""URI escaping as nginx does it (src/core/ngx_string.c: ngx_escape_uri, ngx_unescape_uri)."""

from __future__ import annotations

__all__ = ["escape_args", "escape_uri", "split_args", "unescape_redirect"]

_CONTROL = {code: f"%{code:02X}" for code in (*range(0x21), *range(0x7F, 0x100))}
_URI = {**_CONTROL, **{ord(c): f"%{ord(c):02X}" for c in '"#%<>?\\^`{|}'}}
_ARGS = {**_URI, **{ord(c): f"%{ord(c):02X}" for c in "&+;"}}
_HEX = frozenset("0123456789abcdefABCDEF")


def escape_uri(text: str) -> str:
    """A path for a request line or a Location (NGX_ESCAPE_URI, since 1.21.1)."""
    return text.translate(_URI)


def escape_args(text: str) -> str:
    """A capture that lands in arguments or a redirect (NGX_ESCAPE_ARGS, since 1.21.1)."""
    return text.translate(_ARGS)


def unescape_redirect(text: str) -> str:
    """What a redirect's path looks like after nginx has unescaped it (NGX_UNESCAPE_REDIRECT): up to the first ``?``."""
    out: list[str] = []
    at = 0
    while at < len(text):
        char = text[at]
        if char == "?":
            break
        if char != "%":
            out.append(char)
            at += 1
            continue
        plain, at = _unquoted(text, at + 1)
        out.append(plain)
        if plain == "?" and text[at - 1] != "?":
            break
    return "".join(out) + text[at:]


def _unquoted(text: str, at: int) -> tuple[str, int]:
    """What stands for a ``%`` and what follows it, and where the text goes on; nginx drops what is no number."""
    if text[at : at + 1] not in _HEX:
        return text[at : at + 1], at + 1
    if text[at + 1 : at + 2] not in _HEX:
        return "", at + 2
    code = int(text[at : at + 2], 16)
    return (chr(code) if 0x25 < code < 0x7F else text[at - 1 : at + 2]), at + 2


def split_args(uri: str) -> tuple[str, str]:
    """A path and its arguments (ngx_http_split_args)."""
    path, _, args = uri.partition("?")
    return path, args
