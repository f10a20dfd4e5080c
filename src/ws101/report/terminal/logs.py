"""``ws101 logs`` for people: statuses by path, how long tunnels lived, what the error logs tell."""

from __future__ import annotations

from collections import Counter

from ws101.logs import Tally
from ws101.probes.idle import known_figure
from ws101.report.style import Style, columns, cut, wrap
from ws101.report.texts import count, seconds, span
from ws101.text import printable

__all__ = ["logs"]

_PATHS = 12
_FILES = 6
_BAR = 40


def logs(tally: Tally, files: tuple[tuple[str, str], ...], style: Style) -> str:
    """What logs tell.

    Args:
        tally: What was counted.
        files: Each file that was read, and what is wrong with it (empty if nothing).
        style: What the terminal can show.
    """
    read = [path for path, problem in files if not problem]
    number = len({path for path, problem in files if not problem.startswith("left out")})
    lines = [style.paint("title", f"{count(tally.lines, 'line')} in {count(number, 'log')}")]
    lines += [f"  {style.paint('dim', printable(path))}" for path in read[:_FILES]]
    lines += [f"  and {len(read) - _FILES} more"] if len(read) > _FILES else []
    for path, problem in files:
        if problem:
            first, *rest = wrap(printable(f"{path}: {problem}"), style.width - 4)
            lines += [f"  {style.paint('warning', '*')} {first}", *(f"    {line}" for line in rest)]
    lines += _statuses(tally, style)
    lines += _ages(tally, style)
    lines += _told(tally, style)
    if not tally.statuses and not tally.told and not tally.emerg[0]:
        lines += ["", "Nothing in them tells of WebSockets."]
    return "\n".join(lines)


def _statuses(tally: Tally, style: Style) -> list[str]:
    if not tally.statuses:
        return []
    paths: Counter[str] = Counter()
    for (path, _), number in tally.statuses.items():
        paths[path] += number
    rows = [("", *(str(status) for status in Tally.TOLD))]
    for path, _ in paths.most_common(_PATHS):
        cells = (str(tally.statuses[path, status] or style.glyph("dot")) for status in Tally.TOLD)
        rows.append((cut(printable(path), 50, style), *cells))
    lines = ["", style.paint("title", "Answers by path"), *columns(rows, indent=2)]
    return lines + ([f"  and {len(paths) - _PATHS} more paths"] if len(paths) > _PATHS else [])


def _ages(tally: Tally, style: Style) -> list[str]:
    if not tally.tunnels and not tally.own:
        return []
    title = f"How long {count(tally.tunnels, 'tunnel')} lived" if tally.tunnels else "No tunnel of a user's ended"
    lines = ["", style.paint("title", title)]
    if tally.own:
        more = f"{tally.own} more" if tally.tunnels else str(tally.own)
        lines.append(f"  {more} of ws101 itself, by its User-Agent, tell nothing of users and are left out")
    if tally.untimed:
        lines.append(f"  of {tally.untimed} the log does not tell: its format has no $request_time")
    parts = tally.histogram()
    most = max((number for _, _, number in parts), default=0)
    for low, high, number in parts:
        bar = ("█" if style.unicode else "#") * max(1, number * _BAR // most) if number else ""
        lines.append(f"  {span(low, high):<18}{style.paint('path', bar)}{' ' if bar else ''}{number}")
    for age, number in tally.clusters()[:3]:
        whose = known_figure(float(age))
        note = f" ({whose})" if whose else ""
        lines.append(
            f"  {style.paint('warning', '!')} {number} ended {seconds(age)} after they began, as at a timeout{note}"
        )
    return lines


def _told(tally: Tally, style: Style) -> list[str]:
    lines = []
    if tally.told:
        rows = [
            (f"{number} {style.glyph('times')}", rule, meaning, style.paint("dim", f"{first} to {last}"))
            for rule, (number, meaning, first, last) in sorted(tally.told.items(), key=lambda item: -item[1][0])
        ]
        lines += ["", style.paint("title", "The error logs tell"), *columns(rows, indent=2)]
    refused, last_line = tally.emerg
    if refused:
        number = f"{refused} start{'s' * (refused > 1)} or reload{'s' * (refused > 1)}"
        lines += ["", f"{style.paint('error', 'refused')} {number}, last: {printable(last_line)}"]
    return lines
