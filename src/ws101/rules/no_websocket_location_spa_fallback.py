"""no-websocket-location-spa-fallback."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Level
from ws101.rules.base.context import Context
from ws101.rules.base.facts import show
from ws101.rules.base.registry import Bites, Found, rule

__all__ = ["check"]


@rule("WS125", "no-websocket-location-spa-fallback", Level.ERROR, bites=Bites.ROUTE)
def check(context: Context) -> Iterator[Found]:
    """No location hands the told URL to a backend: nginx looks for a file.

    Single-page applications end in ``try_files ... /index.html``, which answers every path. There is no edit for this,
    only advice: which backend serves the path is not in the file.

    Why it matters
        The handshake gets 200 with a page, or 404, instead of 101.

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
                location / {
                    root html;
                    try_files $uri /index.html =404;
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
                location / {
                    root html;
                    try_files $uri /index.html =404;
                }
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
        https://nginx.org/en/docs/http/ngx_http_core_module.html#try_files
    """
    for url, scope, shadowed in context.files:
        if shadowed is None and scope.opener is not None:
            yield Found(
                f"{show(scope.title)} answers {show(url)} with a file: no location hands it to a backend",
                scope.opener.directive.span,
                help="add a location for the path with proxy_pass and the upgrade fields",
                scopes=(scope,),
            )
