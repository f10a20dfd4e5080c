"""The rate of ``ws101 logs`` beside ``grep`` for the same statuses in the same file.

python -m bench.logs [--megabytes 500]
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.measure import run

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


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--megabytes", type=int, default=500)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ws101-bench-") as folder:
        path = Path(folder, "access.log")
        write(path, options.megabytes)
        size = path.stat().st_size / 1e6
        ours = run([sys.executable, "-m", "ws101", "logs", str(path), "--format", "json"])
        assert ours.code == 0, ours.output
        begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(["grep", "-cE", '" (101|400|426|499|502|504) ', str(path)], check=True, capture_output=True)
        wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{size:.0f} MB")
    print(f"ws101 logs  {size / ours.cpu:7.0f} MB/s of processor time  {ours.wall:6.2f} s  {ours.memory:6.0f} MB")
    print(f"grep -cE    {size / cpu:7.0f} MB/s of processor time  {wall:6.2f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
