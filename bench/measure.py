"""Processes and what they cost."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
GENERATOR = ROOT / "tools" / "gen_conf.py"
_KEPT = 65536
"""Bytes of output that are kept: the kernel counts the parent's peak as its child's, so this process stays small."""


class Cost(NamedTuple):
    """What one run of a process cost.

    Args:
        cpu: Seconds of processor time, user and system, children included.
        wall: Seconds on the clock.
        memory: Most memory in use, megabytes.
        code: Its exit code; None if it was stopped for taking too long.
        output: What it printed, the end of it.
    """

    cpu: float
    wall: float
    memory: float
    code: int | None
    output: str


def run(command: Sequence[str], *, limit: float = 300.0, stdin: int = subprocess.DEVNULL) -> Cost:
    """Run a program to its end."""
    start = time.perf_counter()
    child = subprocess.Popen(
        command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT, env=_environment()
    )
    stopped = False
    assert child.stdout is not None
    os.set_blocking(child.stdout.fileno(), False)
    output = b""
    while True:
        pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        output = (output + (child.stdout.read() or b""))[-_KEPT:]
        if pid:
            break
        if time.perf_counter() - start > limit and not stopped:
            child.kill()
            stopped = True
        time.sleep(0.0005)
    child.returncode = os.waitstatus_to_exitcode(status)
    child.stdout.close()
    wall = time.perf_counter() - start
    code = None if stopped else child.returncode
    return Cost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024, code, output.decode("utf-8", "replace"))


def best(command: Sequence[str], rounds: int, *, limit: float = 300.0) -> Cost:
    """The run with the least processor time: the other runs were disturbed."""
    costs = [run(command, limit=limit) for _ in range(rounds)]
    return min(costs, key=lambda cost: cost.cpu)


def _environment() -> dict[str, str]:
    """No colours; and compiled modules are kept, as those of an installed program are."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": str(ROOT / "src"), "NO_COLOR": "1", "PYTHONHASHSEED": "0"}


def generate(folder: Path, servers: int, layout: str) -> Path:
    """A configuration of many servers; the path of its main file."""
    out = folder / f"{layout}-{servers}"
    command = [sys.executable, str(GENERATOR), "--servers", str(servers), "--layout", layout, "--out", str(out)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return out / "nginx.conf"
