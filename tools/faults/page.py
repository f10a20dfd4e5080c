"""The figures as a page of the documentation."""

from __future__ import annotations

import os
import platform
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tools.faults.load import Load, Traffic

__all__ = ["Figures", "Row", "write", "write_load"]


@dataclass(frozen=True)
class Row:
    """A kind of fault with one nginx build.

    Args:
        name: What went wrong.
        injected: How often.
        endings: How the changes ended.
        lost: How often anything was lost.
        seconds: How long all that took.
        not_here: Why it could not be injected here; empty if it was.
    """

    name: str
    injected: int
    endings: Counter[str]
    lost: int
    seconds: float
    not_here: str = ""


@dataclass
class Figures:
    """All that was measured, by nginx build."""

    builds: tuple[str, ...]
    rows: list[tuple[str, Row]] = field(default_factory=list)
    loads: list[tuple[str, Load]] = field(default_factory=list)


_HEAD = """\
# Reliability

<!-- Made by `make faults`; do not edit. -->

A change of a running nginx is made so that it cannot be hurt: lock, snapshot, stage, `nginx -t` on the staged whole,
measure, write in an order in which nginx could start at every moment, reload, watch the workers, measure again, keep or
put back. Here is what that was put through, on a real nginx.

## Faults injected

After each of them it was checked that `nginx -t` accepts what is on the disk, that nginx serves, that it answers with
the old behaviour or with the new one and the files agree with that, that no byte somebody else wrote is gone, that
nothing of ours is left over, and that what could not be put back was said. *Lost* counts the times any of that failed.

"""

_MIDDLE = """\

What the endings mean. *Nothing changed*, *put back*, *applied*: how the change itself ended. *Cleaned*, *put back*,
*finished*, *nothing to do*: what the next run did about a change that was killed: nothing had been written yet; the old
files and the old behaviour are back; the change had been proven and was completed; it was over already. *Put back, and
said what could not be*: a file that somebody else had changed, removed or locked meanwhile stays as they left it, or
nginx itself was not there to be reloaded; the report names each with what to do.

"""

_LOAD = """\

## Requests lost by applying

{sockets} WebSockets stand open and echo, {keep} keep-alive connections send a plain request about every {pause:.0f} ms
each, and about {rate} new connections a second ask for a page, while a fix is applied (`ws101 fix --apply`), taken back
(`ws101 undo`), and rolled back because the handshake still fails (`--require-101`). Beside it, in the same run, nginx
is merely reloaded (`nginx -s reload`). An old worker closes its idle connections when it leaves. A client that looks
sees that before it uses one again (*closed idle*); if its request was on its way just then, it gets the end of the
connection instead of an answer (*reset*) and sends it again (RFC 9112 section 9.3.1). No reload is free of that.
Whether a kind of change causes more resets a reload than a bare one does is decided by shuffling the figures of all
changes (a permutation test of the means, 1 %).

"""

_END = """\

## What this does not show

- Power loss was not tried, only kill -9. Every file, folder and journal line is fsynced before the next step relies on
  it; whether a disk keeps what it has confirmed is the disk's affair.
- Reloading through systemd and through `docker exec` was only tried with stand-ins for both programs
  (`tests/host/test_process.py`, `tests/host/test_transaction.py`).
- Resets on kept connections are rare and come in bursts, so ten changes of a kind only tell a clear difference from a
  bare reload. The figures vary from run to run, with how busy the machine is.
- SELinux contexts are kept as extended attributes; that was tried with other attributes, on a machine without SELinux.
- After a `kill -9` of ws101 nothing is put back until the next run: any ws101 command says so, and
  `ws101 undo --recover`, or the next change, does it.
"""


def write(figures: Figures, path: Path) -> None:
    """Write the page."""
    parts = [_HEAD, _faults(figures), _MIDDLE, _totals(figures)]
    if figures.loads:
        first = figures.loads[0][1]
        parts += [_LOAD.format(**first.setting), _loads(figures)]
    path.write_text("".join([*parts, _END]), encoding="utf-8")


def write_load(figures: Figures, path: Path) -> None:
    """Write the load's section of an existing page anew."""
    page = path.read_text(encoding="utf-8")
    title = _LOAD.partition("\n\n")[0].strip("\n").partition("\n")[0]
    kept = page.partition(f"\n\n{title}\n")[0] if f"\n\n{title}\n" in page else page.partition(_END)[0]
    section = [_LOAD.format(**figures.loads[0][1].setting), _loads(figures)]
    path.write_text("".join([kept.rstrip("\n"), "\n", *section, _END]), encoding="utf-8")


def _faults(figures: Figures) -> str:
    names = dict.fromkeys(row.name for _, row in figures.rows)
    lines = ["| fault | injected | how it ended | lost |", "|---|---:|---|---:|"]
    for name in names:
        rows = [row for _, row in figures.rows if row.name == name]
        endings = sum((row.endings for row in rows), Counter())
        missing = sorted({row.not_here for row in rows if row.not_here})
        ended = ", ".join(f"{count} {ending}" for ending, count in endings.most_common())
        said = "; ".join(filter(None, [ended, *(f"**not tried**: {why}" for why in missing)]))
        lines.append(f"| {name} | {sum(row.injected for row in rows)} | {said} | {sum(row.lost for row in rows)} |")
    return "\n".join(lines) + "\n"


def _totals(figures: Figures) -> str:
    rows = [row for _, row in figures.rows]
    machine = f"{platform.system()} {platform.release().partition('-')[0]}, {os.cpu_count()} cores"
    return (
        f"{sum(row.injected for row in rows)} faults in {sum(row.seconds for row in rows) / 60:.0f} minutes with nginx "
        f"{', '.join(figures.builds)} on {machine}: **{sum(row.lost for row in rows)} losses**.\n"
    )


_COLUMNS = (
    *("nginx", "while", "times", "reloads", "new connections", "refused", "requests on kept connections"),
    *("closed idle, a reload", "resets, a reload", "echoes", "sockets cut"),
)


def _loads(figures: Figures) -> str:
    lines = [
        f"| {' | '.join(_COLUMNS)} |",
        "|---|---|" + "---:|" * (len(_COLUMNS) - 2),
    ]
    for build, load in figures.loads:
        lines += [_traffic(build, name, traffic) for name, traffic in load.phases.items()]
    lost = sum(load.lost for _, load in figures.loads)
    return "\n".join(lines) + f"\n\nLost: **{lost}** (refused, cut, or more resets than bare reloads cause).\n"


def _traffic(build: str, name: str, seen: Traffic) -> str:
    closed, resets = seen.closed / seen.reloads, seen.resets / seen.reloads
    return (
        f"| {build} | {name} | {seen.times} | {seen.reloads} | {seen.fresh} | {seen.failed} | {seen.reused} | "
        f"{closed:.1f} | {resets:.1f} (at most {max(seen.each):.0f}) | {seen.echoes} | {seen.cut} |"
    )
