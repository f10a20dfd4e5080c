"""host-port-lost."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Fix, Level, Safety
from ws101.nginx.config import Placed
from ws101.rules.base.aims import Aim
from ws101.rules.base.context import Context
from ws101.rules.base.edits import set_args
from ws101.rules.base.facts import head_label, show
from ws101.rules.base.listening import USUAL_PORTS, host_value, ports, sure_proxied
from ws101.rules.base.registry import Bites, Found, rule
from ws101.syntax import Directive

__all__ = ["check"]

_PORT = 8444
_ASKED = f"example.com:{_PORT}"


@rule("WS135", "host-port-lost", Level.NOTE, bites=Bites.BACKEND)
def check(context: Context) -> Iterator[Found]:
    """Host loses the port of the URL, where the URL has one.

    ``$host`` has no port. On the usual ports 80 and 443 browsers write none, so nothing is lost there;
    ``$host:$server_port`` adds nginx's own port, which is wrong behind a load balancer or a container's mapping. It is
    a warning where a told URL names another port.

    Why it matters
        The browser's Origin has the port and Host has not: applications that compare them answer the opening handshake
        403.

    Bad::

        # nginx: >=1.29.3
        # proof: accepted
        # unsafe: yes
        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      close;
            }
            server {
                listen 8080;
                location /ws {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_set_header Host $host;
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
                listen 8080;
                location /ws {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_set_header Host $host$is_request_port$request_port;
                    proxy_read_timeout 1h;
                }
            }
        }

    Bad::

        # nginx: <1.29.3
        # proof: accepted
        # unsafe: yes
        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      close;
            }
            server {
                listen 8080;
                location /ws {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_set_header Host $host;
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
                listen 8080;
                location /ws {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_set_header Host $http_host;
                    proxy_read_timeout 1h;
                }
            }
        }

    Fix safety
        The backend gets another Host with plain requests too: always unsafe. Before nginx 1.29.3 only ``$http_host``
        has the port, and a request in absolute form can carry a foreign name there.

    References
        https://nginx.org/en/docs/http/ngx_http_core_module.html#var_host
        https://www.rfc-editor.org/rfc/rfc6454#section-7
    """
    told = {url for url, arrival in context.shared.arrivals if arrival.port not in USUAL_PORTS}
    found: dict[Directive, tuple[Placed, list[Aim]]] = {}
    for aim, forwarded in sure_proxied(context):
        fate = forwarded.fate("Host")
        may_lose = bool(ports(aim.route.server) - USUAL_PORTS) or not told.isdisjoint(aim.urls)
        if fate is not None and fate.origin is not None and may_lose and _loses(context, aim, told):
            found.setdefault(fate.origin.directive, (fate.origin, []))[1].append(aim)
    for origin, aims in found.values():
        value, risk = host_value(context, aims[0].route.server)
        told_here = [url for aim in aims for url in aim.urls if url in told]
        reason = f"the backend gets another Host with plain requests too{risk}"
        yield Found(
            f"Host {show(origin.args[1])} has not the port that the client asks for, and Origin has",
            origin.span,
            tuple(aims),
            tuple(head_label(aim, "WebSockets pass here") for aim in aims[:6]),
            fix=Fix(f"set Host to {value}", set_args(origin.directive, origin.args[0], value), Safety.UNSAFE, reason)
            if value != "$host"
            else None,
            help=f"told: {show(told_here[0])}" if told_here else "fine if browsers reach it through port 80 or 443",
            level=Level.WARNING if told_here else None,
        )


def _loses(context: Context, aim: Aim, told: set[str]) -> bool:
    """Whether the port of the URL does not arrive; on a server with a usual port too, only a told URL counts."""
    if ports(aim.route.server) & USUAL_PORTS and told.isdisjoint(aim.urls):
        return False
    arrived = context.host_for(aim, _ASKED)
    return arrived is not None and arrived.startswith("example.com") and arrived != _ASKED
