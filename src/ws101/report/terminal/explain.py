"""``ws101 explain`` for people: the path of a request, step by step."""

from __future__ import annotations

from collections.abc import Sequence

from ws101.nginx.build import Build
from ws101.nginx.config import Unknown
from ws101.nginx.outcome import Decision, Forwarded, Outcome, Trace
from ws101.report.style import Style, columns, pad, width_of, wrap
from ws101.report.subject import Subject, condition
from ws101.report.terminal.hops import hop_rows, hops
from ws101.report.texts import joined, seconds, shown_where
from ws101.text import printable

__all__ = ["FAULTS", "ending_line", "explain", "labelled", "timeout_line", "tunnel_line", "unknown_lines"]

_STEP_WIDTH = 10
_INDENT = _STEP_WIDTH + 4
_FIRST_STEPS = ("connection", "request", "server", "location", "rewrite", "access", "content", "upstream")

FAULTS = {
    "http-version": "it arrives as HTTP/1.0",
    "method": "its method is not GET",
    "upgrade-missing": "Upgrade does not arrive",
    "upgrade-wrong": "Upgrade arrives with another value than websocket",
    "connection-missing": "Connection does not arrive",
    "connection-wrong": "Connection arrives without upgrade in it",
    "key-missing": "Sec-WebSocket-Key does not arrive",
    "version-missing": "Sec-WebSocket-Version does not arrive",
    "key-repeated": "Sec-WebSocket-Key arrives twice",
    "upgrade-repeated": "Upgrade arrives twice",
    "body": "it arrives with a body",
    "protocol": "it is not forwarded as HTTP/1.1 at all",
}
"""What is wrong with a handshake that arrives, in words (nginx.outcome.Forwarded.faults)."""


def explain(
    url: str, subject: Subject, variants: Sequence[tuple[Sequence[Build], Trace]], style: Style, *, heading: str = ""
) -> str:
    """The path of one request; for every version range where the result differs.

    Args:
        url: The address that was asked about.
        subject: The configuration.
        variants: Each different result, with the builds that give it.
        style: What the terminal can show.
        heading: What kind of request it is, where several are compared.
    """
    lines = [
        f"{style.paint('title', url)}{f'  {heading}' if heading else ''}",
        style.paint("dim", f"{printable(subject.config.path)}, read as {subject.nginx_line}"),
        "",
    ]
    for builds, trace in variants:
        if len(variants) > 1:
            lines += [style.paint("title", f"On {condition(builds)}"), ""]
        lines += _one(trace, subject, style)
    lines += unknown_lines(_unknowns(variants, subject), style)
    return "\n".join(lines).rstrip()


def _unknowns(variants: Sequence[tuple[Sequence[Build], Trace]], subject: Subject) -> list[Unknown]:
    items: list[Unknown] = []
    for _, trace in variants:
        forwarded = trace.outcome.forwarded
        items += (*trace.unknown, *(forwarded.unknown if forwarded else ()))
    return [*items, *subject.config.unknown]


def _one(trace: Trace, subject: Subject, style: Style) -> list[str]:
    base = subject.config.prefix
    lines = _decisions([d for d in trace.decisions if d.step in _FIRST_STEPS], base, style)
    forwarded = trace.outcome.forwarded
    if forwarded is None:
        return [*lines, *_ending(trace.outcome, style), ""]
    name = printable(forwarded.upstream.url) if forwarded.upstream else "a backend only run time knows"
    rows = hop_rows(trace.arrival.request, forwarded, subject.version, base)
    lines += ["", *hops(rows, style, upstream=name), ""]
    lines += labelled("tunnel", tunnel_line(forwarded, style), style)
    if forwarded.tunnel is not False:
        lines += labelled("timeout", timeout_line(forwarded, base), style)
    return [*lines, ""]


