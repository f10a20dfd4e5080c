"""``python -m bench``: measure, print the ratios, write docs/benchmarks.md; exit code 1 if a goal is missed."""

from __future__ import annotations

import argparse
import math
import platform
import sys
import tempfile
from pathlib import Path

from bench import drift, logs, many, model, parsing, peers, probing
from bench.measure import ROOT, best, generate, run
from bench.report import Goal, Report
from ws101.host.binary import all_nginx

_PARSE = "import sys, crossplane; assert crossplane.parse(sys.argv[1])['status'] == 'ok'"
SMALL = """events {}
http {
    server {
        listen 127.0.0.1:18080;
        location /ws { proxy_pass http://127.0.0.1:3000; }
    }
}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", type=int, nargs="*", default=[100, 1000, 10000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="without gixy-next and nginx -t")
    options = parser.parse_args()
    report = Report(platform.python_version(), platform.machine())
    python = peers.python_peers()
    with tempfile.TemporaryDirectory(prefix="ws101-bench-") as name:
        folder = Path(name)
        _startup(report, folder, options.rounds)
        for servers in options.servers:
            rounds = 1 if servers > 5000 else options.rounds
            for layout in ("single", "split"):
                path = generate(folder, servers, layout)
                _sizes(report, path, servers, layout)
                _parse(report, path, f"{servers} {layout}", python, rounds)
                _check(report, path, f"{servers} {layout}", python, rounds)
                if not options.quick and layout == "single":
                    _beside(report, path, f"{servers} {layout}", servers)
        drift.measure(report, folder, options.rounds)
        logs.measure(report, folder, 100 if options.quick else 500)
    model.measure(report, 1000, options.rounds)
    many.measure(report, 3000, 5000, options.rounds)
    probing.measure(report, max(7, options.rounds), 500)
    report.growth(options.servers)
    report.write(ROOT / "docs" / "benchmarks.md")
    print(report.text())
    return 0 if all(goal.met for goal in report.goals) else 1


def _sizes(report: Report, path: Path, servers: int, layout: str) -> None:
    files = [path, *path.parent.glob("sites/*.conf")]
    size = sum(file.stat().st_size for file in files) / 1e6
    report.note(f"{servers} servers, {layout}: {len(files)} files, {size:.1f} MB")


def _parse(report: Report, path: Path, name: str, python: Path | None, rounds: int) -> None:
    ours = parsing.ours(sys.executable, path, rounds)
    report.row("read and parse", name, "ws101.load", ours)
    if python is None:
        report.note("NOT MEASURED: crossplane is not there")
        return
    theirs = parsing.theirs(str(python), path, rounds)
    report.row("read and parse", name, "crossplane.parse", theirs)
    report.goals.append(Goal(f"parse, {name}: ws101.load / crossplane.parse", ours / theirs, 0.2))


def _check(report: Report, path: Path, name: str, python: Path | None, rounds: int) -> None:
    command = [sys.executable, "-m", "ws101", "check", str(path), "--nginx-version", "1.26.3", "--format", "json"]
    ours = best(command, rounds)
    report.row("whole process", name, "ws101 check", ours.cpu, ours)
    if ours.code not in (0, 1):
        report.note(f"FAILED: ws101 check ended with {ours.code}: {ours.output[-300:]}")
    if ours.code is None:
        report.goals.append(Goal(f"check, {name}: stopped, so it has no figure", math.inf, 0.6))
        return
    report.checks[name] = ours
    text = best(command[:-2], 1)
    report.row("whole process", name, "ws101 check, as text", text.cpu, text)
    if python is not None:
        theirs = best([str(python), "-c", _PARSE, str(path)], rounds)
        report.row("whole process", name, "crossplane.parse", theirs.cpu, theirs)
        limit = 0.6 if name.split(maxsplit=1)[0] in ("1000", "10000") else None
        report.goals.append(Goal(f"check, {name}: ws101 check / crossplane.parse", ours.cpu / theirs.cpu, limit))
    if name.startswith("10000"):
        report.goals.append(Goal(f"memory, {name}: ws101 check, MB", ours.memory, 300))


def _beside(report: Report, path: Path, name: str, servers: int) -> None:
    gixy = peers.gixy()
    if gixy is None:
        report.note("NOT MEASURED: gixy-next is not there")
    elif servers <= 1000:
        cost = run([str(gixy), str(path)], limit=120)
        report.row("whole process", name, "gixy-next", cost.cpu, cost)
    else:
        report.note("gixy-next is measured up to 1,000 servers")
    for binary in all_nginx()[:1]:
        pid = f"pid {path.parent}/test.pid;"
        text = path.read_text().replace("pid        ", "#pid ")
        plain = path.with_name("plain.conf")
        plain.write_text(text)
        command = [binary.path, "-t", "-q", "-p", str(path.parent), "-c", str(plain), "-e", "/dev/null", "-g", pid]
        cost = run(command, limit=120)
        report.row("whole process", name, f"nginx -t ({binary.build.number})", cost.cpu, cost)


def _startup(report: Report, folder: Path, rounds: int) -> None:
    small = folder / "small.conf"
    small.write_text(SMALL)
    rounds = max(7, rounds)
    bare = best([sys.executable, "-c", "pass"], rounds)
    check = best([sys.executable, "-m", "ws101", "check", str(small), "--nginx-version", "1.26.3"], rounds)
    report.row("start", "small file", "python -c pass", bare.cpu, bare)
    report.row("start", "small file", "ws101 check", check.cpu, check)
    report.goals.append(Goal("start: ws101 check of a small file / python -c pass", check.cpu / bare.cpu, 8))
    wscat = peers.wscat()
    if wscat is None:
        report.note("NOT MEASURED: wscat cannot be installed")
        return
    cost = best([str(wscat), "--help"], rounds)
    report.row("start", "small file", "wscat --help", cost.cpu, cost)
    report.goals.append(Goal("start: ws101 check of a small file / wscat --help", check.cpu / cost.cpu, 1))


if __name__ == "__main__":
    sys.exit(main())
