"""handshake-fields-dropped."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Fix, Level, Safety
from ws101.nginx.config import Placed
from ws101.nginx.inherit import effective
from ws101.rules.base.aims import Aim
from ws101.rules.base.context import Context
from ws101.rules.base.edits import remove, set_args
from ws101.rules.base.facts import head_label, show
from ws101.rules.base.registry import Bites, Found, rule

__all__ = ["check"]

_FIELDS = {
    "Sec-WebSocket-Key": frozenset({"key-missing", "key-repeated"}),
    "Sec-WebSocket-Version": frozenset({"version-missing", "version-repeated"}),
}


@rule("WS128", "handshake-fields-dropped", Level.ERROR, bites=Bites.FORWARD)
def check(context: Context) -> Iterator[Found]:
    """Sec-WebSocket-Key or Sec-WebSocket-Version does not reach the backend.

    ``proxy_set_header`` clears it, or ``proxy_pass_request_headers off`` keeps back whatever the client sent.

    Why it matters
        A handshake without them is invalid: the backend answers 400.

    Bad::

        # proof: arrival
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
                    proxy_set_header Sec-WebSocket-Key "";
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

    Bad::

        # proof: arrival
        # unsafe: yes
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
                    proxy_pass_request_headers off;
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
                    proxy_pass_request_headers on;
                }
            }
        }

    Fix safety
        Passing the client's header fields on changes plain requests too, so that fix is unsafe.

    References
        https://www.rfc-editor.org/rfc/rfc6455#section-4.2.1
        https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_pass_request_headers
    """
    for aim, forwarded in context.errors():
        for name, faults in _FIELDS.items():
            if not faults & set(forwarded.faults):
                continue
            fate = forwarded.fate(name)
            if fate is not None and fate.fate == "withheld":
                yield from _withheld(aim)
                break
            if fate is not None and fate.origin is not None:
                yield _set(aim, name, fate.origin)


def _set(aim: Aim, name: str, origin: Placed) -> Found:
    return Found(
        f"proxy_set_header replaces the client's {name}, so the handshake is not valid",
        origin.span,
        (aim,),
        (head_label(aim, "WebSockets pass here"),),
        fix=Fix(f"leave {name} as it comes", (remove(origin.directive),)),
    )


def _withheld(aim: Aim) -> Iterator[Found]:
    setting = effective(aim.scope, "proxy_pass_request_headers")
    if setting.origin is not None:
        yield Found(
            f"proxy_pass_request_headers {show(setting.text or '')} keeps back the handshake's own header fields",
            setting.origin.span,
            (aim,),
            (head_label(aim, "WebSockets pass here"),),
            fix=Fix(
                "pass the client's header fields on",
                set_args(setting.origin.directive, "on"),
                Safety.UNSAFE,
                "plain requests keep their header fields too",
            ),
        )
