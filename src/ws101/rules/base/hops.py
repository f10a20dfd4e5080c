"""Another server of the same nginx as the backend: the second hop of a handshake."""

from __future__ import annotations

from ws101.nginx.outcome import Arrival, Forwarded, Peer
from ws101.nginx.servers import Group, listeners
from ws101.nginx.trace import trace
from ws101.rules.base.aims import Aim, Intent
from ws101.rules.base.context import Context

__all__ = ["inner_hop"]

_LOOPBACK = frozenset({"127.0.0.1", "::1"})


def inner_hop(context: Context, aim: Aim, forwarded: Forwarded) -> Aim | None:
    """The route of this same configuration that a handshake reaches next and that does not pass it on.

    None if the backend is none of this nginx's servers, or is fine, or speaks for itself (an aim of its own).
    """
    peers = [p for p in forwarded.upstream.peers if not p.down] if forwarded.upstream is not None else []
    if forwarded.request is None or forwarded.upstream is None or len(peers) != 1:
        return None
    found = _socket(peers[0])
    group = listeners(context.config, context.build).group(*found) if found is not None else None
    if found is None or not isinstance(group, Group):
        return None
    address, port, unix = found
    key = ("rules: hop", context.build, found, forwarded.request)
    memo = context.config.main.memo
    if key not in memo:
        arrival = Arrival(forwarded.request, port, address, unix, forwarded.upstream.tls)
        memo[key] = trace(context.config, arrival, context.build).outcome
    outcome = memo[key]
    scope, inner = getattr(outcome, "scope", None), getattr(outcome, "forwarded", None)
    if scope is None or inner is None or inner.tunnel is not False or scope is aim.scope:
        return None
    if any(other.scope is scope and other.intent.is_sure for other in context.aims):
        return None
    route = next((r for r in context.routes_of(scope.server) if r.location is scope), None) if scope.server else None
    return Aim(route, Intent.SHOWN, "a WebSocket comes from another server of this nginx") if route else None


def _socket(peer: Peer) -> tuple[str | None, int | None, str | None] | None:
    """Address, port and unix path of a peer on this machine; None if it may be on another."""
    if peer.address.startswith("unix:"):
        return None, None, peer.address[5:]
    host, _, port = peer.address.rpartition(":")
    host = host.strip("[]")
    return (host, int(port), None) if host in _LOOPBACK and port.isdigit() else None
