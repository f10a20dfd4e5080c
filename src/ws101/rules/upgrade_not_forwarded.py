"""upgrade-not-forwarded."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Level
from ws101.rules.base.aims import location_of
from ws101.rules.base.causes import answered_upgrade
from ws101.rules.base.context import Context
from ws101.rules.base.facts import header_faults, place, show
from ws101.rules.base.registry import Bites, Found, rule
from ws101.rules.base.writing import forward_fix

__all__ = ["check"]


@rule("WS101", "upgrade-not-forwarded", Level.ERROR, bites=Bites.FORWARD)
def check(context: Context) -> Iterator[Found]:
    """A location proxies WebSockets without forwarding Upgrade and Connection.

    nginx treats both fields as hop-by-hop and drops them unless ``proxy_set_header`` sends them on. The backend then
    sees an ordinary request and answers 400, 426, 404 or 200, whatever it does with ordinary requests.

    Why it matters
        Without ``Upgrade: websocket`` and ``Connection: upgrade`` there is no opening handshake, so no WebSocket can
        ever open through this location.

    Bad::

        # nginx: <1.29.7
        # url: ws://example.com/ws
        events {}
        http {
            server {
                listen 80;
                location /ws {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_read_timeout 86400s;
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
                    proxy_read_timeout 86400s;
                }
            }
        }

    Good::

        # style: quick
        events {}
        http {
            server {
                listen 80;
                location /ws {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection "upgrade";
                    proxy_read_timeout 86400s;
                }
            }
        }

    Bad::

        # nginx: >=1.29.7
        # url: ws://example.com/ws
        events {}
        http {
            server {
                listen 80;
                location /ws {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_read_timeout 86400s;
                }
            }
        }

    Good::

        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      '';
            }
            server {
                listen 80;
                location /ws {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 86400s;
                }
            }
        }

    Bad::

        # file: nginx.conf
        # nginx: <1.29.7
        # url: ws://example.com/ws
        events {}
        http {
            include conf.d/*.conf;
        }
        # file: conf.d/site.conf
        server {
            listen 80;
            proxy_set_header Host $host;
            location /ws {
                proxy_pass http://127.0.0.1:3000;
                proxy_read_timeout 86400s;
            }
        }

    Good::

        # file: nginx.conf
        events {}
        http {
            include conf.d/*.conf;
        }
        # file: conf.d/site.conf
        server {
            listen 80;
            proxy_set_header Host $host;
            location /ws {
                proxy_pass http://127.0.0.1:3000;
                proxy_http_version 1.1;
                proxy_set_header Host $host;
                proxy_set_header Upgrade $http_upgrade;
                proxy_set_header Connection $connection_upgrade;
                proxy_read_timeout 86400s;
            }
        }
        # file: conf.d/websocket_upgrade.conf
        map $http_upgrade $connection_upgrade {
            default upgrade;
            ''      close;
        }

    Fix safety
        In the quick style plain requests carry ``Connection: upgrade`` too, so it is unsafe where they can reach the
        location.

    References
        https://nginx.org/en/docs/http/websocket.html
        https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_set_header
        https://www.rfc-editor.org/rfc/rfc6455#section-4.2.1
    """
    for aim, upgrade, connection in header_faults(context):
        if not (upgrade.is_absent and connection.is_absent) or aim.example is not None:
            continue
        if context.shadowed(aim) is None and answered_upgrade(aim.scope) is None:
            title = show(location_of(aim.scope).title)
            yield Found(
                f"{title} proxies without forwarding Upgrade and Connection, so the backend gets no opening handshake",
                place(aim),
                (aim,),
                fix=forward_fix(context, aim, ("Upgrade", "Connection")),
            )
