"""How a request's connection begins: the listener that takes it, what it speaks, and the server that it ends at."""

from __future__ import annotations

from ws101.lazy import dataclass
from ws101.nginx.build import Build
from ws101.nginx.config import Placed, Scope
from ws101.nginx.inherit import effective, is_on
from ws101.nginx.outcome import Arrival, Decision
from ws101.nginx.servers import Choice, Group
from ws101.text import lower

__all__ = ["Unspoken", "begun", "unspoken", "verifies_another"]


def begun(group: Group, choice: Choice | None) -> tuple[Decision, Decision]:
    """The listener that took the connection and the server that answers, as decisions."""
    connection = Decision("connection", str(group.socket), "listen", _first_listen(group))
    if choice is None:
        server = group.default
        return connection, Decision("server", _title(server), "the default server of this address", server.opener)
    origin = choice.origin or choice.server.opener
    return connection, Decision("server", _title(choice.server), choice.why, origin)


def _title(server: Scope) -> str:
    names = [arg for placed in server.all("server_name") for arg in placed.args]
    return names[0] if names else "(no server_name)"


@dataclass(frozen=True, slots=True)
class Unspoken:
    """How a connection ends whose protocol the listener does not speak."""

    kind: str
    status: int | None
    why: tuple[str, Placed | None]


def unspoken(group: Group, arrival: Arrival, build: Build, server: Scope) -> Unspoken | None:
    """What goes wrong before HTTP/1: TLS to a listener or a server without it, HTTP/2 alone without TLS."""
    if arrival.tls and not group.ssl:
        return Unspoken("refused", 400, ("TLS was spoken to a listener without ssl", _first_listen(group)))
    if arrival.tls and is_on(rejects := effective(server, "ssl_reject_handshake"), False) is True:
        return Unspoken("closed", None, ("the server rejects TLS handshakes", rejects.origin))
    if group.http2 and not group.ssl and not build.does("h2_listener_serves_http1"):
        why = "this version serves only HTTP/2 on a cleartext http2 listener"
        return Unspoken("closed", None, (why, _first_listen(group)))
    return None


def _first_listen(group: Group) -> Placed | None:
    return group.listens[0] if group.listens else None


def verifies_another(server: Scope, first: Choice, arrival: Arrival, host: str) -> Placed | None:
    """The ssl_verify_client of a server that the host picks after TLS has picked one by another name."""
    verify = effective(server, "ssl_verify_client")
    is_named = first.origin is not None and first.origin.name == "server_name"
    if not is_named or lower(arrival.sni or "") == host or lower(verify.text or "off") == "off":
        return None
    return verify.origin
