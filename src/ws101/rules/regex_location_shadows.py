"""regex-location-shadows."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Fix, Label, Level, Safety
from ws101.nginx.config import Placed, Scope
from ws101.nginx.locations import location_name
from ws101.rules.base.aims import Aim
from ws101.rules.base.context import Context
from ws101.rules.base.edits import set_args
from ws101.rules.base.facts import header_faults, place, show
from ws101.rules.base.registry import Bites, Found, rule
from ws101.text import Span

__all__ = ["check"]


@rule("WS130", "regex-location-shadows", Level.ERROR, bites=Bites.ROUTE)
def check(context: Context) -> Iterator[Found]:
    r"""A regular expression location takes a WebSocket's path from the prefix location that forwards upgrades.

    nginx remembers the longest prefix, then tries regular expressions in order, and the first that matches wins, unless
    the prefix says ``^~``.

    Why it matters
        Only some paths fail, although the location for them is right.

    Bad::

        # url: ws://example.com/ws/feed.json
        # unsafe: yes
        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      close;
            }
            server {
                listen 80;
                location /ws/ {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 1h;
                }
                location ~ \.json$ {
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
                location ^~ /ws/ {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 1h;
                }
                location ~ \.json$ {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_read_timeout 1h;
                }
            }
        }

    Fix safety
        Every other request below the prefix leaves the regular expressions too, so the fix is always unsafe.

    References
        https://nginx.org/en/docs/http/ngx_http_core_module.html#location
    """
    for aim, _, _ in header_faults(context):
        shadowed = context.shadowed(aim)
        if shadowed is not None and shadowed.opener is not None:
            yield _found((aim.scope, place(aim)), aim.urls, (shadowed, shadowed.opener), (aim,))
    for url, scope, shadowed in context.files:
        if shadowed is not None and shadowed.opener is not None and scope.opener is not None:
            yield _found((scope, scope.opener.directive.span), (url,), (shadowed, shadowed.opener))


def _found(
    taker: tuple[Scope, Span], urls: tuple[str, ...], owner: tuple[Scope, Placed], aims: tuple[Aim, ...] = ()
) -> Found:
    (scope, span), (shadowed, opener) = taker, owner
    name = location_name(shadowed).name
    return Found(
        f"{show(scope.title)} takes {', '.join(map(show, urls))} from {show(shadowed.title)}, which forwards upgrades",
        span,
        aims,
        (Label(opener.span, "the fields are set here"),),
        fix=Fix(
            f"let {show(name)} win over regular expressions",
            set_args(opener.directive, "^~", name),
            Safety.UNSAFE,
            f"plain requests below {show(name)} leave the regular expressions too",
        ),
        scopes=() if aims else (scope,),
    )
