"""The built page in a real browser, beside a server that records whatever reaches it."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Frame, Page, sync_playwright

from tools.page.building import build
from ws101.host.browser import find_browser

READY = 30_000
"""Milliseconds until the page has to be ready; how fast it is stands in a test of its own."""


def required() -> str:
    """The browser's path; without it, npm or node the tests are left out, which fails in continuous integration."""
    program = find_browser()
    missing = [name for name in ("npm", "node") if shutil.which(name) is None]
    missing += [] if program else ["a browser (chromium)"]
    if missing or program is None:
        reason = f"the offline page needs {', '.join(missing)}"
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail(reason)
        pytest.skip(reason)
    return program


def built(folder: Path) -> Path:
    """The page, made from the sources as they are."""
    target = folder / "ws101.html"
    build(target)
    return target


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=required(), args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Opened:
    """The page in a tab: the frame around it, and the page proper inside."""

    page: Page
    console: list[str] = field(default_factory=list)

    @property
    def inner(self) -> Frame:
        return self.page.frames[1]

    def start(self) -> None:
        """Until Python runs in it."""
        self.inner.wait_for_selector("html[data-ready], #trouble > p", state="attached", timeout=READY)
        assert self.text("#trouble") == ""

    def mark(self, name: str) -> str:
        return str(self.inner.evaluate(f"document.documentElement.dataset.{name} || ''"))

    def text(self, selector: str) -> str:
        return self.inner.inner_text(selector)

    def take(self, *paths: Path, selector: str = "#files") -> None:
        """Choose files or a folder, and wait for the answer or the refusal."""
        self.forget()
        self.inner.set_input_files(selector, [str(path) for path in paths])
        self.settle()

    def settle(self) -> None:
        self.inner.wait_for_selector("html[data-done], #trouble > p", state="attached", timeout=READY)

    def forget(self) -> None:
        self.inner.evaluate(
            "delete document.documentElement.dataset.done; document.getElementById('trouble').textContent = ''"
        )

    def drop(self, *paths: Path) -> None:
        """Drag files or folders over the page and let them go."""
        self.forget()
        session = self.page.context.new_cdp_session(self.page)
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver"):
            session.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 250, "data": data})
        self.page.wait_for_selector("#drop:not([hidden])")
        for kind in ("dragEnter", "dragOver", "drop"):
            session.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 250, "data": data})
        self.settle()

    def downloaded(self, selector: str, folder: Path) -> Path:
        with self.page.expect_download() as waiting:
            self.inner.click(selector)
        path = folder / waiting.value.suggested_filename
        waiting.value.save_as(path)
        return path


def opened(browser: Browser, path: Path, *, ready: bool = True, script: str = "", **options: Any) -> Opened:
    context = browser.new_context(viewport={"width": 1000, "height": 900}, **options)
    tab = Opened(context.new_page())
    tab.page.on("console", lambda message: tab.console.append(message.text))
    tab.page.on("pageerror", lambda error: tab.console.append(f"uncaught: {error}"))
    if script:
        tab.page.add_init_script(script)
    tab.page.goto(path.as_uri())
    if ready:
        tab.start()
    return tab


class Recorder:
    """Takes connections and datagrams on loopback and answers nothing sensible; what came is in ``got``."""

    def __init__(self) -> None:
        self.got: list[str] = []
        self._streams = socket.create_server(("127.0.0.1", 0))
        self.port = self._streams.getsockname()[1]
        self._datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._datagrams.bind(("127.0.0.1", self.port))
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._accept, self._receive)]
        for thread in self._threads:
            thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._streams.accept()
                with client:
                    client.settimeout(2)
                    with suppress(OSError):
                        line = client.recv(4096).split(b"\r\n")[0]
                        self.got.append(f"TCP {line.decode('latin-1')}")
                        client.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")

    def _receive(self) -> None:
        with suppress(OSError):
            while True:
                data, _ = self._datagrams.recvfrom(4096)
                if data == b"":
                    return
                self.got.append(f"UDP {len(data)} bytes")

    def close(self) -> None:
        with suppress(OSError):
            self._streams.shutdown(socket.SHUT_RDWR)
        self._streams.close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waking:
            waking.sendto(b"", ("127.0.0.1", self.port))
        for thread in self._threads:
            thread.join(3)
        self._datagrams.close()
