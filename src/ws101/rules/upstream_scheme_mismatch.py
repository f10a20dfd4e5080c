"""upstream-scheme-mismatch."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Fix, Level, Safety
from ws101.nginx.outcome import Upstream
from ws101.rules.base.context import Context
from ws101.rules.base.edits import set_args
from ws101.rules.base.facts import head_label, show
from ws101.rules.base.listening import sure_proxied
from ws101.rules.base.registry import Bites, Found, rule

__all__ = ["check"]

_SUSPECT = {False: ":443", True: ":80"}
_TEXT = {False: "http", True: "https"}


@rule("WS144", "upstream-scheme-mismatch", Level.WARNING, bites=Bites.BACKEND)
def check(context: Context) -> Iterator[Found]:
    """proxy_pass speaks plain HTTP to port 443, or TLS to port 80.

    A port is only a number, so this is a suspicion. It is advice with an unsafe edit: the scheme in ``proxy_pass``.

    Why it matters
        TLS to a plain port fails in the TLS handshake, which is 502; plain HTTP to a TLS port is answered 400 or cut
        off.

    Bad
        # unsafe: yes
        # module: http_ssl
        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      close;
            }
            server {
                listen 80;
                location /ws {
                    proxy_pass http://127.0.0.1:443;
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
                listen 80;
                location /ws {
                    proxy_pass https://127.0.0.1:443;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_set_header X-Forwarded-Proto $scheme;
                    proxy_read_timeout 1h;
                }
            }
        }

    Fix safety
        Every request speaks another protocol to the backend then: always unsafe.

    References
        https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_pass
    """
    for aim, forwarded in sure_proxied(context):
        upstream, handler = forwarded.upstream, forwarded.handler
        if upstream is None or not _is_suspect(upstream):
            continue
        port = _SUSPECT[upstream.tls]
        old, new = _TEXT[upstream.tls], _TEXT[not upstream.tls]
        written = handler.args[0] if handler.args else ""
        edits = (
            set_args(handler.directive, new + written[len(old) :]) if written.lower().startswith(old + "://") else ()
        )
        yield Found(
            f"proxy_pass speaks {old} to port {port[1:]}, where {new} is usual",
            handler.span,
            (aim,),
            (head_label(aim, "WebSockets pass here"),),
            fix=Fix(f"speak {new} to {show(upstream.name)}", edits, Safety.UNSAFE, "plain requests go there as well"),
            help="compare with what the backend listens for",
        )


def _is_suspect(upstream: Upstream) -> bool:
    peers = upstream.peers
    return bool(peers) and all(peer.address.endswith(_SUSPECT[upstream.tls]) for peer in peers)
