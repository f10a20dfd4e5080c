"""Ask a real nginx: raw bytes in, status and body out; and configurations in memory."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ws101.host.binary import NginxBinary
from ws101.http1 import Request
from ws101.lab.nginx import Nginx, wrap
from ws101.lab.ports import free_ports
from ws101.nginx.config import Config, MemoryFiles

MARK = "|#|"
"""Stands between the values in a body."""


class Answer(NamedTuple):
    """A response: status (None if there was none), and the body."""

    status: int | None
    body: str
    head: str = ""


def config_of(text: str, **files: str) -> Config:
    """A configuration held in memory."""
    texts = {"nginx.conf": text, **files}
    files_of = {f"/etc/{name}": content.encode("latin-1") for name, content in texts.items()}
    return Config(MemoryFiles(files_of), "/etc/nginx.conf")


@contextmanager
def serving(binary: NginxBinary, http: str, logged: list[str] | None = None) -> Iterator[tuple[Config, int]]:
    """A real nginx with a configuration (``PORT`` becomes a free port), the model of the same text, and the port.

    In the end the text of error.log is put into ``logged``.
    """
    (port,) = free_ports(1)
    text = http.replace("PORT", str(port))
    conf = wrap("access_log off; keepalive_timeout 0; lingering_timeout 0s;\n" + text, binary=binary).replace(
        "access_log access.log lab;", ""
    )
    with Nginx(conf, binary=binary) as nginx:
        yield config_of(conf), port
        if logged is not None:
            logged.append(nginx.error_log())


def ask(port: int, request: Request | bytes, address: str = "127.0.0.1") -> Answer:
    """Send a request and read to the end; nginx closes after one answer."""
    data = request.encode() if isinstance(request, Request) else request
    with socket.create_connection((address, port), timeout=10) as sock:
        sock.sendall(data)
        parts = []
        try:
            while part := sock.recv(65536):
                parts.append(part)
        except ConnectionResetError:
            pass
    return _answer(b"".join(parts).decode("latin-1"))


def _answer(text: str) -> Answer:
    if not text.startswith("HTTP/"):
        return Answer(200 if text else None, text)
    head, _, body = text.partition("\r\n\r\n")
    return Answer(int(head.split(" ")[1]), body, head)
