"""The line a browser printed, as people paste it: the URL in it, and the status if it names one."""

from __future__ import annotations

import re

from ws101.lazy import dataclass, lazy_pattern

__all__ = ["Pasted", "read_pasted"]

_URL = lazy_pattern(r"(?i)\b(?:wss?|https?)://[^\s'\"<>`’”»]+")
_STATUS = lazy_pattern(r"(?i)(?:response(?: code)?|status(?: code)?|HTTP(?:/\d(?:\.\d)?)?)\b[: ]+([1-5]\d\d)\b")
_BROKEN = lazy_pattern(r"(net::ERR_[A-Z_]+|E(?:CONN[A-Z]+|TIMEDOUT|AI_\w+|NOTFOUND)|\bcode:? 1\d{3}\b|\b1006\b)")
_MIXED = lazy_pattern(r"(?i)mixed content|insecure websocket|loaded over https|operation is insecure")
_CODE_FILES = (".js", ".mjs", ".ts", ".jsx", ".tsx", ".html", ".map")


@dataclass(frozen=True, slots=True)
class Pasted:
    """What a pasted line tells.

    Args:
        url: The address of the WebSocket.
        status: The status the browser reported; None if it named none.
        symptom: The browser's own code for the failure, for example ``net::ERR_CONNECTION_REFUSED``; empty if none.
        line: The line, if it was more than the address.
        page: The address of the page that opened it, where the line says so; empty if not.
    """

    url: str
    status: int | None = None
    symptom: str = ""
    line: str = ""
    page: str = ""


def read_pasted(text: str) -> Pasted | None:
    """Read an address, or a console line of Chrome, Firefox, Safari or a library that holds one; None if none does.

    A ws or wss address is preferred: in ``http://localhost/app.js:12 WebSocket connection to 'ws://...'`` the first
    one is only where the line was written.
    """
    found = [_trimmed(m[0]) for m in _URL.finditer(text)]
    sockets = [url for url in found if url.lower().startswith("ws")]
    pages = [url for url in found if not _is_code(url)]
    url = next(iter((*sockets, *pages, *found)), None)
    if url is None:
        return None
    status, symptom = _STATUS.search(text), _BROKEN.search(text)
    whole = text.strip()
    line = whole if whole != url else ""
    page = next((other for other in found if other.lower().startswith("https://")), "https://") if line else ""
    page = page if _MIXED.search(text) else ""
    return Pasted(url, int(status[1]) if status else None, symptom[1] if symptom else "", line, page)


def _trimmed(url: str) -> str:
    """Without the full stop or bracket that ends the sentence around it."""
    url = url.rstrip(".,;:!…")
    return url.rstrip(")]") if "[" not in url and "(" not in url else url


def _is_code(url: str) -> bool:
    path = re.sub(r"(?::\d+){1,2}$", "", url.partition("?")[0])
    return path.lower().endswith(_CODE_FILES)
