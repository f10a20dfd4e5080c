"""localhost-ipv6."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ws101.findings import Fix, Level, Safety
from ws101.lazy import lazy_pattern
from ws101.nginx.config import Placed, Scope
from ws101.nginx.inherit import effective
from ws101.nginx.outcome import Upstream
from ws101.rules.base.aims import Aim
from ws101.rules.base.context import Context
from ws101.rules.base.edits import set_args
from ws101.rules.base.facts import head_label
from ws101.rules.base.listening import sure_proxied
from ws101.rules.base.registry import Bites, Found, rule
from ws101.syntax import Directive

__all__ = ["check"]

_LOCALHOST = lazy_pattern(r"(^|//)localhost(?=[:/]|$)", re.ASCII | re.IGNORECASE)


@rule("WS146", "localhost-ipv6", Level.NOTE, bites=Bites.ADVICE)
def check(context: Context) -> Iterator[Found]:
    """localhost is two addresses, ::1 and 127.0.0.1, and the application may listen on one of them alone.

    nginx asks them in turn and tries the next one where a connection is refused, so with the defaults this only fills
    the log. It is a warning where ``proxy_next_upstream off`` or ``proxy_next_upstream_tries 1`` forbid the next try.

    Why it matters
        Every second handshake is answered 502 then, and the log says ``[::1]:3000 ... Connection refused``.

    Bad::

        # proof: accepted
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
                    proxy_pass http://localhost:3000;
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

    Fix safety
        The application may listen on ::1 alone (Node.js does where localhost resolves to it first): always unsafe.

    References
        https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_next_upstream
    """
    found: dict[Directive, tuple[Placed, list[Aim]]] = {}
    is_named = context.shared.reads_localhost
    for aim, forwarded in sure_proxied(context) if is_named else ():
        for origin in _origins(forwarded.upstream):
            found.setdefault(origin.directive, (origin, []))[1].append(aim)
    for origin, aims in found.values():
        alone = any(_tries_once(aim.scope) for aim in aims)
        effect = "where one refuses, the other is not tried" if alone else "where one refuses, each try fills the log"
        new = (_LOCALHOST.sub(r"\g<1>127.0.0.1", origin.args[0]), *origin.args[1:])
        yield Found(
            f"localhost is ::1 as well as 127.0.0.1: {effect}",
            origin.span,
            tuple(aims),
            tuple(head_label(aim, "WebSockets pass here") for aim in aims[:6]),
            fix=Fix(
                "name the address: 127.0.0.1",
                set_args(origin.directive, *new),
                Safety.UNSAFE,
                "the application may listen on ::1 alone",
            ),
            level=Level.WARNING if alone else None,
        )


def _origins(upstream: Upstream | None) -> tuple[Placed, ...]:
    """The directives that name localhost."""
    peers = upstream.peers if upstream is not None else ()
    named = (peer.origin for peer in peers if not peer.down)
    return tuple(dict.fromkeys(o for o in named if o is not None and o.args and _LOCALHOST.search(o.args[0])))


def _tries_once(scope: Scope) -> bool:
    return (
        effective(scope, "proxy_next_upstream").text == "off"
        or effective(scope, "proxy_next_upstream_tries").text == "1"
    )
