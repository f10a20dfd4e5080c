"""A mismatch cut down to a readable counterexample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tools.fidelity.batch import Batch, Pair
from tools.fidelity.compare import Difference, differences, unknown_reasons
from tools.fidelity.conf import Node, render, smaller
from tools.fidelity.sample import Ask, Sample
from tools.fidelity.wire import Wire
from ws101.errors import NginxError
from ws101.host.binary import NginxBinary
from ws101.http1 import Request
from ws101.nginx.outcome import Trace
from ws101.nginx.trace import trace

__all__ = ["Judged", "judge", "shrink"]

_ROUNDS = 40
_AT_ONCE = 25


@dataclass(frozen=True, slots=True)
class Judged:
    """A pair, what the model says of it, and where that differs from nginx."""

    pair: Pair
    trace: Trace | None
    differences: tuple[Difference, ...]
    preamble: tuple[Node, ...] = ()

    @property
    def sample(self) -> Sample:
        """The sample with this one request."""
        return replace(self.pair.placed.sample, asks=(self.pair.ask,))

    def __str__(self) -> str:
        """The configuration, both requests, the model's trace, and the differences."""
        pair = self.pair
        lines = [f"# seed {pair.placed.sample.seed}", render(self.preamble, 4) + pair.placed.text, "request:"]
        lines += [
            repr(pair.arrival.request.encode()),
            f"to {pair.arrival.address}:{pair.arrival.port} from {pair.arrival.client}",
        ]
        lines += [
            f"nginx: {pair.seen.answer[:600]!r}",
            *(f"{name} got: {data!r}" for name, data, _ in pair.seen.upstream),
        ]
        if self.trace is not None:
            outcome = self.trace.outcome
            lines.append(f"model: {outcome.kind} {outcome.status} {outcome.location!r} {outcome.body!r}")
            lines += [
                f"  {d.step}: {d.chosen} ({d.why}) {d.origin.where if d.origin else ''}" for d in self.trace.decisions
            ]
            lines += [f"  unknown: {reason}" for reason in unknown_reasons(self.trace)]
        lines += [f"DIFFERENT {difference}" for difference in self.differences]
        return "\n".join(lines)


def judge(batch: Batch, preamble: tuple[Node, ...] = ()) -> Iterator[Judged]:
    """Ask nginx and the model every request of a batch."""
    build = batch.binary.build
    for pair in batch.pairs():
        try:
            answer = trace(batch.config, pair.arrival, build)
        except Exception as error:
            yield Judged(pair, None, (Difference("failure", repr(error), None),), preamble)
            continue
        found = differences(answer, pair.seen, dict(pair.placed.places), build)
        seen = batch.again(pair) if found else pair
        if seen is not pair:
            found = differences(answer, seen.seen, dict(pair.placed.places), build)
        yield Judged(seen, answer, tuple(found), preamble)


def shrink(judged: Judged, binary: NginxBinary, wire: Wire) -> Judged:
    """The smallest sample found that still shows a difference of the same kind."""
    wanted = {difference.what for difference in judged.differences}
    for preamble in ((), judged.preamble):
        best = _alone([judged.sample], preamble, wanted, binary, wire)
        if best is not None:
            break
    else:
        return judged
    for _ in range(_ROUNDS):
        candidates = list(_smaller(best.sample))
        better = None
        for start in range(0, len(candidates), _AT_ONCE):
            better = _alone(candidates[start : start + _AT_ONCE], best.preamble, wanted, binary, wire)
            if better is not None:
                break
        if better is None:
            return best
        best = better
    return best


def _alone(
    samples: Sequence[Sample], preamble: tuple[Node, ...], wanted: set[str], binary: NginxBinary, wire: Wire
) -> Judged | None:
    """The first of some samples that shows a difference; refused ones count as showing none."""
    try:
        with Batch(binary, wire, samples, preamble) as batch:
            for judged in judge(batch, preamble):
                if wanted & {difference.what for difference in judged.differences}:
                    return judged
    except NginxError:
        return None
    return None


def _smaller(sample: Sample) -> Iterator[Sample]:
    for servers in smaller(sample.servers):
        ask = sample.asks[0]
        if ask.first and "proxy_protocol;" not in render(servers) and "proxy_protocol " not in render(servers):
            ask = replace(ask, first="")
        yield replace(sample, servers=servers, asks=(ask,))
    for http in smaller(sample.http):
        yield replace(sample, http=http)
    for ask in _smaller_asks(sample.asks[0]):
        yield replace(sample, asks=(ask,))


def _smaller_asks(ask: Ask) -> Iterator[Ask]:
    request = ask.request
    for at in range(len(request.headers)):
        yield replace(ask, request=replace(request, headers=request.headers[:at] + request.headers[at + 1 :]))
    for simpler in _simpler_targets(request):
        yield replace(ask, request=replace(request, target=simpler))
    if request.method != "GET":
        yield replace(ask, request=replace(request, method="GET"))
    if request.body and not any(name.lower() in ("content-length", "transfer-encoding") for name, _ in request.headers):
        yield replace(ask, request=replace(request, body=""))


def _simpler_targets(request: Request) -> Iterator[str]:
    target = request.target
    path, mark, query = target.partition("?")
    if mark:
        yield path
    for at in range(1, len(path)):
        yield path[:at] + path[at + 1 :] + mark + query
