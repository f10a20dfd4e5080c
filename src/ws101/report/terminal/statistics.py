"""``ws101 check --statistics``: how often each rule found something."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ws101.check import CheckReport
from ws101.report.style import Style, columns
from ws101.report.subject import Subject
from ws101.report.terminal.check import summary
from ws101.report.texts import count

__all__ = ["statistics"]


def statistics(results: Sequence[tuple[Subject, CheckReport]], style: Style) -> str:
    """A row a rule, those with the most findings first; then a line for each configuration.

    Args:
        results: Each configuration with what the rules found.
        style: What the terminal can show.
    """
    findings = [item for _, report in results for item in report.findings]
    found = Counter((item.level, item.code, item.rule) for item in findings)
    fixable = Counter((item.level, item.code, item.rule) for item in findings if item.fix is not None)
    rows = [
        (
            str(number),
            style.paint(key[0].value, key[0].value),
            key[1],
            key[2],
            style.paint("dim", _fixable(fixable[key])),
        )
        for key, number in sorted(found.items(), key=lambda item: (-item[1], item[0][0].rank, item[0][1]))
    ]
    closing = [
        f"{summary(report, style)} in {count(len(subject.sources), 'file')} {style.glyph('dot')} "
        f"{count(len(report.suppressed), 'finding')} suppressed {style.glyph('dot')} {len(report.unknown)} unknown"
        for subject, report in results
    ]
    return "\n".join([*columns(rows), *([""] if rows else []), *closing])


def _fixable(number: int) -> str:
    return f"{number} with a fix" if number else ""
