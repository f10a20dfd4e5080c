"""add-header-upgrade."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Level
from ws101.rules.base.aims import location_of
from ws101.rules.base.causes import answered_upgrade
from ws101.rules.base.context import Context
from ws101.rules.base.facts import head_label, header_faults, show
from ws101.rules.base.registry import Bites, Found, rule
from ws101.rules.base.writing import forward_fix

__all__ = ["check"]


@rule("WS155", "add-header-upgrade", Level.ERROR, bites=Bites.FORWARD)
def check(context: Context) -> Iterator[Found]:
    """add_header sets the upgrade fields, which adds them to the answer, not to the request.

    ``add_header`` speaks to the client. ``proxy_set_header`` speaks to the backend.

    Why it matters
        The backend gets no opening handshake and answers 400 or 426, although the fields seem to be set.

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
                location /ws {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_read_timeout 1h;
                    add_header Upgrade $http_upgrade;
                    add_header Connection "upgrade";
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
                    add_header Upgrade $http_upgrade;
                    add_header Connection "upgrade";
                }
            }
        }

    Fix safety
        The useless ``add_header`` lines stay: taking them out could bring inherited ones back. Take them out yourself.

    References
        https://nginx.org/en/docs/http/ngx_http_headers_module.html#add_header
    """
    for aim, upgrade, connection in header_faults(context):
        line = answered_upgrade(aim.scope)
        if line is not None and upgrade.is_absent:
            fields = ("Upgrade", "Connection") if connection.is_absent else ("Upgrade",)
            yield Found(
                f"add_header {show(line.args[0])} goes to the client: the backend gets no {' and '.join(fields)}",
                line.span,
                (aim,),
                (head_label(aim, f"{show(location_of(aim.scope).title)} answers"),),
                fix=forward_fix(context, aim, fields),
                help="take the add_header lines out too",
            )
