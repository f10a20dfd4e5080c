"""One page for all tests of it, and a browser for each module: Playwright's loop must not outlive it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.page.browser import built, chromium, required


@pytest.fixture(scope="session")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page, made from the sources as they are."""
    required()
    return built(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    required()
    with chromium() as running:
        yield running
