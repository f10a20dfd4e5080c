"""The network options, read."""

from __future__ import annotations

from ws101.host.dial import Network, parse_resolve

__all__ = ["network_of"]


def network_of(
    *,
    resolves: tuple[str, ...] = (),
    insecure: bool = False,
    timeout: float = 10.0,
    proxy: str = "",
    unix_socket: str = "",
    family: int = 0,
    ca_file: str = "",
    client_cert: str = "",
    client_key: str = "",
    server_name: str = "",
) -> Network:
    """How to connect.

    Raises:
        UsageError: If a ``--resolve`` is not HOST:PORT:ADDR.
    """
    return Network(
        resolve=tuple(map(parse_resolve, resolves)),
        unix_socket=unix_socket,
        proxy=proxy,
        insecure=insecure,
        ca_file=ca_file,
        client_cert=client_cert,
        client_key=client_key,
        server_name=server_name,
        family=family,
        timeout=timeout,
    )
