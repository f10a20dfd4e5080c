"""plain-http-to-https-port."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Level
from ws101.nginx.servers import Group, listeners
from ws101.rules.base.context import Context
from ws101.rules.base.facts import show
from ws101.rules.base.registry import Bites, Found, rule

__all__ = ["check"]


@rule("WS139", "plain-http-to-https-port", Level.ERROR, bites=Bites.ROUTE)
def check(context: Context) -> Iterator[Found]:
    """The told URL is ws://, and its port takes TLS alone.

    There is no edit for this, only advice: the client must say ``wss://``.

    Why it matters
        nginx answers 400 ``The plain HTTP request was sent to HTTPS port``.

    Bad
        # url: ws://example.com:443/ws
        # fix: none
        # module: http_ssl
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

    Good
        # url: wss://example.com/ws
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
        https://nginx.org/en/docs/http/ngx_http_ssl_module.html#errors
    """
    for url, trace in context.traces:
        group = listeners(context.config, context.build).group(trace.arrival.address, trace.arrival.port)
        if not trace.arrival.tls and isinstance(group, Group) and group.ssl:
            line = next((line for line in group.listens if "ssl" in line.args), None)
            place = line or group.default.opener
            if place is not None and trace.outcome.forwarded is None:
                yield Found(
                    f"{show(url)} is not encrypted, and {group.socket} takes TLS alone",
                    place.span,
                    help="let the client open the wss:// URL",
                    scopes=(group.default,),
                )
