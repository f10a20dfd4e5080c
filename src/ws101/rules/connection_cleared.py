"""connection-cleared."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Level
from ws101.rules.base.causes import Cause
from ws101.rules.base.context import Context
from ws101.rules.base.facts import by_origin, head_label
from ws101.rules.base.registry import Bites, Found, rule
from ws101.rules.base.writing import replace_connection

__all__ = ["check"]


@rule("WS104", "connection-cleared", Level.ERROR, bites=Bites.FORWARD)
def check(context: Context) -> Iterator[Found]:
    """Connection is set to nothing or to close where WebSockets pass.

    ``proxy_set_header Connection ""`` is the recipe for upstream keepalive. For a WebSocket it removes the option that
    makes Upgrade count.

    Why it matters
        The backend sees Upgrade without ``Connection: upgrade`` and answers 400 or 426.

    Bad::

        events {}
        http {
            upstream app {
                server 127.0.0.1:3000;
                keepalive 16;
            }
            server {
                listen 80;
                location /ws {
                    proxy_pass http://app;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection "";
                    proxy_read_timeout 1h;
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
            upstream app {
                server 127.0.0.1:3000;
                keepalive 16;
            }
            server {
                listen 80;
                location /ws {
                    proxy_pass http://app;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection "$connection_upgrade";
                    proxy_read_timeout 1h;
                }
            }
        }

    Fix safety
        In the quick style plain requests carry ``Connection: upgrade`` too, so it is unsafe where they can reach the
        location.

    References
        https://nginx.org/en/docs/http/ngx_http_upstream_module.html#keepalive
        https://nginx.org/en/docs/http/websocket.html
    """
    for origin, fault, aims in by_origin(context, "Connection", lambda fault: fault.cause is Cause.CLEARED):
        what = f"set to {fault.value}" if fault.value else "cleared"
        yield Found(
            f"Connection is {what} here, so the backend does not see Connection: upgrade",
            origin.span,
            aims,
            tuple(head_label(aim, "WebSockets pass here") for aim in aims),
            fix=replace_connection(context, origin, aims),
        )
