"""The URL of a proxy_pass, cut as nginx cuts it (nginx: src/core/ngx_inet.c:ngx_parse_url)."""

from __future__ import annotations

import functools
import ipaddress

from ws101.lazy import dataclass

__all__ = ["ProxyUrl", "UrlError", "is_address", "parse_proxy_url"]


class UrlError(Exception):
    """nginx's message about a URL it refuses."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class ProxyUrl:
    """A proxy_pass URL.

    Args:
        tls: Whether the scheme is https.
        host: The host as written (IPv6 in brackets); for a unix socket its path.
        port: The port, the scheme's default if none is written.
        no_port: Whether none is written.
        is_unix: Whether it is a unix socket.
        uri: The URI part, "" without one.
    """

    tls: bool
    host: str
    port: int
    no_port: bool
    is_unix: bool
    uri: str

    @property
    def host_header(self) -> str:
        """``$proxy_host``: the port only if it is not the scheme's default (ngx_http_proxy_set_vars)."""
        if self.is_unix:
            return "localhost"
        return self.host if self.no_port or self.port == self.default_port else f"{self.host}:{self.port}"

    @property
    def default_port(self) -> int:
        """443 for https, else 80."""
        return 443 if self.tls else 80

    @property
    def port_text(self) -> str:
        """``$proxy_port``."""
        return "" if self.is_unix else str(self.port)

    @property
    def address(self) -> str:
        """``host:port`` or ``unix:/path``."""
        return f"unix:{self.host}" if self.is_unix else f"{self.host}:{self.port}"


@functools.lru_cache(maxsize=4096)
def parse_proxy_url(text: str) -> ProxyUrl:
    """Cut a URL that has no variables (any more).

    Raises:
        UrlError: If nginx would refuse it.
    """
    scheme = text[:8].lower()
    if scheme.startswith("http://"):
        tls, rest = False, text[7:]
    elif scheme == "https://":
        tls, rest = True, text[8:]
    else:
        raise UrlError("invalid URL prefix")
    if rest[:5].lower() == "unix:":
        path, _, uri = rest[5:].partition(":")
        if not path:
            raise UrlError(f'no path in the unix domain socket in upstream "{rest}"')
        return ProxyUrl(tls, path, 443 if tls else 80, True, True, uri)
    return _inet(tls, rest)


def _inet(tls: bool, rest: str) -> ProxyUrl:
    cuts = [at for at in (rest.find("/"), rest.find("?")) if at >= 0]
    end = min(cuts, default=len(rest))
    authority, uri = rest[:end], rest[end:]
    host, port_text = _split_port(authority, rest)
    if not host:
        raise UrlError(f'no host in upstream "{rest}"')
    if port_text is None:
        return ProxyUrl(tls, host, 443 if tls else 80, True, False, uri)
    if not port_text.isascii() or not port_text.isdigit() or not 1 <= int(port_text) <= 65535:
        raise UrlError(f'invalid port in upstream "{rest}"')
    return ProxyUrl(tls, host, int(port_text), False, False, uri)


def _split_port(authority: str, whole: str) -> tuple[str, str | None]:
    if authority.startswith("["):
        close = authority.find("]")
        if close < 0:
            raise UrlError(f'invalid host in upstream "{whole}"')
        tail = authority[close + 1 :]
        if tail and not tail.startswith(":"):
            raise UrlError(f'invalid host in upstream "{whole}"')
        return authority[: close + 1], tail[1:] if tail else None
    host, colon, port = authority.partition(":")
    return host, port if colon else None


def is_address(host: str) -> bool:
    """Whether a host is an IP address, not a name."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
