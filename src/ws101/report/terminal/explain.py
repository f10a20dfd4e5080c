"""``ws101 explain`` for people: the path of a request, step by step."""

from __future__ import annotations

from collections.abc import Sequence

from ws101.nginx.build import Build
from ws101.nginx.config import Unknown
from ws101.nginx.outcome import Decision, Forwarded, Outcome, Trace
from ws101.report.style import Style, pad, wrap
from ws101.report.subject import Subject, condition
from ws101.report.terminal.hops import hop_rows, hops
from ws101.report.texts import joined, seconds, where
from ws101.text import printable

__all__ = ["FAULTS", "explain", "tunnel_line", "unknown_lines"]

_STEP_WIDTH = 10
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
        style.paint("dim", subject.nginx_line),
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
    lines = [line for d in trace.decisions if d.step in _FIRST_STEPS for line in _decision(d, style)]
    forwarded = trace.outcome.forwarded
    if forwarded is None:
        return [*lines, *_ending(trace.outcome, style), ""]
    name = printable(forwarded.upstream.url) if forwarded.upstream else "a backend only run time knows"
    lines += ["", *hops(hop_rows(trace.arrival.request, forwarded, subject.version), style, upstream=name), ""]
    lines += _labelled("tunnel", tunnel_line(forwarded, style), style)
    if forwarded.tunnel is not False:
        lines += _labelled("timeout", _timeout_line(forwarded), style)
    return [*lines, ""]


def _decision(decision: Decision, style: Style) -> list[str]:
    """``step  chosen``, and below it why and where."""
    chosen = printable(decision.chosen)
    why, place = printable(decision.why), where(decision.origin)
    head = _labelled(decision.step, chosen, style)
    lines = [" " * (_STEP_WIDTH + 4) + style.paint("dim", line) for line in wrap(why, style.width - 14)] if why else []
    if place:
        lines.append(" " * (_STEP_WIDTH + 4) + style.paint("path", place))
    return [*head, *lines]


def _labelled(label: str, text: str, style: Style) -> list[str]:
    return [f"  {style.paint('title', pad(label, _STEP_WIDTH))}  {text}"]


def tunnel_line(forwarded: Forwarded, style: Style) -> str:
    """Whether a WebSocket handshake arrives, and why not."""
    if forwarded.tunnel is None:
        return f"{style.paint('unknown', 'unknown')}: it depends on what only run time knows"
    if forwarded.tunnel:
        return f"{style.paint('good', 'yes')}: a valid opening handshake arrives at the backend"
    why = joined(FAULTS.get(fault, fault) for fault in forwarded.faults)
    return f"{style.paint('error', 'no')}: the backend gets no valid opening handshake; {why}"


def _timeout_line(forwarded: Forwarded) -> str:
    if forwarded.idle_timeout is None:
        return "unknown"
    set_by = where(forwarded.idle_origin)
    return (
        f"nginx cuts the tunnel after {seconds(forwarded.idle_timeout)} of silence "
        f"({f'proxy_read_timeout, {set_by}' if set_by else 'the default of proxy_read_timeout'})"
    )


def _ending(outcome: Outcome, style: Style) -> list[str]:
    """What happens to a request that no backend sees."""
    said = {
        "returned": f"nginx answers {outcome.status} itself",
        "redirected": f"nginx answers {outcome.status} with Location: {printable(outcome.location or '')}",
        "static": "nginx answers with a file, never with a tunnel",
        "refused": f"nginx refuses it with {outcome.status}",
        "closed": "nginx closes the connection without an answer",
        "proxied": "it goes to a backend",
        "unknown": "what happens next only run time knows",
    }[outcome.kind]
    role = "unknown" if outcome.kind == "unknown" else "title"
    body = _labelled("body", printable(outcome.body, limit=200), style) if outcome.body else []
    return ["", *_labelled("answer", style.paint(role, said), style), *body]


def unknown_lines(items: Sequence[Unknown], style: Style) -> list[str]:
    """What could not be known, each once."""
    if not items:
        return []
    lines = [style.paint("unknown", "Not known")]
    for reason, place in dict.fromkeys((printable(i.reason), where(i.origin)) for i in items):
        folded = wrap(reason, style.width - 6)
        lines += [f"  {style.glyph('question')} {folded[0]}", *(f"    {line}" for line in folded[1:])]
        if place:
            lines.append(f"    {style.paint('path', place)}")
    return [*lines, ""]
