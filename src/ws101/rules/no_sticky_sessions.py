"""no-sticky-sessions."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Fix, Label, Level, Safety
from ws101.nginx.config import Scope
from ws101.rules.base.aims import location_of
from ws101.rules.base.context import Context
from ws101.rules.base.edits import prepend
from ws101.rules.base.facts import head_label, show
from ws101.rules.base.hints import is_polling
from ws101.rules.base.registry import Bites, Found, rule

__all__ = ["check"]

_STICKY = ("ip_hash", "hash", "sticky")


@rule("WS120", "no-sticky-sessions", Level.WARNING, bites=Bites.BACKEND)
def check(context: Context) -> Iterator[Found]:
    """Several servers share a path whose clients poll first, and nothing keeps a client on one of them.

    Socket.IO, SockJS and SignalR open a session by plain requests and upgrade it afterwards. All requests of a session
    must reach the same server.

    Why it matters
        The second request lands on a server that does not know the session: 400 ``Session ID unknown``, or 404 ``No
        Connection with that ID``, in a loop.

    Bad::

        # proof: accepted
        # unsafe: yes
        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      '';
            }
            upstream app {
                server 127.0.0.1:3000;
                server 127.0.0.1:3001;
            }
            server {
                listen 80;
                location /socket.io/ {
                    proxy_pass http://app;
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
                ''      '';
            }
            upstream app {
                ip_hash;
                server 127.0.0.1:3000;
                server 127.0.0.1:3001;
            }
            server {
                listen 80;
                location /socket.io/ {
                    proxy_pass http://app;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 1h;
                }
            }
        }

    Fix safety
        Always unsafe: it moves clients to other servers, and behind a load balancer without realip ``ip_hash`` sends
        everybody to one.

    References
        https://nginx.org/en/docs/http/ngx_http_upstream_module.html#ip_hash
        https://socket.io/docs/v4/using-multiple-nodes/
    """
    for aim, forwarded in context.proxied:
        upstream = forwarded.upstream
        if upstream is None or upstream.block is None or upstream.block.opener is None:
            continue
        if not is_polling(location_of(aim.scope)) or _keeps_clients(upstream.block):
            continue
        origins = {
            peer.origin.directive for peer in upstream.peers if peer.origin and not peer.backup and not peer.down
        }
        if len(origins) > 1:
            yield Found(
                f"{show(location_of(aim.scope).title)} polls before it upgrades, and nothing keeps a client on one "
                f"of the {len(origins)} servers of {show(upstream.name)}",
                upstream.block.opener.span,
                (aim,),
                (head_label(aim, "clients poll here"), *_labels(upstream.block)),
                fix=_fix(upstream.block),
                help="ip_hash, hash or sticky in the upstream block; or the websocket transport alone in the clients",
            )


def _keeps_clients(block: Scope) -> bool:
    return any(block.first(name) is not None for name in _STICKY)


def _labels(block: Scope) -> tuple[Label, ...]:
    return tuple(Label(placed.span, "one of the servers") for placed in block.all("server"))


def _fix(block: Scope) -> Fix | None:
    if block.opener is None or any("backup" in placed.args for placed in block.all("server")):
        return None
    reason = "clients move to other servers; behind a load balancer without realip all of them to one"
    return Fix("keep each client on one server", (prepend(block.opener.directive, "ip_hash;"),), Safety.UNSAFE, reason)
