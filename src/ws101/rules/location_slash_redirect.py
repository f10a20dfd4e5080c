"""location-slash-redirect."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ws101.findings import Fix, Level
from ws101.nginx.config import Scope
from ws101.nginx.locations import location_name
from ws101.rules.base.context import Context
from ws101.rules.base.edits import insert_before
from ws101.rules.base.facts import show
from ws101.rules.base.registry import Bites, Found, rule
from ws101.rules.base.writing import raw
from ws101.syntax import Directive

__all__ = ["check"]


@rule("WS111", "location-slash-redirect", Level.ERROR, bites=Bites.ROUTE)
def check(context: Context) -> Iterator[Found]:
    """Only a location with a trailing slash exists, and the client asks without it.

    Where a location's name ends in a slash and it proxies, nginx answers the same path without the slash by a redirect
    of its own (301).

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
        )


def _exact(location: Directive, name: str) -> list[str]:
    """A location for the name alone: what the other one holds, and the old redirect for plain requests."""
    guard = [
        "    if ($http_upgrade = '') {",
        f"        return 301 {name}/$is_args$args;",
        "    }",
    ]
    inner = [d for d in location.block or () if d.name != "location"]
    return [f"location = {name} {{", *guard, *_lines(inner, 1), "}"]


def _lines(directives: Sequence[Directive], depth: int) -> list[str]:
    lines: list[str] = []
    for directive in directives:
        head = "    " * depth + raw(directive)
        if directive.block is None:
            lines.append(head)
        else:
            lines += [head.removesuffix(";") + " {", *_lines(directive.block, depth + 1), "    " * depth + "}"]
    return lines
