"""``python -m tools.mutants --count 20000``: compare, print the agreement, write docs/fidelity-syntax.md."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from tools.mutants.compare import Result, compare
from tools.mutants.mutate import draw
from tools.mutants.report import write_page
from ws101.host.binary import all_nginx

GOAL = 0.995


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20000, help="mutants a version")
    parser.add_argument("--seed", type=int, default=101)
    parser.add_argument("--show", type=int, default=0, help="print this many differences")
    parser.add_argument("--nginx", help="only the build with this number")
    parser.add_argument("--write", action="store_true", help="write docs/fidelity-syntax.md")
    options = parser.parse_args()
    mutants = draw(options.seed, options.count)
    results: dict[str, Result] = {}
    for binary in all_nginx():
        if options.nginx in (None, binary.build.number):
            start = time.perf_counter()
            result = results[binary.build.number] = compare(binary, mutants)
            rate = result.total / (time.perf_counter() - start)
            print(f"nginx {binary.build.number}: {result.agreement:.3%} of {result.total} mutants alike ({rate:.0f}/s);", end=" ")
            print(f"{len(result.differences)} differ, {sum(result.outside.values())} lie outside the text", flush=True)
            _show(result, options.show)
    if not results:
        print("NOT RUN: no nginx within reach")
        return 1
    if options.write:
        write_page(results, options.count, options.seed)
    return 0 if all(result.agreement >= GOAL for result in results.values()) else 1


def _show(result: Result, count: int) -> None:
    if not count:
        return
    kinds: Counter[tuple[str, str]] = Counter()
    for mutant, nginx, own in result.differences:
        kinds[str(nginx.message)[:60], str(own.message)[:60]] += 1
    for (nginx_says, we_say), number in kinds.most_common(count):
        print(f"  {number:4} nginx: {nginx_says!r}  ours: {we_say!r}")
        shown = next(d for d in result.differences if (str(d[1].message)[:60], str(d[2].message)[:60]) == (nginx_says, we_say))
        mutant, nginx, own = shown
        place = (nginx.place or own.place or ":0").rpartition(":")[2]
        line = mutant.text.split("\n")[max(0, int(place) - 1)] if int(place) <= mutant.text.count("\n") + 1 else ""
        print(f"       {mutant.how} {mutant.changed} nginx {nginx.place} ours {own.place}: {line.strip()[:110]!r}")


if __name__ == "__main__":
    sys.exit(main())
