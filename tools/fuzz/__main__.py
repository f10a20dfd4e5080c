"""``python -m tools.fuzz``: a million executions over parser, model, rules and fixes; exit code 1 if one fails."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import sys
import time

from tools.fuzz.loop import Report, run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="executions, all together")
    parser.add_argument("--seed", type=int, default=101)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    start = time.perf_counter()
    share = -(-options.count // options.workers)
    jobs = [(options.seed + worker, share) for worker in range(options.workers)]
    with multiprocessing.Pool(options.workers) as pool:
        reports = pool.starmap(run, jobs)
    seconds = time.perf_counter() - start
    executions = sum(sum(report.counts.values()) for report in reports)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = used.ru_utime + used.ru_stime
    print(
        f"{executions} executions in {seconds:.0f} s, {processor:.0f} s of processor time in "
        f"{options.workers} processes ({executions / seconds:.0f}/s), seeds {jobs[0][0]}..{jobs[-1][0]}"
    )
    for name in reports[0].counts:
        print(f"  {name}: {sum(report.counts[name] for report in reports)}, slowest {_slowest(reports, name):.3f} s")
    failures = [failure for report in reports for failure in report.failures]
    for failure in failures[:10]:
        print(f"FAILED {failure}")
    print("no exception, no hang, every byte kept" if not failures else f"{len(failures)} failures")
    return 1 if failures else 0


def _slowest(reports: list[Report], name: str) -> float:
    return max(report.slowest[name] for report in reports)


if __name__ == "__main__":
    sys.exit(main())
