"""auth-request-inherits-upgrade."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Fix, Level
from ws101.nginx.config import Route, Scope
from ws101.nginx.inherit import effective
from ws101.nginx.locations import location_name
from ws101.rules.base.aims import Aim, location_of
from ws101.rules.base.causes import local_anchor
from ws101.rules.base.context import Context
from ws101.rules.base.facts import head_label, show
from ws101.rules.base.registry import Bites, Found, rule
from ws101.rules.base.writing import add_fields, set_value
from ws101.syntax import Directive
from ws101.text import lower

__all__ = ["check"]


@rule("WS131", "auth-request-inherits-upgrade", Level.WARNING, bites=Bites.ACCESS)
def check(context: Context) -> Iterator[Found]:
    """The subrequest of auth_request carries the upgrade fields to the authentication service.

    A subrequest shares the client's header fields. Where its location inherits the upgrade lines, the authentication
    service sees an opening handshake instead of a question.

    Why it matters
        It answers 400 or 426, which nginx turns into 500 (``auth request unexpected status``); if it answers 101, nginx
        closes the connection without a byte.

    Bad::

        # module: http_auth_request
        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      close;
            }
            server {
                listen 80;
                proxy_http_version 1.1;
                proxy_set_header Upgrade $http_upgrade;
                proxy_set_header Connection $connection_upgrade;
                proxy_read_timeout 1h;
                location /ws {
                    auth_request /auth;
                    proxy_pass http://127.0.0.1:3000;
                }
                location = /auth {
                    internal;
                    proxy_pass http://127.0.0.1:3000;
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
                proxy_http_version 1.1;
                proxy_set_header Upgrade $http_upgrade;
                proxy_set_header Connection $connection_upgrade;
                proxy_read_timeout 1h;
                location /ws {
                    auth_request /auth;
                    proxy_pass http://127.0.0.1:3000;
                }
                location = /auth {
                    internal;
                    proxy_pass http://127.0.0.1:3000;
                    proxy_set_header Upgrade "";
                    proxy_set_header Connection "";
                }
            }
        }

    References
        https://nginx.org/en/docs/http/ngx_http_auth_request_module.html
    """
    found: dict[Directive, tuple[Route, list[Aim]]] = {}
    for aim in context.aims:
        asked = effective(aim.scope, "auth_request").text
        route = _answering(context, aim, asked) if asked not in (None, "off") else None
        if route is not None and route.location.opener is not None and context.answer(route).tunnel:
            found.setdefault(route.location.opener.directive, (route, []))[1].append(aim)
    for opener, (route, aims) in found.items():
        fix = _fix(route.location)
        yield Found(
            f"{show(route.location.title)} passes the callers' opening handshake on to the authentication service",
            opener.span,
            tuple(aims),
            tuple(head_label(aim, "it is asked from here") for aim in aims[:10]),
            fix=fix,
            help="" if fix else "instead of the include, write out the fields that it needs there, without these two",
            scopes=(route.location,),
        )


def _fix(location: Scope) -> Fix | None:
    """Clear the two fields; None if the location gets them from an include, whose lines others need."""
    names = ("upgrade", "connection")
    own = [p for p in location.all("proxy_set_header") if len(p.args) == 2 and lower(p.args[0]) in names]
    if any(local_anchor(placed).directive is not placed.directive for placed in own):
        return None
    if own:
        edits = tuple(edit for placed in own for edit in set_value(placed, ""))
    else:
        edits = add_fields(location, (("Upgrade", '""'), ("Connection", '""')))
    return Fix("send no upgrade fields to the authentication service", edits)


def _answering(context: Context, aim: Aim, path: str | None) -> Route | None:
    """The location that answers the subrequest: the exact one, else the longest prefix."""
    best: Route | None = None
    for route in context.routes_of(aim.route.server):
        name = location_name(route.location)
        if name.modifier == "=" and name.name == path:
            return route
        if path and name.modifier in ("", "^~") and path.startswith(name.name) and route.location.kind == "location":
            longer = best is None or len(name.name) > len(location_name(best.location).name)
            best = route if longer else best
    return best if best is not None and location_of(best.location) is not location_of(aim.scope) else None
