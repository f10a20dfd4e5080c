"""duplicate-upgrade-header."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Fix, Label, Level
from ws101.nginx.config import Placed, Unknown
from ws101.nginx.inherit import effective_all
from ws101.rules.base.causes import Cause
from ws101.rules.base.context import Context
from ws101.rules.base.edits import remove
from ws101.rules.base.facts import by_origin, head_label
from ws101.rules.base.registry import Bites, Found, rule
from ws101.text import lower

__all__ = ["check"]


@rule("WS114", "duplicate-upgrade-header", Level.ERROR, bites=Bites.FORWARD)
def check(context: Context) -> Iterator[Found]:
    """Upgrade is set twice in one block, and nginx sends both.

    Why it matters
        The backend reads ``websocket, websocket`` or only one of two different values: 400 or 426.

    Bad::

        # proof: accepted
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

    References
        https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_set_header
        https://www.rfc-editor.org/rfc/rfc6455#section-4.2.1
    """
    for _, _, aims in by_origin(context, "Upgrade", lambda fault: fault.cause is Cause.REPEATED):
        lines = effective_all(aims[0].scope, "proxy_set_header")
        assert not isinstance(lines, Unknown), "a fate with an origin comes from lines that are known"
        twice = [p for p in lines if p.args and lower(p.args[0]) == "upgrade"]
        kept = next((p for p in twice if _passes(p)), twice[0])
        extra = [p for p in twice if p is not kept]
        yield Found(
            "Upgrade is set once more here, and nginx sends it each time",
            extra[0].span,
            aims,
            (Label(kept.span, "it is set here too"), *(head_label(aim, "WebSockets pass here") for aim in aims)),
            fix=Fix("set Upgrade once", tuple(remove(p.directive) for p in extra)),
        )


def _passes(placed: Placed) -> bool:
    return lower(placed.args[1]) in ("$http_upgrade", "${http_upgrade}") if len(placed.args) > 1 else False
