"""read-timeout."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Fix, Label, Level, Safety
from ws101.nginx.locations import location_name
from ws101.nginx.outcome import Forwarded
from ws101.rules.base.aims import Aim, location_of
from ws101.rules.base.context import HANDSHAKE_TARGET, Context
from ws101.rules.base.edits import insert_before
from ws101.rules.base.facts import place, show
from ws101.rules.base.registry import Bites, Found, rule
from ws101.rules.base.wording import in_seconds
from ws101.rules.base.writing import add_setting, copied_location

__all__ = ["check"]

_DEFAULT = 60.0


@rule("WS112", "read-timeout", Level.WARNING, bites=Bites.TUNNEL)
def check(context: Context) -> Iterator[Found]:
    """nginx cuts a WebSocket that stays silent for proxy_read_timeout: 60 seconds by default.

    Bytes in either direction start the time anew; TCP keepalive does not. A heartbeat shorter than the timeout keeps a
    WebSocket open. Say ``# ws101: heartbeat 20s`` in the location if the application has one.

    Why it matters
        Every idle WebSocket ends after exactly this time. The browser sees close code 1006, and nginx logs it only at
        level info.

    Bad::

        # proof: idle
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
                    proxy_read_timeout 2s;
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
                    proxy_read_timeout 86400s;
                }
            }
        }

    Bad::

        # proof: accepted
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
                    proxy_read_timeout 86400s;
                }
            }
        }

    Fix safety
        Only in a location that serves WebSockets alone. Where plain requests pass too, a hung backend would keep them
        waiting as long: there the first advice is a heartbeat, the second a location of its own for the WebSocket,
        which is offered, unsafe too, where a told URL says the path.

    References
        https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_read_timeout
        https://nginx.org/en/docs/http/websocket.html
    """
    for aim, forwarded in context.proxied:
        if aim.intent.is_sure and "protocol" not in forwarded.faults and _is_short(context, aim, forwarded):
            yield _found(context, aim, forwarded)


def _is_short(context: Context, aim: Aim, forwarded: Forwarded) -> bool:
    timeout, heartbeat = forwarded.idle_timeout, context.heartbeat(aim.scope)
    if timeout is None:
        return False
    return heartbeat >= timeout if heartbeat is not None else timeout <= _DEFAULT


def _found(context: Context, aim: Aim, forwarded: Forwarded) -> Found:
    origin, title = forwarded.idle_origin, show(location_of(aim.scope).title)
    timeout = in_seconds(forwarded.idle_timeout or 0.0)
    heartbeat = context.heartbeat(aim.scope)
    pings = f", and pings come only every {in_seconds(heartbeat)}" if heartbeat is not None else ""
    default = "" if origin is not None else " (nginx's default)"
    pinged = f"ping more often than every {timeout}, and say so in a comment: # ws101: heartbeat 20s"
    return Found(
        f"a WebSocket through {title} is cut after {timeout} of silence{default}{pings}",
        origin.span if origin is not None else place(aim),
        (aim,),
        (Label(place(aim), "WebSockets pass here"),) if origin is not None else (),
        fix=_fix(context, aim),
        other_fixes=_own_location(context, aim, forwarded),
        help=pinged,
    )


def _fix(context: Context, aim: Aim) -> Fix:
    limit = context.options.idle_timeout
    title = f"raise proxy_read_timeout to {limit}s (a tunnel then needs a ping at least every {limit} s)"
    edits = add_setting(aim.scope, "proxy_read_timeout", f"{limit}s")
    if context.alone(aim):
        return Fix(title, edits)
    reason = f"plain requests pass here too: a hung one would wait {limit} s for its 504"
    return Fix(title, edits, Safety.UNSAFE, reason)


def _own_location(context: Context, aim: Aim, forwarded: Forwarded) -> tuple[Fix, ...]:
    """In a shared location: one for the told path alone, copied from it, with the longer timeout."""
    location = location_of(aim.scope)
    paths = {a.request.target.partition("?")[0] for url, a in context.shared.arrivals if url in aim.urls}
    path = next((p for p in sorted(paths) if p != location_name(location).name), None)
    plain = forwarded.request is not None and forwarded.request.target == HANDSHAKE_TARGET
    if path is None or context.alone(aim) or location.opener is None or aim.scope is not location or not plain:
        return ()
    limit = context.options.idle_timeout
    lines = copied_location(location.opener.directive, f"= {path}", {"proxy_read_timeout": f"{limit}s"})
    pings = f"proxy_read_timeout {limit}s (a tunnel then needs a ping at least every {limit} s)"
    title = f"give {show(path)} a location of its own, copied from {show(location.title)}, with {pings}"
    reason = f"plain requests for {path} wait up to {limit} s there, and later changes of the other must be made twice"
    return (Fix(title, (insert_before(location.opener.directive, lines),), Safety.UNSAFE, reason),)
