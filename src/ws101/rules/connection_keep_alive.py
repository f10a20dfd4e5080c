"""connection-keep-alive."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Level
from ws101.rules.base.causes import Cause, Fault
from ws101.rules.base.context import Context
from ws101.rules.base.facts import by_origin, head_label, show
from ws101.rules.base.oddities import has_odd
from ws101.rules.base.registry import Bites, Found, rule
from ws101.rules.base.writing import replace_connection

__all__ = ["check"]


@rule("WS105", "connection-keep-alive", Level.ERROR, bites=Bites.FORWARD)
def check(context: Context) -> Iterator[Found]:
    """Connection is set to keep-alive, or to another value without the option upgrade.

    Older guides for ASP.NET say ``proxy_set_header Connection keep-alive``.

    Why it matters
        Upgrade counts only if Connection lists it. SignalR then falls back to slower transports without a word.

    Bad::

        # nginx: <1.29.7
        events {}
        http {
            server {
                listen 80;
                location /hub {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection keep-alive;
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
            server {
                listen 80;
                location /hub {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 1h;
                }
            }
        }

    Good::

        # style: quick
        events {}
        http {
            server {
                listen 80;
                location /hub {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection upgrade;
                    proxy_read_timeout 1h;
                }
            }
        }

    Fix safety
        In the quick style plain requests carry ``Connection: upgrade`` too, so it is unsafe where they can reach the
        location.

    References
        https://nginx.org/en/docs/http/websocket.html
        https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1
    """
    for origin, fault, aims in by_origin(context, "Connection", _is_wrong):
        yield Found(
            f"Connection is set to {show(fault.value)}, which lacks the option upgrade that makes Upgrade count",
            origin.span,
            aims,
            tuple(head_label(aim, "WebSockets pass here") for aim in aims),
            fix=replace_connection(context, origin, aims),
        )


def _is_wrong(fault: Fault) -> bool:
    return fault.cause is Cause.WRONG and not has_odd(fault.value)
