"""client-path-mismatch."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Level
from ws101.nginx.locations import find_location, location_name
from ws101.rules.base.aims import location_of
from ws101.rules.base.context import Context
from ws101.rules.base.facts import head_label, place, show
from ws101.rules.base.hints import POLLING, segments
from ws101.rules.base.registry import Bites, Found, rule

__all__ = ["check"]


@rule("WS149", "client-path-mismatch", Level.NOTE, bites=Bites.ROUTE)
def check(context: Context) -> Iterator[Found]:
    """The library's path stands below a prefix, and its clients ask for it at the root unless they are told.

    Socket.IO clients ask for ``/socket.io/`` whatever page they are on; the option ``path`` tells them otherwise.
    Whether yours are told is not in the file, so this is a note. There is no edit for this, only advice.

    Why it matters
        Where nothing answers at the root, the handshake gets 404, 405 or a page.

    Bad::

        # proof: accepted
        # fix: none
        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      close;
            }
            server {
                listen 80;
                location /app/socket.io/ {
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
                location /app/socket.io/ {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 1h;
                }
                location /socket.io/ {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 1h;
                }
            }
        }

    References
        https://socket.io/docs/v4/client-options/#path
    """
    for aim, _ in context.proxied:
        location = location_of(aim.scope)
        name = location_name(location)
        parts = segments(name) if name.modifier in ("", "^~", "=") else ()
        library = next((part for part in parts[1:] if part in POLLING), None)
        if library is None or parts[0] in POLLING or not aim.intent.is_sure or aim.urls:
            continue
        found = find_location(aim.route.server, f"/{library}/", context.build).scope
        if found is None or not any(route.location is found for route in context.routes_of(aim.route.server)):
            yield Found(
                f"clients ask for /{show(library)}/ unless told {show(name.name)}, and no backend answers there",
                place(aim),
                (aim,),
                (head_label(aim, "the library's path stands below a prefix"),),
                help="set the client's option path, or add a location at the root",
            )
