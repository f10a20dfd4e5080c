"""A rule's examples on a real nginx: the example's own text, on free ports, before a recording backend."""

from __future__ import annotations

import re
import socket
import ssl
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.certificates import certificate
from tests.rules.names import name_server
from ws101.check import CheckReport, check
from ws101.fix import FixResult, fix
from ws101.host.binary import NginxBinary
from ws101.http1 import Request
from ws101.lab.backends import Recorder
from ws101.lab.nginx import Nginx
from ws101.lab.ports import free_ports
from ws101.lab.serving import Backend
from ws101.nginx.build import Build
from ws101.nginx.config import Config, MemoryFiles
from ws101.rules.base.options import Options
from ws101.rules.base.urls import handshake_request, plain_request

BACKEND = "127.0.0.1:3000"
BUILDS = tuple(Build(version) for version in ((1, 22, 1), (1, 25, 4), (1, 31, 3), (1, 31, 4)))
AMBIENT = frozenset({"host-not-forwarded"})
"""Notes that hold for most short configurations: left out where another rule is the matter."""
INNER = "127.0.0.1:8080"
_LISTEN = re.compile(r"\blisten (80|8080|443)\b")
OVER_TLS = "127.0.0.1:443"
"""Where the examples have a backend that speaks TLS."""
NAMED = "app.internal:3000"
RESOLVER = "resolver 127.0.0.11;"
_TEMP = "".join(f"{name}_temp_path temp_{name}; " for name in ("client_body", "proxy"))


def config_of(files: Mapping[str, str] | tuple[tuple[str, str], ...], main: str = "nginx.conf") -> Config:
    """A configuration in memory."""
    return Config(MemoryFiles({n: t.encode("latin-1") for n, t in dict(files).items()}), main, complete=True)


def check_text(text: str, *urls: str, build: Build = BUILDS[0], **options: object) -> CheckReport:
    """The rules on one file."""
    wanted = Options(urls=urls, **{"ignore": AMBIENT, **options})  # type: ignore[arg-type]
    return check(config_of({"nginx.conf": text}), (build,), wanted)


def fix_text(text: str, *urls: str, build: Build = BUILDS[0], unsafe: bool = False, **options: object) -> FixResult:
    """The fixes on one file."""
    wanted = Options(urls=urls, **{"ignore": AMBIENT, **options})  # type: ignore[arg-type]
    return fix(config_of({"nginx.conf": text}), (build,), wanted, unsafe=unsafe)


def realised(
    files: Mapping[str, str], port: int, backend: str, over_tls: str = OVER_TLS, dns: int = 53
) -> dict[str, str]:
    """The files with a real port, a real backend, one that speaks TLS, a name server, and a certificate."""
    found = dict(certificate()) if any("cert.pem" in text for text in files.values()) else {}
    inner = f"127.0.0.1:{free_ports(1)[0]}" if any(INNER in text for text in files.values()) else INNER
    number = backend.rpartition(":")[2]
    moves = {
        BACKEND: backend,
        INNER: inner,
        OVER_TLS: over_tls,
        "localhost:3000": f"localhost:{number}",
        NAMED: f"app.internal:{number}",
        RESOLVER: f"resolver 127.0.0.1:{dns};",
    }
    for name, text in files.items():
        moved = _LISTEN.sub(f"listen 127.0.0.1:{port}", text)
        for old, new in moves.items():
            moved = moved.replace(old, new)
        found[name] = re.sub(r"(?m)^http \{", "http { " + _TEMP + "access_log off;", moved)
    return found


@contextmanager
def served(files: Mapping[str, str], backend: Recorder, binary: NginxBinary) -> Iterator[int]:
    """A real nginx with these files; gives its port."""
    (port,) = free_ports(1)
    with ExitStack() as stack:
        wants_tls, wants_names = (any(word in text for text in files.values()) for word in (OVER_TLS, RESOLVER))
        over_tls = stack.enter_context(speaking_tls(backend, binary)) if wants_tls else OVER_TLS
        dns = stack.enter_context(name_server()) if wants_names else 53
        stack.enter_context(Nginx(realised(files, port, backend.address, over_tls, dns), binary=binary))
        yield port


@contextmanager
def speaking_tls(backend: Recorder, binary: NginxBinary) -> Iterator[str]:
    """The backend behind TLS of its own; gives its address."""
    (port,) = free_ports(1)
    pass_on = (
        "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $http_connection;"
    )
    server = (
        f"server {{ listen 127.0.0.1:{port} ssl; ssl_certificate cert.pem; ssl_certificate_key cert.key; "
        f"location / {{ proxy_pass http://{backend.address}; {pass_on} }} }}"
    )
    conf = f"events {{}}\nhttp {{ {_TEMP}access_log off; {server} }}\n"
    with Nginx({"nginx.conf": conf, **certificate()}, binary=binary):
        yield f"127.0.0.1:{port}"


def dialled(port: int, url: str) -> socket.socket:
    """A connection to nginx as a client of the URL makes it: over TLS for wss.

    Raises:
        OSError: Nobody listens, or the other side does not speak TLS.
    """
    connection = socket.create_connection(("127.0.0.1", port), timeout=5)
    if urlsplit(url).scheme != "wss":
        return connection
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        return context.wrap_socket(connection, server_hostname=urlsplit(url).hostname)
    except OSError:
        connection.close()
        raise


def answer_to(port: int, request: Request) -> bytes:
    """The head of the answer to a request."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(request.encode())
        data = b""
        while b"\r\n\r\n" not in data and (more := connection.recv(65536)):
            data += more
    return data


def ask(port: int, request: Request, url: str = "ws://example.com/", *, stay: float = 0.0) -> tuple[int, bool]:
    """Send a request; the status of the answer, and whether the connection is still open after ``stay`` seconds.

    The status is 0 if there is no connection, or no HTTP.
    """
    try:
        connection = dialled(port, url)
    except OSError:
        return 0, False
    with connection:
        connection.sendall(request.encode())
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                break
            data += more
        status = int(data.split(b" ", 2)[1]) if data.startswith(b"HTTP/") else 0
        if not stay:
            return status, True
        connection.settimeout(stay)
        try:
            return status, connection.recv(65536) != b""
        except TimeoutError:
            return status, True


def handshake(port: int, url: str = "ws://example.com/ws", *, stay: float = 0.0) -> tuple[int, bool]:
    """An opening handshake for a URL's scheme, path and host."""
    parts = urlsplit(url)
    return ask(port, handshake_request(parts.path or "/", parts.hostname or "example.com"), url, stay=stay)


@dataclass(frozen=True)
class Plain:
    """What became of a plain request: all that must stay the same, and whether the backend was asked to upgrade."""

    outcome: tuple[object, ...]
    asks_upgrade: bool


def plain_outcomes(
    port: int, backend: Backend, paths: tuple[str, ...], methods: tuple[str, ...] = ("GET", "POST")
) -> list[Plain]:
    """What plain requests get: the status, and what reached the backend apart from HTTP version and Connection."""
    found: list[Plain] = []
    for path in paths:
        for method in methods:
            seen = len(backend.raw)
            status, _ = ask(port, plain_request(path, method=method))
            reached = backend.requests[seen:]
            asks = any("upgrade" in (request.header("Connection") or "").lower() for request in reached)
            found.append(Plain((path, method, status, [essence(request) for request in reached]), asks))
    return found


def essence(request: Request) -> tuple[object, ...]:
    """What must stay the same of a request to the backend."""
    fields = Counter((n.lower(), v) for n, v in request.headers if n.lower() not in ("connection", "upgrade"))
    return request.method, request.target, request.body, fields
