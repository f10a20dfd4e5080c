#!/usr/bin/env python3
"""Time ``ws101.syntax.parse`` beside ``crossplane.parse`` on the same generated file, in the same run.

    bench/parse.py [--servers 1000] [--rounds 5] [--limit 0.2]

Prints the best time of each and their ratio; exit code 1 if the ratio is above the limit.
"""

from __future__ import annotations

import argparse
import gc
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import crossplane  # type: ignore[import-untyped]

from ws101.syntax import parse
from ws101.text import Source

TOOL = Path(__file__).resolve().parent.parent / "tools" / "gen_conf.py"


def best(rounds: int, work: Callable[[], object]) -> float:
    """The shortest of several runs, in seconds."""
    times = []
    for _ in range(rounds):
        gc.collect()
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
        del result
    return min(times)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--servers", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=float, default=0.2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(TOOL), "--servers", str(options.servers), "--out", folder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        path = Path(folder, "nginx.conf")
        ours = best(options.rounds, lambda: parse(Source.from_bytes(str(path), path.read_bytes())))
        theirs = best(max(1, options.rounds // 2), lambda: crossplane.parse(str(path), single=True))
        size = path.stat().st_size
    ratio = ours / theirs
    print(f"{options.servers} servers, {size / 1e6:.2f} MB")
    print(f"ws101.syntax.parse  {ours:7.3f} s  {size / 1e6 / ours:6.1f} MB/s")
    print(f"crossplane.parse    {theirs:7.3f} s  {size / 1e6 / theirs:6.1f} MB/s")
    print(f"ratio {ratio:.3f} (goal: at most {options.limit})")
    return 0 if ratio <= options.limit else 1


if __name__ == "__main__":
    raise SystemExit(main())
