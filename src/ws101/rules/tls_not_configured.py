"""tls-not-configured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ws101.findings import Level
from ws101.nginx.config import Scope
from ws101.nginx.outcome import Arrival
from ws101.nginx.servers import Group, listeners
from ws101.nginx.trace import trace
from ws101.rules.base.context import Context
from ws101.rules.base.facts import show
from ws101.rules.base.registry import Bites, Found, rule

__all__ = ["check"]


@rule("WS138", "tls-not-configured", Level.ERROR, bites=Bites.ROUTE)
def check(context: Context) -> Iterator[Found]:
    """The told URL is wss://, and the port it leads to has no TLS.

    The ``listen`` of that port lacks ``ssl``; or no server listens on the port at all, which is a warning, since TLS
    may end in front of nginx: then tell the ws:// URL that reaches nginx. There is no edit for this, only advice: it
    takes a certificate.

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
