"""What mkdocs asks while it builds: the navigation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig

__all__ = ["on_config"]


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put a page a rule below *Rules*, and leave out pages that this copy of the repository does not hold."""
    docs = Path(config.docs_dir)
    config.nav = [entry for entry in (_there(item, docs) for item in config.nav or []) if entry]
    for entry in config.nav:
        if isinstance(entry, dict) and "Rules" in entry:
            pages = sorted(path.name for path in (docs / "rules").glob("*.md") if path.name != "index.md")
            entry["Rules"] = ["rules/index.md", *(f"rules/{name}" for name in pages)]
    return config


def _there(item: Any, docs: Path) -> Any:
    if isinstance(item, str):
        return item if (docs / item).exists() else None
    if isinstance(item, list):
        return [entry for entry in (_there(one, docs) for one in item) if entry]
    return {key: kept for key, value in item.items() if (kept := _there(value, docs))}
