"""worker-connections."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Level
from ws101.nginx.config import Config, Placed
from ws101.rules.base.context import Context
from ws101.rules.base.registry import Bites, Found, rule

__all__ = ["check"]

_TIGHT, _FEW = 512, 1024


@rule("WS156", "worker-connections", Level.WARNING, bites=Bites.OTHERS)
def check(context: Context) -> Iterator[Found]:
    """worker_connections leaves room for few WebSockets.

    Each one takes two connections of its worker as long as it is open, one to the client and one to the backend. Fewer
    than 512 (nginx's default) is a warning, fewer than 1024 a note; where nothing is written, nothing is reported. A
    ``worker_rlimit_nofile`` below ``worker_connections`` is a warning too. There is no edit for this, only advice:
    limits are yours to set.

    Why it matters
        When they are used up nginx resets new connections, whatever they ask for, and logs ``worker_connections are not
        enough``.

    Bad::

        # proof: accepted
        # fix: none
        events {
            worker_connections 64;
        }
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

        events {
            worker_connections 1024;
        }
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
        https://nginx.org/en/docs/ngx_core_module.html#worker_connections
        https://nginx.org/en/docs/ngx_core_module.html#worker_rlimit_nofile
    """
    aims = tuple(aim for aim in context.aims if aim.intent.is_sure)
    line, number = _number(context.config, "worker_connections", "events")
    limit_line, limit = _number(context.config, "worker_rlimit_nofile", "main")
    if not aims:
        return
    if line is not None and number is not None and number < _FEW:
        yield Found(
            f"each WebSocket takes two of a worker's {number} connections: {max(number // 2, 0)} at most at a time",
            line.span,
            aims,
            help="worker_connections 4096 or more, with worker_rlimit_nofile at least as high",
            level=Level.WARNING if number < _TIGHT else Level.NOTE,
        )
    if limit_line is not None and limit is not None and limit < (number if number is not None else _TIGHT):
        yield Found(
            f"a worker may open {limit} files, fewer than its connections",
            limit_line.span,
            aims,
            help="worker_rlimit_nofile at least as high as worker_connections",
        )


def _number(config: Config, name: str, block: str) -> tuple[Placed | None, int | None]:
    scopes = (config.main,) if block == "main" else config.main.children(block)
    line = next((placed for scope in scopes for placed in scope.all(name)), None)
    text = line.args[0] if line is not None and line.args else ""
    return line, int(text) if text.isdigit() else None
