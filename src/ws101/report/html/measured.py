"""What was measured, as charts: the handshake's steps, silent tunnels, the server's heartbeat, tunnels in the logs."""

from __future__ import annotations

from collections.abc import Mapping

from ws101.diagnose import Diagnosis
from ws101.diagnose.base import Tried
from ws101.lazy import dataclass
from ws101.logs import Tally
from ws101.probes.core import Detail
from ws101.probes.idle import known_figure
from ws101.report.html.base import Markup, element, escaped, joined, told
from ws101.report.html.charts import Bar, chart
from ws101.report.terminal.explain import timeout_line
from ws101.report.texts import count, seconds, span

__all__ = ["Logbook", "logbook", "silence", "timeline"]


@dataclass(frozen=True, slots=True)
class Logbook:
    """What the access logs say of tunnels.

    Args:
        tally: What was counted.
        paths: The files that were read.
        problems: What is wrong with some of them, and what was left out.
        target: The request target that was counted.
    """

    tally: Tally
    paths: tuple[str, ...]
    problems: tuple[str, ...] = ()
    target: str = ""


_STEPS = (("dns", "name lookup"), ("tcp", "TCP connection"), ("tls", "TLS"), ("http", "first byte of the answer"))


def timeline(found: Diagnosis) -> Markup:
    """How long each step of the opening handshake took.

    Args:
        found: The diagnosis.
    """
    if found.observed is None:
        return element("p", "Not measured: no connection was opened (--offline).")
    steps, at, bars = found.observed.timings, 0.0, []
    for name, title in _STEPS:
        taken: float | None = getattr(steps, name)
        if taken is not None:
            bars.append(Bar(title, seconds(taken), at, taken, "good" if name == "http" else "plain"))
            at += taken
    if not bars:
        return element("p", "Nothing to show: the first step did not come to an end. ", told(found.observed.message))
    whole = steps.http is not None
    caption = f"From the start to the first byte: {seconds(at)}." if whole else "It did not come to an answer."
    missing = [title for name, title in _STEPS[:3] if getattr(steps, name) is None]
    note = f"Not part of it: {' and '.join(missing)}." if missing else ""
    said = escaped(note) if whole else joined(("It went no further: ", told(found.observed.message), "."))
    return joined((chart(caption, ("step", "took"), bars), element("p", said, class_="remark") if said else ""))


_SILENT = {"idle": "through the site, silent", "idle-direct": "straight to the backend, silent",
           "idle-ping": "through the site, with our pings"}  # fmt: skip


def silence(found: Diagnosis, base: str = "") -> Markup:
    """How long a tunnel may stay silent, and what the server sends of its own.

    Args:
        found: The diagnosis.
        base: Paths below this folder are shown relative to it.
    """
    tried = {item.name: item for item in found.tried}
    forwarded = found.predicted.outcome.forwarded if found.predicted else None
    limit = forwarded.idle_timeout if forwarded else None
    said = f"By the configuration, {timeout_line(forwarded, base)}." if forwarded and limit is not None else ""
    parts = [element("p", said)] if said else []
    bars = [_silent_bar(title, tried[name]) for name, title in _SILENT.items() if name in tried]
    if bars:
        mark = f"the idle timeout of the configuration, {seconds(limit)}" if limit is not None else ""
        parts.append(chart("How long the tunnels stood.", ("tunnel", "result"), bars, limit=limit, mark=mark))
    if "heartbeat" in tried:
        parts.append(_heartbeat(tried["heartbeat"], limit))
    missing = [option for name, option in (("idle", "--idle"), ("heartbeat", "--heartbeat")) if name not in tried]
    return joined((*parts, _how_to(found, missing) if missing else ""))


def _how_to(found: Diagnosis, missing: list[str]) -> Markup:
    what = {"--idle": "how long a silent tunnel lasts", "--heartbeat": "whether the server sends a heartbeat"}
    words = " and ".join(what[option] for option in missing)
    if found.observed is not None and found.observed.status != 101:
        return element("p", f"Not measured: {words}. A tunnel has to open first.")
    command = element("code", "ws101 ", told(f"'{found.url}' {' '.join(missing)}"))
    return element("p", f"Not measured: {words}. Measure it with ", command)


