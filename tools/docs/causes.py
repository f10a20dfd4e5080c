"""The table of causes: for each one whether a rule, a live probe, or neither finds it, and why."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ws101.rules import RULES
from ws101.rules.base.registry import Rule

__all__ = ["Cause", "causes_page", "read_causes"]

MARK = "<!-- Made by `python -m tools.docs` from tools/docs/causes.toml and the rules; edit those. -->"
_DATA = Path(__file__).with_name("causes.toml")
_INTRO = """\
Everything that is known to break WebSockets behind nginx, the most frequent first. *Rule*: the configuration alone
proves it, or makes it suspect; `ws101 diagnose` has the rules' findings too, wherever it can read the configuration.
*Live*: how it tells from the connection, by experiment, with the configuration or without it. *Out of reach*: what
neither can find out, and why.

Most of the live ones are staged with real parts, and have to come out as the first cause: [how, and what was
said](live-causes.md).

The status code does not tell these apart: [what a status code can and cannot tell](../explanation/status-codes.md).
"""


@dataclass(frozen=True, slots=True)
class Cause:
    """One cause.

    Args:
        name: As rules and diagnoses call it.
        what: What is wrong.
        shows: What one sees.
        live: How a live connection tells; empty if it does not.
        limit: What cannot be found out, and why; empty if nothing is left.
        rules: The names of the rules that find it.
    """

    name: str
    what: str
    shows: str
    live: str
    limit: str
    rules: tuple[str, ...]


_CODES = {rule.name: rule.code for rule in RULES}


def read_causes(rules: Sequence[Rule] = RULES) -> tuple[Cause, ...]:
    """Every cause, in the order of the data file; after them rules for what the file does not list.

    Args:
        rules: The rules there are.

    Raises:
        ValueError: An entry names a rule that is not there.
    """
    known = {rule.name for rule in rules}
    found = []
    for entry in tomllib.loads(_DATA.read_text(encoding="utf-8"))["cause"]:
        more = entry.get("rules", [])
        if not known.issuperset(more):
            raise ValueError(f"{entry['name']}: no such rule: {', '.join(more)}")
        finds = [name for name in (entry["name"], *more) if name in known]
        found.append(
            Cause(
                entry["name"],
                entry["what"],
                entry["shows"],
                entry.get("live", ""),
                entry.get("limit", ""),
                tuple(finds),
            )
        )
    listed = {name for cause in found for name in cause.rules}
    others = (rule for rule in rules if rule.name not in listed)
    found += (Cause(rule.name, rule.page.summary.rstrip("."), "", "", "", (rule.name,)) for rule in others)
    return tuple(found)


def causes_page(causes: Iterable[Cause]) -> str:
    """The page, Markdown."""
    rows = [_row(cause) for cause in causes]
    head = "| cause | what is wrong | what one sees | rule | live | out of reach |\n|---|---|---|---|---|---|\n"
    return f"# Causes\n\n{MARK}\n\n{_INTRO}\n{head}" + "\n".join(rows) + "\n"


def _row(cause: Cause) -> str:
    links = ", ".join(f"[{_CODES[name]}](../rules/{name}.md)" for name in cause.rules)
    cells = (f"`{cause.name}`", cause.what, cause.shows, links, cause.live, cause.limit)
    return "| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") or "-" for cell in cells) + " |"
