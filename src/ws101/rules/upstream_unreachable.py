"""upstream-unreachable."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Fix, Label, Level, Safety
from ws101.nginx.config import Scope
from ws101.rules.base.aims import Aim
from ws101.rules.base.context import Context
from ws101.rules.base.edits import set_args
from ws101.rules.base.facts import head_label, show
from ws101.rules.base.registry import Bites, Found, rule

__all__ = ["check"]


@rule("WS143", "upstream-unreachable", Level.ERROR, bites=Bites.BACKEND)
def check(context: Context) -> Iterator[Found]:
    """Every server of the upstream is marked down.

    Whether a backend really listens is beyond the configuration; that nginx may ask none of them is not.

    Why it matters
        nginx answers 502 and logs ``no live upstreams``.

    Bad::

        # unsafe: yes
        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      close;
            }
            upstream app {
                server 127.0.0.1:3000 down;
            }
            server {
                listen 80;
                location /ws {
                    proxy_pass http://app;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 1h;
                }
            }
        }

    Good::

        # nginx: <1.29.7
        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      close;
            }
            upstream app {
                server 127.0.0.1:3000;
            }
            server {
                listen 80;
                location /ws {
                    proxy_pass http://app;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 1h;
                }
            }
        }

    Fix safety
        Somebody took the servers out on purpose, and plain requests would reach them again: always unsafe.

    References
        https://nginx.org/en/docs/http/ngx_http_upstream_module.html#server
    """
    found: dict[Scope, list[Aim]] = {}
    for aim, forwarded in context.proxied:
        upstream = forwarded.upstream
        block, peers = (upstream.block, upstream.peers) if upstream is not None else (None, ())
        if block is not None and not block.opaque and peers and all(peer.down for peer in peers):
            found.setdefault(block, []).append(aim)
    for block, aims in found.items():
        first, *rest = block.all("server")
        edits = tuple(e for s in (first, *rest) for e in set_args(s.directive, *(a for a in s.args if a != "down")))
        yield Found(
            f"every server of {show(block.title)} is marked down, so nginx answers 502",
            first.span,
            tuple(aims),
            (*(Label(s.span, "down too") for s in rest[:5]), head_label(aims[0], "WebSockets pass here")),
            fix=Fix("ask the servers again", edits, Safety.UNSAFE, "plain requests reach them again too"),
        )
