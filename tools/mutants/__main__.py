"""``python -m tools.mutants --count 20000``: compare, print the agreement, write docs/fidelity-syntax.md."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from tools.mutants.compare import Result, Said, compare
from tools.mutants.mutate import Mutant, draw
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
            print(
                f"nginx {binary.build.number}: {result.agreement:.3%} of {result.total} mutants alike ({rate:.0f}/s);",
                end=" ",
            )
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
    examples: dict[tuple[str, str], tuple[Mutant, Said, Said]] = {}
    for difference in result.differences:
        kind = (str(difference[1].message)[:60], str(difference[2].message)[:60])
        kinds[kind] += 1
        examples.setdefault(kind, difference)
    for kind, number in kinds.most_common(count):
        mutant, nginx, own = examples[kind]
        place = int((nginx.place or own.place or ":1").rpartition(":")[2])
        line = "".join(mutant.text.split("\n")[place - 1 : place]).strip()[:110]
        print(f"  {number:4} nginx: {kind[0]!r}  ours: {kind[1]!r}")
        print(f"       {mutant.how} {mutant.changed} nginx {nginx.place} ours {own.place}: {line!r}")


if __name__ == "__main__":
    sys.exit(main())
