"""The connections that a reload would touch are counted, those of earlier workers are not."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ws101.host.binary import NginxBinary
from ws101.host.connections import Connections, connections_of
from ws101.lab.nginx import Nginx, until, wrap
from ws101.lab.ports import free_ports


def test_clients_and_backends_are_told_apart(binary: NginxBinary) -> None:
    (port,) = free_ports(1)
    with socket.create_server(("127.0.0.1", 0)) as backend, contextlib.ExitStack() as held:
        place = f"location / {{ proxy_pass http://127.0.0.1:{backend.getsockname()[1]}; }}"
        text = wrap(f"server {{ listen 127.0.0.1:{port}; {place} }}", binary=binary, workers=2)
        with Nginx(text, binary=binary) as nginx:
            until(lambda: len(nginx.workers()) == 2, "second worker")
            assert connections_of(nginx.pid) == Connections(0, 0)
            for _ in range(5):
                client = held.enter_context(socket.create_connection(("127.0.0.1", port)))
                client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                held.enter_context(backend.accept()[0])
            held.enter_context(socket.create_connection(("127.0.0.1", port)))
            until(lambda: connections_of(nginx.pid) == Connections(6, 5), "all connections")
            nginx.reload()
            nginx.wait_reloaded()
            until(lambda: connections_of(nginx.pid) == Connections(0, 0), "new workers without connections")


def test_what_is_not_nginx_has_none_to_tell_of() -> None:
    assert connections_of(os.getpid()) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: to look as somebody else")
def test_what_is_hidden_from_us_is_not_called_none(binary: NginxBinary) -> None:
    with Nginx(wrap("", binary=binary), binary=binary) as nginx:
        script = (
            "import os, sys; sys.path.insert(0, sys.argv[2]); from ws101.host.connections import connections_of;"
            "os.setuid(65534); print(connections_of(int(sys.argv[1])))"
        )
        source = str(Path(__file__).resolve().parents[2] / "src")
        command = [sys.executable, "-c", script, str(nginx.pid), source]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "None"
