"""The line of progress: on a terminal alone, and gone in the end."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.support import environment, ws101
from tests.probes.servers import answer, serving, silent
from ws101.cli import progress as showing
from ws101.cli.progress import Progress
from ws101.lab.backends import EchoApp


def test_a_line_takes_the_place_of_the_one_before_and_is_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(showing, "_PATIENCE", 0.0)
    stream = io.StringIO()
    with Progress(stream) as progress:
        progress.show("one")
        progress.show("two\x1b[31m")
    assert stream.getvalue() == "\r\x1b[Kone ...\r\x1b[Ktwo\\x1b[31m ...\r\x1b[K"


def test_what_is_over_soon_shows_nothing() -> None:
    stream = io.StringIO()
    with Progress(stream) as progress:
        progress.show("one")
    assert stream.getvalue() == ""


def test_without_a_terminal_nothing_is_shown() -> None:
    with serving(silent) as port:
        done = ws101("diagnose", f"ws://127.0.0.1:{port}/", "--no-conf", "--timeout", "0.6")
    assert done.code == 1
    assert done.err == ""


def test_on_a_terminal_the_steps_are_shown_while_they_last() -> None:
    with EchoApp() as app:
        shown = on_a_terminal("diagnose", f"ws://{app.address}/", "--no-conf", "--idle", "1")
    assert "a silent tunnel through the site: 1 of 1 s" in shown
    assert shown.rstrip("\r\n").endswith("\x1b[K"), "the line is taken away in the end"


def on_a_terminal(*args: str) -> str:
    """What a run writes on standard error if that is a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "ws101", *args], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs,
        env=environment(TERM="xterm"), cwd=Path(__file__).parents[2],
    )  # fmt: skip
    os.close(theirs)
    text = b""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            data = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        text += data
    os.close(ours)
    process.wait(10)
    return text.decode("utf-8")


def test_the_experiments_are_listed_and_those_that_decide_can_be_seen() -> None:
    refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\norigin"
    with serving(answer(refusal)) as port:
        done = ws101("diagnose", f"ws://127.0.0.1:{port}/", "--no-conf", "--origin", "https://page.example")
    assert done.code == 1
    lines = [line.strip() for line in done.out.splitlines()]
    assert "What was tried" in lines
    assert '✗ the same handshake without Origin: 403 Forbidden: "origin"' in lines


def test_a_log_that_was_named_and_is_not_there_is_an_error() -> None:
    done = ws101("diagnose", "ws://127.0.0.1:9/", "--no-conf", "--error-log", "/nonexistent/error.log")
    assert done.code == 2
    assert "there is no such log" in done.err


def test_a_works_after_a_1006_asks_for_the_measurement() -> None:
    with EchoApp() as app:
        done = ws101(f"WebSocket connection to 'ws://{app.address}/' failed: code: 1006", "--no-conf")
    assert done.code == 0
    assert "next: the handshake works; measure how long a tunnel may stay silent: add --idle" in done.out
