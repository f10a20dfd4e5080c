"""upgrade-header-wrong-value."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Fix, Level
from ws101.rules.base.causes import Cause, Fault
from ws101.rules.base.context import Context
from ws101.rules.base.facts import by_origin, head_label, show
from ws101.rules.base.oddities import has_odd
from ws101.rules.base.registry import Bites, Found, rule
from ws101.rules.base.writing import UPGRADE, set_value

__all__ = ["check"]


@rule("WS107", "upgrade-header-wrong-value", Level.ERROR, bites=Bites.FORWARD)
def check(context: Context) -> Iterator[Found]:
    """Upgrade is set to something else than the protocol that the client asked for.

    Seen in the wild: ``$connection_upgrade`` (that is Connection's value), ``upgrade``, and ``http_upgrade`` without
    its ``$``.

    Why it matters
        The backend looks for the token websocket and finds another: 400 or 426.

    Bad::

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
                    proxy_set_header Upgrade $connection_upgrade;
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
        Unsafe where plain requests carry an Upgrade field of the wrong value today: they lose it.

    References
        https://nginx.org/en/docs/http/websocket.html
        https://www.rfc-editor.org/rfc/rfc6455#section-4.2.1
    """
    for origin, fault, aims in by_origin(context, "Upgrade", _is_wrong):
        yield Found(
            f"Upgrade is set to {show(origin.args[1])}, so the backend gets {show(fault.value) or 'nothing'} "
            "instead of websocket",
            origin.span,
            aims,
            tuple(head_label(aim, "WebSockets pass here") for aim in aims),
            fix=Fix("set Upgrade to $http_upgrade", set_value(origin, UPGRADE[1])),
        )


def _is_wrong(fault: Fault) -> bool:
    return fault.cause in (Cause.WRONG, Cause.MAPPED) and not has_odd(fault.value)
