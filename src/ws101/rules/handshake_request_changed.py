"""handshake-request-changed."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Fix, Level, Safety
from ws101.nginx.inherit import effective
from ws101.rules.base.context import Context
from ws101.rules.base.edits import remove
from ws101.rules.base.facts import head_label, show
from ws101.rules.base.registry import Bites, Found, rule

__all__ = ["check"]


@rule("WS129", "handshake-request-changed", Level.ERROR, bites=Bites.FORWARD)
def check(context: Context) -> Iterator[Found]:
    """The handshake reaches the backend with another method, or with a body.

    ``proxy_method`` or ``proxy_set_body`` rewrites every request of the location.

    Why it matters
        An opening handshake is a GET without a body: anything else gets 405, 400 or 502.

    Bad::

        # proof: arrival
        # unsafe: yes
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
                    proxy_method POST;
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
                location /ws {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 1h;
                }
            }
        }

    Fix safety
        Plain requests change as well, so the fix is always unsafe.

    References
        https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_method
        https://www.rfc-editor.org/rfc/rfc6455#section-4.1
    """
    for aim, forwarded in context.errors():
        for fault, name in (("method", "proxy_method"), ("body", "proxy_set_body")):
            origin = effective(aim.scope, name).origin
            if fault in forwarded.faults and origin is not None:
                yield Found(
                    f"{name} {show(' '.join(origin.args))} turns the opening handshake into another request",
                    origin.span,
                    (aim,),
                    (head_label(aim, "WebSockets pass here"),),
                    fix=Fix(
                        f"leave {name} out", (remove(origin.directive),), Safety.UNSAFE, "plain requests change too"
                    ),
                )
