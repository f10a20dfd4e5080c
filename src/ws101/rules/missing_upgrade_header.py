"""missing-upgrade-header."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Fix, Label, Level
from ws101.rules.base.aims import location_of
from ws101.rules.base.causes import Cause, answered_upgrade
from ws101.rules.base.context import Context
from ws101.rules.base.facts import header_faults, place, show
from ws101.rules.base.registry import Bites, Found, rule
from ws101.rules.base.writing import UPGRADE, forward_fix, set_value

__all__ = ["check"]


@rule("WS102", "missing-upgrade-header", Level.ERROR, bites=Bites.FORWARD)
def check(context: Context) -> Iterator[Found]:
    """Connection is set for an upgrade, but Upgrade itself is not forwarded.

    Why it matters
        ``Connection: upgrade`` announces a field that never arrives. The backend answers that the token websocket is
        missing in Upgrade.

    Bad::

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
                    proxy_set_header Connection $connection_upgrade;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_read_timeout 1h;
                }
            }
        }

    References
        https://nginx.org/en/docs/http/websocket.html
        https://www.rfc-editor.org/rfc/rfc6455#section-4.2.1
    """
    for aim, upgrade, connection in header_faults(context):
        if upgrade.cause is Cause.CLEARED and upgrade.origin is not None:
            fix = Fix("forward Upgrade", set_value(upgrade.origin, UPGRADE[1]))
            message = "Upgrade is set to nothing, so the backend gets no opening handshake"
            yield Found(message, upgrade.origin.span, (aim,), fix=fix)
        elif upgrade.is_absent and not connection.is_absent and answered_upgrade(aim.scope) is None:
            title = show(location_of(aim.scope).title)
            origin = connection.origin or context.decides(aim, "Connection")
            labels = (Label(origin.span, "Connection is set here"),) if origin is not None else ()
            fix = forward_fix(context, aim, ("Upgrade",), http_11=False)
            yield Found(f"{title} sets Connection but does not forward Upgrade", place(aim), (aim,), labels, fix)
