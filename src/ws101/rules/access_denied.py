"""access-denied."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Level
from ws101.nginx.config import Placed, Scope
from ws101.rules.base.aims import location_of
from ws101.rules.base.context import Context
from ws101.rules.base.facts import head_label, show
from ws101.rules.base.registry import Bites, Found, rule

__all__ = ["check"]


@rule("WS124", "access-denied", Level.ERROR, bites=Bites.ACCESS)
def check(context: Context) -> Iterator[Found]:
    """nginx denies everybody access to a WebSocket's location.

    ``deny all`` without any ``allow`` before it. There is no edit for this, only advice: who may come in is yours to
    decide.

    Why it matters
        nginx itself answers 403; the backend hears nothing.

    Bad::

        # fix: none
        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      close;
            }
            server {
                listen 80;
                deny all;
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

        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      close;
            }
            server {
                listen 80;
                deny all;
                location /ws {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 1h;
                    allow all;
                }
            }
        }

    References
        https://nginx.org/en/docs/http/ngx_http_access_module.html
    """
    for aim in context.aims:
        denied = _denies_all(aim.scope)
        if denied is not None and context.is_refused(aim, 403):
            yield Found(
                f"everybody is denied access to {show(location_of(aim.scope).title)}, so nginx answers 403",
                denied.span,
                (aim,),
                (head_label(aim, "WebSockets pass here"),),
                help="allow those who may come in before deny all",
            )


def _denies_all(scope: Scope) -> Placed | None:
    """The ``deny all`` that rules in a scope, if no ``allow`` does."""
    for level in scope.outward:
        if level.first("allow") is not None:
            return None
        if level.first("deny") is not None:
            return next((placed for placed in level.all("deny") if placed.args[:1] == ("all",)), None)
    return None
