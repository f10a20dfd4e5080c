"""Writing the made pages, and building the site."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tools.docs.causes import causes_page, read_causes
from tools.docs.pages import index_page, rule_page
from ws101.rules import RULES

__all__ = ["DOCS", "ROOT", "SITE", "BuildError", "build_site", "made_pages", "outdated", "write"]

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
SITE = ROOT / "site"
_NOWHERE = "http://127.0.0.1:9"
"""Where nothing listens: a builder that wanted the network would fail."""


class BuildError(Exception):
    """The site could not be built."""


def made_pages() -> dict[Path, str]:
    """Every page that is made, by its path below ``docs``."""
    rules = {Path("rules", f"{rule.name}.md"): rule_page(rule) for rule in RULES}
    return {
        **rules,
        Path("rules/index.md"): index_page(RULES),
        Path("reference/causes.md"): causes_page(read_causes()),
    }


def outdated(docs: Path = DOCS) -> list[str]:
    """The made pages that differ from what would be made now, and those that nothing makes any more."""
    pages = made_pages()
    wrong = [path for path, text in pages.items() if _read(docs / path) != text]
    strays = [path.relative_to(docs) for path in (docs / "rules").glob("*.md") if path.relative_to(docs) not in pages]
    return sorted(str(path) for path in (*wrong, *strays))


def write(docs: Path = DOCS) -> list[str]:
    """Write what is outdated; the names of the files that changed."""
    changed, pages = outdated(docs), made_pages()
    for name in changed:
        path = docs / name
        if Path(name) not in pages:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(path.name + ".new")
        fresh.write_text(pages[Path(name)], encoding="utf-8")
        fresh.replace(path)
    return changed


def build_site(target: Path = SITE) -> None:
    """Build the site; every broken link is an error.

    Raises:
        BuildError: It could not be built; the message holds the builder's own words.
    """
    env = {**os.environ, **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), _NOWHERE)}
    env |= {"NO_MKDOCS_2_WARNING": "true"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(target)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"the site could not be built:\n{done.stdout}{done.stderr}")


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None
