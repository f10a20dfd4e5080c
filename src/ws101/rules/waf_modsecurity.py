"""waf-modsecurity."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Level
from ws101.nginx.inherit import effective
from ws101.rules.base.aims import location_of
from ws101.rules.base.context import Context
from ws101.rules.base.facts import head_label, show
from ws101.rules.base.registry import Bites, Found, rule
from ws101.text import lower

__all__ = ["check"]


@rule("WS133", "waf-modsecurity", Level.WARNING, bites=Bites.ACCESS)
def check(context: Context) -> Iterator[Found]:
    """ModSecurity inspects a WebSocket's location.

    ModSecurity and Coraza hold answers back to inspect them, and a tunnel has no end to wait for. There is no edit for
    this, only advice: taking the filter away weakens the site.

    Why it matters
        The handshake gets 403, or 200 instead of 101, or the tunnel closes at once, with DetectionOnly too.

    Bad::

        # proof: refused
        # refused: unknown directive "modsecurity"
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
                    modsecurity on;
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
        https://github.com/owasp-modsecurity/ModSecurity-nginx
    """
    for aim in context.aims:
        setting = effective(aim.scope, "modsecurity")
        if aim.intent.is_sure and setting.origin is not None and lower(setting.text or "") == "on":
            yield Found(
                f"ModSecurity inspects {show(location_of(aim.scope).title)}, and a tunnel has no end to wait for",
                setting.origin.span,
                (aim,),
                (head_label(aim, "WebSockets pass here"),),
                help="modsecurity off in this location alone, if what passes there is checked elsewhere",
            )
