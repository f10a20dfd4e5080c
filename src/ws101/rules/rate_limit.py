"""rate-limit."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Level
from ws101.nginx.config import Placed, Scope, Unknown
from ws101.nginx.inherit import effective, effective_all
from ws101.rules.base.aims import Aim
from ws101.rules.base.context import Context
from ws101.rules.base.facts import head_label, show
from ws101.rules.base.listening import sure_proxied
from ws101.rules.base.registry import Bites, Found, rule
from ws101.syntax import Directive

__all__ = ["check"]

_FEW = 10


@rule("WS152", "rate-limit", Level.WARNING, bites=Bites.ACCESS)
def check(context: Context) -> Iterator[Found]:
    """A tight limit covers a WebSocket's location.

    ``limit_req`` without ``burst`` refuses whoever asks twice within one interval. ``limit_conn`` counts a WebSocket as
    long as it is open, so that the next tab, or the next person behind the same address, is refused; 10 and more are
    not reported. There is no edit for this, only advice: limits are yours to set.

    Why it matters
        After a reload or a lost network all clients come back at once, and nginx itself answers 503 (or 429).

    Bad::

        # proof: accepted
        # fix: none
        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      close;
            }
            limit_conn_zone $binary_remote_addr zone=addr:1m;
            server {
                listen 80;
                location /ws {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 1h;
                    limit_conn addr 1;
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
            limit_conn_zone $binary_remote_addr zone=addr:1m;
            server {
                listen 80;
                location /ws {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 1h;
                    limit_conn addr 100;
                }
            }
        }

    References
        https://nginx.org/en/docs/http/ngx_http_limit_conn_module.html
        https://nginx.org/en/docs/http/ngx_http_limit_req_module.html
    """
    found: dict[Directive, tuple[Placed, str, list[Aim]]] = {}
    for aim, _ in sure_proxied(context) if context.shared.mentions("limit_") else ():
        for line, effect in (*_requests(aim.scope), *_connections(aim.scope)):
            found.setdefault(line.directive, (line, effect, []))[2].append(aim)
    for line, effect, aims in found.values():
        yield Found(
            effect,
            line.span,
            tuple(aims),
            tuple(head_label(aim, "WebSockets pass here") for aim in aims[:6]),
            help="raise it, or exempt the WebSocket's location; and let clients reconnect after a random delay",
        )


def _lines(scope: Scope, name: str) -> tuple[Placed, ...]:
    """The limits in force; none if they are only tried out."""
    lines = effective_all(scope, name)
    return () if isinstance(lines, Unknown) or effective(scope, f"{name}_dry_run").text == "on" else lines


def _requests(scope: Scope) -> Iterator[tuple[Placed, str]]:
    for line in _lines(scope, "limit_req"):
        if not any(arg.startswith("burst=") and arg != "burst=0" for arg in line.args):
            zone = next((arg[5:] for arg in line.args if arg.startswith("zone=")), "")
            yield line, f"zone {show(zone)} has no burst: clients that reconnect at once are refused"


def _connections(scope: Scope) -> Iterator[tuple[Placed, str]]:
    for line in _lines(scope, "limit_conn"):
        number = line.args[1] if len(line.args) == 2 else ""
        if number.isdigit() and int(number) < _FEW:
            yield (
                line,
                f"zone {show(line.args[0])} allows {number} open at a time, and each WebSocket counts while it lasts",
            )
