"""``ws101 probe --many`` for people."""

from __future__ import annotations

from collections import Counter

from ws101.probes.crowding import Cause, Drop, Many
from ws101.report.style import Style, columns, wrap
from ws101.report.terminal.probe import banner
from ws101.report.texts import count, seconds
from ws101.text import printable

__all__ = ["many"]

_SHOWN = 8
_HOW = {"fin": "cut without a close frame", "reset": "reset", "close": "closed by the server"}


def many(url: str, found: Many, cause: Cause | None, reload: str | None, style: Style) -> str:
    """What became of many connections.

    Args:
        url: The address, secrets masked.
        found: What became of them.
        cause: Of the first failure; None if none failed.
        reload: What was done to reload nginx; None if it was not reloaded.
        style: What the terminal can show.
    """
    role, word = ("good", "HELD") if found.good else ("error", "FAILED")
    lines = [banner(role, word, style.paint("title", printable(url)), style), ""]
    lines += columns(_figures(found), indent=2)
    if found.first is not None and cause is not None:
        lines += ["", *_failure(found, cause, style)]
    if found.stopped:
        lines += ["", f"  stopped after {found.tried} of {found.asked}: {printable(found.stopped)}"]
    if reload is not None and len(found.marks) == 2:
        lines += ["", *_reload(found, reload, style)]
    if found.drops:
        lines += ["", *_drops(found.drops, style)]
    return "\n".join(lines)


def _figures(found: Many) -> list[tuple[str, str]]:
    rows = [
        ("opened", f"{found.opened} of {found.asked}, {found.rate:.0f} handshakes a second"),
        ("held", f"{found.held} at the end, {found.peak} at most at one time"),
    ]
    if found.latencies:
        times = found.latencies
        middle, late = times[len(times) // 2], times[len(times) * 95 // 100]
        rows.append(("handshake", f"{seconds(middle)} median, {seconds(late)} for 95 %, {seconds(times[-1])} at most"))
    if found.failures:
        rows.append(("failed", ", ".join(f"{number} {name}" for name, number in found.failures)))
    return rows


def _failure(found: Many, cause: Cause, style: Style) -> list[str]:
    first = found.first
    assert first is not None
    head = f"First failure: connection {first.number}, after {seconds(first.at)}"
    lines = [style.paint("title", head)]
    lines += [f"  {line}" for line in wrap(printable(first.refusal.message), style.width - 4)]
    said = f"{cause.name} ({cause.confidence}): {cause.message}"
    lines += [f"  {line}" for line in wrap(printable(said), style.width - 4)]
    if cause.help:
        first_line, *rest = wrap(printable(cause.help), style.width - 10)
        lines += [f"  {style.paint('good', 'help')}: {first_line}", *(f"        {line}" for line in rest)]
    return lines


def _reload(found: Many, how: str, style: Style) -> list[str]:
    begun, (outcome, done) = found.marks[0][1], found.marks[1]
    after = [drop.at - begun for drop in found.drops if drop.at >= begun]
    lines = [
        style.paint("title", "Reload"),
        f"  {printable(how)}: {printable(outcome)}, seen after {seconds(done - begun)}",
    ]
    before = found.held + len(after)
    if after:
        span = f"from {seconds(min(after))} to {seconds(max(after))} after it"
        return [*lines, f"  {count(len(after), 'tunnel')} of {before} ended, {span}"]
    return [*lines, f"  all {before} tunnels outlived it, for as long as was watched"]


def _drops(drops: tuple[Drop, ...], style: Style) -> list[str]:
    """The drops, those of one second and one kind together."""
    groups = Counter((int(drop.at), drop.how, drop.code) for drop in drops)
    rows = []
    for (at, how, code), number in sorted(groups.items(), key=lambda item: item[0][0])[:_SHOWN]:
        said = _HOW.get(how, how) + (" without a code" if code == 1005 else f" with {code}" if code is not None else "")
        rows.append((f"{at} s", f"{number} {style.glyph('times')}", printable(said)))
    lines = [style.paint("title", f"Dropped: {len(drops)}"), *columns(rows, indent=2)]
    return lines + ([f"  and {len(groups) - _SHOWN} more moments"] if len(groups) > _SHOWN else [])
