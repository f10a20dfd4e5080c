"""h2c-smuggling."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Label, Level
from ws101.nginx.config import Placed, Scope
from ws101.nginx.inherit import effective, effective_all
from ws101.rules.base.aims import Aim
from ws101.rules.base.context import Context
from ws101.rules.base.facts import show
from ws101.rules.base.listening import by_server
from ws101.rules.base.maps import has_upgrade
from ws101.rules.base.registry import Bites, Found, rule
from ws101.text import lower

__all__ = ["check"]

_MAP = "map $http_upgrade $websocket_upgrade { ~*^websocket$ websocket; default ''; }"


@rule("WS157", "h2c-smuggling", Level.NOTE, bites=Bites.ADVICE)
def check(context: Context) -> Iterator[Found]:
    """A WebSocket's location passes any upgrade on, and the same backend also serves what nginx protects.

    ``Upgrade $http_upgrade`` forwards ``Upgrade: h2c`` as well. A backend that accepts it then speaks HTTP/2 through
    the tunnel, and nginx sees none of the requests in it. This is advice, reported only where the same upstream stands
    behind a password, a subrequest or a ``deny`` too.

    Why it matters
        Requests in that tunnel go round nginx's access control.

    Bad::

        # proof: accepted
        # fix: none
        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      close;
            }
            server {
                listen 80;
                location /admin/ {
                    deny all;
                    proxy_pass http://127.0.0.1:3000;
                }
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
            map $http_upgrade $websocket_upgrade {
                ~*^websocket$ websocket;
                default       '';
            }
            server {
                listen 80;
                location /admin/ {
                    deny all;
                    proxy_pass http://127.0.0.1:3000;
                }
                location /ws {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $websocket_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 1h;
                }
            }
        }

    References
        https://bishopfox.com/blog/h2c-smuggling-request
        https://www.rfc-editor.org/rfc/rfc9110#section-7.8
    """
    is_guarded = context.shared.mentions("auth_basic", "auth_request", "deny")
    for server, pairs in by_server(context).items() if is_guarded else ():
        guarded = _guarded(context, server)
        for aim, forwarded in pairs if guarded else ():
            name = forwarded.upstream.url if forwarded.upstream is not None else ""
            guard = guarded.get(name)
            fate = forwarded.fate("Upgrade")
            own = _guard(aim.scope)
            if guard is None or (own is not None and own.directive is guard.directive):
                continue
            if fate is None or fate.origin is None or not _passes_h2c(context, aim):
                continue
            yield Found(
                f"any upgrade passes here to {show(name)}, h2c too, and with it requests that nginx does not see",
                fate.origin.span,
                (aim,),
                (Label(guard.span, "the same backend is protected here"),),
                help=f"pass websocket alone: {_MAP} and proxy_set_header Upgrade $websocket_upgrade",
            )
            break


def _passes_h2c(context: Context, aim: Aim) -> bool:
    forwarded = context.with_upgrade(aim, "h2c")
    upgrade = forwarded.fate("Upgrade") if forwarded is not None else None
    connection = forwarded.fate("Connection") if forwarded is not None else None
    if upgrade is None or connection is None:
        return False
    return lower(upgrade.value) == "h2c" and has_upgrade(connection.value)


def _guarded(context: Context, server: Scope) -> dict[str, Placed]:
    """The upstreams of a server that access control protects somewhere, and the directive that does."""
    found: dict[str, Placed] = {}
    for route in context.routes_of(server):
        guard = _guard(route.location)
        url = context.answer(route).upstream or _written(route.handler) if guard is not None else None
        if guard is not None and url:
            found.setdefault(url, guard)
    return found


def _written(handler: Placed | None) -> str | None:
    """Where a route leads whose requests nginx itself refuses."""
    return handler.args[0].rstrip("/") if handler is not None and handler.args else None


def _guard(scope: Scope) -> Placed | None:
    """The directive that lets only some in."""
    for name in ("auth_basic", "auth_request"):
        setting = effective(scope, name)
        if setting.origin is not None and setting.text not in (None, "off"):
            return setting.origin
    lines = effective_all(scope, "deny")
    return lines[0] if isinstance(lines, tuple) and lines else None
