"""The rate of ``ws101 logs`` beside ``grep`` for the same statuses in the same file.

python -m bench.logs [--megabytes 500]
"""

from __future__ import annotations

import argparse
import platform
import random
import sys
import tempfile
from pathlib import Path

from bench.measure import run
from bench.report import Goal, Report

_LINE = (
    '192.0.2.{n} - - [23/Nov/2026:10:00:{s:02d} +0000] "GET /page/{n}?q={q} HTTP/1.1" {status} {size} '
    '"https://example.com/" "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"\n'
)


def write(path: Path, megabytes: int) -> None:
    """An access log of that size, one line in fifty about a WebSocket or a fault."""
    draw = random.Random(1)
    lines = [
        _LINE.format(
            n=draw.randrange(250), s=draw.randrange(60), q=draw.randrange(10**6), size=draw.randrange(10**5),
            status=draw.choice((101, 400, 499, 502)) if draw.random() < 0.02 else draw.choice((200, 304, 404)),
        )
        for _ in range(20_000)
    ]  # fmt: skip
    block = "".join(lines).encode()
    with path.open("wb") as file:
        for _ in range(megabytes * 1_000_000 // len(block)):
            file.write(block)


def measure(report: Report, folder: Path, megabytes: int) -> None:
    """Measure, and add figures to a report."""
    path = folder / "access.log"
    write(path, megabytes)
    size = path.stat().st_size / 1e6
    where = f"{size:.0f} MB"
    ours = run([sys.executable, "-m", "ws101", "logs", str(path), "--format", "json"])
    if ours.code != 0:
        report.note(f"FAILED: ws101 logs ended with {ours.code}: {ours.output[-300:]}")
    theirs = run(["grep", "-cE", '" (101|400|426|499|502|504) ', str(path)])
    path.unlink()
    for who, cost in (("ws101 logs", ours), ("grep -cE", theirs)):
        report.row("a log", where, who, cost.cpu, cost)
        report.figure("a log", where, who, f"{size / cost.cpu:,.0f} MB a second of processor time")
    report.goals.append(Goal(f"logs, {where}: ws101 logs / grep for the same statuses", ours.cpu / theirs.cpu, None))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--megabytes", type=int, default=500)
    options = parser.parse_args()
    report = Report(platform.python_version(), platform.machine())
    with tempfile.TemporaryDirectory(prefix="ws101-bench-") as folder:
        measure(report, Path(folder), options.megabytes)
    return report.ending()


if __name__ == "__main__":
    raise SystemExit(main())
