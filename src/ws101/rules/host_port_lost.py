"""host-port-lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ws101.findings import Fix, Label, Level, Safety
from ws101.nginx.config import Placed
from ws101.rules.base.aims import Aim
from ws101.rules.base.context import Context
from ws101.rules.base.edits import set_args
from ws101.rules.base.facts import show
from ws101.rules.base.listening import USUAL_PORTS, host_value, ports, sure_proxied
from ws101.rules.base.registry import Bites, Found, rule
from ws101.rules.base.wording import and_more

__all__ = ["check"]

_PORT = 8444
_ASKED = f"example.com:{_PORT}"
_KNOWN = {"$host": True, "$http_host": False, "$host$is_request_port$request_port": False}
"""The usual values, and whether they lose the port; what others become is asked of the model."""


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
    found: dict[tuple[str, str, str, bool], list[tuple[Placed, Aim]]] = {}
    for aim, forwarded in sure_proxied(context):
        fate, server = forwarded.fate("Host"), aim.route.server
        may_lose = bool(ports(server) - USUAL_PORTS) or not told.isdisjoint(aim.urls)
        if fate is None or fate.origin is None or not may_lose or not _loses(context, aim, told, fate.origin.args[1]):
            continue
        path, is_told = fate.origin.directive.source.path, not told.isdisjoint(aim.urls)
        key = path, fate.origin.args[1], host_value(context, server)[0], is_told
        found.setdefault(key, []).append((fate.origin, aim))
    for (_, written, value, is_told), pairs in found.items():
        yield _found(context, written, value, pairs, is_told=is_told)


def _found(context: Context, written: str, value: str, pairs: Sequence[tuple[Placed, Aim]], *, is_told: bool) -> Found:
    """One finding for all lines of a file that are written alike."""
    origins = tuple(dict.fromkeys(origin for origin, _ in pairs))
    risk = host_value(context, pairs[0][1].route.server)[1]
    edits = tuple(dict.fromkeys(e for o in origins for e in set_args(o.directive, o.args[0], value)))
    reason = f"the backend gets another Host with plain requests too{risk}"
    more = and_more(len(origins) - 1)
    return Found(
        f"Host {show(written)} has not the port that the client asks for, and Origin has{more}",
        origins[0].span,
        tuple(aim for _, aim in pairs),
        tuple(Label(origin.span, "here too") for origin in origins[1:6]),
        fix=Fix(f"set Host to {value}", edits, Safety.UNSAFE, reason) if value != "$host" else None,
        help="a told URL has a port" if is_told else "fine if browsers reach it through port 80 or 443",
        level=Level.WARNING if is_told else None,
    )


def _loses(context: Context, aim: Aim, told: set[str], written: str) -> bool:
    """Whether the port of the URL does not arrive; on a server with a usual port too, only a told URL counts."""
    if ports(aim.route.server) & USUAL_PORTS and told.isdisjoint(aim.urls):
        return False
    if written in _KNOWN:
        return _KNOWN[written]
    arrived = context.host_for(aim, _ASKED)
    return arrived is not None and arrived.startswith("example.com") and arrived != _ASKED
