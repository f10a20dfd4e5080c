"""``ws101 rule`` for people: a rule's page, or the list of all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ws101.findings import Level
from ws101.report.style import Style, columns, wrap
from ws101.rules.base.page import DEFAULT_FILE, Page, Sample
from ws101.rules.base.registry import Rule

__all__ = ["rule", "rules"]

_WIDEST = 96


def rules(every: Iterable[Rule], style: Style) -> str:
    """All rules, the worst first, each with its summary."""
    ordered = sorted(every, key=lambda item: (item.level.rank, item.code))
    lines: list[str] = []
    for level in Level:
        mine = [item for item in ordered if item.level is level]
        if mine:
            rows = [(item.code, item.name, item.page.summary.rstrip(".")) for item in mine]
            lines += [
                style.paint(level.value, f"{level.value.capitalize()}s"),
                *_cut(columns(rows, indent=2), style),
                "",
            ]
    return "\n".join([*lines, "ws101 rule NAME shows a rule's page."])


def _cut(lines: list[str], style: Style) -> list[str]:
    return [
        line if len(line) <= style.width else line[: style.width - 1] + style.glyph("ellipsis")[:1] for line in lines
    ]


def rule(item: Rule, style: Style) -> str:
    """A rule's page: what, why it matters, bad, good, when its fix is unsafe, references."""
    page = item.page
    head = f"{style.paint('title', item.name)}  {item.code}  {style.paint(item.level.value, item.level.value)}"
    return "\n".join([head, "", *_body(page, style)]).rstrip()


def _body(page: Page, style: Style) -> Iterator[str]:
    yield from _prose(page.summary, style)
    for paragraph in filter(None, page.details.split("\n\n")):
        yield from _prose(paragraph, style)
    if page.why:
        yield style.paint("title", "Why it matters")
        for paragraph in page.why.split("\n\n"):
            yield from _prose(paragraph, style, indent=2)
    shown: Sample | None = None
    for pair in page.pairs:
        if shown is None or pair.bad.files != shown.files:
            yield from _sample("Bad", "removed", pair.bad, style)
            shown = pair.bad
        yield from _sample("Good", "added", pair.good, style)
    if page.fix_safety:
        yield style.paint("title", "Fix safety")
        yield from _prose(page.fix_safety, style, indent=2)
    if page.references:
        yield style.paint("title", "References")
        yield from (f"  {reference}" for reference in page.references)


def _prose(text: str, style: Style, *, indent: int = 0) -> Iterator[str]:
    """A paragraph; one that is a list keeps its lines."""
    width = min(style.width, _WIDEST) - indent
    lines = text.splitlines()
    kept = any(line.lstrip().startswith(("- ", "* ")) for line in lines)
    for line in lines if kept else wrap(" ".join(text.split()), width):
        yield f"{' ' * indent}{line}"
    yield ""


def _sample(title: str, role: str, sample: Sample, style: Style) -> Iterator[str]:
    """One example, each line marked with a bar in its colour."""
    notes = [f"nginx {sample.nginx}"] if sample.nginx else []
    notes += [f"--style {sample.style}"] if title == "Good" and sample.style != "map" else []
    notes += ["with --unsafe"] if title == "Good" and sample.unsafe else []
    yield style.paint("title", title) + (f"  ({', '.join(notes)})" if notes else "")
    bar = style.paint(role, style.glyph("bar"))
    for name, text in sample.files:
        if len(sample.files) > 1 or name != DEFAULT_FILE:
            yield f"  {bar} {style.paint('dim', f'# file: {name}')}"
        yield from (f"  {bar} {line}".rstrip() for line in text.splitlines())
    yield ""
