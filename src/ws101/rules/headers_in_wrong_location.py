"""headers-in-wrong-location."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Label, Level
from ws101.rules.base.aims import location_of
from ws101.rules.base.causes import answered_upgrade
from ws101.rules.base.context import Context
from ws101.rules.base.facts import header_faults, place, show
from ws101.rules.base.registry import Bites, Found, rule
from ws101.rules.base.writing import forward_fix

__all__ = ["check"]


@rule("WS109", "headers-in-wrong-location", Level.ERROR, bites=Bites.FORWARD)
def check(context: Context) -> Iterator[Found]:
    """The upgrade fields stand in a location that nginx does not select for WebSockets.

    Each request is answered by one location alone. Fields set in ``location /`` say nothing about
    ``location /socket.io/`` beside it.

    Why it matters
        The configuration looks complete, and the location that really answers forwards no opening handshake.

    Bad::

        # nginx: <1.29.7
        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      close;
            }
            server {
                listen 80;
                location / {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 1h;
                }
                location /api/live/ {
                    proxy_pass http://127.0.0.1:3000;
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
                location / {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 1h;
                }
                location /api/live/ {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 1h;
                }
            }
        }

    References
        https://nginx.org/en/docs/http/ngx_http_core_module.html#location
    """
    for aim, upgrade, connection in header_faults(context):
        example = aim.example
        if not (upgrade.is_absent and connection.is_absent) or context.shadowed(aim) is not None:
            continue
        if example is not None and example.opener is not None and answered_upgrade(aim.scope) is None:
            title, other = show(location_of(aim.scope).title), show(example.title)
            yield Found(
                f"{title} answers here and forwards no Upgrade and Connection: they are set in {other}, which does not",
                place(aim),
                (aim,),
                (Label(example.opener.span, "the fields are set here"),),
                fix=forward_fix(context, aim, ("Upgrade", "Connection")),
            )
