"""docs/fidelity-syntax.md."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tools.mutants.compare import Result

PAGE = Path("docs/fidelity-syntax.md")


def write_page(results: dict[str, Result], count: int, seed: int) -> None:
    """Write the figures and every kind of difference by name."""
    lines = [
        "# Syntax: how often ws101 says what `nginx -t` says",
        "",
        "Valid configurations are mutated (words and bytes deleted, repeated, swapped, cut and replaced; lines and",
        "blocks deleted, repeated and moved), and each mutant is given to the real `nginx -t` and to `validate`.",
        "*Alike* means: both accept it, or both refuse it with the same words on the same line. *Outside* are",
        "refusals for what no configuration shows: names that do not resolve, files that are not there, the sizes of",
        "hash tables. Run it with `make fidelity`.",
        "",
        f"{count} mutants a version, seed {seed}.",
        "",
        "| nginx | alike | differ | outside | agreement |",
        "|---|---|---|---|---|",
    ]
    for number, result in results.items():
        outside = sum(result.outside.values())
        lines.append(f"| {number} | {result.agreed} | {len(result.differences)} | {outside} | {result.agreement:.2%} |")
    lines += ["", "## What differs", ""]
    lines += _kinds(results) or ["Nothing.", ""]
    lines += ["## What lies outside the text", ""]
    names: Counter[str] = Counter()
    for result in results.values():
        names.update(result.outside)
    lines += [f"- {name}: {number}" for name, number in names.most_common()]
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text("\n".join(lines) + "\n")


def _kinds(results: dict[str, Result]) -> list[str]:
    kinds: Counter[tuple[str, str]] = Counter()
    for result in results.values():
        for _, nginx, own in result.differences:
            kinds[_short(nginx.message), _short(own.message)] += 1
    if not kinds:
        return []
    head = ["| nginx says | ws101 says | times |", "|---|---|---|"]
    return [*head, *(f"| {nginx} | {own} | {number} |" for (nginx, own), number in kinds.most_common()), ""]


def _short(message: str | None) -> str:
    if message is None:
        return "accepted"
    shown = message.encode("ascii", "backslashreplace").decode()
    return "`" + "".join(c if c.isprintable() else " " for c in shown)[:90].replace("|", "\\|").replace("`", "'") + "`"
