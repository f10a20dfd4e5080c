"""client-wrong-public-port."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Level
from ws101.nginx.servers import listeners
from ws101.rules.base.context import Context
from ws101.rules.base.facts import show
from ws101.rules.base.registry import Bites, Found, rule

__all__ = ["check"]


@rule("WS140", "client-wrong-public-port", Level.WARNING, bites=Bites.ROUTE)
def check(context: Context) -> Iterator[Found]:
    """No server listens on the port of the told ws:// URL.

    The client may ask for the application's own port instead of nginx's. Or something in front of nginx listens there:
    then tell the URL that reaches nginx. There is no edit for this, only advice.

    Why it matters
        The connection is refused, or another program answers.

    Bad
        # url: ws://example.com:3000/ws
        # fix: none
        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      close;
            }
            server {
                listen 80;
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
        # url: ws://example.com/ws
        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      close;
            }
            server {
                listen 80;
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
        https://nginx.org/en/docs/http/ngx_http_core_module.html#listen
    """
    for url, trace in context.traces:
        arrival = trace.arrival
        if arrival.tls or context.is_partial or context.first_place is None:
            continue
        if listeners(context.config, context.build).group(arrival.address, arrival.port) is None:
            yield Found(
                f"no server listens on port {arrival.port}, so {show(url)} does not get here",
                context.first_place,
                help="let the client ask for a port that nginx listens on",
            )
