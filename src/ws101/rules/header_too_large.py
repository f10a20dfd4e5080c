"""header-too-large."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Level
from ws101.nginx.config import Placed
from ws101.nginx.directives import parse_size
from ws101.nginx.inherit import effective
from ws101.rules.base.aims import Aim
from ws101.rules.base.context import Context
from ws101.rules.base.facts import head_label, show
from ws101.rules.base.listening import by_server
from ws101.rules.base.registry import Bites, Found, rule
from ws101.syntax import Directive

__all__ = ["check"]

_SMALL = 4096


@rule("WS153", "header-too-large", Level.WARNING, bites=Bites.ACCESS)
def check(context: Context) -> Iterator[Found]:
    """The buffers for header fields are smaller than many a handshake needs.

    A browser sends the site's cookies with an opening handshake, and tokens often travel in the query or in
    Sec-WebSocket-Protocol. Each line must fit into one of ``large_client_header_buffers`` (by default 4 of 8k). Less
    than 4k is reported. There is no edit for this, only advice: limits are yours to set.

    Why it matters
        nginx itself answers 400 ``Request Header Or Cookie Too Large``, or 414.

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
                large_client_header_buffers 4 1k;
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
                large_client_header_buffers 4 8k;
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
        https://nginx.org/en/docs/http/ngx_http_core_module.html#large_client_header_buffers
    """
    found: dict[Directive, tuple[Placed, list[Aim]]] = {}
    for server, pairs in by_server(context).items() if context.shared.mentions("large_client_header_buffers") else ():
        setting, first = (
            effective(server, "large_client_header_buffers"),
            effective(server, "client_header_buffer_size"),
        )
        origin = setting.origin
        size = parse_size(origin.args[1]) if origin is not None and len(origin.args) == 2 else None
        if origin is not None and size is not None and max(size, parse_size(first.text or "1k") or 0) < _SMALL:
            found.setdefault(origin.directive, (origin, []))[1].extend(aim for aim, _ in pairs)
    for origin, aims in found.values():
        yield Found(
            f"a header line of more than {show(origin.args[1])} is refused: cookies and tokens often are longer",
            origin.span,
            tuple(aims),
            tuple(head_label(aim, "WebSockets pass here") for aim in aims[:6]),
            help="large_client_header_buffers 4 32k, or smaller cookies",
        )
