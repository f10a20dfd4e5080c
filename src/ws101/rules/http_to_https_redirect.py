"""http-to-https-redirect."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Level
from ws101.rules.base.context import Context
from ws101.rules.base.facts import show
from ws101.rules.base.registry import Bites, Found, rule

__all__ = ["check"]


@rule("WS126", "http-to-https-redirect", Level.ERROR, bites=Bites.ROUTE)
def check(context: Context) -> Iterator[Found]:
    """The told ws:// URL is redirected to https.

    Browsers do not follow redirects of an opening handshake, so the client must ask for ``wss://`` at once. There is no
    edit for this, only advice.

    Why it matters
        The WebSocket fails with response code 301, and nobody tries again.

    Bad::

        # url: ws://example.com/ws
        # fix: none
        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      close;
            }
            server {
                listen 80;
                return 301 https://$host$request_uri;
                location /ws {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 1h;
                }
            }
        }

    Good::

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
                    proxy_read_timeout 1h;
                }
            }
        }

    References
        https://nginx.org/en/docs/http/ngx_http_rewrite_module.html#return
    """
    for url, trace in context.traces:
        target, scope = trace.outcome.location or "", trace.outcome.scope
        if trace.outcome.kind == "redirected" and target.startswith("https://") and not trace.arrival.tls:
            decided = next((d.origin for d in reversed(trace.decisions) if d.origin is not None), None)
            place = decided or (scope.opener if scope is not None else None)
            if place is not None:
                yield Found(
                    f"{show(url)} is redirected to {show(target)}, and WebSocket clients do not follow",
                    place.span,
                    help="let the client open a wss:// URL",
                    scopes=(scope,) if scope is not None else (),
                )
