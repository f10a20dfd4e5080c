"""The reference deployment's configuration: what ``ws101 new`` writes, a static page beside it, and Socket.IO.

Laid out as distributions do: a main file, ``conf.d`` for what belongs to all of ``http``, ``sites-available``, and a
link in ``sites-enabled``.  Every path is relative, so the folder may lie anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

from ws101.lab.ports import LOOPBACK
from ws101.lazy import dataclass
from ws101.nginx.build import Build

__all__ = [
    "ACCESS_FORMAT",
    "HOST",
    "LINK",
    "MAIN",
    "MAPS",
    "OTHERS",
    "SITE",
    "TARGET",
    "UPSTREAMS",
    "Plan",
    "forwarded_host",
    "site_files",
]

HOST = "localhost"
"""The site's name."""

MAIN = "nginx.conf"
"""The main file, below nginx's folder."""

MAPS = "conf.d/upgrade.conf"
"""The maps that tell a WebSocket from a plain request."""

UPSTREAMS = "conf.d/backends.conf"
"""The clusters of backends."""

OTHERS = "conf.d/others.conf"
"""The server for every other name."""

SITE = "sites-available/chat.conf"
"""The site."""

LINK = "sites-enabled/chat.conf"
"""The link that switches the site on."""

TARGET = "../sites-available/chat.conf"
"""Where the link leads."""

ACCESS_FORMAT = (
    '$remote_addr [$time_local] "$request" $status $request_time $upstream_addr "$http_upgrade" "$http_user_agent"'
)
"""What a line of the access log says; for a tunnel ``$request_time`` is how long it lived, in seconds."""

_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")

_MAIN = """\
worker_processes 1;
error_log logs/error.log info;

events {{
    worker_connections 1024;
}}

http {{
    {temporary}

    types {{
        text/html       html;
        text/css        css;
        text/javascript js;
        image/svg+xml   svg;
    }}

    # A tunnel is logged when it ends, with the seconds that it lived.
    log_format tunnels '{format}';
    access_log logs/access.log tunnels;

    include conf.d/*.conf;
    include sites-enabled/*;
}}
"""

_MAPS = """\
# Only WebSockets are upgraded; plain requests keep their connection to the backend.
map $http_upgrade $connection_upgrade {
    default   "";
    websocket upgrade;
}

map $http_upgrade $upgrade {
    default   "";
    websocket websocket;
}
"""

_OTHERS = """\
# Whoever asks for another name gets nothing from this site.
server {{
    listen {address}:{port} ssl default_server;
    server_name _;
    ssl_certificate tls/site.pem;
    ssl_certificate_key tls/site.key;
    return 421;
}}
"""

_SITE = """\
server {{
    listen {address}:{port} ssl;{http2}
    server_name {host};
    ssl_certificate tls/site.pem;
    ssl_certificate_key tls/site.key;

    # the page: chat and dashboard
    location / {{
        root html;
        index index.html;
        add_header Content-Security-Policy "default-src 'self'; base-uri 'none'; form-action 'self'; \
frame-ancestors 'none'";
        add_header X-Content-Type-Options nosniff;
        add_header Cache-Control no-cache;
        try_files $uri $uri/ =404;
    }}

{locations}}}
"""

_LOCATION = """\
    # {comment}
    location {path} {{  # ws101: websocket
        proxy_pass http://{upstream};
        proxy_http_version 1.1;
        proxy_set_header Host {forwarded_host};
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header Upgrade $upgrade;
        proxy_set_header Connection $connection_upgrade;
        proxy_read_timeout 86400s;
    }}
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the site is to be.

    Args:
        port: Where nginx listens.
        build: The nginx that it is for.
        chat: The ports of the backends behind ``/ws``.
        polling: The ports of those behind ``/socket.io/``; none if there is no Socket.IO.
    """

    port: int
    build: Build
    chat: tuple[int, ...]
    polling: tuple[int, ...] = ()


def site_files(plan: Plan) -> dict[str, str]:
    """The configuration's files by their path below nginx's folder; the link ``LINK`` comes beside."""
    has = plan.build.has_module
    temporary = (f"{name}_temp_path temp/{name};" for name in _TEMPORARY if has(f"http_{name}") is not False)
    return {
        MAIN: _MAIN.format(temporary="\n    ".join(temporary), format=ACCESS_FORMAT),
        MAPS: _MAPS,
        UPSTREAMS: _upstreams(plan),
        OTHERS: _OTHERS.format(address=LOOPBACK, port=plan.port),
        SITE: _site(plan),
    }


def _upstreams(plan: Plan) -> str:
    chat = _upstream("chat", "A WebSocket stays where it was opened: any backend will do.", (), plan.chat)
    why = "Polling sends each request anew: a client has to stay with its backend."
    return chat if not plan.polling else f"{chat}\n{_upstream('polling', why, ('ip_hash;',), plan.polling)}"


def _upstream(name: str, comment: str, method: Sequence[str], ports: Sequence[int]) -> str:
    lines = [*method, *(f"server {LOOPBACK}:{port};" for port in ports), "keepalive 16;"]
    return f"# {comment}\nupstream {name} {{\n" + "".join(f"    {line}\n" for line in lines) + "}\n"


def forwarded_host(build: Build) -> str:
    """What the backend gets as Host: the port belongs to what the page's Origin is compared with."""
    return "$host$is_request_port$request_port" if build.does("request_port_variable") else "$http_host"


def _site(plan: Plan) -> str:
    host = forwarded_host(plan.build)
    blocks = [_LOCATION.format(comment="chat and dashboard", path="/ws", upstream="chat", forwarded_host=host)]
    if plan.polling:
        comment = "the same for clients that poll"
        blocks.append(_LOCATION.format(comment=comment, path="/socket.io/", upstream="polling", forwarded_host=host))
    http2 = "\n    http2 on;" if plan.build.does("http2_directive") else ""
    return _SITE.format(address=LOOPBACK, port=plan.port, host=HOST, http2=http2, locations="\n".join(blocks))
