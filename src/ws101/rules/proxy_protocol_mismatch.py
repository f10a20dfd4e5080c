"""proxy-protocol-mismatch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ws101.findings import Level
from ws101.nginx.config import Config, Placed, Scope
from ws101.nginx.inherit import effective
from ws101.rules.base.aims import Aim
from ws101.rules.base.context import Context
from ws101.rules.base.facts import head_label
from ws101.rules.base.listening import by_server, groups_of
from ws101.rules.base.registry import Bites, Found, rule

__all__ = ["check"]


@rule("WS141", "proxy-protocol-mismatch", Level.NOTE, bites=Bites.ROUTE)
def check(context: Context) -> Iterator[Found]:
    """A listener expects the PROXY protocol, so only a load balancer that speaks it gets an answer.

    The file cannot say what stands in front, so this is a note. It is a warning where ``real_ip_header proxy_protocol``
    is set and no listener expects the PROXY protocol: then the client's address never arrives. There is no edit for
    this, only advice: both ends must agree.

    Why it matters
        nginx closes every other connection and logs ``broken header ... while reading PROXY protocol``.

    Bad::

        # fix: none
        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      close;
            }
            server {
                listen 80 proxy_protocol;
                location /ws {
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
        https://nginx.org/en/docs/http/ngx_http_core_module.html#listen
        https://docs.nginx.com/nginx/admin-guide/load-balancer/using-proxy-protocol/
    """
    servers = by_server(context)
    aims = {server: pairs[0][0] for server, pairs in servers.items()}
    groups = groups_of(context.config, context.build)
    for group in groups if aims else ():
        here = tuple(aims[server] for server in group.servers if server in aims) if group.proxy_protocol else ()
        line = next((line for line in group.listens if "proxy_protocol" in line.args), None)
        if here and line is not None:
            yield Found(
                f"{group.socket} takes only connections that begin with the PROXY protocol's header",
                line.span,
                here,
                tuple(head_label(aim, "WebSockets pass here") for aim in here[:6]),
                help="right behind a load balancer that sends it; everybody else is cut off without an answer",
            )
    if not any(group.proxy_protocol for group in groups):
        yield from _one_sided(context.config, aims)


def _one_sided(config: Config, aims: Mapping[Scope, Aim]) -> Iterator[Found]:
    """``real_ip_header proxy_protocol`` where no listener reads such a header."""
    told: dict[Placed, None] = {}
    for server in config.servers:
        setting = effective(server, "real_ip_header") if server in aims else None
        if setting is not None and setting.text == "proxy_protocol" and setting.origin is not None:
            told.setdefault(setting.origin)
    for origin in told:
        yield Found(
            "the client's address is to come from the PROXY protocol, and no listener expects it",
            origin.span,
            help="if the load balancer sends it, every handshake is refused as broken: listen ... proxy_protocol",
            scopes=(origin.scope,),
            level=Level.WARNING,
        )
