"""Drift of 10,000 files: hashing beside ``sha256sum -c``, and the whole command.

``python -m bench.drift`` measures it alone and prints the ratios; exit code 1 if a goal is missed.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.measure import best, generate
from bench.report import Goal, Report
from ws101.host.sealing import read_content
from ws101.manifest import Manifest, parse_manifest

SERVERS = 10_000
HASHING = 2.0
"""Hashing alone may take this many times as long as ``sha256sum -c``."""

WHOLE = 2.0
"""Seconds of processor time that the whole drift may take."""


def measure(report: Report, folder: Path, rounds: int) -> None:
    """Measure, and add figures and goals to a report."""
    conf = generate(folder, SERVERS, "split")
    manifest = folder / "drift.manifest"
    name = f"{SERVERS} split"
    command = [sys.executable, "-m", "ws101"]
    sealed = best([*command, "seal", str(conf), "-o", str(manifest)], 1)
    report.row("whole process", name, "ws101 seal", sealed.cpu, sealed)
    _hashing(report, name, manifest, conf.parent, max(5, rounds))
    drift = best([*command, "drift", str(manifest)], rounds)
    report.row("whole process", name, "ws101 drift", drift.cpu, drift)
    if (sealed.code, drift.code) != (0, 0):
        report.note(f"FAILED: seal ended with {sealed.code}, drift with {drift.code}: {drift.output[-300:]}")
    report.goals.append(Goal(f"drift, {name}: ws101 drift, seconds", drift.cpu, WHOLE))
    _changed(report, name, manifest, conf.parent)


def _hashing(report: Report, name: str, manifest: Path, folder: Path, rounds: int) -> None:
    sealed = parse_manifest(manifest.read_text(encoding="latin-1"))
    ours, theirs = [], []
    for _ in range(rounds):  # in turns, so that both get the same disturbances
        ours.append(_timed(lambda: _digests(sealed, folder)))
        theirs.append(_timed(lambda: _sha256sum(manifest, folder)))
    report.row("hashing alone", name, "ws101", min(ours))
    report.row("hashing alone", name, "sha256sum -c", min(theirs))
    report.goals.append(Goal(f"hashing, {name}: ws101 / sha256sum -c", min(ours) / min(theirs), HASHING))


def _timed(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _digests(sealed: Manifest, folder: Path) -> None:
    base = os.fsencode(folder) + b"/"
    for entry in sealed.entries:
        assert read_content(base + entry.name.encode("latin-1")).digest == entry.digest


def _sha256sum(manifest: Path, folder: Path) -> None:
    subprocess.run(["sha256sum", "-c", "--quiet", "--strict", str(manifest)], cwd=folder, check=True)


def _changed(report: Report, name: str, manifest: Path, folder: Path) -> None:
    """The same with a site changed and its old content at hand, so that its meaning is worked out too."""
    site = folder / "sites" / "app00001.conf"
    text = site.read_text()
    copy = folder.parent / "before"
    (copy / "sites").mkdir(parents=True, exist_ok=True)
    (copy / "sites" / site.name).write_text(text)
    site.write_text(text.replace("proxy_set_header Connection", "proxy_set_header X-Connection"))
    command = [
        sys.executable,
        "-m",
        "ws101",
        "drift",
        str(manifest),
        "--before",
        str(copy),
        "--nginx-version",
        "1.26.3",
    ]
    cost = best(command, 1)
    site.write_text(text)
    report.row("whole process", name, "drift, one site changed", cost.cpu, cost)
    if cost.code != 1 or "requests get another outcome" not in cost.output:
        report.note(f"FAILED: drift of a changed site ended with {cost.code}: {cost.output[-300:]}")


def main() -> int:
    report = Report(platform.python_version(), platform.machine())
    with tempfile.TemporaryDirectory(prefix="ws101-bench-") as folder:
        measure(report, Path(folder), 3)
    return report.ending()


if __name__ == "__main__":
    sys.exit(main())
