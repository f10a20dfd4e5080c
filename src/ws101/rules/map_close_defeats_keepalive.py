"""map-close-defeats-keepalive."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Level
from ws101.nginx.config import Placed
from ws101.nginx.maps import MapTable, map_tables
from ws101.nginx.outcome import Forwarded
from ws101.nginx.templates import parse_template
from ws101.nginx.variables import declared_variables
from ws101.rules.base.aims import Aim
from ws101.rules.base.context import Context
from ws101.rules.base.facts import head_label
from ws101.rules.base.registry import Bites, Found, rule
from ws101.syntax import Directive
from ws101.text import lower

__all__ = ["check"]


@rule("WS121", "map-close-defeats-keepalive", Level.NOTE, bites=Bites.ADVICE)
def check(context: Context) -> Iterator[Found]:
    """The map sends Connection: close with plain requests, although nginx keeps connections to the upstream open.

    Nothing fails. Every plain request opens a new connection to the backend, as if there were no ``keepalive`` (from
    nginx 1.29.7 on, each ``upstream`` block has one). This is advice: an existing map is not edited.

    Why it matters
        New connections cost time, and under load local ports.

    Bad::

        # proof: accepted
        # fix: none
        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      close;
            }
            upstream app {
                server 127.0.0.1:3000;
                keepalive 16;
            }
            server {
                listen 80;
                location / {
                    proxy_pass http://app;
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
                ''      '';
            }
            upstream app {
                server 127.0.0.1:3000;
                keepalive 16;
            }
            server {
                listen 80;
                location / {
                    proxy_pass http://app;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 1h;
                }
            }
        }

    References
        https://nginx.org/en/docs/http/ngx_http_upstream_module.html#keepalive
    """
    found: dict[Directive, tuple[Placed, list[Aim]]] = {}
    for aim, forwarded in context.proxied:
        upstream = forwarded.upstream
        if forwarded.tunnel is not True or upstream is None or not upstream.uses_keepalive:
            continue
        usual = _usual_map(context, forwarded)
        if usual is not None and lower(usual.lookup("").value or "") != "close":
            continue
        if usual is not None and (line := usual.lookup("").origin) is not None and not aim.scope.children("if"):
            found.setdefault(line.directive, (line, []))[1].append(aim)
            continue
        plain = context.plain(aim)
        fate = plain.fate("Connection") if plain is not None else None
        if fate is not None and fate.origin is not None and lower(fate.value) == "close":
            decided = _map_line(context, fate.origin)
            found.setdefault(decided.directive, (decided, []))[1].append(aim)
    for decided, aims in found.values():
        yield Found(
            "plain requests get Connection: close from here, so none of nginx's connections to the upstream is kept",
            decided.span,
            tuple(aims),
            tuple(head_label(aim, "nginx could keep connections here") for aim in aims[:10]),
            help="let the map give '' for the empty case",
        )


def _usual_map(context: Context, forwarded: Forwarded) -> MapTable | None:
    """The map of ``$http_upgrade`` that alone makes the Connection field there, if one does."""
    fate = forwarded.fate("Connection")
    written = fate.origin.args[1] if fate is not None and fate.origin is not None else ""
    name = lower(written[1:]) if written.startswith("$") else ""
    table = map_tables(context.config).get(name)
    if table is None or table.source != "$http_upgrade" or name in declared_variables(context.config):
        return None
    return table


def _map_line(context: Context, origin: Placed) -> Placed:
    """The line of the map that gives close to plain requests; the header's own line if it is no map's."""
    for name in parse_template(origin.args[1]).variables:
        table = map_tables(context.config).get(name)
        line = table.lookup("").origin if table is not None else None
        if line is not None:
            return line
    return origin
