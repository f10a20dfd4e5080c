"""missing-connection-header."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Label, Level
from ws101.rules.base.aims import location_of
from ws101.rules.base.context import Context
from ws101.rules.base.facts import header_faults, place, show
from ws101.rules.base.registry import Bites, Found, rule
from ws101.rules.base.writing import forward_fix

__all__ = ["check"]


@rule("WS103", "missing-connection-header", Level.ERROR, bites=Bites.FORWARD)
def check(context: Context) -> Iterator[Found]:
    """Upgrade is forwarded, but Connection is not set.

    nginx sends ``Connection: close`` (from 1.29.7 on none at all), whatever the client said.

    Why it matters
        Upgrade counts only if Connection lists it. The backend answers that the token upgrade is missing in Connection.

    Bad::

        # nginx: <1.29.7
        events {}
        http {
            server {
                listen 80;
                location /ws {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
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
                    proxy_read_timeout 1h;
                }
            }
        }

    Fix safety
        In the quick style plain requests carry ``Connection: upgrade`` too, so it is unsafe where they can reach the
        location.

    References
        https://nginx.org/en/docs/http/websocket.html
        https://www.rfc-editor.org/rfc/rfc9110#section-7.8
    """
    for aim, upgrade, connection in header_faults(context):
        if connection.is_absent and not upgrade.is_absent:
            title = show(location_of(aim.scope).title)
            origin = upgrade.origin or context.decides(aim, "Upgrade")
            yield Found(
                f"{title} forwards Upgrade but not Connection, which makes it count",
                place(aim),
                (aim,),
                (Label(origin.span, "Upgrade is set here"),) if origin is not None else (),
                fix=forward_fix(context, aim, ("Connection",), http_11=False),
            )
