"""The page of the reference deployment in a real browser: chat, dashboard, and coming back by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import IN_CI
from ws101.host.browser import find_browser
from ws101.lab.breaking import stage
from ws101.lab.faults import find_fault
from ws101.lab.folder import Folder
from ws101.lab.reference import Reference, Wishes, plan_of

BROWSER = find_browser()
pytestmark = pytest.mark.skipif(BROWSER is None and not IN_CI, reason="no browser is installed")
HOSTILE = '<img src=x onerror="document.title=1">'


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reference]:
    with Reference(Folder(tmp_path_factory.mktemp("lab") / "up"), Wishes(port=0)) as reference:
        yield reference


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as running:
        found = running.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield found
        found.close()


class Window:
    """One window of the page, with what its console said and what it asked for."""

    def __init__(self, browser: Any, lab: Reference, query: str = "", **options: Any) -> None:
        context = browser.new_context(ignore_https_errors=True, **options)
        self.page = context.new_page()
        self.console: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.console.append(message.text))
        self.page.on("pageerror", lambda error: self.console.append(f"error: {error}"))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(lab.page + query)
        self.page.wait_for_selector("#status[data-state=open]", timeout=10_000)

    def say(self, text: str) -> None:
        self.page.fill("#text", text)
        self.page.press("#text", "Enter")

    def hear(self, text: str) -> None:
        self.page.wait_for_function(
            "text => [...document.querySelectorAll('#messages li')].some(item => item.textContent.includes(text))",
            arg=text,
            timeout=5_000,
        )

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))


def test_windows_on_different_backends_hear_each_other_and_see_the_same_figures(browser: Any, lab: Reference) -> None:
    windows = [Window(browser, lab) for _ in range(3)]
    assert {window.text("#backend") for window in windows} == {child.name for child in lab.record.chat}
    for number, window in enumerate(windows):
        window.say(f"message {number} {HOSTILE}")
        for other in windows:
            other.hear(f"message {number} {HOSTILE}")
    for window in windows:
        window.page.wait_for_function("() => document.getElementById('connections').textContent === '3'", timeout=5_000)
        assert window.page.title() == "Chat behind nginx"
        assert window.page.locator("#messages img").count() == 0
        assert window.console == []
        assert all(url.startswith((lab.page, "data:")) for url in window.asked)
    for window in windows:
        window.page.context.close()


def test_it_says_that_it_is_cut_off_tries_again_and_comes_back_when_it_is_mended(browser: Any, lab: Reference) -> None:
    window = Window(browser, lab)
    stage(lab.folder, lab.record, find_fault("connection-cleared", plan_of(lab.record)))
    window.page.click("#again")
    window.page.wait_for_selector("#status[data-state=closed]", timeout=5_000)
    window.page.wait_for_function("() => document.querySelectorAll('#events .bad').length >= 3", timeout=10_000)
    assert re.search(r"Not connected. Next try in [0-9.]+ s|Connecting", window.text("#status"))
    assert window.page.is_disabled("#send")
    assert window.page.is_visible("#why")
    assert any("Unexpected response code: 4" in line for line in window.console)
    stage(lab.folder, lab.record, None)
    window.page.wait_for_selector("#status[data-state=open]", timeout=15_000)
    assert not window.page.is_visible("#why")
    window.say("back again")
    window.hear("back again")
    window.page.context.close()


def test_the_pauses_between_two_tries_grow_and_are_not_all_the_same(browser: Any, lab: Reference) -> None:
    """The page's own clock is made to run ahead: many tries in little time."""
    window = Window(browser, lab)
    delays = window.page.evaluate(
        """async () => {
          const waits = [];
          window.setTimeout = (act, ms) => { waits.push(ms); Promise.resolve().then(act); return 0; };
          window.WebSocket = class {
            constructor() { Promise.resolve().then(() => this.onclose({ code: 1006, reason: "" })); }
            close() {}
            send() {}
          };
          document.getElementById("again").click();
          for (let i = 0; i < 2000 && waits.length < 40; i++) await Promise.resolve();
          window.setTimeout = () => 0;
          return waits;
        }"""
    )
    assert len(delays) >= 40
    assert all(250 * min(2**n, 60) <= delay <= 500 * min(2**n, 60) for n, delay in enumerate(delays[:40])), delays
    assert len({round(delay) for delay in delays[10:40]}) > 15, "chance spreads them"
    window.page.context.close()


def test_clients_that_poll_are_in_the_same_chat(browser: Any, lab: Reference) -> None:
    if not lab.record.polling:
        pytest.skip("Socket.IO does not run here")
    one, other = Window(browser, lab), Window(browser, lab, "?transport=polling")
    assert other.text("#backend").startswith("socket.io-")
    other.say("from one who polls")
    one.hear("from one who polls")
    one.say("to one who polls")
    other.hear("to one who polls")
    assert other.console == one.console == []
    for window in (one, other):
        window.page.context.close()


def test_paused_figures_leave_the_socket_silent(browser: Any, lab: Reference) -> None:
    window = Window(browser, lab)
    window.page.wait_for_function("() => document.getElementById('backends').children.length > 0", timeout=5_000)
    window.page.uncheck("#live")
    window.page.wait_for_function("() => document.getElementById('backends').children.length === 0", timeout=8_000)
    assert window.page.is_visible("#paused")
    window.say("still there")
    window.hear("still there")
    window.page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_nothing_sticks_out_and_every_field_has_a_name(browser: Any, lab: Reference, scheme: str, width: int) -> None:
    window = Window(browser, lab, viewport={"width": width, "height": 800}, color_scheme=scheme)
    window.say("x" * 300)
    window.hear("x" * 300)
    assert window.page.evaluate("document.documentElement.scrollWidth") <= width
    nameless = window.page.evaluate(
        "[...document.querySelectorAll('input, button')].filter("
        "e => !(e.labels?.length || e.textContent.trim())).map(e => e.outerHTML)"
    )
    assert nameless == []
    window.page.context.close()
