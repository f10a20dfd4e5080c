"""http2-without-rfc8441."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Fix, Level, Safety
from ws101.nginx.config import Placed
from ws101.nginx.servers import Group
from ws101.rules.base.context import Context
from ws101.rules.base.edits import set_args
from ws101.rules.base.facts import head_label
from ws101.rules.base.listening import groups_of
from ws101.rules.base.registry import Bites, Found, rule
from ws101.text import lower

__all__ = ["check"]

_TLS_PORT = 443


@rule("WS136", "http2-without-rfc8441", Level.ERROR, bites=Bites.ROUTE)
def check(context: Context) -> Iterator[Found]:
    """A listener without TLS speaks HTTP/2 alone, and WebSockets need HTTP/1.1.

    Before nginx 1.25.1 ``listen ... http2`` without ``ssl`` refuses HTTP/1.1. With ``ssl`` it is harmless: the client
    chooses, and browsers open WebSockets over HTTP/1.1, since nginx does not offer them over HTTP/2 (RFC 8441).

    Why it matters
        nginx closes the connection without an answer; its log says ``invalid connection preface``.

    Bad::

        # nginx: <1.25.1
        # unsafe: yes
        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      close;
            }
            server {
                listen 80 http2;
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

    Fix safety
        Clients that speak HTTP/2 without TLS (some load balancers) lose it, so the fix is unsafe.

    References
        https://nginx.org/en/docs/http/ngx_http_v2_module.html
        https://www.rfc-editor.org/rfc/rfc8441
    """
    if context.build.does("h2_listener_serves_http1"):
        return
    told = {arrival.port for _, arrival in context.shared.arrivals}
    groups = groups_of(context.config, context.build)
    lines = {group.socket: line for group in groups if group.http2 and not group.ssl and (line := _line(group))}
    open_to = {server for group in groups if group.socket not in lines for server in group.servers} if lines else set()
    for group in groups:
        line = lines.get(group.socket)
        if line is None:
            continue
        servers = frozenset(group.servers)
        aims = tuple(a for a in context.aims if a.intent.is_sure and a.route.server in servers)
        if aims or group.port in told:
            kept = [arg for arg in line.args if lower(arg) != "http2"]
            yield Found(
                f"{group.socket} speaks HTTP/2 alone: the HTTP/1.1 of an opening handshake is cut off",
                line.span,
                aims,
                tuple(head_label(aim, "WebSockets pass here") for aim in aims[:6]),
                fix=Fix(
                    "listen without http2",
                    set_args(line.directive, *kept),
                    Safety.UNSAFE,
                    "clients that speak HTTP/2 without TLS lose it",
                ),
                help="if this port is meant for TLS, add ssl to its listen instead" if group.port == _TLS_PORT else "",
                scopes=() if aims else (group.default,),
                spared=tuple(aim.scope for aim in aims if aim.route.server in open_to),
            )


def _line(group: Group) -> Placed | None:
    return next((line for line in group.listens if "http2" in line.args), None)
