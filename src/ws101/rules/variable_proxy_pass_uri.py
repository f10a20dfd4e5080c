"""variable-proxy-pass-uri."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Fix, Level, Safety
from ws101.nginx.templates import parse_template
from ws101.rules.base.context import Context
from ws101.rules.base.edits import set_args
from ws101.rules.base.facts import head_label, show
from ws101.rules.base.registry import Bites, Found, rule

__all__ = ["check"]


@rule("WS118", "variable-proxy-pass-uri", Level.WARNING, bites=Bites.BACKEND)
def check(context: Context) -> Iterator[Found]:
    """proxy_pass with a variable and a path drops the query string and the rest of the path.

    A path after a host sends exactly that path, if a variable stands anywhere in ``proxy_pass``: nginx neither replaces
    the location's prefix nor adds the query.

    Why it matters
        Tokens in the query (``/ws?token=...``) never reach the backend, which answers 401, 403 or 404.

    Bad::

        # proof: accepted
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
                    set $backend 127.0.0.1:3000;
                    proxy_pass http://$backend/chat;
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
                    set $backend 127.0.0.1:3000;
                    proxy_pass http://$backend/chat$is_args$args;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 1h;
                }
            }
        }

    Fix safety
        The query reaches the backend for plain requests too, so the fix is always unsafe.

    References
        https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_pass
    """
    for aim, _ in context.proxied:
        handler = context.handler(aim)
        text = handler.args[0] if handler is not None and handler.args else ""
        if handler is None or not aim.intent.is_sure or not parse_template(text).variables:
            continue
        target = context.target_with_query(aim)
        if target is None or "?" in target:
            continue
        reason = "plain requests get their query string too"
        yield Found(
            f"proxy_pass sends {show(target)} whatever the client asks for: the query string is dropped",
            handler.span,
            (aim,),
            (head_label(aim, "WebSockets pass here"),),
            fix=Fix(
                "pass the query string on", set_args(handler.directive, f"{text}$is_args$args"), Safety.UNSAFE, reason
            ),
            help="to keep the rest of the path too, rewrite ... break and leave the path out of proxy_pass",
        )
