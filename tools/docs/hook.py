"""What mkdocs asks while it builds: the navigation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.pages import Page

__all__ = ["on_config", "on_page_markdown"]

_WIDE = frozenset({"reference/causes.md", "reference/live-causes.md"})


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put a page a rule below *Rules*, leave out pages that are not there, and add all others to *Inside*."""
    docs = Path(config.docs_dir)
    pages = sorted(path.relative_to(docs).as_posix() for path in docs.rglob("*.md"))
    nav = [entry for entry in (_there(item, docs) for item in config.nav or []) if entry]
    sections = {name: entry for entry in nav if isinstance(entry, dict) for name in entry}
    sections["Rules"]["Rules"] = ["rules/index.md", *(p for p in pages if p.startswith("rules/") and "index" not in p)]
    sections["Inside"]["Inside"] += [page for page in pages if page not in set(_pages(nav))]
    config.nav = nav
    return config


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Give wide tables the whole width."""
    if page.file.src_uri in _WIDE:
        page.meta["hide"] = ["navigation", "toc"]
    return markdown


def _there(item: Any, docs: Path) -> Any:
    if isinstance(item, str):
        return item if (docs / item).exists() else None
    if isinstance(item, list):
        return [entry for entry in (_there(one, docs) for one in item) if entry]
    return {key: kept for key, value in item.items() if (kept := _there(value, docs))}


def _pages(item: Any) -> Iterator[str]:
    if isinstance(item, str):
        yield item
    for one in item if isinstance(item, list) else item.values() if isinstance(item, dict) else ():
        yield from _pages(one)
