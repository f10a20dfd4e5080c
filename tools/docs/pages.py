"""A page a rule, made from its docstring, and the list of all rules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ws101.rules.base.page import DEFAULT_FILE, Pair, Sample
from ws101.rules.base.registry import Rule

__all__ = ["index_page", "rule_page"]

MARK = "<!-- Made by `python -m tools.docs` from the rule's docstring; edit that. -->"
_PROOFS = {
    "handshake": "On a real nginx the opening handshake fails on Bad and succeeds on Good.",
    "idle": "On a real nginx a silent tunnel is cut on Bad, and stays open on Good.",
    "answer": "On a real nginx the 101 of Bad lacks what the client needs; that of Good has it.",
    "firefox": "On a real nginx Firefox's handshake fails on Bad and succeeds on Good.",
    "arrival": "On a real nginx no valid handshake reaches the backend on Bad; on Good one does.",
    "refused": "nginx -t refuses Bad and accepts Good.",
    "accepted": "nginx -t accepts both; nothing that one handshake shows tells them apart.",
}


def rule_page(rule: Rule) -> str:
    """The page of one rule, Markdown."""
    page = rule.page
    parts = [
        f"# {rule.name}",
        MARK,
        f"`{rule.code}` · {rule.level.value}",
        _prose(page.summary),
        _prose(page.details),
        *_section("Why it matters", _prose(page.why)),
        *_examples(page.pairs),
        *_section("Fix", _fix(rule)),
        *_section("When the fix is unsafe", _prose(page.fix_safety)),
        *_section("Leave it out", _silence(rule)),
        *_section("References", "\n".join(f"- <{line}>" if line.startswith("http") else f"- {_prose(line)}"
                                          for line in page.references)),
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def index_page(rules: Iterable[Rule]) -> str:
    """The list of all rules."""
    rows = [
        f"| `{rule.code}` | [{rule.name}]({rule.name}.md) | {rule.level.value} | {_prose(rule.page.summary)} |"
        for rule in rules
    ]
    head = "| code | rule | level | what it finds |\n|---|---|---|---|\n"
    text = (
        "An error: a WebSocket cannot work. A warning: it works, and will bite. A note: advice. Where only a "
        "location's name hints at WebSockets, errors become warnings: `--url`, or a comment `# ws101: websocket`, "
        "makes sure.\n\n"
        "Every Bad example gives exactly its own finding, every Good one none, and both are run on a real nginx."
    )
    return f"# Rules\n\n{MARK}\n\n{text}\n\n{head}" + "\n".join(rows) + "\n"


def _section(title: str, body: str) -> list[str]:
    return [f"## {title}", body] if body else []


def _prose(text: str) -> str:
    """A docstring's prose: literals in single backticks; ``<`` must not begin a tag."""
    parts = re.split(r"(``.+?``)", text, flags=re.DOTALL)
    return "".join(f"`{part[2:-2]}`" if part.startswith("``") else part.replace("<", "&lt;") for part in parts)


def _fix(rule: Rule) -> str:
    goods = [pair.good for pair in rule.page.pairs]
    if not goods:
        return "If the finding has a fix, `ws101 fix` shows it." if rule.page.fix_safety else ""
    if not any(good.fixable for good in goods):
        return "Advice in words: see what the finding says. No edit of the configuration mends it safely."
    if all(good.unsafe for good in goods if good.fixable):
        return "`ws101 fix --unsafe` makes Good of Bad; plain requests notice it too, so it has to be asked for."
    return "`ws101 fix` makes Good of Bad, byte for byte."


def _examples(pairs: tuple[Pair, ...]) -> Iterator[str]:
    bads = list(dict.fromkeys(pair.bad.files for pair in pairs))
    last = None
    for pair in pairs:
        number = f" {bads.index(pair.bad.files) + 1}" if len(bads) > 1 else ""
        if pair.bad.files != last:
            yield f"## Bad{number}"
            yield from _sample(pair.bad, _told(pair.bad))
        last = pair.bad.files
        yield f"## Good{number}"
        yield from _sample(pair.good, _conditions(pair.good))
        yield _PROOFS.get(pair.good.proof, "")


def _told(sample: Sample) -> list[str]:
    module = [f"with the module `{sample.module}`"] if sample.module else []
    return [*(f"with `--url {url}`" for url in sample.urls), *module]


def _conditions(sample: Sample) -> list[str]:
    nginx = [f"nginx {' and '.join(map(_worded, sample.nginx.split()))}"] if sample.nginx else []
    style = [f"`--style {sample.style}`"] if sample.style != "map" else []
    return [*nginx, *style, *(["`--unsafe`"] if sample.unsafe else [])]


def _worded(condition: str) -> str:
    return f"before {condition[1:]}" if condition.startswith("<") else f"{condition[2:]} or later"


def _sample(sample: Sample, remarks: list[str]) -> Iterator[str]:
    yield f"({', '.join(remarks)})" if remarks else ""
    for name, text in sample.files:
        if name != DEFAULT_FILE or len(sample.files) > 1:
            yield f"`{name}`:"
        yield f"```nginx\n{text.rstrip(chr(10))}\n```"
    if sample.refused:
        yield f"nginx refuses it: `{sample.refused}`"


def _silence(rule: Rule) -> str:
    return (
        f"At one place, with the reason: `# ws101: ignore[{rule.name}] REASON`. "
        f"Everywhere: `--ignore {rule.name}`, or `ignore` in [ws101.toml](../reference/settings.md)."
    )
