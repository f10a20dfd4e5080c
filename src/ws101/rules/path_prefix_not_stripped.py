"""path-prefix-not-stripped."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Fix, Label, Level, Safety
from ws101.rules.base.context import Context
from ws101.rules.base.edits import set_args
from ws101.rules.base.facts import head_label, show
from ws101.rules.base.listening import sure_proxied
from ws101.rules.base.prefixes import kept_prefix, stripping_sibling
from ws101.rules.base.registry import Bites, Found, rule

__all__ = ["check"]


@rule("WS148", "path-prefix-not-stripped", Level.NOTE, bites=Bites.BACKEND)
def check(context: Context) -> Iterator[Found]:
    """A location beside this one strips the prefix on the way to the same backend, and this one keeps it.

    ``location /app/ { proxy_pass http://backend/; }`` hides ``/app`` from the application. A WebSocket's location below
    it without a path in ``proxy_pass`` shows it. Which of the two is meant is not in the file, so this is a note.

    Why it matters
        An application that is mounted at ``/`` answers 404.

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
                location /app/ {
                    proxy_pass http://127.0.0.1:3000/;
                }
                location /app/ws {
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
                location /app/ {
                    proxy_pass http://127.0.0.1:3000/;
                }
                location /app/ws {
                    proxy_pass http://127.0.0.1:3000/ws;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 1h;
                }
            }
        }

    Fix safety
        Plain requests get another path too, and only the application knows which is right: always unsafe.

    References
        https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_pass
    """
    for aim, forwarded in sure_proxied(context):
        name = kept_prefix(aim, forwarded)
        sibling = stripping_sibling(context, aim, forwarded, name) if name is not None else None
        if name is None or sibling is None:
            continue
        scope, prefix, uri = sibling
        assert scope.opener is not None, "a location has an opener"
        path = uri + name[len(prefix) :]
        new = f"{forwarded.handler.args[0]}{path}"
        yield Found(
            f"the backend is asked for {show(name)}, and {show(scope.title)} beside it would ask for {show(path)}",
            forwarded.handler.span,
            (aim,),
            (head_label(aim, "WebSockets pass here"), Label(scope.opener.span, "the prefix is stripped here")),
            fix=Fix(
                f"ask for {show(path)}",
                set_args(forwarded.handler.directive, new),
                Safety.UNSAFE,
                "plain requests get another path too",
            ),
        )
