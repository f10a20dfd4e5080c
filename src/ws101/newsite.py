"""A complete, correct site for a new application: what ``ws101 new`` prints.

The text is a file for the ``http`` block (conf.d or sites-available), or with ``whole`` an nginx.conf of its own.  What
it names for all of ``http`` (upstream, maps) carries the site's name, so that no other site can be touched by it.
Everything is written that any nginx of the asked versions needs, and nothing that one of them refuses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ws101.errors import UsageError
from ws101.lazy import dataclass, lazy_pattern
from ws101.nginx.build import Build
from ws101.rules.base.hints import POLLING
from ws101.text import lower

__all__ = ["NewSite", "site_text"]

_NAME = lazy_pattern(r"(?:\*\.|\.)?[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_-]+)*(?:\.\*)?", re.ASCII)
_PATH = lazy_pattern(r"/[A-Za-z0-9._~!&'()*+,=:@%/-]*", re.ASCII)
_BACKEND = lazy_pattern(r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?|unix:/[A-Za-z0-9._/-]+", re.ASCII)
_LISTEN = lazy_pattern(r"(?:(?:[0-9.]+|\*|\[[0-9A-Fa-f:.]+\]):)?([0-9]{1,5})", re.ASCII)
_FILE = lazy_pattern(r"[^\s\"'\\;{}$#]+", re.ASCII)
_ADDRESS = lazy_pattern(r"[0-9.]+|\[.*\]")
_INDENT = "    "


@dataclass(frozen=True, slots=True)
class NewSite:
    """What the site is to be.

    Args:
        server_names: The names it answers to.
        paths: Where WebSockets are opened.
        upstreams: The backends: ``host:port`` or ``unix:/path``.
        sticky: Whether a client always gets the same backend (ip_hash).
        certificate: The certificate chain's and the key's file; None for a site without TLS.
        style: ``map`` (plain requests work on the same paths) or ``quick`` (literals, for WebSockets alone).
        idle_timeout: Seconds that a WebSocket may stay silent.
        listen: Address and port; empty for 80, or 443 with TLS.
        ipv6: Whether it listens on every IPv6 address too.
        whole: Whether an nginx.conf is wanted instead of a file for the http block.
        builds: The nginx versions it is for.

    Raises:
        UsageError: If a part makes no sense, or could be read by nginx as something else.
    """

    server_names: tuple[str, ...]
    paths: tuple[str, ...]
    upstreams: tuple[str, ...]
    sticky: bool = False
    certificate: tuple[str, str] | None = None
    style: str = "map"
    idle_timeout: int = 86400
    listen: str = ""
    ipv6: bool = False
    whole: bool = False
    builds: tuple[Build, ...] = ()

    def __post_init__(self) -> None:
        _check(self.server_names, _NAME, "server name", "write it as example.com (others than ASCII as Punycode)")
        _check(self.paths, _PATH, "path", "write it as /ws, other characters percent-decoded and quoted by hand")
        _check(
            self.upstreams, _BACKEND, "upstream", "write it as 127.0.0.1:3000, app.internal:3000 or unix:/run/app.sock"
        )
        _check(self.certificate or (), _FILE, "file name", "give a name without blanks and quotes")
        _check(
            [self.listen] if self.listen else [], _LISTEN, "address to listen on", "write it as 8080 or 127.0.0.1:8080"
        )
        if not (self.server_names and self.paths and self.upstreams):
            raise UsageError("a site needs a server name, a path and an upstream", help="see ws101 new --help")
        for word, given in (("server name", self.server_names), ("path", self.paths), ("upstream", self.upstreams)):
            if len(set(given)) < len(given):
                raise UsageError(f"the same {word} is given twice", help="leave one out")
        if self.ipv6 and ":" in self.listen.removeprefix("*:"):
            raise UsageError(f"{self.listen} is one address, and not one of IPv6", help="give --listen the port alone")
        if self.sticky and len(self.upstreams) < 2:
            raise UsageError("with one backend every client gets the same", help="leave out --sticky")
        if self.style == "quick" and (shared := next((p for p in self.paths if p == "/" or _is_polling(p)), None)):
            raise UsageError(f"{shared} also serves plain requests, which --style quick breaks", help="use --style map")

    @property
    def needs_sticky(self) -> bool:
        """Whether requests of one client must reach one backend: the polling transports keep state in its memory."""
        return self.sticky or (len(self.upstreams) > 1 and any(map(_is_polling, self.paths)))

    @property
    def expects(self) -> tuple[str, ...]:
        """What must be there before ``nginx -t`` accepts it, a sentence each."""
        files = [f"nginx reads the certificate chain from {self.certificate[0]} and its key from {self.certificate[1]}"
                 ] if self.certificate else []  # fmt: skip
        names = [
            u for u in self.upstreams if not u.startswith("unix:") and not _ADDRESS.fullmatch(u.rpartition(":")[0] or u)
        ]
        return (*files, *(f"nginx looks {name} up when it starts, so the name must resolve" for name in names))

    @property
    def slug(self) -> str:
        """The site's name where nginx wants one of letters, digits and underscores."""
        return re.sub(r"[^a-z0-9]+", "_", lower(self.server_names[0])).strip("_") or "site"


