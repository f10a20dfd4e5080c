"""The made pages and the site."""

from __future__ import annotations

import ast
import html
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tools.docs.build import DOCS, build_site, made_pages, outdated, write
from tools.docs.causes import Cause, causes_page, read_causes
from tools.docs.pages import rule_page
from ws101.rules import RULES
from ws101.rules.base.registry import Rule

PACKAGE = DOCS.parent / "src" / "ws101"


def test_the_pages_in_the_repository_are_those_that_would_be_made_now() -> None:
    assert outdated() == [], "run python -m tools.docs --write"


def test_writing_makes_what_is_missing_mends_what_differs_and_removes_what_nothing_makes(tmp_path: Path) -> None:
    stray, changed = tmp_path / "rules" / "no-such-rule.md", tmp_path / "reference" / "causes.md"
    for path in (stray, changed):
        path.parent.mkdir(parents=True)
        path.write_text("old")
    assert set(write(tmp_path)) == {*map(str, made_pages()), "rules/no-such-rule.md"}
    assert not stray.exists()
    assert changed.read_text().startswith("# Causes")
    assert (outdated(tmp_path), write(tmp_path)) == ([], [])


@pytest.mark.parametrize("rule", RULES, ids=[rule.name for rule in RULES])
def test_a_rules_page_holds_its_examples_its_reasons_and_its_references(rule: Rule) -> None:
    text = rule_page(rule)
    for pair in rule.page.pairs:
        for sample in (pair.bad, pair.good):
            for name, content in sample.files:
                assert f"```nginx\n{content.rstrip()}\n```" in text, name
    for title, body in (("Why it matters", rule.page.why), ("When the fix is unsafe", rule.page.fix_safety)):
        assert (f"\n## {title}\n" in text) is bool(body)
    assert all(reference in text for reference in rule.page.references if reference.startswith("http"))
    assert "\n## Fix\n" in text or not rule.page.pairs
    assert "``" not in re.sub(r"```.*?```", "", text, flags=re.DOTALL)


# causes


def literals(folder: Path) -> Iterator[str]:
    """Every string in the code of a folder."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_every_cause_is_found_by_a_rule_or_live_or_it_is_said_why_not() -> None:
    neither = [cause.name for cause in read_causes() if not (cause.rules or cause.live or cause.limit)]
    assert neither == []


def test_what_is_told_live_has_that_name_in_the_diagnosis() -> None:
    named = set(literals(PACKAGE / "diagnose"))
    assert [cause.name for cause in read_causes() if cause.live and cause.name not in named] == []


def test_every_rule_belongs_to_a_cause_and_one_that_is_not_listed_to_a_row_of_its_own() -> None:
    assert {name for cause in read_causes() for name in cause.rules} == {rule.name for rule in RULES}
    fresh = replace(RULES[0], name="quite-new")
    assert read_causes((*RULES, fresh))[-1].rules == ("quite-new",)
    with pytest.raises(ValueError, match="no such rule"):
        read_causes(RULES[:1])


def test_no_cause_is_listed_twice() -> None:
    names = [cause.name for cause in read_causes()]
    assert len(names) == len(set(names)) >= 69


def test_a_row_stays_a_row_whatever_its_words_are() -> None:
    page = causes_page([Cause("x", "a | b", "<c>", "", "", ("read-timeout",))])
    row = page.splitlines()[-1]
    assert row == "| `x` | a \\| b | &lt;c> | [WS112](../rules/read-timeout.md) | - | - |"


# the site


class Assets(HTMLParser):
    """What a page loads by itself."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        loads = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}
        rel = given.get("rel") or ""
        if tag in loads and (url := given.get(loads[tag])) and rel not in ("canonical", "next", "prev"):
            self.urls.append(url)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build_site(folder)
    return folder


def test_the_site_is_built_without_a_warning_and_has_a_page_a_rule(site: Path) -> None:
    for rule in RULES:
        text = html.unescape((site / "rules" / f"{rule.name}.html").read_text(encoding="utf-8"))
        assert rule.code in text
    assert "is never reported as fine" in (site / "index.html").read_text(encoding="utf-8")


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > len(RULES)
    loaded = {url for page in pages for url in Assets(page.read_text(encoding="utf-8")).urls}
    assert [url for url in loaded if "//" in url] == []
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//[^)]*", styles) == []


def test_what_loads_from_elsewhere_would_be_noticed() -> None:
    assert Assets('<link rel="stylesheet" href="https://fonts.example/x.css">').urls == ["https://fonts.example/x.css"]


def test_every_page_can_be_reached_from_the_navigation(site: Path) -> None:
    index = (site / "index.html").read_text(encoding="utf-8")
    pages = {path.relative_to(DOCS).with_suffix(".html").as_posix() for path in DOCS.rglob("*.md")}
    assert sorted(page for page in pages if f'href="{page}"' not in index) == []


def test_every_link_of_the_readme_leads_somewhere(repository: Path) -> None:
    text = (repository / "README.md").read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "//" not in link]
    assert len(links) > 10
    assert [link for link in links if not (repository / link).exists()] == []
