"""map-misdefined."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Label, Level
from ws101.nginx.config import Placed
from ws101.nginx.maps import map_tables
from ws101.nginx.templates import parse_template
from ws101.nginx.variables import declared_variables
from ws101.rules.base.aims import Aim
from ws101.rules.base.causes import Cause
from ws101.rules.base.context import Context
from ws101.rules.base.facts import by_origin, head_label, show
from ws101.rules.base.registry import Bites, Found, rule
from ws101.rules.base.writing import replace_connection

__all__ = ["check"]


@rule("WS113", "map-misdefined", Level.ERROR, bites=Bites.FORWARD)
def check(context: Context) -> Iterator[Found]:
    """Connection is set through a variable that does not hold upgrade for a WebSocket.

    The map behind it has its values the wrong way round, is keyed on ``$http_connection`` (Firefox sends
    ``keep-alive, Upgrade``, so an exact key misses), is defined a second time further down, or ``set`` overrides the
    variable.

    Why it matters
        The lines in the location look right, and the value they send is not. Some forms fail in one browser only.

    Bad::

        # nginx: <1.29.7
        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default close;
                ''      upgrade;
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

    Good::

        events {}
        http {
            map $http_upgrade $websocket_connection {
                default upgrade;
                ''      '';
            }
            map $http_upgrade $connection_upgrade {
                default close;
                ''      upgrade;
            }
            server {
                listen 80;
                location /ws {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $websocket_connection;
                    proxy_read_timeout 1h;
                }
            }
        }

    Bad::

        # nginx: <1.29.7
        # proof: firefox
        events {}
        http {
            map $http_connection $connection_upgrade {
                default close;
                upgrade upgrade;
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

    Good::

        events {}
        http {
            map $http_upgrade $websocket_connection {
                default upgrade;
                ''      close;
            }
            map $http_connection $connection_upgrade {
                default close;
                upgrade upgrade;
            }
            server {
                listen 80;
                location /ws {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $websocket_connection;
                    proxy_read_timeout 1h;
                }
            }
        }

    References
        https://nginx.org/en/docs/http/ngx_http_map_module.html
        https://nginx.org/en/docs/http/websocket.html
    """
    for origin, fault, aims in by_origin(context, "Connection", lambda fault: fault.cause is Cause.MAPPED):
        value = show(fault.value) or "nothing"
        yield _found(context, origin, aims, f"{show(origin.args[1])} gives {value} for a WebSocket instead of upgrade")
    for aim, forwarded in context.proxied:
        odd = context.firefox(aim) if forwarded.tunnel else None
        if odd is not None and odd.tunnel is False:
            origin_of_odd = odd.fate("Connection")
            if origin_of_odd is not None and origin_of_odd.origin is not None:
                origin = origin_of_odd.origin
                message = f"{show(origin.args[1])} gives upgrade only if Connection is exactly Upgrade: not in Firefox"
                yield _found(context, origin, (aim,), message)


def _found(context: Context, origin: Placed, aims: tuple[Aim, ...], message: str) -> Found:
    sources = tuple(_sources(context, origin))
    labels = [Label(placed.span, _role(placed, sources)) for placed in sources]
    return Found(
        message,
        origin.span,
        aims,
        (*labels, *(head_label(aim, "WebSockets pass here") for aim in aims)),
        fix=replace_connection(context, origin, aims),
    )


def _role(placed: Placed, sources: tuple[Placed, ...]) -> str:
    """What a map or set does to the value: with both, ``set`` has the last word where it runs."""
    if len({source.name for source in sources}) == 1:
        return "the value comes from here"
    return "the map gives a value" if placed.name == "map" else f"{placed.name} gives it another"


def _sources(context: Context, origin: Placed) -> Iterator[Placed]:
    """The map or set behind each variable of a value."""
    tables, declared = map_tables(context.config), declared_variables(context.config)
    for name in parse_template(origin.args[1]).variables:
        if name in tables:
            yield tables[name].origin
        if name in declared:
            yield declared[name]
