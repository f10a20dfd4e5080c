"""``ws101 rule`` as JSON: ``ws101/rules/1``."""

from __future__ import annotations

from collections.abc import Iterable

from ws101.report.json.base import Json
from ws101.rules.base.page import Sample
from ws101.rules.base.registry import Rule

__all__ = ["rules"]


def rules(chosen: Iterable[Rule]) -> Json:
    """``ws101/rules/1``: the pages of the rules."""
    return {"schema": "ws101/rules/1", "rules": [_rule(item) for item in chosen]}


def _rule(item: Rule) -> Json:
    page = item.page
    return {
        "rule": item.name,
        "code": item.code,
        "level": item.level.value,
        "summary": page.summary,
        "details": page.details,
        "why": page.why,
        "examples": [{"bad": _sample(pair.bad), "good": _sample(pair.good)} for pair in page.pairs],
        "fix_safety": page.fix_safety or None,
        "references": list(page.references),
    }


def _sample(item: Sample) -> Json:
    return {
        "files": [{"file": name, "text": text} for name, text in item.files],
        "urls": list(item.urls),
        "nginx": item.nginx or None,
        "style": item.style,
        "unsafe": item.unsafe,
    }
