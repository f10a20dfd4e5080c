"""location-slash-redirect."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Fix, Level
from ws101.nginx.config import Scope
from ws101.nginx.locations import find_location, location_name
from ws101.rules.base.aims import Aim, location_of
from ws101.rules.base.context import Context
from ws101.rules.base.edits import insert_before
from ws101.rules.base.facts import head_label, show
from ws101.rules.base.hints import POLLING, SEGMENTS, segments
from ws101.rules.base.listening import sure_proxied
from ws101.rules.base.registry import Bites, Found, rule
from ws101.rules.base.writing import copied_location
from ws101.syntax import Directive

__all__ = ["check"]


@rule("WS111", "location-slash-redirect", Level.ERROR, bites=Bites.ROUTE)
def check(context: Context) -> Iterator[Found]:
    """Only a location with a trailing slash exists, and the client asks without it.

    Where a location's name ends in a slash and it proxies, nginx answers the same path without the slash by a redirect
    of its own (301).

    Without a told URL it is a note, for names such as ``/ws/`` alone.

    Why it matters
        Browsers do not follow redirects of an opening handshake: the WebSocket fails with response code 301.

    Bad::

        # url: ws://example.com/ws
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
                location = /ws {
                    if ($http_upgrade = '') {
                        return 301 /ws/$is_args$args;
                    }
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 1h;
                }
                location /ws/ {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 1h;
                }
            }
        }

    References
        https://nginx.org/en/docs/http/ngx_http_core_module.html#location
    """
    found: dict[Directive, tuple[Scope, list[str]]] = {}
    for url, scope in context.slash_redirects:
        assert scope.opener is not None, "a location has an opener"
        found.setdefault(scope.opener.directive, (scope, []))[1].append(url)
    reached = {trace.outcome.scope for _, trace in context.traces if trace.outcome.kind == "proxied"}
    for opener, (scope, urls) in found.items():
        name = location_name(scope).name
        asked = name.removesuffix("/")
        yield Found(
            f"there is only {show(scope.title)}, so nginx answers {show(asked)} with a redirect to {show(name)}, "
            "which WebSocket clients do not follow",
            opener.span,
            tuple(aim for aim in context.aims if aim.scope is scope),
            fix=Fix(f"answer {show(asked)} too", (insert_before(opener, _exact(opener, asked)),)),
            help=f"or let the client ask for {show(name)} (told: {', '.join(show(url) for url in urls)})",
            scopes=(scope,),
            spared=(scope,) if scope in reached else (),
        )
    if not context.options.urls:
        yield from (_hint(aim) for aim, _ in sure_proxied(context) if _is_hinted(context, aim))


def _is_hinted(context: Context, aim: Aim) -> bool:
    """Whether the name is one segment that clients often ask for without the slash."""
    location = location_of(aim.scope)
    name, parts = location_name(location), segments(location_name(location))
    usual = name.modifier in ("", "^~") and name.name.endswith("/") and len(parts) == 1
    if not usual or parts[-1] not in SEGMENTS - POLLING:
        return False
    found = find_location(aim.route.server, name.name.removesuffix("/"), context.build)
    return found.redirect and found.scope is location


def _hint(aim: Aim) -> Found:
    name = location_name(location_of(aim.scope)).name
    asked = show(name.removesuffix("/"))
    return Found(
        f"a client that asks for {asked} is redirected to {show(name)}, which WebSocket clients do not follow",
        head_label(aim, "").span,
        (aim,),
        help=f"fine if clients ask for {show(name)}; tell the URL they use (--url), and the fix is offered",
        level=Level.NOTE,
    )


def _exact(location: Directive, name: str) -> list[str]:
    """A location for the name alone: what the other one holds, and the old redirect for plain requests."""
    guard = [
        "    if ($http_upgrade = '') {",
        f"        return 301 {name}/$is_args$args;",
        "    }",
    ]
    return copied_location(location, f"= {name}", {}, guard)
