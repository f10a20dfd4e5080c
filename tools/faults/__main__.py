"""``make faults``: every fault at length with each nginx build, then the load; the figures go into docs/reliability.md.

``WS101_FAULTS=N`` sets the number of random moments a build (default 200).  ``--load-only`` measures the load anew and
leaves the rest of the page as it is; ``--no-load`` leaves the load out.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tools.faults.cases import CASES, why_not
from tools.faults.kills import (
    Kill,
    at_every_step,
    at_random_moments,
    by_links,
    in_place,
    while_recovering,
    while_undoing,
)
from tools.faults.load import compare
from tools.faults.page import Figures, Row, write, write_load
from tools.faults.site import Site, running
from ws101.host.binary import NginxBinary, all_nginx

MOMENTS = int(os.environ.get("WS101_FAULTS", "200"))

KILLS: tuple[tuple[str, Callable[[Site], Iterator[Kill]]], ...] = (
    ("kill -9 at each step of a change that is kept", lambda site: at_every_step(site, True)),
    ("kill -9 at each step of a change that is rolled back", lambda site: at_every_step(site, False)),
    ("kill -9 at each step of writing in place", in_place),
    ("kill -9 at each step of turning sites on and off by symlinks", by_links),
    ("kill -9 at each step of taking a change back", while_undoing),
    ("kill -9 at each step of recovering from a kill -9", while_recovering),
    ("kill -9 at random moments, every fourth time of the recovery too", lambda s: at_random_moments(s, MOMENTS, 101)),
)


def main() -> int:
    figures = Figures(tuple(build.build.number for build in all_nginx()))
    only_load = "--load-only" in sys.argv
    for binary in () if only_load else all_nginx():
        for name, faults, needs in _faults():
            row = _inject(binary, name, faults, needs)
            figures.rows.append((binary.build.number, row))
            _show(binary.build.number, row)
    if "--no-load" not in sys.argv:
        for binary in all_nginx():
            figures.loads.append((binary.build.number, compare(binary)))
            print(binary.build.number, figures.loads[-1][1], flush=True)
    (write_load if only_load else write)(figures, Path("docs/reliability.md"))
    lost = sum(row.lost for _, row in figures.rows) + sum(load.lost for _, load in figures.loads)
    print(f"{sum(row.injected for _, row in figures.rows)} faults, {lost} losses; see docs/reliability.md")
    return 1 if lost else 0


def _faults() -> Iterator[tuple[str, Callable[[Site], Iterable[str]], str]]:
    """Every fault: its name, what injects it, and why it cannot be injected here (empty if it can)."""
    for name, kills in KILLS:
        yield name, lambda site, kills=kills: (kill.ending for kill in kills(site)), ""
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES:
            yield case.name, case.run, why_not(case, Path(folder))


def _inject(binary: NginxBinary, name: str, faults: Callable[[Site], Iterable[str]], not_here: str) -> Row:
    """All faults of a kind, on an nginx of their own; one loss ends them, and is counted."""
    endings: Counter[str] = Counter()
    begin = time.monotonic()
    if not_here:
        return Row(name, 0, endings, 0, 0.0, not_here)
    lost = 0
    with tempfile.TemporaryDirectory(prefix="ws101-faults-") as folder, running(binary, Path(folder) / "state") as site:
        try:
            for ending in faults(site):
                endings[ending] += 1
        except Exception:
            traceback.print_exc()
            lost = 1
    return Row(name, endings.total() + lost, endings, lost, time.monotonic() - begin)


def _show(build: str, row: Row) -> None:
    ended = ", ".join(f"{count} {ending}" for ending, count in row.endings.most_common())
    print(f"{build}  {row.injected:4}  lost {row.lost}  {row.name}: {row.not_here or ended} ({row.seconds:.1f} s)")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
