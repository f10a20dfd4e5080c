"""A real browser, and programs that only pretend to be one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.support import environment
from ws101.errors import InputError
from ws101.host import browser as browsing
from ws101.host.browser import BrowserOptions, find_browser, open_in_browser
from ws101.host.dial import Network, parse_resolve
from ws101.lab.backends import EchoApp, Recorder, plain
from ws101.lab.ports import free_ports
from ws101.probes.core import Observation
from ws101.probes.endpoint import parse_ws_url

BROWSER = find_browser()
NETWORK = Network(timeout=5.0)


@pytest.fixture
def chromium(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The browser, its profile below a folder of this test alone."""
    if BROWSER is None:
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail("there is no browser: install chromium")
        pytest.skip("there is no browser on this machine")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return BROWSER


def processes(folder: Path) -> list[str]:
    """The living processes whose command line names a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and str(folder).encode() in (entry / "cmdline").read_bytes():
                found.append((entry / "cmdline").read_bytes().decode()[:80])
        except OSError:
            continue
    return found


def opened(program: str, url: str, options: BrowserOptions | None = None, network: Network = NETWORK) -> Observation:
    return open_in_browser(program, parse_ws_url(url), url, network, options or BrowserOptions(timeout=5.0))


def test_the_network_panel_and_an_echo_and_nothing_is_left_behind(chromium: str, tmp_path: Path) -> None:
    with EchoApp() as app:
        url = f"ws://example.com:{app.port}/ws?token=topsecret"
        network = Network(resolve=(parse_resolve(f"example.com:{app.port}:127.0.0.1"),))
        wanted = BrowserOptions(message="héllo", cookies="sid=abcdefgh", timeout=5.0)
        seen = opened(chromium, url, wanted, network)
        recorded = app.requests[0]
    assert seen.passed, seen.message
    assert seen.handshake is not None
    assert (seen.handshake.status, seen.detail("echoed"), seen.detail("close_code")) == (101, True, 1000)
    assert recorded.header("Origin") == f"http://example.com:{app.port}"
    assert recorded.header("Cookie") == "sid=abcdefgh"
    assert recorded.target == "/ws?token=topsecret"
    assert seen.handshake.request.headers == recorded.headers
    assert "topsecret" not in repr(seen.transcript)
    assert processes(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_another_origin_is_sent_as_told_and_a_page_with_https_may_not_open_a_plain_socket(chromium: str) -> None:
    with EchoApp() as app:
        url = f"ws://example.com:{app.port}/"
        network = Network(resolve=(parse_resolve(f"example.com:{app.port}:127.0.0.1"),))
        assert opened(chromium, url, BrowserOptions(origin="http://front.example", timeout=5.0), network).passed
        assert app.requests[0].header("Origin") == "http://front.example"
        seen = opened(chromium, url, BrowserOptions(origin="https://front.example", timeout=5.0), network)
        assert not seen.passed
        assert "Mixed Content" in seen.message
        assert app.connections == 1


def test_a_refused_handshake_has_the_consoles_words(chromium: str) -> None:
    with Recorder(plain(400, "Bad Request", "no")) as server:
        seen = opened(chromium, f"ws://127.0.0.1:{server.port}/ws")
    assert not seen.passed
    assert seen.message.endswith("failed: Error during WebSocket handshake: Unexpected response code: 400")
    assert (seen.class_, seen.detail("status")) == ("status", 400)


def test_a_wrong_accept_and_a_closed_port_are_named(chromium: str) -> None:
    wrong = b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n\r\n"
    with Recorder(wrong) as server:
        assert opened(chromium, f"ws://127.0.0.1:{server.port}/").class_ == "accept-mismatch"
    (port,) = free_ports(1)
    assert opened(chromium, f"ws://127.0.0.1:{port}/").class_ == "refused"


def test_a_server_that_never_answers_ends_at_the_time_limit(chromium: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begin = time.monotonic()
        seen = opened(chromium, f"ws://127.0.0.1:{silent.getsockname()[1]}/", BrowserOptions(timeout=1.0))
    assert not seen.passed
    assert time.monotonic() - begin < 8
    assert processes(tmp_path) == []


def pretender(folder: Path, body: str) -> str:
    path = folder / "browser"
    path.write_text(f"#!{sys.executable}\nimport os, sys, time, signal, json\n{body}\n")
    path.chmod(0o755)
    return str(path)


ANSWERING = """
text = b""
while True:
    data = os.read(3, 65536)
    if not data:
        break
    text += data
    while b"\\0" in text:
        one, _, text = text.partition(b"\\0")
        answer(json.loads(one))
"""


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("sys.exit(0)", "ended before it answered"),
        ("os.write(4, b'\\0' * 3); sys.exit(0)", "sends what is not its protocol"),
        ("os.write(4, b'[1, 2]\\0{\"id\": 1}\\0'); time.sleep(30)", "does not answer"),
        ("signal.signal(15, signal.SIG_IGN)\nwhile True: time.sleep(1)", "does not answer"),
    ],
)
def test_a_program_that_is_no_browser_is_named_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, message: str
) -> None:
    monkeypatch.setattr(browsing, "_START", 0.5)
    monkeypatch.setattr(browsing, "_LEAVE", 0.2)
    profile = tmp_path / "profile"
    profile.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(profile))
    with pytest.raises(InputError, match=message):
        opened(pretender(tmp_path, body), "ws://127.0.0.1:1/")
    until = time.monotonic() + 5  # a killed process is listed until it has been reaped
    while processes(profile) and time.monotonic() < until:
        time.sleep(0.05)
    assert processes(profile) == []
    assert list(profile.iterdir()) == []


def test_a_browser_that_floods_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browsing, "_LARGEST", 1 << 20)
    monkeypatch.setattr(browsing, "_LEAVE", 0.2)
    with pytest.raises(InputError, match="more than is taken"):
        opened(pretender(tmp_path, "while True: os.write(4, b'x' * 65536)"), "ws://127.0.0.1:1/")


def test_a_path_that_is_no_program_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such browser"):
        find_browser(str(tmp_path / "none"))
    (tmp_path / "data").write_text("not a program")
    (tmp_path / "data").chmod(0o755)
    with pytest.raises(InputError, match="does not start"):
        opened(str(tmp_path / "data"), "ws://127.0.0.1:1/")


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder with a short name: Chromium puts a Unix socket below it, whose path may have 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="ws101-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def test_when_ws101_is_killed_the_browser_ends_by_itself(chromium: str, short_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}/"
        command = [sys.executable, "-m", "ws101", "verify", url, "--timeout", "30"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment(TMPDIR=str(short_path))) as running:
            try:
                until = time.monotonic() + 20
                while not processes(short_path) and time.monotonic() < until:
                    time.sleep(0.05)
                time.sleep(1.0)
                assert processes(short_path)
            finally:
                running.send_signal(signal.SIGKILL)
        until = time.monotonic() + 10
        while processes(short_path) and time.monotonic() < until:
            time.sleep(0.05)
        assert processes(short_path) == []
