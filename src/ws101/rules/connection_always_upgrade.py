"""connection-always-upgrade."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Level
from ws101.rules.base.context import Context
from ws101.rules.base.facts import head_label
from ws101.rules.base.maps import has_upgrade
from ws101.rules.base.registry import Bites, Found, rule
from ws101.rules.base.writing import replace_connection

__all__ = ["check"]


@rule("WS119", "connection-always-upgrade", Level.WARNING, bites=Bites.OTHERS)
def check(context: Context) -> Iterator[Found]:
    """Connection is always upgrade in a location that also serves plain requests.

    The literal ``Connection "upgrade"`` suits a location that serves WebSockets alone. Elsewhere every plain request
    carries it too.

    Why it matters
        Some backends answer such plain requests 400 (uvicorn: Unsupported upgrade request; Engine.IO while polling), or
        fail on POST (Kestrel).

    Bad::

        # nginx: <1.29.7
        # proof: accepted
        events {}
        http {
            server {
                listen 80;
                location / {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection "upgrade";
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
            server {
                listen 80;
                location / {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection "$connection_upgrade";
                    proxy_read_timeout 1h;
                }
            }
        }

    References
        https://nginx.org/en/docs/http/websocket.html
    """
    for aim, forwarded in context.proxied:
        if forwarded.tunnel is not True or context.alone(aim):
            continue
        plain = context.plain(aim)
        fate = plain.fate("Connection") if plain is not None else None
        if fate is not None and fate.origin is not None and has_upgrade(fate.value):
            yield Found(
                "plain requests carry Connection: upgrade too, which some backends refuse",
                fate.origin.span,
                (aim,),
                (head_label(aim, "plain requests and WebSockets pass here"),),
                fix=replace_connection(context, fate.origin, (aim,)) if context.options.style == "map" else None,
                help="a map of $http_upgrade tells them apart (--style map)",
            )
