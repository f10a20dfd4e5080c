"""What a server listens on, and the aims by server."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.nginx.build import Build
from ws101.nginx.config import Config, Placed, Scope
from ws101.nginx.outcome import Forwarded
from ws101.nginx.servers import Group, Listen, listeners, parse_listen
from ws101.rules.base.aims import Aim
from ws101.rules.base.context import Context

__all__ = ["USUAL_PORTS", "by_server", "groups_of", "host_value", "is_tls", "listens", "ports", "sure_proxied"]

USUAL_PORTS = frozenset({80, 443})
"""The ports that a URL need not name."""
_KEY = "rules: listens"


def listens(server: Scope) -> tuple[tuple[Placed, Listen], ...]:
    """The ``listen`` directives of a server, read; none if it has none."""
    if _KEY not in server.memo:
        server.memo[_KEY] = tuple((placed, parse_listen(placed.args)) for placed in server.all("listen"))
    return server.memo[_KEY]  # type: ignore[return-value]  # the memo of this key holds nothing else


def ports(server: Scope) -> frozenset[int]:
    """The ports a server listens on; 80 without any ``listen``; unix sockets have none."""
    lines = listens(server)
    if not lines:
        return frozenset({80})
    return frozenset(socket.port for _, listen in lines for socket in listen.sockets if socket.port is not None)


def is_tls(server: Scope) -> bool:
    """Whether a server takes TLS connections."""
    return any("ssl" in listen.flags for _, listen in listens(server))


def sure_proxied(context: Context) -> Iterator[tuple[Aim, Forwarded]]:
    """The aims that are surely meant for WebSockets and reach an HTTP backend, with what reaches it."""
    return ((aim, f) for aim, f in context.proxied if aim.intent.is_sure and "protocol" not in f.faults)


def by_server(context: Context) -> dict[Scope, tuple[tuple[Aim, Forwarded], ...]]:
    """The same, for each server."""
    found: dict[Scope, list[tuple[Aim, Forwarded]]] = {}
    for aim, forwarded in sure_proxied(context):
        found.setdefault(aim.route.server, []).append((aim, forwarded))
    return {server: tuple(pairs) for server, pairs in found.items()}


def groups_of(config: Config, build: Build) -> tuple[Group, ...]:
    """The addresses that are listened on."""
    return listeners(config, build).groups


def host_value(context: Context, server: Scope) -> tuple[str, str]:
    """The value of Host that keeps what the client asked for, and the risk it brings; empty if it brings none.

    ``$host`` has no port, so it is right on the usual ports alone; before nginx 1.29.3 no variable has both.
    """
    used = ports(server)
    if used and used <= USUAL_PORTS:
        return "$host", ""
    if all(build.does("request_port_variable") for build in context.builds):
        return "$host$is_request_port$request_port", ""
    return "$http_host", "; $http_host is what the client wrote, and need not be the name that chose this server"
