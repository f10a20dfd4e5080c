"""missing-resolver."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Level
from ws101.rules.base.context import Context
from ws101.rules.base.facts import head_label, show
from ws101.rules.base.registry import Bites, Found, rule

__all__ = ["check"]


@rule("WS117", "missing-resolver", Level.ERROR, bites=Bites.BACKEND)
def check(context: Context) -> Iterator[Found]:
    """proxy_pass takes the backend's name from a variable, and no resolver is set to look it up.

    A name that stands in ``proxy_pass`` is looked up once, at start. A name that comes out of a variable is looked up
    for each request, by nginx's own ``resolver``, unless an ``upstream`` block has that name. There is no edit for
    this, only advice: the address of the name server must come from you (``/etc/resolv.conf``; 127.0.0.11 in Docker).

    Why it matters
        nginx answers every request 502 and logs ``no resolver defined to resolve``.

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
                location /ws {
                    set $backend app.internal;
                    proxy_pass http://$backend;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 1h;
                }
            }
        }

    Good::

        # nginx: <1.29.7
        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      close;
            }
            upstream app.internal {
                server 127.0.0.1:3000;
            }
            server {
                listen 80;
                location /ws {
                    set $backend app.internal;
                    proxy_pass http://$backend;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 1h;
                }
            }
        }

    References
        https://nginx.org/en/docs/http/ngx_http_core_module.html#resolver
    """
    for aim in context.aims:
        for decision in context.decisions(aim):
            if decision.step == "upstream" and "no resolver defined" in decision.why and decision.origin is not None:
                address = show(" ".join(decision.origin.args))
                yield Found(
                    f"no resolver is set, and nginx looks the name in {address} up at run time: it answers 502",
                    decision.origin.span,
                    (aim,),
                    (head_label(aim, "WebSockets pass here"),),
                    help="set resolver to your name server, or name an upstream block",
                )
