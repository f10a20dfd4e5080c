"""x-forwarded-proto-missing."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Fix, Level, Safety
from ws101.nginx.outcome import Forwarded
from ws101.rules.base.context import Context
from ws101.rules.base.facts import head_label
from ws101.rules.base.listening import by_server, is_tls
from ws101.rules.base.registry import Bites, Found, rule
from ws101.rules.base.writing import add_fields
from ws101.text import lower

__all__ = ["check"]

_TELLING = frozenset(
    {"x-forwarded-proto", "x-forwarded-protocol", "x-forwarded-scheme", "x-forwarded-ssl", "x-scheme", "x-url-scheme"}
    | {"forwarded", "front-end-https"}
)


@rule("WS151", "x-forwarded-proto-missing", Level.NOTE, bites=Bites.BACKEND)
def check(context: Context) -> Iterator[Found]:
    """TLS ends at nginx, and nothing tells the backend that the client used it.

    Whether that hurts depends on the application, so this is advice, one note for each server.

    Why it matters
        Applications that insist on https answer the handshake with a redirect (301, 302), which WebSocket clients do
        not follow; those that compare the scheme of Origin with their own answer 400 or 403.

    Bad
        # url: wss://example.com/ws
        # unsafe: yes
        # proof: accepted
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
                location /ws {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
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

    Fix safety
        Plain requests carry the field too, and an application that trusts it may answer them otherwise: always unsafe.

    References
        https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/X-Forwarded-Proto
    """
    for server, pairs in by_server(context).items():
        silent = [(aim, forwarded) for aim, forwarded in pairs if not _tells(forwarded)] if is_tls(server) else []
        if silent:
            aims = tuple(aim for aim, _ in silent)
            edits = tuple(e for aim in aims for e in add_fields(aim.scope, [("X-Forwarded-Proto", "$scheme")]))
            yield Found(
                "TLS ends here, and the backend is not told that the client came by https",
                silent[0][1].handler.span,
                aims,
                tuple(head_label(aim, "WebSockets pass here") for aim in aims[1:6]),
                fix=Fix(
                    "say it in X-Forwarded-Proto",
                    tuple(dict.fromkeys(edits)),
                    Safety.UNSAFE,
                    "plain requests carry the field too",
                ),
                help="then let the application trust it from nginx alone; fine for one that does not ask",
            )


def _tells(forwarded: Forwarded) -> bool:
    """Whether a field says how the client came; one set to nothing does not."""
    return any(lower(h.name) in _TELLING and h.fate in ("set", "unknown") for h in forwarded.headers)
