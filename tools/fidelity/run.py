"""A run: batch after batch until there are enough pairs, and what came of them."""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tools.fidelity.batch import Batch
from tools.fidelity.compare import ASSUMED, unknown_reasons
from tools.fidelity.coverage import constructs, of_ask
from tools.fidelity.draw import draw_preamble, draw_sample
from tools.fidelity.sample import lacking
from tools.fidelity.shrink import Judged, judge, shrink
from tools.fidelity.wire import Wire
from ws101.errors import NginxError
from ws101.host.binary import NginxBinary

__all__ = ["Tally", "run"]

_SAMPLES = 120
_NAME = re.compile(r'"[^"]*"(?= is looked up)')
_RUN_TIME_EVERY = 10


@dataclass(slots=True)
class Tally:
    """What came of a run.

    Attributes:
        version: The nginx's version.
        pairs, run_time_pairs: Compared pairs without and with what only run time knows.
        mismatches: Shrunk where shown, else as found.
        unknown, run_time_unknown: Pairs of which the model does not know all, by reason.
        kinds: Pairs by kind of outcome.
        tunnels: Pairs whose handshake ended in a tunnel.
        coverage: Pairs whose configuration or request holds a construct, by chapter and title.
        samples: Configurations.
        timed_out: Pairs whose answer had no end within the harness's patience.
        refused: Samples that nginx refuses, by its words.
        lacking: Samples left out because the build lacks a module.
        seconds: How long it took.
    """

    version: str
    pairs: int = 0
    run_time_pairs: int = 0
    mismatches: list[str] = field(default_factory=list)
    unknown_pairs: int = 0
    unknown: Counter[str] = field(default_factory=Counter)
    run_time_unknown: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    lacking: Counter[str] = field(default_factory=Counter)
    coverage: Counter[tuple[str, str]] = field(default_factory=Counter)
    samples: int = 0
    tunnels: int = 0
    timed_out: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        share = 100 * self.unknown_pairs / max(1, self.pairs)
        lines = [
            (
                f"nginx {self.version}: {self.pairs + self.run_time_pairs} pairs "
                f"({self.run_time_pairs} with run-time constructs), {self.samples} configurations, "
                f"{len(self.mismatches)} mismatches, {self.unknown_pairs} unknown ({share:.2f} %), "
                f"{self.tunnels} tunnels, {self.timed_out} without an end, {self.seconds:.0f} s"
            ),
            "  outcomes: " + ", ".join(f"{count} {kind}" for kind, count in self.kinds.most_common()),
        ]
        lines += [f"  unknown {count}: {reason}" for reason, count in self.unknown.most_common(12)]
        lines += [f"  refused {count}: {words}" for words, count in self.refused.most_common(6)]
        lines += [f"  left out {count}: needs {name}" for name, count in self.lacking.most_common()]
        return "\n".join(lines)


def run(binary: NginxBinary, folder: Path, pairs: int, seed: str, *, show: int = 5) -> Tally:
    """Compare until there are enough pairs.

    Args:
        binary: The nginx.
        folder: Where the backends' socket is made.
        pairs: How many.
        seed: What everything is drawn from.
        show: How many mismatches of a kind are shrunk and printed.
    """
    tally = Tally(binary.build.number)
    start = time.monotonic()
    wire = Wire(folder)
    shown: Counter[str] = Counter()
    try:
        number = 0
        while tally.pairs + tally.run_time_pairs < pairs:
            _batch(binary, wire, tally, seed, number, pairs, shown, show)
            number += 1
    finally:
        wire.close()
    tally.seconds = time.monotonic() - start
    return tally


def _batch(  # noqa: PLR0917  # one batch, all that it needs
    binary: NginxBinary, wire: Wire, tally: Tally, seed: str, number: int, pairs: int, shown: Counter[str], show: int
) -> None:
    build = binary.build
    missing = max(1, min(_SAMPLES, (pairs - tally.pairs - tally.run_time_pairs) // 6 + 1))
    run_time = number % _RUN_TIME_EVERY == 1
    samples = [draw_sample(f"{seed}/{build.number}/{number}/{at}", run_time) for at in range(missing)]
    for sample in samples:
        tally.lacking.update(lacking(build, sample.needs))
    samples = [s for s in samples if not lacking(build, s.needs)]
    preamble = draw_preamble(f"{seed}/{build.number}/{number}")
    found: list[Judged] = []
    try:
        with Batch(binary, wire, samples, preamble) as batch:
            held = {placed.sample.seed: constructs(placed.sample) for placed in batch.placed}
            for judged in judge(batch, preamble):
                _count(tally, judged, run_time)
                tally.coverage.update((*held[judged.pair.placed.sample.seed], *of_ask(judged.pair.ask)))
                if judged.differences:
                    found.append(judged)
            tally.samples += len(batch.placed)
            tally.refused.update(_words(refused.message) for refused in batch.refused)
    except NginxError as error:
        tally.refused[_words(error.message)] += len(samples)
    for judged in found:
        what = ", ".join(difference.what for difference in judged.differences)
        shown[what] += 1
        if shown[what] <= show:
            shrunk = shrink(judged, binary, wire)
            print(f"\nMISMATCH nginx {build.number}\n{shrunk}", flush=True)
            tally.mismatches.append(str(shrunk))
        else:
            tally.mismatches.append(str(judged))


def _count(tally: Tally, judged: Judged, run_time: bool) -> None:
    if run_time:
        tally.run_time_pairs += 1
    else:
        tally.pairs += 1
    tally.timed_out += judged.pair.seen.timed_out
    tally.tunnels += judged.pair.seen.tunnel
    if judged.trace is None:
        return
    tally.kinds[judged.trace.outcome.kind] += 1
    reasons = {
        _NAME.sub("a name", reason) for reason in unknown_reasons(judged.trace) if not reason.startswith(ASSUMED)
    }
    if run_time:
        tally.run_time_unknown.update(reasons)
    elif reasons:
        tally.unknown_pairs += 1
        tally.unknown.update(reasons)


def _words(message: str) -> str:
    """nginx's words without the place."""
    return message.partition("[emerg] ")[2].partition(" in /tmp")[0] or message
