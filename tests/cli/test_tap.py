"""``ws101 tap`` between a real nginx and its backend."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cli.support import HEADERS, Or, environment, maybe, mismatches, ws101
from ws101.host.network import handshake
from ws101.lab.backends import Recorder, StoryApp
from ws101.lab.nginx import Nginx, wrap
from ws101.lab.ports import free_ports

EVENT = {
    "schema": "ws101/tap/1", "event": Or(("opened", "request", "response", "note", "closed")), "at": float,
    "connection": int, "message": maybe(str),
    "request": maybe({"method": str, "target": str, "version": str, "headers": HEADERS}),
    "response": maybe({"version": str, "status": int, "reason": str, "headers": HEADERS}),
    "lacks": [str], "seconds": maybe(float), "bytes": {"up": int, "down": int}, "frames": {"up": int, "down": int},
}  # fmt: skip


@contextmanager
def tap(to: str, *options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The running program, and the port it listens at."""
    running = subprocess.Popen(
        [sys.executable, "-m", "ws101", "tap", "0", "--to", to, *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(),
    )  # fmt: skip
    with running:
        assert running.stderr is not None
        try:
            said = running.stderr.readline()
            yield running, int(said.split(",")[0].rpartition(":")[2])
        finally:
            running.terminate()


def test_between_nginx_and_the_backend_it_shows_what_nginx_made_of_the_request() -> None:
    (port,) = free_ports(1)
    with StoryApp("/ws") as app, tap(app.address, "--count", "1") as (running, place):
        conf = wrap(f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{place}; }} }}")
        with Nginx(conf):
            handshake(f"ws://127.0.0.1:{port}/ws?token=topsecret")
        shown, _ = running.communicate(timeout=10)
    assert running.returncode == 0
    assert "→ GET /ws?token=*** HTTP/1.0" in shown
    assert "← HTTP/1.1 400 Bad Request" in shown
    assert "no opening handshake as it arrives here: it arrives as HTTP/1.0, Upgrade does not arrive and" in shown
    assert "Connection is close" in shown


def test_each_line_of_json_is_one_event() -> None:
    with StoryApp("/ws") as app, tap(app.address, "--count", "1", "--format", "json") as (running, place):
        assert handshake(f"ws://127.0.0.1:{place}/ws")[0].passed
        out, _ = running.communicate(timeout=10)
    events = [json.loads(line) for line in out.splitlines()]
    assert [found for event in events for found in mismatches(event, EVENT)] == []
    assert [event["event"] for event in events] == ["opened", "request", "response", "closed"]
    assert events[2]["response"]["status"] == 101


def test_escapes_from_the_network_are_shown_as_escapes() -> None:
    nasty = b"HTTP/1.1 200 \x1b[31m\r\nX: \x1b]0;t\x07\xff\r\nConnection: close\r\n\r\n"
    with Recorder(nasty) as app, tap(app.address, "--count", "1", "--color", "always") as (running, place):
        with socket.create_connection(("127.0.0.1", place)) as client:
            client.sendall(b"GET /\x1b[2J HTTP/1.1\r\nA\x1b: b\r\nConnection: close\r\n\r\n")
            while client.recv(4096):
                pass
        out, _ = running.communicate(timeout=10)
    assert "\x1b[31m\\" not in out
    assert "\x1b]0;t" not in out
    assert "\\x1b[31m" in out
    assert "GET /\\x1b[2J HTTP/1.1" in out


def test_ctrl_c_ends_it_in_good_order() -> None:
    with Recorder() as app, tap(app.address) as (running, place), socket.create_connection(("127.0.0.1", place)):
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=10)
    assert running.returncode == 0
    assert "Traceback" not in out + err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("0.0.0.0:9000", "--to", "127.0.0.1:1"), "not a loopback address"),
        (("nonsense", "--to", "127.0.0.1:1"), "no place to listen"),
        (("0", "--to", "https://a"), "can't look into https"),
        (("0",), "missing option"),
    ],
)
def test_bad_input_is_named(args: tuple[str, ...], message: str) -> None:
    done = ws101("tap", *args)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        done = ws101("tap", str(busy.getsockname()[1]), "--to", "127.0.0.1:1")
    assert done.code == 2
    assert "something listens there already" in done.err


def test_a_tap_that_would_pass_on_to_itself_is_refused() -> None:
    done = ws101("tap", "9000", "--to", "127.0.0.1:9000")
    assert done.code == 2
    assert "the tap would pass on to itself" in done.err
