"""The whole story in a real browser: 400 in the console, the fix, 101 in the network panel, and what ends a tunnel."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import IN_CI
from ws101.cli import main
from ws101.host.browser import find_browser
from ws101.lab.breaking import stage
from ws101.lab.faults import find_fault
from ws101.lab.folder import Folder
from ws101.lab.reference import Reference, Wishes, plan_of

BROWSER = find_browser()
pytestmark = pytest.mark.skipif(BROWSER is None and not IN_CI, reason="no browser is installed")
HEARTBEAT = 1.0
SILENT = """async ([url, seconds]) => {
  const began = performance.now(), socket = new WebSocket(url);
  const closed = new Promise(done => { socket.onclose = event => done(event.code); });
  await new Promise((done, fail) => { socket.onopen = done; socket.onerror = fail; });
  const still = new Promise(done => setTimeout(done, seconds * 1000, "open"));
  const end = await Promise.race([closed, still]);
  return [end, (performance.now() - began) / 1000];
}"""
"""Opens a WebSocket, says nothing, and tells the close code and after how many seconds; or that it is still open."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reference]:
    with Reference(Folder(tmp_path_factory.mktemp("lab") / "up"), Wishes(port=0, heartbeat=HEARTBEAT)) as reference:
        yield reference


@pytest.fixture
def good(lab: Reference) -> Iterator[Reference]:
    """The deployment as it should be, before and after."""
    stage(lab.folder, lab.record, None)
    yield lab
    stage(lab.folder, lab.record, None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as running:
        found = running.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield found
        found.close()


class Window:
    """The page of the deployment, with what the console and the network panel show."""

    def __init__(self, browser: Any, lab: Reference) -> None:
        context = browser.new_context(ignore_https_errors=True)
        self.page = context.new_page()
        self.console: list[str] = []
        self.asked: list[dict[str, Any]] = []
        self.answers: list[dict[str, Any]] = []
        self.received: list[str] = []
        self.page.on("console", lambda message: self.console.append(message.text))
        panel = context.new_cdp_session(self.page)
        panel.send("Network.enable")
        panel.on("Network.webSocketWillSendHandshakeRequest", lambda event: self.asked.append(event["request"]))
        panel.on("Network.webSocketHandshakeResponseReceived", lambda event: self.answers.append(event["response"]))
        panel.on("Network.webSocketFrameReceived", lambda e: self.received.append(e["response"]["payloadData"]))
        self.page.goto(lab.page)

    def wait(self, happened: Callable[[], object], seconds: float = 15.0) -> None:
        deadline = time.monotonic() + seconds
        while not happened():
            assert time.monotonic() < deadline, (self.console, self.answers)
            self.page.wait_for_timeout(50)

    def is_open(self) -> bool:
        return bool(self.page.locator("#status[data-state=open]").count())

    def statuses(self) -> set[int]:
        return {int(answer["status"]) for answer in self.answers}


def fields(message: dict[str, Any]) -> dict[str, str]:
    return {name.lower(): value for name, value in message["headers"].items()}


def test_from_the_consoles_400_to_the_panels_101(
    browser: Any, good: Reference, capsys: pytest.CaptureFixture[str]
) -> None:
    stage(good.folder, good.record, find_fault("upgrade-not-forwarded", plan_of(good.record)))
    window = Window(browser, good)
    said = (
        f"WebSocket connection to '{good.url}' failed: Error during WebSocket handshake: Unexpected response code: 400"
    )
    window.wait(lambda: said in window.console)
    assert 101 not in window.statuses()
    assert not window.is_open()

    assert main(["lab", "fix", "--dir", str(good.folder.path)]) == 0
    assert "PROVEN" in "".join(capsys.readouterr())
    window.wait(window.is_open)
    assert 101 in window.statuses()
    answer = next(answer for answer in window.answers if answer["status"] == 101)
    assert fields(answer)["upgrade"].lower() == "websocket"
    assert fields(window.asked[-1])["upgrade"].lower() == "websocket"

    seen = len(window.received)
    window.page.fill("#text", "frames flow")
    window.page.press("#text", "Enter")
    window.wait(lambda: any("frames flow" in frame for frame in window.received[seen:]))
    window.wait(lambda: sum('"state"' in frame for frame in window.received) >= 3)
    before = window.page.inner_text("#age")
    window.wait(lambda: window.page.inner_text("#age") != before)
    window.page.context.close()


def test_without_a_heartbeat_in_time_a_silent_socket_ends_with_1006(browser: Any, lab_without_pings: Reference) -> None:
    lab = lab_without_pings
    stage(lab.folder, lab.record, find_fault("read-timeout", plan_of(lab.record)))
    window = Window(browser, lab)
    code, seconds = window.page.evaluate(SILENT, [lab.url, 20])
    assert code == 1006
    assert 1.6 < seconds < 10, "proxy_read_timeout is 2 s"
    assert main(["lab", "fix", "--dir", str(lab.folder.path)]) == 0
    assert window.page.evaluate(SILENT, [lab.url, 4])[0] == "open"
    window.page.context.close()


@pytest.fixture(scope="module")
def lab_without_pings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reference]:
    """Pings come only every minute."""
    with Reference(Folder(tmp_path_factory.mktemp("quiet") / "up"), Wishes(port=0, heartbeat=60.0)) as reference:
        yield reference


def test_with_a_heartbeat_in_time_a_silent_socket_stays(browser: Any, good: Reference) -> None:
    stage(good.folder, good.record, find_fault("read-timeout", plan_of(good.record)))
    window = Window(browser, good)
    window.wait(window.is_open)
    for _ in range(len(good.record.chat)):
        assert window.page.evaluate(SILENT, [good.url, 5])[0] == "open"
    window.page.context.close()


def test_a_reload_does_not_cut_an_open_socket(browser: Any, good: Reference) -> None:
    window = Window(browser, good)
    window.wait(window.is_open)
    opened = len(window.asked)
    assert stage(good.folder, good.record, None) == "", "this reloads nginx"
    seen = len(window.received)
    window.wait(lambda: len(window.received) > seen + 6)
    assert window.is_open()
    assert len(window.asked) == opened, "it never had to connect again"
    window.page.context.close()
