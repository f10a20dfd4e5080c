"""reload-drops-connections."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Level
from ws101.rules.base.context import Context
from ws101.rules.base.facts import head_label, show
from ws101.rules.base.registry import Bites, Found, rule

__all__ = ["check"]


@rule("WS122", "reload-drops-connections", Level.WARNING, bites=Bites.TUNNEL)
def check(context: Context) -> Iterator[Found]:
    """worker_shutdown_timeout cuts every WebSocket at each reload.

    After a reload the old workers go on serving their tunnels. ``worker_shutdown_timeout`` ends them after that time,
    without a close frame. There is no edit for this, only advice.

    Why it matters
        Browsers see close code 1006 in bursts, at each change of the configuration or renewal of a certificate.

    Bad::

        # proof: accepted
        # fix: none
        worker_shutdown_timeout 10s;
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

    References
        https://nginx.org/en/docs/ngx_core_module.html#worker_shutdown_timeout
    """
    placed = context.config.main.first("worker_shutdown_timeout")
    aims = tuple(aim for aim in context.aims if aim.intent.is_sure)
    if placed is not None and aims:
        yield Found(
            f"each reload cuts every WebSocket after {show(placed.args[0] if placed.args else '')}",
            placed.span,
            aims,
            tuple(head_label(aim, "WebSockets pass here") for aim in aims[:10]),
            help="leave it out or make it long, reload rarely, and let clients reconnect after a random delay",
        )
