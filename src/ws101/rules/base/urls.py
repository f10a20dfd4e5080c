"""The requests that are asked about: a browser's opening handshake, a plain request, and a URL's."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

from ws101.errors import UsageError
from ws101.http1 import Request
from ws101.nginx.config import Scope
from ws101.nginx.outcome import Arrival
from ws101.nginx.servers import server_names

__all__ = ["arrival_of", "for_host", "handshake_request", "host_of", "plain_request"]

_PORTS = {"ws": 80, "http": 80, "wss": 443, "https": 443}


def handshake_request(target: str = "/ws", host: str = "example.com") -> Request:
    """A browser's opening handshake (RFC 6455 section 4.1).

    Args:
        target: The request target.
        host: The value of Host.
    """
    headers = (
        ("Host", host),
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Origin", f"http://{host}"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    )
    return Request("GET", target, headers=headers)


def plain_request(target: str = "/", host: str = "example.com", *, method: str = "GET") -> Request:
    """An ordinary request without Upgrade; a POST carries two bytes.

    Args:
        target: The request target.
        host: The value of Host.
        method: ``GET`` or ``POST``.
    """
    body = "hi" if method == "POST" else ""
    length = (("Content-Length", str(len(body))),) if body else ()
    return Request(method, target, headers=(("Host", host), ("Accept", "*/*"), *length), body=body)


def arrival_of(url: str) -> Arrival:
    """A browser's opening handshake for a URL (RFC 6455 section 3).

    Raises:
        UsageError: If it is no ws, wss, http or https URL with a host.
    """
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        raise UsageError(f"not a URL: {error}", where=url) from error
    if parts.scheme not in _PORTS or not host:
        raise UsageError("a WebSocket's URL is needed", where=url, help="for example wss://example.com/ws")
    tls = parts.scheme in ("wss", "https")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    name = f"[{host}]" if ":" in host else host
    field = name if port in (None, _PORTS[parts.scheme]) else f"{name}:{port}"
    request = handshake_request(target, field)
    return Arrival(request, port=port or _PORTS[parts.scheme], tls=tls, sni=host if tls else None)


def host_of(server: Scope) -> str:
    """The first name of a server that a client can ask for; empty if it has none."""
    names = (name for _, name in server_names(server))
    return next((name for name in names if name and not set(name) & set('*~_$"')), "")


def for_host(request: Request, host: str) -> Request:
    """A request for another host, from a page of that host."""
    values = {"Host": host, "Origin": f"http://{host}"}
    return replace(request, headers=tuple((name, values.get(name, value)) for name, value in request.headers))
