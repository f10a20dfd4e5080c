"""wrong-proxy-module."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Level
from ws101.rules.base.aims import location_of
from ws101.rules.base.context import Context
from ws101.rules.base.facts import head_label, show
from ws101.rules.base.registry import Bites, Found, rule

__all__ = ["check"]

_MAY_WORK = ("uwsgi_pass", "scgi_pass")


@rule("WS116", "wrong-proxy-module", Level.ERROR, bites=Bites.FORWARD)
def check(context: Context) -> Iterator[Found]:
    """A WebSocket's location speaks FastCGI, gRPC or another protocol to the backend, not HTTP.

    Only ``proxy_pass`` forwards an opening handshake as HTTP. ``uwsgi_pass`` and ``scgi_pass`` can carry a tunnel, but
    only an application made for that answers it, so they get a warning; a location of which only the name hints at
    WebSockets gets a note. There is no edit for this, only advice: which address serves HTTP is known to the
    application alone.

    Why it matters
        The backend gets no handshake that it could answer: 502, 400 or 404.

    Bad::

        # url: ws://example.com/ws
        # module: http_grpc
        # fix: none
        events {}
        http {
            server {
                listen 80;
                location /ws {
                    grpc_pass 127.0.0.1:3000;
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
        https://nginx.org/en/docs/http/websocket.html
    """
    for aim, forwarded in context.proxied:
        if "protocol" in forwarded.faults:
            name = forwarded.handler.name
            may_work = name in _MAY_WORK
            mild = Level.WARNING if may_work else None
            effect = "which few applications answer" if may_work else "so no opening handshake reaches the backend"
            yield Found(
                f"{show(location_of(aim.scope).title)} hands WebSockets to {name}, {effect}",
                forwarded.handler.span,
                (aim,),
                (head_label(aim, "WebSockets pass here"),),
                help="use proxy_pass to an address where the application serves HTTP (an ASGI server, say)",
                level=mild if aim.intent.is_sure else Level.NOTE,
            )