def _decisions(decisions: Sequence[Decision], base: str, style: Style) -> list[str]:
    """One line a step: what, why, where; why and where go below if they don't fit."""
    rows, last = [], ""
    for item in decisions:
        label = item.step if item.step != last else ""
        chosen = printable(item.chosen.removeprefix(f"{item.step} "), limit=60)
        rows.append((label, chosen, printable(item.why), shown_where(item.origin, base)))
        last = item.step
    if max((width_of(line) for line in columns(rows, indent=2)), default=0) <= style.width:
        return [_painted(line, row, style) for line, row in zip(columns(rows, indent=2), rows, strict=True)]
    lines: list[str] = []
    for label, chosen, why, place in rows:
        lines += labelled(label, chosen, style)
        lines += [" " * _INDENT + style.paint("dim", line) for line in wrap(why, style.width - _INDENT) if line]
        lines += [" " * _INDENT + style.paint("path", place)] if place else []
    return lines


def _painted(line: str, row: tuple[str, str, str, str], style: Style) -> str:
    """An aligned line with its colours: the label bold, the reason dim, the place as a path."""
    label, _, why, place = row
    if place:
        line = line.removesuffix(place) + style.paint("path", place)
    if why:
        head, _, tail = line.rpartition(why)
        line = f"{head}{style.paint('dim', why)}{tail}"
    return line.replace(label, style.paint("title", label), 1) if label else line


def labelled(label: str, text: str, style: Style) -> list[str]:
    """``label  text``, folded at the terminal's width."""
    first, *rest = wrap(text, style.width - _INDENT)
    head = f"  {style.paint('title', pad(label, _STEP_WIDTH))}  {first}"
    return [head, *(" " * _INDENT + line for line in rest)]


def tunnel_line(forwarded: Forwarded, style: Style) -> str:
    """Whether a WebSocket handshake arrives, and why not."""
    if forwarded.tunnel is None:
        return f"{style.paint('unknown', 'unknown')}: it depends on what only run time knows"
    if forwarded.tunnel:
        return f"{style.paint('good', 'yes')}: a valid opening handshake arrives at the backend"
    why = joined(FAULTS.get(fault, fault) for fault in forwarded.faults)
    return f"{style.paint('error', 'no')}: the backend gets no valid opening handshake; {why}"


def timeout_line(forwarded: Forwarded, base: str) -> str:
    """How long the tunnel may stay silent, and what decides it."""
    if forwarded.idle_timeout is None:
        return "unknown"
    set_by = shown_where(forwarded.idle_origin, base)
    return (
        f"nginx cuts the tunnel after {seconds(forwarded.idle_timeout)} of silence "
        f"({f'proxy_read_timeout, {set_by}' if set_by else 'the default of proxy_read_timeout'})"
    )


def ending_line(outcome: Outcome) -> str:
    """What happens to a request in the end."""
    return {
        "returned": f"nginx answers {outcome.status} itself",
        "redirected": f"nginx answers {outcome.status} with Location: {printable(outcome.location or '')}",
        "static": "nginx answers with a file, never with a tunnel",
        "refused": f"nginx refuses it with {outcome.status}",
        "closed": "nginx closes the connection without an answer",
        "proxied": "it goes to a backend",
        "unknown": "what happens next only run time knows",
    }[outcome.kind]


def _ending(outcome: Outcome, style: Style) -> list[str]:
    """What happens to a request that no backend sees."""
    said = ending_line(outcome)
    role = "unknown" if outcome.kind == "unknown" else "title"
    body = labelled("body", printable(outcome.body, limit=200), style) if outcome.body else []
    return ["", *labelled("answer", style.paint(role, said), style), *body]


def unknown_lines(items: Sequence[Unknown], style: Style) -> list[str]:
    """What could not be known, each once."""
    if not items:
        return []
    lines = [style.paint("unknown", "Not known")]
    for reason, place in dict.fromkeys((printable(i.reason), shown_where(i.origin)) for i in items):
        folded = wrap(reason, style.width - 6)
        lines += [f"  {style.glyph('question')} {folded[0]}", *(f"    {line}" for line in folded[1:])]
        if place:
            lines.append(f"    {style.paint('path', place)}")
    return [*lines, ""]
