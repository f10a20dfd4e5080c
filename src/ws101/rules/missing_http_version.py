"""missing-http-version."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Fix, Level
from ws101.nginx.inherit import effective
from ws101.rules.base.aims import location_of
from ws101.rules.base.context import Context
from ws101.rules.base.edits import set_args
from ws101.rules.base.facts import place, show
from ws101.rules.base.registry import Bites, Found, rule
from ws101.rules.base.writing import add_http_11

__all__ = ["check"]


@rule("WS106", "missing-http-version", Level.ERROR, bites=Bites.FORWARD)
def check(context: Context) -> Iterator[Found]:
    """The upgrade fields are forwarded, but in an HTTP/1.0 request.

    Before nginx 1.29.7 the default of ``proxy_http_version`` is 1.0.

    Why it matters
        HTTP/1.0 has no Upgrade: backends answer 400, 404, 426 or 505, although both fields arrive.

    Bad::

        # nginx: <1.29.7
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
                    proxy_http_version 1.0;
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
        https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_http_version
        https://www.rfc-editor.org/rfc/rfc6455#section-4.1
    """
    for aim, forwarded in context.errors():
        if "http-version" not in forwarded.faults:
            continue
        both = context.fault(aim, "Upgrade").is_absent and context.fault(aim, "Connection").is_absent
        setting = effective(aim.scope, "proxy_http_version")
        title = show(location_of(aim.scope).title)
        if setting.origin is not None:
            own = setting.origin.scope is location_of(aim.scope)
            edits = set_args(setting.origin.directive, "1.1") if own else add_http_11(aim.scope)
            message = f"proxy_http_version is {show(setting.text or '')}, and only HTTP/1.1 can be upgraded"
            yield Found(message, setting.origin.span, (aim,), fix=Fix("use HTTP/1.1 to the backend", edits))
        elif not both:
            message = f"{title} speaks HTTP/1.0 to the backend, nginx's default, and only HTTP/1.1 can be upgraded"
            yield Found(message, place(aim), (aim,), fix=Fix("use HTTP/1.1 to the backend", add_http_11(aim.scope)))
