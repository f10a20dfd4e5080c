"""server-name-mismatch."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Label, Level
from ws101.nginx.config import Scope
from ws101.nginx.outcome import Arrival, Trace
from ws101.nginx.servers import Choice, Group, listeners
from ws101.rules.base.aims import Aim
from ws101.rules.base.context import Context
from ws101.rules.base.facts import show
from ws101.rules.base.listening import groups_of
from ws101.rules.base.registry import Bites, Found, rule
from ws101.text import Span, lower

__all__ = ["check"]


@rule("WS137", "server-name-mismatch", Level.ERROR, bites=Bites.ROUTE)
def check(context: Context) -> Iterator[Found]:
    """No server_name matches the told URL's host, and the default server has no WebSocket there.

    Where no name matches, nginx takes the server with ``default_server``, else the first one on that address. A name
    that two servers share belongs to the first; for the second nginx only warns. There is no edit for this, only
    advice: which names are yours is not in the file.

    Why it matters
        Another site answers: 404, 200 with its page, or 444.

    Bad::

        # url: ws://example.com/ws
        # fix: none
        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      close;
            }
            server {
                listen 80 default_server;
                return 404;
            }
            server {
                listen 80;
                server_name www.example.com;
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
                listen 80 default_server;
                return 404;
            }
            server {
                listen 80;
                server_name example.com www.example.com;
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
        https://nginx.org/en/docs/http/request_processing.html
        https://nginx.org/en/docs/http/server_names.html
    """
    for url, trace in context.traces:
        forwarded = trace.outcome.forwarded
        if forwarded is None or forwarded.tunnel is False:
            yield from _unmatched(context, url, trace)
    aims = {aim.route.server: aim for aim in context.aims if aim.intent.is_sure}
    for group in groups_of(context.config, context.build) if aims else ():
        if not aims.keys().isdisjoint(group.servers):
            yield from _ignored(group, aims)


def _unmatched(context: Context, url: str, trace: Trace) -> Iterator[Found]:
    """The told URL whose host is nobody's name."""
    arrival, server = trace.arrival, trace.outcome.server
    group = listeners(context.config, context.build).group(arrival.address, arrival.port)
    if not isinstance(group, Group) or server is None or len(group.servers) < 2 or group.ssl is not arrival.tls:
        return
    choice = group.find(_host(arrival))
    named = choice.origin is not None and choice.origin.name == "server_name"
    if choice.unknown is None and not named and choice.server is server:
        span = _place(choice)
        if span is not None:
            yield Found(
                f"no server_name matches {show(_host(arrival))}, so the default server answers {show(url)}",
                span,
                labels=_meant(context, group, server),
                help="add the name to the server that is meant",
                scopes=(server,),
            )


def _host(arrival: Arrival) -> str:
    value = arrival.request.header("Host") or ""
    return lower(value.rpartition(":")[0] if not value.endswith("]") and ":" in value else value)


def _place(choice: Choice) -> Span | None:
    if choice.origin is not None:
        return choice.origin.span
    return choice.server.opener.span if choice.server.opener is not None else None


def _meant(context: Context, group: Group, answering: Scope) -> tuple[Label, ...]:
    """The names of the servers on this address that have WebSockets."""
    servers = dict.fromkeys(a.route.server for a in context.aims if a.route.server in group.servers)
    lines = (server.first("server_name") for server in servers if server is not answering)
    return tuple(Label(line.span, "WebSockets pass in this server") for line in lines if line is not None)[:6]


def _ignored(group: Group, aims: dict[Scope, Aim]) -> Iterator[Found]:
    """Names of servers with WebSockets that belong to an earlier server."""
    for problem in group.name_problems:
        line = problem.origin
        if problem.level == "warn" and line is not None and line.scope in aims and line.name == "server_name":
            yield Found(
                f"an earlier server has this name already: {show(problem.message)}",
                line.span,
                (aims[line.scope],),
                help="requests for it never get here: take the name out of the other server",
                level=Level.WARNING,
            )
