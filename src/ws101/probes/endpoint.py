"""Where a probe goes: ``parse_ws_url`` turns a URL into an ``Endpoint`` (RFC 6455 section 3, RFC 3986)."""

from __future__ import annotations

import binascii
import re

from ws101.errors import UsageError
from ws101.lazy import dataclass, lazy_pattern
from ws101.probes.masking import mask
from ws101.text import printable

__all__ = ["Endpoint", "parse_ws_url"]

_PORTS = {"ws": 80, "http": 80, "wss": 443, "https": 443}
_URL = lazy_pattern(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^?#]*)(\?[^#]*)?(#.*)?", re.DOTALL)
_AUTHORITY = lazy_pattern(r"(?:(.*)@)?(\[[^\[\]]*\]|[^:\[\]@]*)(?::([^:]*))?", re.DOTALL)
_NAME = lazy_pattern(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*\.?")
_ADDRESS = lazy_pattern(r"[0-9A-Fa-f:.]+(?:%[0-9A-Za-z_.-]+)?")
_NO_SCHEME = lazy_pattern(r"\A[^/?#@]*@")
_ESCAPE = lazy_pattern(r"%([0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A place to connect to, and the request target there.

    Args:
        scheme: ``ws``, ``wss``, ``http`` or ``https``.
        host: Lower-case ASCII name or address, IPv6 without brackets.
        port: 1 to 65535.
        target: Path and query, as it goes into the request line.
        authorization: Value of the Authorization field made from the URL's user and password; empty if there are none.
    """

    scheme: str
    host: str
    port: int
    target: str = "/"
    authorization: str = ""

    @property
    def tls(self) -> bool:
        """Whether the scheme asks for TLS."""
        return self.scheme in ("wss", "https")

    @property
    def host_header(self) -> str:
        """The Host field: the port only where it is not the scheme's own (RFC 6455 section 4.1)."""
        host = f"[{self.host.partition('%')[0]}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL without user, password and secrets in the query, for people."""
        return mask(f"{self.scheme}://{self.host_header}{self.target}")


def parse_ws_url(url: str) -> Endpoint:
    """Read a ws, wss, http or https URL.

    Non-ASCII host names become IDNA, other characters outside ASCII percent-encoded UTF-8.

    Raises:
        UsageError: If the scheme is another one, the host is missing, the port is no port, or characters stand where
            they cannot; with the remedy.
    """
    shown = printable(mask(_NO_SCHEME.sub("***@", url)).encode("utf-8", "replace").decode("latin-1"), limit=200)
    if re.search(r"[\x00-\x20\x7f]", url):
        raise UsageError("the URL holds a blank or a control character", where=shown, help="write a space as %20")
    match = _URL.fullmatch(url)
    if match is None:
        raise UsageError(
            "this is not a URL", where=shown, help=f"begin with ws:// or wss://, as in ws://{_bare(shown)}"
        )
    scheme = match[1].lower()
    if scheme not in _PORTS:
        raise UsageError(f"the scheme {scheme}:// is not for WebSockets", where=shown, help="use ws:// or wss://")
    if match[5]:
        raise UsageError("a WebSocket URL has no fragment", where=shown, help="leave out what follows #, or write %23")
    authority = _AUTHORITY.fullmatch(match[2])
    if authority is None:
        raise UsageError(
            "the host is not well-formed", where=shown, help="put an IPv6 address into brackets: ws://[::1]/"
        )
    target = _quote((match[3] or "/") + (match[4] or ""))
    port = _port(authority[3], _PORTS[scheme], shown)
    return Endpoint(scheme, _host(authority[2], shown), port, target, _basic(authority[1]))


def _bare(shown: str) -> str:
    return shown.lstrip("/:") or "example.com/ws"


def _quote(text: str) -> str:
    return "".join(c if c.isascii() else "".join(f"%{b:02X}" for b in c.encode("utf-8", "replace")) for c in text)


def _port(text: str | None, default: int, shown: str) -> int:
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and 1 <= int(text) <= 65535):
        raise UsageError("the port is not a number from 1 to 65535", where=shown)
    return int(text)


def _host(text: str, shown: str) -> str:
    if not text:
        raise UsageError("the URL has no host", where=shown, help="write it as ws://example.com/path")
    if text.startswith("["):
        if ":" not in text or not _ADDRESS.fullmatch(text[1:-1]):
            raise UsageError("the brackets hold no IPv6 address", where=shown)
        return text[1:-1].lower()
    try:
        host = text.lower() if text.isascii() else text.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise UsageError("the host name cannot be encoded", where=shown) from error
    if not _NAME.fullmatch(host) or len(host) > 254 or any(len(label) > 63 for label in host.split(".")):
        raise UsageError("the host name is not well-formed", where=shown)
    return host


def _basic(userinfo: str | None) -> str:
    """RFC 7617: user and password, percent-decoded, as UTF-8 in base64."""
    if not userinfo:
        return ""
    user, _, password = userinfo.partition(":")
    data = b":".join(_unquote(part) for part in (user, password))
    return "Basic " + binascii.b2a_base64(data, newline=False).decode("ascii")


def _unquote(text: str) -> bytes:
    raw = text.encode("utf-8", "replace").decode("latin-1")
    return _ESCAPE.sub(lambda m: chr(int(m[1], 16)), raw).encode("latin-1")
