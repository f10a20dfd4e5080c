"""second-proxy-hop."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Level
from ws101.rules.base.context import Context
from ws101.rules.base.facts import head_label, place, show
from ws101.rules.base.hops import inner_hop
from ws101.rules.base.listening import sure_proxied
from ws101.rules.base.registry import Bites, Found, rule
from ws101.rules.base.writing import forward_fix

__all__ = ["check"]


@rule("WS150", "second-proxy-hop", Level.ERROR, bites=Bites.BACKEND)
def check(context: Context) -> Iterator[Found]:
    """The handshake goes on to another server of this same nginx, and that one does not pass it on.

    Upgrade and Connection are hop-by-hop: every nginx on the way has to set them anew. A hop through another machine or
    container is beyond this configuration; check its own.

    Why it matters
        The outer location is perfect, and the backend still answers 400.

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
                    proxy_pass http://127.0.0.1:8080;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 1h;
                }
            }
            server {
                listen 127.0.0.1:8080;
                location / {
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
                location /ws {
                    proxy_pass http://127.0.0.1:8080;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 1h;
                }
            }
            server {
                listen 127.0.0.1:8080;
                location / {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 1h;
                }
            }
        }

    References
        https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1
    """
    seen = set()
    for aim, forwarded in sure_proxied(context):
        inner = inner_hop(context, aim, forwarded) if forwarded.tunnel is True else None
        if inner is None or inner.scope in seen:
            continue
        seen.add(inner.scope)
        yield Found(
            f"{show(forwarded.handler.args[0])} is {show(inner.scope.title)} of this nginx, which does not pass the "
            "handshake on",
            place(inner),
            (aim, inner),
            (head_label(aim, "WebSockets come from here"),),
            fix=forward_fix(context, inner, ("Upgrade", "Connection")),
        )
