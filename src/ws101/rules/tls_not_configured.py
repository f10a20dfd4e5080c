"""tls-not-configured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ws101.findings import Label, Level
from ws101.nginx.config import Placed, Scope
from ws101.nginx.inherit import effective
from ws101.nginx.outcome import Arrival, Forwarded
from ws101.nginx.servers import Group, listeners
from ws101.nginx.trace import trace
from ws101.rules.base.aims import Aim
from ws101.rules.base.context import Context
from ws101.rules.base.facts import show
from ws101.rules.base.listening import by_server, groups_of
from ws101.rules.base.registry import Bites, Found, rule

__all__ = ["check"]

_PORT = 443
_IN_FRONT = ("http_x_forwarded_proto", "http_x_forwarded_ssl", "http_cloudfront_forwarded_proto", "set_real_ip_from")


@rule("WS138", "tls-not-configured", Level.ERROR, bites=Bites.ROUTE)
def check(context: Context) -> Iterator[Found]:
    """The told URL is wss://, and the port it leads to has no TLS.

    The ``listen`` of that port lacks ``ssl``; or no server listens on the port at all, which is a warning, since TLS
    may end in front of nginx: then tell the ws:// URL that reaches nginx. There is no edit for this, only advice: it
    takes a certificate.

    Without a told URL, a server with WebSockets on port 443 without ``ssl`` gets a note; a warning, if it has a
    certificate. Nothing is said where the configuration shows that TLS ends in front of nginx: it reads
    ``X-Forwarded-Proto`` or sends a literal ``https`` in it, trusts a proxy's addresses, expects the PROXY protocol, or
    listens on loopback alone.

    Why it matters
        The browser says ERR_SSL_PROTOCOL_ERROR, other clients ``wrong version number``; nginx answers 400 to what it
        cannot read.

    Bad
        # url: wss://example.com/ws
        # fix: none
        # module: http_ssl
        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      close;
            }
            server {
                listen 443;
                location /ws {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_set_header X-Forwarded-Proto $scheme;
                    proxy_read_timeout 1h;
                }
            }
        }

    Good
        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      close;
            }
            server {
                listen 443 ssl;
                ssl_certificate cert.pem;
                ssl_certificate_key cert.key;
                location /ws {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_set_header X-Forwarded-Proto $scheme;
                    proxy_read_timeout 1h;
                }
            }
        }

    References
        https://nginx.org/en/docs/http/configuring_https_servers.html
    """
    reached = {found.outcome.scope for _, found in context.traces if found.outcome.kind == "proxied"}
    for url, arrival, group in _wanted(context):
        if group is not None:
            scope = _behind(context, arrival) or group.default
            yield Found(
                f"{show(url)} needs TLS, and {group.socket} has none",
                group.listens[0].span,
                help=f"listen {arrival.port} ssl, with ssl_certificate and ssl_certificate_key",
                scopes=(scope,),
                spared=(scope,) if scope in reached else (),
            )
        elif context.first_place is not None:
            yield Found(
                f"no server listens on port {arrival.port}, so {show(url)} does not get here",
                context.first_place,
                help="if TLS ends in front of nginx, ask about the ws:// URL that gets here; else listen with ssl",
                level=Level.WARNING,
            )
    if all(arrival.port != _PORT for _, arrival in context.shared.arrivals):
        yield from _unencrypted(context)


def _unencrypted(context: Context) -> Iterator[Found]:
    """Servers with WebSockets on the port of https, without TLS; one finding for equal servers on several addresses."""
    found: dict[tuple[Scope, ...], list[Placed]] = {}
    http = context.config.http
    is_whole = context.config.fragment in (None, "main", "http") and http is not None and not http.opaque
    wanted = by_server(context) if is_whole and not context.shared.mentions(*_IN_FRONT) else {}
    for group in groups_of(context.config, context.build) if wanted else ():
        if group.port == _PORT and not (group.ssl or group.proxy_protocol or _is_loopback(group)):
            mute = group.http2 and not context.build.does("h2_listener_serves_http1")  # another rule speaks of that
            servers = tuple(server for server in group.servers if server in wanted) if not mute else ()
            lines = {line.scope: line for line in group.listens}
            if servers and not any(_may_be_encrypted(server, wanted[server]) for server in servers):
                found.setdefault(servers, []).append(lines[servers[0]])
    for servers, (line, *more) in found.items():
        has_certificate = any(effective(server, "ssl_certificate").origin is not None for server in servers)
        what = "has a certificate but no ssl in its listen" if has_certificate else "has no ssl in its listen"
        advice = f"listen {_PORT} ssl" if has_certificate else f"listen {_PORT} ssl, with ssl_certificate and its key"
        yield Found(
            f"port {_PORT} {what}, so nginx takes plain HTTP there and a browser's wss:// fails",
            line.span,
            labels=tuple(Label(other.span, "here too") for other in more[:5]),
            help=f"{advice}; fine if TLS ends in front of nginx",
            level=Level.WARNING if has_certificate else Level.NOTE,
            scopes=tuple(aim.scope for server in servers for aim, _ in wanted[server]),
        )


def _is_loopback(group: Group) -> bool:
    return group.address.startswith("127.") or group.address in ("::1", "localhost")


def _may_be_encrypted(server: Scope, aims: Sequence[tuple[Aim, Forwarded]]) -> bool:
    """Whether TLS is told otherwise, ``ssl on`` or ``X-Forwarded-Proto https``, or in a file that could not be read."""
    sent = (forwarded.fate("X-Forwarded-Proto") for _, forwarded in aims)
    is_told = effective(server, "ssl").text == "on" or any(fate is not None and fate.value == "https" for fate in sent)
    return is_told or bool(server.opaque)


def _wanted(context: Context) -> Iterator[tuple[str, Arrival, Group | None]]:
    """The told wss:// URLs whose port has no TLS, with what listens there; nothing where only a part is known."""
    for url, found in context.traces:
        arrival = found.arrival
        group = listeners(context.config, context.build).group(arrival.address, arrival.port)
        is_plain = isinstance(group, Group) and not group.ssl and group.listens
        if arrival.tls and not context.is_partial and (group is None or is_plain):
            yield url, arrival, group if isinstance(group, Group) else None


def _behind(context: Context, arrival: Arrival) -> Scope | None:
    """The route that the same request takes without TLS."""
    outcome = trace(context.config, replace(arrival, tls=False), context.build).outcome
    return outcome.scope if outcome.kind == "proxied" else None
