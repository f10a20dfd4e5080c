"""ssl-verify-client."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Level
from ws101.nginx.config import Placed
from ws101.nginx.inherit import effective
from ws101.rules.base.aims import Aim
from ws101.rules.base.context import Context
from ws101.rules.base.facts import head_label
from ws101.rules.base.listening import by_server, is_tls
from ws101.rules.base.registry import Bites, Found, rule
from ws101.syntax import Directive

__all__ = ["check"]


@rule("WS154", "ssl-verify-client", Level.WARNING, bites=Bites.ACCESS)
def check(context: Context) -> Iterator[Found]:
    """Every client of a WebSocket's server must show a certificate.

    Browsers show one only after the user has installed and chosen it; most libraries need an option. There is no edit
    for this, only advice: who may come in is yours to decide.

    Why it matters
        nginx itself answers 400 ``No required SSL certificate was sent``; the backend hears nothing.

    Bad
        # url: wss://example.com/ws
        # fix: none
        # module: http_ssl
        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      close;
            }
            server {
                listen 443 ssl;
                ssl_certificate cert.pem;
                ssl_certificate_key cert.key;
                ssl_client_certificate cert.pem;
                ssl_verify_client on;
                location /ws {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_set_header X-Forwarded-Proto $scheme;
                    proxy_read_timeout 1h;
                }
            }
        }

    Good
        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      close;
            }
            server {
                listen 443 ssl;
                ssl_certificate cert.pem;
                ssl_certificate_key cert.key;
                ssl_client_certificate cert.pem;
                ssl_verify_client optional;
                location /ws {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_set_header X-Forwarded-Proto $scheme;
                    proxy_read_timeout 1h;
                }
                location / {
                    if ($ssl_client_verify != SUCCESS) {
                        return 403;
                    }
                    root html;
                }
            }
        }

    References
        https://nginx.org/en/docs/http/ngx_http_ssl_module.html#ssl_verify_client
    """
    found: dict[Directive, tuple[Placed, list[Aim]]] = {}
    for server, pairs in by_server(context).items() if context.shared.mentions("ssl_verify_client") else ():
        setting = effective(server, "ssl_verify_client")
        if is_tls(server) and setting.text == "on" and setting.origin is not None:
            found.setdefault(setting.origin.directive, (setting.origin, []))[1].extend(aim for aim, _ in pairs)
    for origin, aims in found.values():
        yield Found(
            "a WebSocket client without a certificate gets 400",
            origin.span,
            tuple(aims),
            tuple(head_label(aim, "WebSockets pass here") for aim in aims[:6]),
            help="right if every client has one; else ssl_verify_client optional, and a check where it is needed",
        )
