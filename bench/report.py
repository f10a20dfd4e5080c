"""docs/benchmarks.md."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from bench.measure import Cost

GROWTH = 12.0
"""Ten times the servers may cost this many times as much."""


CAUSES = {
    "start": "the modules of the model and of fifty rules are loaded and run at each start",
    "check": "each route for WebSockets is asked for by itself: of the time for a thousand servers its way through the "
    "model takes a fifth, the rules' look at it a quarter, nginx's verdict on every line a sixth, the report a tenth, "
    "reading a twentieth; the rest is the start. Servers that are written alike but for names would have to be judged "
    "once for all. Counted in instructions (valgrind), the ratio at 1,000 servers is 1.07",
    "memory": "what is remembered of each route: its blocks, and what becomes of a handshake there",
    "growth": "words and URLs that were read are remembered up to a number that a thousand servers fill, and more "
    "are read again",
    "model": "a prediction makes 260 calls of Python functions, a third of them to read the request and find the "
    "location, a third to make the request for the backend",
    "many": "on the clock, other work on the machine takes from one client or the other; processor time is steadier",
    "drift": "each file is read and hashed by Python",
}
"""Why a goal is missed, by the first word of its name; found with a profiler."""


class Goal(NamedTuple):
    """A figure and what it may be at most, or must be at least; None: printed only."""

    name: str
    value: float
    limit: float | None
    least: bool = False

    @property
    def met(self) -> bool:
        """Whether it is within its limit."""
        return self.limit is None or (self.value >= self.limit if self.least else self.value <= self.limit)

    @property
    def wanted(self) -> str:
        """The limit in words."""
        return "" if self.limit is None else f"at {'least' if self.least else 'most'} {self.limit:g}"

    @property
    def verdict(self) -> str:
        """What came of it."""
        return "" if self.limit is None else "met" if self.met else "**missed**"


@dataclass
class Report:
    """What was measured."""

    python: str
    machine: str
    rows: list[tuple[str, str, str, float, Cost | None]] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    figures: list[tuple[str, str, str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    checks: dict[str, Cost] = field(default_factory=dict)

    def row(self, what: str, where: str, who: str, seconds: float, cost: Cost | None = None) -> None:
        """Add a figure."""
        self.rows.append((what, where, who, seconds, cost))
        print(f"{what:15} {where:14} {who:24} {seconds:8.3f} s", flush=True)

    def figure(self, what: str, where: str, who: str, value: str) -> None:
        """Add a figure that is no time."""
        self.figures.append((what, where, who, value))
        print(f"{what:15} {where:14} {who:24} {value}", flush=True)

    def note(self, text: str) -> None:
        """Add a remark; the same one once."""
        if text not in self.notes:
            self.notes.append(text)

    def growth(self, sizes: list[int]) -> None:
        """Compare each size with ten times that size."""
        for size in sizes:
            for layout in ("single", "split"):
                small, large = self.checks.get(f"{size} {layout}"), self.checks.get(f"{size * 10} {layout}")
                if small and large and size >= 1000:
                    name = f"growth, {layout}: ws101 check, {size * 10} / {size} servers"
                    self.goals.append(Goal(name, large.cpu / small.cpu, GROWTH))

    def text(self) -> str:
        """The page."""
        lines = [
            "# Speed",
            "",
            f"Measured by `make bench` (Python {self.python}, {self.machine}): the same files, the same run, processor",
            "time (user and system), the best of several runs. The configurations are made by `tools/gen_conf.py`.",
            "",
            "| figure | measured | goal | |",
            "|---|---|---|---|",
        ]
        for goal in self.goals:
            value = f"{goal.value:,.0f}" if goal.value >= 1000 else f"{goal.value:.3g}"
            lines.append(f"| {goal.name} | {value} | {goal.wanted} | {goal.verdict} |")
        lines += ["", "| what | where | who | processor s | clock s | memory MB |", "|---|---|---|---|---|---|"]
        for what, where, who, seconds, cost in self.rows:
            rest = f"{cost.wall:.3f} | {cost.memory:.0f}" if cost else " | "
            stopped = " (stopped)" if cost and cost.code is None else ""
            lines.append(f"| {what} | {where} | {who}{stopped} | {seconds:.3f} | {rest} |")
        lines += ["", "| what | where | who | figure |", "|---|---|---|---|"] if self.figures else []
        lines += [f"| {what} | {where} | {who} | {value} |" for what, where, who, value in self.figures]
        missed = dict.fromkeys(goal.name.split()[0].strip(":,") for goal in self.goals if not goal.met)
        lines += ["", *(f"- Missed, {word}: {CAUSES[word]}." for word in missed if word in CAUSES)]
        load = os.getloadavg()[2] / (os.cpu_count() or 1)
        if load > 1:
            self.note(
                f"the machine had {load:.1f} times as much to do as it can: seconds and ratios differ between runs"
            )
        return "\n".join([*lines, *(f"- {note}" for note in self.notes), ""])

    def ending(self) -> int:
        """Print the goals and the notes; the exit code of a benchmark that was run alone."""
        for goal in self.goals:
            print(f"{goal.name}: {goal.value:.3g} {goal.wanted} {goal.verdict.strip('*')}".rstrip())
        print("\n".join(self.notes))
        failed = any(note.startswith("FAILED") for note in self.notes)
        return 0 if all(goal.met for goal in self.goals) and not failed else 1

    def write(self, path: Path) -> None:
        """Write the page."""
        path.parent.mkdir(exist_ok=True)
        path.write_text(self.text())
