"""auth-basic."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Level
from ws101.nginx.inherit import effective
from ws101.rules.base.aims import location_of
from ws101.rules.base.context import Context
from ws101.rules.base.facts import head_label, show
from ws101.rules.base.registry import Bites, Found, rule

__all__ = ["check"]


@rule("WS123", "auth-basic", Level.WARNING, bites=Bites.ACCESS)
def check(context: Context) -> Iterator[Found]:
    """Basic authentication covers a WebSocket's location.

    Safari and most client libraries send no stored credentials with an opening handshake. There is no edit for this,
    only advice: taking the password away weakens the site unless the application checks a cookie or a token instead.

    Why it matters
        The handshake is answered 401, often in one browser only.

    Bad::

        # fix: none
        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      close;
            }
            server {
                listen 80;
                auth_basic "staff";
                auth_basic_user_file htpasswd;
                location /ws {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 1h;
                }
            }
        }
        # file: htpasswd
        user:{PLAIN}secret

    Good::

        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      close;
            }
            server {
                listen 80;
                auth_basic "staff";
                auth_basic_user_file htpasswd;
                location /ws {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 1h;
                    auth_basic off;
                }
            }
        }
        # file: htpasswd
        user:{PLAIN}secret

    References
        https://nginx.org/en/docs/http/ngx_http_auth_basic_module.html
    """
    for aim in context.aims:
        setting = effective(aim.scope, "auth_basic")
        if aim.intent.is_sure and setting.origin is not None and setting.text not in (None, "off"):
            yield Found(
                f"{show(location_of(aim.scope).title)} asks for a password, which most WebSocket clients do not send",
                setting.origin.span,
                (aim,),
                (head_label(aim, "WebSockets pass here"),),
                help="check a cookie or a token in the application, then auth_basic off in this location",
            )
