"""Reading a configuration: ``ws101.load`` beside ``crossplane.parse``, each in its own process; imports not counted."""

from __future__ import annotations

from pathlib import Path

from bench.measure import run

_OURS = """
import gc, sys, time, ws101
load = ws101.load
load(sys.argv[2])
best = 1e9
for _ in range(int(sys.argv[1])):
    gc.collect()
    start = time.process_time()
    config = load(sys.argv[2])
    best = min(best, time.process_time() - start)
    del config
print(best)
"""
_THEIRS = """
import gc, sys, time, crossplane
best = 1e9
for _ in range(int(sys.argv[1])):
    gc.collect()
    start = time.process_time()
    payload = crossplane.parse(sys.argv[2])
    best = min(best, time.process_time() - start)
    assert payload["status"] == "ok", payload["errors"][:1]
    del payload
print(best)
"""


def ours(python: str, path: Path, rounds: int) -> float:
    """Processor seconds of ``ws101.load``: files, includes, syntax trees."""
    return _seconds(python, _OURS, path, rounds)


def theirs(python: str, path: Path, rounds: int) -> float:
    """Processor seconds of ``crossplane.parse``, which follows includes too."""
    return _seconds(python, _THEIRS, path, rounds)


def _seconds(python: str, script: str, path: Path, rounds: int) -> float:
    cost = run([python, "-c", script, str(rounds), str(path)])
    if cost.code != 0:
        raise RuntimeError(cost.output[-500:])
    return float(cost.output.split()[-1])
