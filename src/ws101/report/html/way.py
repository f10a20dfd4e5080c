"""The way of a handshake on a page: the hops, every header field, nginx's decisions, and the bytes themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ws101.diagnose import Diagnosis, Observed
from ws101.http1 import Headers, Request
from ws101.nginx.outcome import Decision, Forwarded, Outcome, Trace
from ws101.probes.attribution import Answerer
from ws101.report.excerpt import mask_config
from ws101.report.html.base import Markup, element, escaped, joined, row, table, told
from ws101.report.style import PLAIN
from ws101.report.subject import Subject
from ws101.report.terminal.explain import ending_line, tunnel_line
from ws101.report.terminal.hops import Row, hop_rows
from ws101.report.terminal.probe import ANSWERED
from ws101.report.texts import count, masked, masked_headers, shown_where
from ws101.text import printable

__all__ = ["way", "wire"]

_BODY = 4000
"""How many characters of a body are shown."""


def way(found: Diagnosis, subject: Subject | None) -> Markup:
    """The hops as boxes, then what nginx decided and did with each header field, as far as it is known.

    Args:
        found: The diagnosis.
        subject: The configuration; None without one.
    """
    parts = [element("ol", *_boxes(found, subject), class_="hops", role="list")]
    trace = found.predicted
    if trace is None:
        parts.append(element("p", _WITHOUT, class_="remark"))
        return joined(parts)
    base = subject.config.prefix if subject else ""
    forwarded = trace.outcome.forwarded
    if forwarded is not None:
        rows = hop_rows(trace.arrival.request, forwarded, subject.version if subject else None, base)
        parts.append(_fields(rows))
    parts.append(_decisions(trace.decisions, base))
    return joined(parts)


_WITHOUT = (
    "No configuration was at hand, so what nginx does with each header field is not known. "
    "Run ws101 where nginx runs, or give its configuration with --conf."
)


def _boxes(found: Diagnosis, subject: Subject | None) -> Iterator[Markup]:
    trace, seen = found.predicted, found.observed
    yield _box("client", element("p", told(found.url), class_="mono"), _asked(trace, seen))
    if trace is None:
        yield from _beyond(seen)
        return
    outcome, arrives = trace.outcome, seen is None or seen.request is not None
    yield _arrow(good=None if arrives else False)
    yield _box("nginx", *_in_nginx(trace, subject), role="" if outcome.forwarded and arrives else "bad")
    if outcome.forwarded is not None:
        good = outcome.forwarded.tunnel
        yield _arrow(good=good if arrives or not good else None)
        yield _box("backend", *_in_backend(outcome.forwarded, seen), role=_role(good) if arrives else "")


def _role(good: bool | None) -> str:
    return "warn" if good is None else "good" if good else "bad"


def _asked(trace: Trace | None, seen: Observed | None) -> Markup:
    request = seen.request if seen and seen.request else trace.arrival.request if trace else None
    if request is None:
        return element("p", "could not send a request", class_="dim")
    line = masked(request)
    return element("p", told(f"{line.method} {line.target} {line.version}"), class_="mono dim")


def _beyond(seen: Observed | None) -> Iterator[Markup]:
    """Without a configuration: whoever answered."""
    if seen is None:
        return
    who = Answerer(seen.answered_by)
    good = seen.status == 101
    yield _arrow(good=good)
    said = printable(f"{seen.status} {seen.reason}".rstrip()) if seen.status is not None else "no answer"
    why = element("p", told(seen.attribution[0]), class_="dim") if seen.attribution else Markup()
    name = {Answerer.NGINX: "nginx", Answerer.BACKEND: "backend"}.get(who, "the other end")
    answered = f"{said}, from {ANSWERED[who]}" if seen.status is not None else said
    yield _box(name, element("p", answered), why, role=_role(good))


def _in_nginx(trace: Trace, subject: Subject | None) -> Iterator[Markup]:
    """Server, location, and what nginx does in the end."""
    base = subject.config.prefix if subject else ""
    for step in ("server", "location"):
        item = next((d for d in reversed(trace.decisions) if d.step == step), None)
        if item is not None:
            chosen = item.chosen.removeprefix(f"{step} ")
            yield element("p", f"{step} ", element("span", told(chosen), class_="mono"))
            if item.origin is not None:
                yield element("p", shown_where(item.origin, base), class_="path mono")
    yield element("p", _done(trace.outcome, trace.arrival.request), class_="dim")


def _done(outcome: Outcome, client: Request) -> str:
    forwarded = outcome.forwarded
    if forwarded is None:
        return ending_line(outcome)
    lost = sum(1 for item in hop_rows(client, forwarded) if item.lost)
    return f"passes it on; {count(lost, 'line')} of the handshake lost" if lost else "passes it on"


def _in_backend(forwarded: Forwarded, seen: Observed | None) -> Iterator[Markup]:
    name = forwarded.upstream.url if forwarded.upstream else "known at run time only"
    yield element("p", told(name), class_="mono")
    gets = "gets" if seen is not None and seen.request is not None else "would get"
    yield element("p", {True: f"{gets} a valid opening handshake", False: f"{gets} no valid opening handshake",
                        None: "what it gets only run time knows"}[forwarded.tunnel])  # fmt: skip
    yield (
        element("p", tunnel_line(forwarded, PLAIN).rpartition("; ")[2], class_="dim") if forwarded.faults else Markup()
    )
    if seen is not None and seen.status is not None and seen.answered_by == Answerer.BACKEND:
        yield element("p", "answers ", told(f"{seen.status} {seen.reason}".rstrip()), class_="dim")


def _box(name: str, *lines: Markup, role: str = "") -> Markup:
    return element("li", element("h3", name), *lines, class_=f"hop {role}".rstrip())


def _arrow(*, good: bool | None) -> Markup:
    """What leads from one box to the next; broken where no handshake gets through."""
    label = {True: "a valid handshake goes on to", False: "no valid handshake gets to", None: "goes to"}[good]
    shape = _CUT if good is False else _ARROW
    role = {True: "good", False: "bad", None: ""}[good]
    picture = element("svg", element("path", d=shape), viewBox="0 0 32 16", role="img", aria_label=label)
    return element("li", picture, class_=f"arrow {role}".rstrip())


_ARROW = "M2 8 H30 M24 2 L30 8 L24 14"
_CUT = "M2 8 H7 M9 3 L19 13 M19 3 L9 13 M21 8 H30 M25 3 L30 8 L25 13"


_HEADS = ("the client sends", "nginx", "the backend gets")


def _fields(rows: Sequence[Row]) -> Markup:
    caption = "Every line of the request, on its way; what the handshake needs and does not arrive is marked as lost."
    return table(caption, _HEADS, map(_field, rows), "fields")


def _field(item: Row) -> Markup:
    said = f"lost: {item.nginx.removeprefix('cut: ')}".rstrip(": ") if item.lost else item.nginx
    if item.client and not item.backend and not said:
        said = "not passed on"
    cells = (item.client, said, item.backend)
    return row(_HEADS, cells, ("mono", "", "mono"), name="lost" if item.lost else "")


_STEPS = ("connection", "request", "server", "location", "rewrite", "access", "content", "upstream")


def _decisions(decisions: Sequence[Decision], base: str) -> Markup:
    """What nginx decided on the way, and the directives that made it."""
    heads = ("step", "chosen", "why", "where")
    rows = [
        row(heads, (item.step, _config(item.chosen.removeprefix(f"{item.step} ")), _config(item.why),
                    shown_where(item.origin, base)), ("th", "mono", "", "mono path"))
        for item in decisions
        if item.step in _STEPS
    ]  # fmt: skip
    return table("What nginx decided on the way, by its configuration.", heads, rows, "decisions") if rows else Markup()


def _config(text: str) -> Markup:
    return told(mask_config(text))


def wire(found: Diagnosis) -> Markup:
    """The request and the answer as they were on the wire, secrets masked; empty if neither is known.

    Args:
        found: The diagnosis.
    """
    seen, trace = found.observed, found.predicted
    parts = []
    if seen is not None and seen.request is not None:
        parts.append(_bytes("The client sent", _request(seen.request)))
        parts.append(_bytes("Came back", _answer(seen)))
    elif trace is not None:
        parts.append(_bytes("The client would send", _request(trace.arrival.request)))
    forwarded = trace.outcome.forwarded if trace else None
    if forwarded is not None and forwarded.request is not None:
        parts.append(_bytes("The backend gets, by the configuration", _request(forwarded.request)))
    return element("div", *parts, class_="wire") if parts else Markup()


def _bytes(title: str, text: str) -> Markup:
    return element("div", element("h3", title), element("pre", text, tabindex="0", role="region", aria_label=title))


def _request(request: Request) -> Markup:
    line = masked(request)
    return _message(f"{line.method} {line.target} {line.version}", line.headers, line.body)


def _answer(seen: Observed) -> Markup:
    response = seen.response
    if response is None:
        return told(seen.message or "nothing")
    first = f"{response.version} {response.status} {response.reason}".rstrip()
    return _message(first, masked_headers(response.headers), response.body)


def _message(first: str, headers: Headers, body: str) -> Markup:
    lines = [printable(first), *(printable(f"{name}: {value}") for name, value in headers), ""]
    lines += [printable(line.rstrip("\r")) for line in body[:_BODY].split("\n")] if body else []
    if len(body) > _BODY:
        lines.append(f"[{len(body) - _BODY} more bytes]")
    return escaped("\n".join(lines))
