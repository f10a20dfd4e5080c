"""``ws101 verify``: the three steps on the story's site, and what is said of a step that was not done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.support import HEADERS, REQUEST, TIMINGS, Or, maybe, mismatches, ws101
from ws101.host.browser import find_browser
from ws101.lab.backends import Recorder
from ws101.lab.ports import free_ports
from ws101.lab.story import Deployment

STATE = Or(("passed", "failed", "undecided", "not-done"))
RESPONSE = maybe({"version": str, "status": int, "reason": str, "headers": HEADERS})
VERIFY = {
    "schema": "ws101/verify/1", "url": str, "verdict": STATE,
    "steps": [
        {"step": Or(("browser", "headers", "client")), "state": STATE, "message": str, "class": maybe(str),
         "help": maybe(str)}
    ],
    "browser": maybe(
        {
            "name": str, "page": str, "console": maybe(str), "opened": bool, "status": maybe(int), "echoed": bool,
            "frames_sent": int, "frames_received": int, "close_code": maybe(int), "clean": maybe(bool),
            "request": REQUEST, "response": RESPONSE,
        }
    ),
    "client": {"request": REQUEST, "response": RESPONSE, "timings": maybe(TIMINGS), "latency": maybe(float)},
}  # fmt: skip
needs_browser = pytest.mark.skipif(find_browser() is None, reason="there is no browser on this machine")


@pytest.fixture(scope="module")
def story() -> Iterator[Deployment]:
    with Deployment() as deployment:
        yield deployment


def resolve(story: Deployment) -> tuple[str, str]:
    return "--resolve", f"example.com:{story.port}:127.0.0.1"


def good(story: Deployment) -> str:
    return story.url.replace("/ws", "/dashboard/live?token=topsecret")


@needs_browser
def test_what_works_is_verified_in_three_steps(story: Deployment) -> None:
    done = ws101("verify", good(story), *resolve(story), "--message", "hello", "--format", "json")
    assert done.code == 0, done.out
    assert mismatches(done.json, VERIFY) == []
    assert [step["state"] for step in done.json["steps"]] == ["passed"] * 3
    assert (done.json["browser"]["status"], done.json["browser"]["echoed"]) == (101, True)
    assert "topsecret" not in done.out


@needs_browser
def test_the_storys_site_fails_in_all_three_in_the_browsers_own_words(story: Deployment) -> None:
    done = ws101("verify", story.url, *resolve(story))
    assert done.code == 1
    assert done.out.startswith(f"FAILED  {story.url}\n")
    assert "Error during WebSocket handshake:" in done.out
    assert "Unexpected response code: 400" in done.out
    assert done.out.count("✗") == 3
    assert f"ws101 {story.url} --resolve" in done.out


def test_without_a_browser_its_step_is_not_done_and_the_exit_code_says_so(story: Deployment, tmp_path: Path) -> None:
    done = ws101("verify", good(story), *resolve(story), PATH=str(tmp_path))
    assert done.code == 2
    assert done.out.startswith("INCOMPLETE")
    assert "A browser opens the socket - not done" in done.out
    assert "apt-get install chromium" in done.out
    left_out = ws101("verify", good(story), *resolve(story), "--no-browser", "--format", "json")
    assert (left_out.code, left_out.json["verdict"], left_out.json["browser"]) == (2, "not-done", None)
    assert mismatches(left_out.json, VERIFY) == []


def test_a_header_field_that_no_browser_sends_makes_its_step_not_done(story: Deployment) -> None:
    done = ws101("verify", good(story), *resolve(story), "-H", "X-Tenant: 7", "--format", "json")
    assert done.code == 2
    assert done.json["steps"][0]["state"] == "not-done"
    assert [step["state"] for step in done.json["steps"][1:]] == ["passed", "passed"] or find_browser() is None


def test_escapes_of_a_server_never_reach_the_terminal_raw() -> None:
    nasty = b"HTTP/1.1 400 \x1b[31mred\r\nX-\x1b: \x1b]0;title\x07\r\nContent-Length: 5\r\n\r\n\x1b[2J\xff\xfe"
    with Recorder(nasty) as server:
        done = ws101("verify", f"ws://127.0.0.1:{server.port}/", "--no-browser")
    assert done.code == 1
    assert "\x1b" not in done.out
    assert "\\x1b[31mred" in done.out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("nonsense",), "this is not a URL"),
        (("ws://127.0.0.1:1/", "--browser", "/nonexistent/browser"), "no such browser"),
        (("ws://127.0.0.1:1/", "--resolve", "x"), "--resolve wants"),
        (("ws://127.0.0.1:1/", "-H", "x"), "is not a header field"),
    ],
)
def test_bad_input_is_named_in_one_line(args: tuple[str, ...], message: str) -> None:
    done = ws101("verify", *args)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err


def test_a_closed_port_fails_and_says_so() -> None:
    (port,) = free_ports(1)
    done = ws101("verify", f"ws://127.0.0.1:{port}/", "--no-browser", "--format", "json")
    assert done.code == 1
    assert done.json["steps"][2]["class"] == "refused"
