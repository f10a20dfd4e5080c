"""The loop of one worker: bounded time for each execution, the failing input kept."""

from __future__ import annotations

import random
import signal
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from tools.fuzz.targets import TARGETS, Target

LIMIT = 20.0
"""Seconds after which an execution counts as hanging; each input takes milliseconds on an idle machine."""

BATCH = 500
"""Executions of the parser that share one alarm: setting it costs as much as a parse."""


class HangError(Exception):
    """An execution took longer than ``LIMIT``."""


@dataclass
class Report:
    """What one worker did."""

    counts: dict[str, int] = field(default_factory=lambda: {name: 0 for name, *_ in TARGETS})
    slowest: dict[str, float] = field(default_factory=lambda: {name: 0.0 for name, *_ in TARGETS})
    failures: list[str] = field(default_factory=list)


def run(seed: int, count: int) -> Report:
    """Run ``count`` executions of the mix; the same for the same seed."""
    report = Report()
    done = number = 0
    while done < count:
        for target in TARGETS:
            times = min(target[3], count - done)
            done += times
            size = BATCH if target[3] > BATCH else 1
            for at in range(0, times, size):
                rng = random.Random(f"{seed} {target[0]} {number} {at}")
                _batch(report, target, rng, min(size, times - at))
        number += 1
    return report


def _batch(report: Report, target: Target, rng: random.Random, times: int) -> None:
    name, draw, feed, _ = target
    with _alarm():
        for _ in range(times):
            given = draw(rng)
            start = time.perf_counter()
            try:
                feed(given)
            except Exception as error:
                report.failures.append(_describe(name, error, given))
            report.counts[name] += 1
            report.slowest[name] = max(report.slowest[name], time.perf_counter() - start)


def _describe(name: str, error: Exception, given: object) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    where = ", ".join(f"{frame.name}:{frame.lineno}" for frame in frames[-3:])
    return f"{name}: {type(error).__name__}: {error} ({where})\n{given!r:.300}"


@contextmanager
def _alarm() -> Iterator[None]:
    def ring(_: int, __: FrameType | None) -> None:
        raise HangError(f"longer than {LIMIT} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, LIMIT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