def site_text(site: NewSite) -> str:
    """The configuration's text, ASCII, ending with a line end."""
    lines = _http(site)
    if site.whole:
        lines = ["events {", f"{_INDENT}worker_connections 4096;", "}", "", "http {", *_indented(lines), "}"]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _check(values: Sequence[str], pattern: re.Pattern[str], what: str, remedy: str) -> None:
    for value in values:
        if not pattern.fullmatch(value):
            raise UsageError(f"{value} is no {what} that nginx reads as one plain word", help=remedy)


def _is_polling(path: str) -> bool:
    return any(lower(part) in POLLING for part in path.split("/"))


def _indented(lines: Sequence[str]) -> Iterator[str]:
    return (_INDENT + line if line else line for line in lines)


def _http(site: NewSite) -> list[str]:
    blocks = [_upstream(site), *(_maps(site) if site.style == "map" else ()), *_servers(site)]
    return [line for number, block in enumerate(blocks) for line in (*([""] if number else []), *block)]


def _upstream(site: NewSite) -> list[str]:
    """The method stands before keepalive: until 1.29.7 nginx refuses the reverse order."""
    method = ["ip_hash;  # a client stays with its backend"] if site.needs_sticky else []
    servers = [f"server {name};" for name in site.upstreams]
    return [f"upstream {site.slug} {{", *_indented([*method, *servers, "keepalive 16;"]), "}"]


def _maps(site: NewSite) -> list[list[str]]:
    """Only WebSockets are upgraded; a plain request goes on without both fields, over a kept connection."""
    return [
        [
            "# Only WebSockets are upgraded; plain requests keep their connection to the backend.",
            f"map $http_upgrade ${site.slug}_upgrade {{",
            *_indented(['default   "";', "websocket websocket;"]),
            "}",
        ],
        [
            f"map $http_upgrade ${site.slug}_connection {{",
            *_indented(['default   "";', "websocket upgrade;"]),
            "}",
        ],
    ]


def _servers(site: NewSite) -> list[list[str]]:
    main = _server(
        site, [*_listen(site), *_tls(site)], [*(_websocket(site, path) for path in site.paths), *_rest(site)]
    )
    if site.certificate is None or site.listen:
        return [main]
    plain = _server(site, _on(site, "80"), [["return 301 https://$host$request_uri;"]])
    return [plain, main]


def _server(site: NewSite, head: Sequence[str], blocks: Sequence[Sequence[str]]) -> list[str]:
    first, *more = head
    lines = [first, f"server_name {' '.join(site.server_names)};", *more]
    for block in blocks:
        lines += ["", *block]
    return ["server {", *_indented(lines), "}"]


def _listen(site: NewSite) -> list[str]:
    """HTTP/2 for the plain requests, in the words of the version; where it is not known, what all understand."""
    address = site.listen or ("443" if site.certificate else "80")
    if site.certificate is None:
        return _on(site, address)
    if len(site.builds) != 1 or site.builds[0].has_module("http_v2") is False:
        return _on(site, address, " ssl")
    if site.builds[0].does("http2_directive"):
        return [*_on(site, address, " ssl"), "http2 on;"]
    return _on(site, address, " ssl http2")


def _on(site: NewSite, address: str, flags: str = "") -> list[str]:
    """A port alone is every IPv4 address; those of IPv6 are a socket of their own."""
    six = [f"listen [::]:{address.removeprefix('*:')}{flags};"] if site.ipv6 else []
    return [f"listen {address}{flags};", *six]


def _tls(site: NewSite) -> list[str]:
    if site.certificate is None:
        return []
    chain, key = site.certificate
    return [f"ssl_certificate {chain};", f"ssl_certificate_key {key};"]


def _websocket(site: NewSite, path: str) -> list[str]:
    upgrade, connection = ("websocket", "upgrade")
    if site.style == "map":
        upgrade, connection = f"${site.slug}_upgrade", f"${site.slug}_connection"
    fields = [f"proxy_set_header Upgrade {upgrade};", f"proxy_set_header Connection {connection};"]
    timeout = f"proxy_read_timeout {site.idle_timeout}s;"
    return [f"location {path} {{  # ws101: websocket", *_indented([*_proxy(site), *fields, timeout]), "}"]


def _rest(site: NewSite) -> list[list[str]]:
    """Everything else is plain, unless a path is already everything."""
    if "/" in site.paths:
        return []
    return [["location / {", *_indented([*_proxy(site), 'proxy_set_header Connection "";']), "}"]]


def _proxy(site: NewSite) -> list[str]:
    return [
        f"proxy_pass http://{site.slug};",
        "proxy_http_version 1.1;",
        f"proxy_set_header Host {_host(site)};",
        "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
        "proxy_set_header X-Forwarded-Proto $scheme;",
    ]


def _host(site: NewSite) -> str:
    """What the page's Origin is compared with: it has the port, unless that is the scheme's own."""
    port = _LISTEN.fullmatch(site.listen)
    if port is None or port[1] in ("80", "443"):
        return "$host"
    if site.builds and all(build.does("request_port_variable") for build in site.builds):
        return "$host$is_request_port$request_port"
    return "$http_host"
