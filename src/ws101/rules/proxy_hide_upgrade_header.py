"""proxy-hide-upgrade-header."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Fix, Level, Safety
from ws101.nginx.config import Placed, Unknown
from ws101.nginx.inherit import effective_all
from ws101.rules.base.aims import Aim
from ws101.rules.base.context import Context
from ws101.rules.base.facts import head_label, show
from ws101.rules.base.registry import Bites, Found, rule
from ws101.rules.base.writing import add_array
from ws101.text import lower

__all__ = ["check"]

_NEEDED = ("upgrade", "sec-websocket-accept")


@rule("WS115", "proxy-hide-upgrade-header", Level.ERROR, bites=Bites.ANSWER)
def check(context: Context) -> Iterator[Found]:
    """proxy_hide_header takes Upgrade out of the 101 as well.

    ``proxy_hide_header Upgrade`` is a known workaround for browsers that stumble over ``Upgrade: h2`` in ordinary
    answers. Written for a whole server, it also reaches the answer that completes a WebSocket's handshake.

    Why it matters
        nginx logs 101 and opens the tunnel, but the browser says that the Upgrade header is missing.

    Bad::

        # proof: answer
        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      close;
            }
            server {
                listen 80;
                proxy_hide_header Upgrade;
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
                proxy_hide_header Upgrade;
                location /ws {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 1h;
                    proxy_pass_header Upgrade;
                }
            }
        }

    Fix safety
        Safe only in a location that serves WebSockets alone: elsewhere plain answers show the field again.

    References
        https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_hide_header
        https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_pass_header
    """
    for aim, forwarded in context.proxied:
        hidden = effective_all(aim.scope, "proxy_hide_header")
        passed = effective_all(aim.scope, "proxy_pass_header")
        if not aim.intent.is_sure or "protocol" in forwarded.faults or isinstance(hidden, Unknown):
            continue
        if isinstance(passed, Unknown):
            continue
        shown = {lower(p.args[0]) for p in passed if p.args}
        for placed in hidden:
            if placed.args and lower(placed.args[0]) in _NEEDED and lower(placed.args[0]) not in shown:
                yield _found(context, aim, placed)


def _found(context: Context, aim: Aim, placed: Placed) -> Found:
    name = show(placed.args[0])
    edits = add_array(aim.scope, "proxy_pass_header", placed.args[0])
    alone = context.alone(aim)
    return Found(
        f"{name} is hidden here, also in the 101, which browsers then refuse",
        placed.span,
        (aim,),
        (head_label(aim, "WebSockets pass here"),),
        fix=Fix(
            f"let {name} pass in this location",
            edits,
            Safety.SAFE if alone else Safety.UNSAFE,
            "" if alone else f"plain answers of this location would show {name} again",
        ),
    )
