"""The pictures of the page for the documentation: the story's broken configuration, light and dark."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import sync_playwright

from tools.page.building import ROOT, TARGET
from ws101.host.browser import find_browser

IMAGES = ROOT / "docs" / "images"
WIDTH, HEIGHT = 1000, 1180


def take() -> tuple[Path, ...]:
    """Take both; the page must have been built."""
    paths = tuple(IMAGES / f"page-{scheme}.png" for scheme in ("light", "dark"))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        for path in paths:
            scheme = path.stem.removeprefix("page-")
            context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=scheme)
            page = context.new_page()
            page.goto(TARGET.as_uri())
            inner = page.frames[1]
            inner.wait_for_selector("html[data-ready]", state="attached")
            inner.click("#sample")
            inner.wait_for_selector("html[data-done]", state="attached")
            inner.evaluate("scrollTo(0, 0)")
            page.mouse.move(0, 0)
            page.wait_for_timeout(300)
            page.screenshot(path=path)
            context.close()
        browser.close()
    return paths
