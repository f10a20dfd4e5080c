"""so-keepalive."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Level
from ws101.rules.base.context import Context
from ws101.rules.base.facts import head_label
from ws101.rules.base.listening import by_server, listens
from ws101.rules.base.registry import Bites, Found, rule
from ws101.rules.base.wording import in_seconds

__all__ = ["check"]

_DAY = 86400.0


@rule("WS158", "so-keepalive", Level.NOTE, bites=Bites.ADVICE)
def check(context: Context) -> Iterator[Found]:
    """A WebSocket may stay silent for more than a day, and nothing notices that a client is gone.

    A laptop that is shut or a phone that loses its network says no goodbye. nginx keeps both connections until
    ``proxy_read_timeout``. A heartbeat notices it, and so does TCP's own keepalive: ``listen ... so_keepalive=on``.
    This is advice.

    Why it matters
        Dead connections use up ``worker_connections`` and the backend's memory.

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
                location /ws {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 7d;
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
                listen 80 so_keepalive=on;
                location /ws {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 7d;
                }
            }
        }

    References
        https://nginx.org/en/docs/http/ngx_http_core_module.html#listen
    """
    for server, pairs in by_server(context).items():
        if any(
            arg.startswith("so_keepalive=") and arg != "so_keepalive=off" for p, _ in listens(server) for arg in p.args
        ):
            continue
        long = [(a, f) for a, f in pairs if (f.idle_timeout or 0.0) > _DAY and context.heartbeat(a.scope) is None]
        if long and long[0][1].idle_origin is not None:
            yield Found(
                f"a client that vanishes is noticed only after {in_seconds(long[0][1].idle_timeout or 0.0)} of silence",
                long[0][1].idle_origin.span,
                tuple(aim for aim, _ in long),
                tuple(head_label(aim, "WebSockets pass here") for aim, _ in long[:6]),
                help="let the application ping, or listen with so_keepalive=on",
            )
