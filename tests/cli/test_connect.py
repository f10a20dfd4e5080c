"""``ws101 connect`` on a real terminal, and in a pipe."""

from __future__ import annotations

import contextlib
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.support import environment, ws101
from tests.cli.terminal import Terminal
from ws101.http1 import Request
from ws101.lab.backends import EchoApp, Recorder, accept
from ws101.lab.ports import free_ports
from ws101.lab.story import Deployment


@pytest.fixture(scope="module")
def app() -> Iterator[EchoApp]:
    with EchoApp() as running:
        yield running


@pytest.fixture(scope="module")
def url(app: EchoApp) -> str:
    return f"ws://127.0.0.1:{app.port}/"


def test_a_person_talks_on_a_terminal(url: str, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    with Terminal("connect", url, "--color", "always", XDG_STATE_HOME=str(tmp_path)) as terminal:
        terminal.wait_for(f"connected to {url}")
        terminal.wait_for("/help lists the commands")
        terminal.type("hello\r")
        terminal.wait_for("< hello")
        terminal.type('{"a":[1.10]}\r')
        terminal.wait_for('"a": [')
        terminal.type("/save " + str(saved) + "\r")
        terminal.wait_for("12 bytes written to")
        terminal.type("/ping are you there\r")
        assert " ms are you there" in terminal.wait_for("< pong after")
        terminal.type("/binary 00ff41\r")
        terminal.wait_for("000000  00 ff 41")
        terminal.type("/nonsense\r")
        terminal.wait_for("there is no command /nonsense")
        terminal.type("/cl")
        terminal.wait_for("close, with 1000 unless told otherwise")
        terminal.type("\t 4001 bye\r")
        assert terminal.end() == 0
        assert "closed with code 4001: bye" in terminal.text
    assert saved.read_text() == '{"a":[1.10]}'
    history = tmp_path / "ws101" / "history"
    assert "+hello" in history.read_text()
    assert stat.S_IMODE(history.stat().st_mode) == 0o600


def test_what_was_typed_before_comes_back_with_the_arrow_and_no_history_leaves_none(url: str, tmp_path: Path) -> None:
    for _ in range(2):
        with Terminal("connect", url, XDG_STATE_HOME=str(tmp_path)) as terminal:
            terminal.wait_for("Ctrl-D leaves")
            terminal.type("remembered\r" if _ == 0 else "\x1b[A\r")
            terminal.wait_for("< remembered")
            terminal.type("\x04")
            assert terminal.end() == 0
    with Terminal("connect", url, "--no-history", XDG_STATE_HOME=str(tmp_path / "none")) as terminal:
        terminal.wait_for("Ctrl-D leaves")
        terminal.type("\x04")
        assert terminal.end() == 0
    assert not (tmp_path / "none").exists()


def test_escapes_from_the_network_never_reach_the_terminal(tmp_path: Path) -> None:
    nasty = b"\x1b]0;owned\x07\x1b[2J\x9b31m\xff"

    def answer(request: Request) -> bytes:
        return accept(request) + b"\x81" + bytes([len(nasty)]) + nasty + b"\x89\x03\x1b[A" + b"\x88\x07\x0f\xa1\x1b[2Jx"

    with Recorder(answer) as server, Terminal("connect", f"ws://127.0.0.1:{server.port}/") as terminal:
        terminal.end()
        assert b"\x1b]0;owned" not in terminal.raw
        assert b"\x1b[2J" not in terminal.raw
        assert b"\x9b" not in terminal.raw
        assert "\\x1b]0;owned\\x07" in terminal.text


def test_the_prompt_ends_when_the_server_closes() -> None:
    def answer(request: Request) -> bytes:
        return accept(request) + b"\x88\x02\x03\xe9"

    with Recorder(answer) as server, Terminal("connect", f"ws://127.0.0.1:{server.port}/") as terminal:
        assert terminal.end() == 0
        assert "closed with code 1001" in terminal.text


def test_a_cut_is_told_and_is_no_success() -> None:
    with EchoApp(drop_after=1) as app, Terminal("connect", f"ws://127.0.0.1:{app.port}/", "--no-history") as terminal:
        terminal.wait_for("Ctrl-D leaves")
        terminal.type("x\r")
        assert terminal.end() == 1
        assert "the connection was" in terminal.text


def test_without_the_library_lines_are_read_as_they_are_and_that_is_said(url: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'prompt_toolkit' else find(name, package)\n"
    )
    path = f"{tmp_path}:{environment()['PYTHONPATH']}"
    with Terminal("connect", url, PYTHONPATH=path) as terminal:
        terminal.wait_for("pip install 'ws101[connect]'")
        terminal.type("hello\r")
        terminal.wait_for("< hello")
        terminal.type("/close\r")
        assert terminal.end() == 0


def test_a_pipe_sends_each_line_and_gets_the_bare_messages(url: str) -> None:
    done = ws101("connect", url, stdin=b"hi\n\x1b[31m/ping\r\nlast without an end")
    assert done.code == 0
    assert done.out == "hi\n\x1b[31m/ping\nlast without an end\n"
    assert done.err == f"* connected to {url}\n* closed with code 1000\n"


def test_an_empty_pipe_connects_and_leaves(url: str) -> None:
    done = ws101("connect", url, "--wait", "0")
    assert (done.code, done.out) == (0, "")


def test_many_lines_come_back_in_order(url: str) -> None:
    lines = b"".join(b"line %d\n" % number for number in range(5000))
    done = ws101("connect", url, stdin=lines)
    assert done.out.encode() == lines


def test_execute_sends_text_and_commands_and_waits_for_answers(app: EchoApp, url: str) -> None:
    done = ws101("connect", url, "-x", "one", "-x", "/ping p", "-x", "//two", "--wait", "0.5")
    assert done.code == 0
    assert done.out == "one\n/two\n"
    assert "< pong after" in done.err
    assert ws101("connect", url, "-x", "/nonsense").code == 2


def test_what_is_asked_for_is_sent(app: EchoApp, url: str) -> None:
    app.take()
    options = ("--auth", "me:sécret", "-H", "X-A: b", "--origin", "https://a.example", "--host", "h.example")
    assert ws101("connect", url, *options, "--wait", "0").code == 0
    request = app.requests[-1]
    sent = {name: request.header(name) for name in ("Authorization", "X-A", "Origin", "Host")}
    basic = "Basic bWU6c8OpY3JldA=="
    assert sent == {"Authorization": basic, "X-A": "b", "Origin": "https://a.example", "Host": "h.example"}


def test_a_failed_handshake_shows_its_diagnosis_and_nothing_on_standard_output() -> None:
    with Deployment() as story:
        options = ("--resolve", f"example.com:{story.port}:127.0.0.1", "--conf", str(story.conf))
        done = ws101("connect", story.url, *options, stdin=b"hi\n")
    assert done.code == 1
    assert done.out == ""
    assert "upgrade-not-forwarded" in done.err
    assert "sites-enabled/example.conf" in done.err


def test_a_closed_port_is_explained_and_nothing_is_a_traceback() -> None:
    (port,) = free_ports(1)
    done = ws101("connect", f"ws://127.0.0.1:{port}/")
    assert done.code != 0
    assert "Traceback" not in done.err
    assert "refuse" in done.err


def test_a_reader_that_goes_away_ends_it_quietly(url: str) -> None:
    command = [sys.executable, "-m", "ws101", "connect", url]
    lines = b"".join(b"%d %s\n" % (number, b"x" * 500) for number in range(2000))
    running = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    assert running.stdin is not None
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdin.write(lines[:100_000])
    running.stdin.flush()
    running.stdout.read(10)
    running.stdout.close()
    begin = time.monotonic()
    with contextlib.suppress(BrokenPipeError):
        running.stdin.write(lines)
    with contextlib.suppress(BrokenPipeError):
        running.stdin.close()
    errors = running.stderr.read().decode()
    running.stderr.close()
    assert running.wait(20) == 2
    assert time.monotonic() - begin < 15
    assert "Traceback" not in errors


def test_a_line_without_an_end_is_bounded(url: str) -> None:
    done = ws101("connect", url, stdin=b"x" * (17 * 1024 * 1024))
    assert done.code == 2
    assert "longer than 16 MiB" in done.err


@pytest.mark.parametrize(
    "args",
    [("nonsense",), ("ws://h/", "-H", "x"), ("ws://h/", "--wait", "-1"), ("wss://127.0.0.1:1/", "--ca-file", "/x")],
)
def test_bad_input_is_named(args: tuple[str, ...]) -> None:
    done = ws101("connect", *args)
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert "Traceback" not in done.err
