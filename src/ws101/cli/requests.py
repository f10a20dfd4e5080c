"""The request that the options describe, and the connection it comes on."""

from __future__ import annotations

import ipaddress
from dataclasses import replace

from ws101.errors import UsageError
from ws101.http1 import Headers, Request
from ws101.lazy import dataclass
from ws101.nginx.outcome import Arrival
from ws101.probes.endpoint import Endpoint, parse_ws_url
from ws101.probes.exchange import plain_request
from ws101.probes.handshake import HandshakeOptions, build_request

__all__ = ["Asked", "latin1", "parse_headers"]


def latin1(text: str) -> str:
    """What was typed, as the bytes of UTF-8 in latin-1 text."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def parse_headers(given: tuple[str, ...]) -> Headers:
    """Read ``--header 'Name: value'``.

    Raises:
        UsageError: If one has no colon.
    """
    headers = []
    for text in given:
        name, colon, value = latin1(text).partition(":")
        if not colon or not name:
            raise UsageError(f"--header {text!r} is not a header field", help="write --header 'Name: value'")
        headers.append((name, value.strip(" \t")))
    return tuple(headers)


@dataclass(frozen=True, slots=True)
class Asked:
    """The request to explain.

    Args:
        url: The address as typed.
        headers: ``--header`` as typed.
        method: ``--method``.
        version: ``HTTP/1.1`` or ``HTTP/1.0``.
        client: The client's address.
    """

    url: str
    headers: tuple[str, ...] = ()
    method: str = "GET"
    version: str = "HTTP/1.1"
    client: str = "127.0.0.1"

    @property
    def endpoint(self) -> Endpoint:
        """The address read.

        Raises:
            UsageError: If it is none.
        """
        return parse_ws_url(self.url)

    def arrival(self, *, plain: bool = False) -> Arrival:
        """The request and its connection: an opening handshake, or a plain request."""
        endpoint, headers = self.endpoint, parse_headers(self.headers)
        options = HandshakeOptions(headers=headers, version=self.version)
        handshake = build_request(endpoint, options)
        request = plain_request(endpoint, headers) if plain else handshake
        request = replace(request, method=self.method, version=self.version)
        literal = _address(endpoint.host)
        return Arrival(
            Request(request.method, request.target, request.version, request.headers),
            port=endpoint.port,
            address=literal,
            tls=endpoint.tls,
            sni=endpoint.host if endpoint.tls and literal is None else None,
            client=self.client,
        )


def _address(host: str) -> str | None:
    """The host if it is an address itself."""
    try:
        return str(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        return None