def _figures(item: Tried) -> Mapping[str, Detail]:
    return dict(item.figures)


def _number(value: Detail) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _silent_bar(title: str, item: Tried) -> Bar:
    lasted = _number(_figures(item).get("lasted"))
    if lasted is None:
        return Bar(title, told(item.answer))
    if item.passed:
        return Bar(title, f"stood for {seconds(lasted)}, and still stands", 0.0, lasted, "good", open=True)
    return Bar(title, f"ended after {lasted:.1f} s", 0.0, lasted, "bad")


def _heartbeat(item: Tried, limit: float | None) -> Markup:
    figures = _figures(item)
    first, interval = _number(figures.get("first")), _number(figures.get("interval"))
    pruned = _number(figures.get("pruned_after"))
    verdict = element("p", "The server's heartbeat: ", told(item.answer), ".")
    if first is None:
        return verdict
    beats = (first,) if interval is None else (first, first + interval)
    kind = {"ping": "pings", "engine.io": "Engine.IO's pings"}.get(str(figures.get("kind")), "heartbeats")
    bars = [Bar(f"the server's {kind}", _beats(first, interval), 0.0, beats[-1], "good", beats)]
    if pruned is not None:
        bars.append(Bar("a dead peer is dropped after", seconds(pruned), 0.0, pruned, "plain"))
    mark = f"the idle timeout of the configuration, {seconds(limit)}" if limit is not None else ""
    shown = chart("When the heartbeats came.", ("event", "when"), bars, limit=limit, mark=mark)
    return joined((verdict, shown, _enough(interval or first, limit)))


def _beats(first: float, interval: float | None) -> str:
    after = f"the first after {seconds(first)}"
    return after if interval is None else f"{after}, then every {seconds(interval)}"


def _enough(every: float, limit: float | None) -> Markup:
    if limit is None:
        return Markup()
    said = "keeps the tunnel open" if every < limit else "comes too late to keep the tunnel open"
    return element("p", f"A heartbeat every {seconds(every)} {said}: nginx waits {seconds(limit)}.", class_="remark")


def logbook(book: Logbook | None) -> Markup:
    """How long tunnels lived by the access logs; how to have that where none was read.

    Args:
        book: What the logs say; None if none was read.
    """
    if book is None:
        how = "Run ws101 on nginx's machine, or name a log with --access-log."
        return element("p", f"Not known: no access log was read. {how}")
    tally = book.tally
    source = joined((element("span", told(path), class_="mono path") for path in book.paths), ", ")
    which = joined((", what is about ", element("span", told(book.target), class_="mono"))) if book.target else ""
    own = f"; {count(tally.own, 'tunnel')} of ws101 itself left out" if tally.own else ", this diagnosis included"
    about = element("p", "Read: ", source, which, f"{own}.", class_="remark")
    problems = (element("p", told(problem), class_="remark") for problem in book.problems)
    if not tally.tunnels:
        whose = " but those of ws101 itself" if tally.own else ""
        return joined((element("p", f"No tunnel{whose} has ended by these logs yet."), about, *problems))
    return joined((_ages(tally), about, *problems))


def _ages(tally: Tally) -> Markup:
    if not tally.ages:
        return element("p", f"{count(tally.tunnels, 'tunnel')} ended; the format of the log has no $request_time, "
                       "so it does not tell how long they lived.")  # fmt: skip
    piles = tally.clusters()
    bars = []
    for low, high, number in tally.histogram():
        pile = any(low <= age < (high or age + 1) for age, _ in piles)
        bars.append(Bar(span(low, high), str(number), 0.0, float(number), "warn" if pile else "plain"))
    shown = chart(f"How long {count(tally.ages.total(), 'tunnel')} lived.", ("lived", "tunnels"), bars)
    said = []
    for age, number in piles[:3]:
        whose = known_figure(float(age))
        said.append(element("li", f"{number} ended {seconds(age)} after they began, as at a timeout",
                            f" ({whose})" if whose else "", "."))  # fmt: skip
    return joined((shown, element("ul", *said, class_="plain") if said else ""))
