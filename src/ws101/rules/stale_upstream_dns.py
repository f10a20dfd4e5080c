"""stale-upstream-dns."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Label, Level
from ws101.nginx.config import Placed
from ws101.nginx.outcome import Upstream
from ws101.nginx.proxyurl import is_address
from ws101.rules.base.aims import Aim
from ws101.rules.base.context import Context
from ws101.rules.base.facts import head_label, show
from ws101.rules.base.listening import sure_proxied
from ws101.rules.base.registry import Bites, Found, rule
from ws101.rules.base.wording import and_more
from ws101.syntax import Directive
from ws101.text import lower

__all__ = ["check"]


@rule("WS145", "stale-upstream-dns", Level.NOTE, bites=Bites.ADVICE)
def check(context: Context) -> Iterator[Found]:
    """nginx looks the backend's name up once, when it starts, and keeps that address.

    Harmless where the address never changes. A container that is created anew often gets another one. This is advice: a
    ``resolver`` and a variable in ``proxy_pass``, or ``resolve`` in an upstream's ``server`` (from nginx 1.27.3), need
    the address of your name server.

    Why it matters
        After the address has changed nginx answers 502 until it is reloaded; and if the name is unknown at start, nginx
        refuses the configuration: ``host not found in upstream``.

    Bad
        # fix: none
        # proof: refused
        # refused: host not found in upstream
        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      close;
            }
            server {
                listen 80;
                location /ws {
                    proxy_pass http://app.internal:3000;
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
                resolver 127.0.0.11;
                location /ws {
                    set $app app.internal:3000;
                    proxy_pass http://$app;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_set_header X-Forwarded-Proto $scheme;
                    proxy_read_timeout 1h;
                }
            }
        }

    References
        https://nginx.org/en/docs/http/ngx_http_upstream_module.html#resolve
        https://nginx.org/en/docs/http/ngx_http_core_module.html#resolver
    """
    found: dict[str, tuple[Placed, list[Aim]]] = {}
    for aim, forwarded in sure_proxied(context):
        for name, origin in _names(forwarded.upstream) if "$" not in (forwarded.handler.args or ("$",))[0] else ():
            found.setdefault(name, (origin, []))[1].append(aim)
    blocks: dict[Directive | None, list[str]] = {}
    for name, (origin, _) in found.items():
        blocks.setdefault(origin.directive.parent, []).append(name)
    for names in blocks.values():
        (first, *more), (origin, aims) = names, found[names[0]]
        others = tuple(Label(found[name][0].span, f"{show(name)} too") for name in more[:5])
        yield Found(
            f"{show(first)} is looked up once, at start: a new address shows only after a reload{and_more(len(more))}",
            origin.span,
            tuple(dict.fromkeys(aim for name in names for aim in found[name][1])),
            others or tuple(head_label(aim, "WebSockets pass here") for aim in aims[:6]),
            help="for containers: a resolver and the name in a variable, or resolve in the upstream block",
        )


def _names(upstream: Upstream | None) -> Iterator[tuple[str, Placed]]:
    """The host names among the peers, each once, with the directive that has it."""
    seen: set[str] = set()
    for peer in upstream.peers if upstream is not None else ():
        name = lower(peer.address.rpartition(":")[0])
        resolves = peer.origin is not None and "resolve" in peer.origin.args
        local = lower(peer.address[:5]) == "unix:" or is_address(name) or not name
        if peer.origin is not None and not local and not resolves and name not in seen and not peer.down:
            seen.add(name)
            yield name, peer.origin
