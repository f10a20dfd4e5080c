"""Whose address counts: what a trusted proxy says of the client.

Used by the realip module and by ``geo`` with ``proxy``.  Source: src/http/ngx_http_core_module.c
(ngx_http_get_forwarded_addr), src/http/modules/ngx_http_realip_module.c, src/core/ngx_inet.c (ngx_cidr_match,
ngx_parse_addr_port).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from functools import lru_cache

from ws101.nginx.config import Placed, Scope, Unknown
from ws101.nginx.inherit import effective, effective_all, is_on
from ws101.nginx.state import State
from ws101.text import lower

__all__ = ["forwarded_address", "take_real_address"]

_SEPARATORS = " ,"
_NO_ADDRESS = "255.255.255.255"


def take_real_address(state: State, scope: Scope) -> None:
    """Let a trusted proxy say who the client is, once a request, as the realip module does.

    Args:
        state: The request; its ``client`` changes.
        scope: The server's own scope before its rewrite directives, the location's before access is checked.
    """
    if state.has_real_address or not state.config.uses("set_real_ip_from"):
        return
    trusted = effective_all(scope, "set_real_ip_from")
    if isinstance(trusted, Unknown):
        state.client, state.has_real_address = trusted, True
        return
    if not trusted or isinstance(state.client, Unknown):
        return
    said = _said(state, effective(scope, "real_ip_header").text or "X-Real-IP")
    if not said:
        return
    found = _found(state.client, said, trusted, is_on(effective(scope, "real_ip_recursive"), False) is True)
    if found is not None:
        state.client, state.has_real_address = found, True
        origin = found.origin if isinstance(found, Unknown) else trusted[-1]
        shown = found.reason if isinstance(found, Unknown) else found
        state.decide("connection", shown, "the client's address, as a trusted proxy says it", origin)


def _said(state: State, header: str) -> tuple[str, ...] | Unknown:
    """The values that hold the address, in order; empty without any."""
    if header == "proxy_protocol":
        return Unknown("what the PROXY protocol says is known only at run time") if state.behind_proxy else ()
    name = lower(header)
    values = tuple(value for key, value in state.received.headers if lower(key) == name and key not in _odd(state))
    return values if header == "X-Forwarded-For" else values[:1]


def _odd(state: State) -> frozenset[str]:
    """Names whose hash nginx makes of a part of the name alone, so that they are never found."""
    return frozenset(state.received.invalid)


def _found(
    client: str, said: tuple[str, ...] | Unknown, trusted: Sequence[Placed], recursive: bool
) -> str | Unknown | None:
    names = [placed for placed in trusted if placed.args and not _is_network(placed.args[0])]
    networks = [placed.args[0] for placed in trusted if placed.args]
    if names and not _holds(networks, client):
        return Unknown(f'whether "{names[0].args[0]}" is the proxy is known only at run time', names[0])
    if isinstance(said, Unknown):
        return Unknown(said.reason, trusted[0]) if _holds(networks, client) else None
    return forwarded_address(client, said, networks, recursive)


def forwarded_address(client: str, values: Sequence[str], trusted: Sequence[str], recursive: bool) -> str | None:
    """The client's address as trusted proxies say it; None if nobody who is trusted says one.

    Args:
        client: Whom the connection comes from.
        values: The header fields, in order; the last address counts, or the last that no trusted proxy has.
        trusted: Networks in text, and ``unix:``.
        recursive: Whether proxies behind proxies are believed.
    """
    found: str | None = None
    for value in reversed(values):
        address, finished = _last_of(found or client, value, trusted, recursive)
        found = address or found
        if finished or not recursive:
            break
    return found


def _last_of(client: str, value: str, trusted: Sequence[str], recursive: bool) -> tuple[str | None, bool]:
    """The address that one value gives, and whether the search ends with it."""
    found: str | None = None
    rest = value
    while True:
        if not _holds(trusted, found or client):
            return found, True
        rest = rest[:1] + rest[1:].rstrip(_SEPARATORS)
        at = max(rest.rfind(separator) for separator in _SEPARATORS) + 1
        address = _address(rest[at:])
        if address is None:
            return found, True
        found = address
        if not recursive or at == 0:
            return found, False
        rest = rest[: at - 1]


def _holds(networks: Iterable[str], client: str) -> bool:
    """Whether an address lies in one of some networks."""
    if client == "unix:":
        return "unix:" in networks
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(_is_network(text) and address in _network(text) for text in networks if text != "unix:")


def _is_network(text: str) -> bool:
    try:
        return text == "unix:" or _network(text) is not None
    except ValueError:
        return False


@lru_cache(maxsize=4096)
def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(text, strict=False)


def _address(text: str) -> str | None:
    """An address with or without a port, in its usual spelling."""
    plain = _plain(text)
    if plain is not None:
        return plain
    host, colon, port = text.partition(":")
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        colon, port = (rest[:1], rest[1:]) if bracket else ("", "")
    if colon != ":" or not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        return None
    return _plain(host)


def _plain(text: str) -> str | None:
    parts = text.split(".")
    if len(parts) == 4 and all(part == "" or (part.isascii() and part.isdigit()) for part in parts):
        octets = [int(part or 0) for part in parts]
        shown = ".".join(map(str, octets))
        return shown if max(octets) <= 255 and shown != _NO_ADDRESS else None
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        return None
