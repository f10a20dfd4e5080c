"""``python -m tools.fidelity --pairs N --seed S --nginx PATH``: compare the model with a real nginx, at length."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path

from tools.fidelity.report import write
from tools.fidelity.run import Tally, run
from ws101.errors import NginxError
from ws101.host.binary import NginxBinary, all_nginx, read_binary

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "fidelity.md"
_FULL = 100_000


def main() -> int:
    """Run and report; 1 if model and nginx disagree anywhere."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.fidelity", description="Compare the model with a real nginx."
    )
    parser.add_argument("--pairs", type=int, default=_FULL, help="configurations and requests for each nginx")
    parser.add_argument("--seed", default=str(int(time.time())), help="what everything is drawn from")
    parser.add_argument("--nginx", action="append", help="an nginx to compare with; default: every one found")
    parser.add_argument("--report", type=Path, help="where the figures go")
    parser.add_argument("--write", action="store_true", help="write the figures to docs/fidelity.md")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many nginx at the same time")
    parser.add_argument("--show", type=int, default=5, help="how many mismatches of a kind are shrunk and shown")
    options = parser.parse_args()
    try:
        binaries = tuple(map(read_binary, options.nginx)) if options.nginx else all_nginx()
    except NginxError as error:
        parser.error(str(error))
    print(f"seed {options.seed}", flush=True)
    with ProcessPoolExecutor(options.jobs) as pool:
        tallies = list(pool.map(_one, binaries, repeat(options)))
    if options.write:
        write(_PAGE, tallies, options.seed)
    if options.report:
        write(options.report, tallies, options.seed)
    return 1 if not tallies or any(tally.mismatches for tally in tallies) else 0


def _one(binary: NginxBinary, options: argparse.Namespace) -> Tally:
    with tempfile.TemporaryDirectory(prefix="ws101-fidelity-") as folder:
        tally = run(binary, Path(folder), options.pairs, options.seed, show=options.show)
    print(tally, flush=True)
    return tally


if __name__ == "__main__":
    sys.exit(main())
