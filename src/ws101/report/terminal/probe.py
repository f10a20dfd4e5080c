"""``ws101 probe`` for people: what was sent, what came back, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence

from ws101.http1 import Headers
from ws101.probes.attribution import Answerer, answered_by
from ws101.probes.core import FAILURES, Check, Connection, Detail, HandshakeResult, Observation, TlsFacts, Verdict
from ws101.report.style import Style, columns, cut, width_of, wrap
from ws101.report.texts import field, masked, masked_headers, seconds
from ws101.text import printable

__all__ = ["ANSWERED", "banner", "probe", "timings_line"]

ANSWERED = {
    Answerer.BACKEND: "the backend",
    Answerer.NGINX: "nginx itself",
    Answerer.OTHER: "something between",
    Answerer.NOBODY: "nobody",
}
"""Who answered, in words."""

_BANNERS = {
    Verdict.PASSED: ("good-banner", "OPEN"),
    Verdict.FAILED: ("error-banner", "FAILED"),
    Verdict.UNDECIDED: ("unknown-banner", "UNDECIDED"),
}


def banner(role: str, word: str, rest: str, style: Style) -> str:
    """The first line of a report: one word that stands out, then what it is about."""
    shown = style.paint(f"{role}-banner", f" {word} ") if style.color else word
    return f"{shown}  {rest}"


def probe(url: str, seen: Observation, style: Style) -> str:
    """One handshake.

    Args:
        url: The address, secrets masked.
        seen: What the probe saw.
        style: What the terminal can show.
    """
    role, word = _BANNERS[seen.verdict]
    lines = [banner(role.removesuffix("-banner"), word, style.paint("title", printable(url)), style), ""]
    lines += [f"  {line}" for line in wrap(printable(seen.message), style.width - 4)]
    if seen.help:
        lines += _helped(seen.help, style)
    if seen.details:
        lines += ["", *columns([(_named(key), _figure(value)) for key, value in seen.details], indent=2)]
    shake = seen.handshake
    if shake is not None and seen.transcript:
        lines += ["", *_exchange(shake, seen.connection, style)]
    if shake is not None and shake.checks:
        lines += ["", style.paint("title", "Checks"), *_checks(shake.checks, seen.message, style)]
    if seen.connection is not None:
        lines += ["", *_connection(seen.connection, style)]
    return "\n".join(lines)


def _named(key: str) -> str:
    return key.replace("_", " ")


def _figure(value: Detail) -> str:
    """A figure of a probe; fractions are times."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return seconds(value)
    return "-" if value is None or value == "" else printable(str(value))


def _helped(text: str, style: Style) -> list[str]:
    first, *rest = wrap(printable(text), style.width - 10)
    return [f"  {style.paint('good', 'help')}: {first}", *(f"        {line}" for line in rest)]


def _exchange(shake: HandshakeResult, connection: Connection | None, style: Style) -> list[str]:
    to = f" to {printable(connection.address)}" if connection and connection.address else ""
    request = masked(shake.request)
    sent = [printable(f"{request.method} {request.target} {request.version}"), *_fields(request.headers)]
    lines = [style.paint("title", f"Sent{to}"), *(f"  {line}" for line in sent), ""]
    if shake.response is None:
        start = printable(shake.raw[:200].decode("latin-1"), limit=200)
        return [*lines, style.paint("title", "Came back"), f"  {start or 'nothing'}"]
    response = shake.response
    who = answered_by(response)
    said = f"{who.confidence}: {who.evidence[0]}" if who.evidence else who.confidence
    status = printable(f"{response.version} {response.status} {response.reason}")
    role = "good" if response.status == 101 else "error"
    room = style.width - 14 - len(ANSWERED[who.who])
    said = style.paint("dim", f"({cut(printable(said), room, style)})")
    lines += [f"{style.paint('title', 'Came back')} from {ANSWERED[who.who]} {said}"]
    lines += [f"  {style.paint(role, status)}", *(f"  {line}" for line in _fields(masked_headers(response.headers)))]
    if shake.body_lines:
        lines += ["", *(f"  {style.paint('dim', style.glyph('bar'))} {printable(line)}" for line in shake.body_lines)]
    return lines


def _fields(headers: Headers) -> list[str]:
    return [field(name, value) for name, value in headers]


def _checks(checks: Sequence[Check], said: str, style: Style) -> list[str]:
    """One line a requirement; what the headline has said already is said in short."""
    rows = []
    room = style.width - 6 - max(width_of(check.section) for check in checks)
    for check in checks:
        sign = style.paint("good", style.glyph("tick")) if check.passed else style.paint("error", style.glyph("cross"))
        message = FAILURES.get(check.class_, check.message) if check.message == said else check.message
        rows.append((sign, cut(printable(message), room, style), style.paint("dim", check.section)))
    return columns(rows, indent=2)


def _connection(connection: Connection, style: Style) -> list[str]:
    lines = [style.paint("title", "Timings") + "  " + timings_line(connection, style)]
    lines += [f"  {style.paint('warning', 'not reached')}: {printable(tried)}" for tried in connection.tried]
    if connection.tls is not None:
        lines.append(style.paint("title", "TLS") + "  " + _tls(connection.tls, style))
        lines.append(style.paint("dim", f"  {_CURL}"))
    return lines


_CURL = "curl speaks HTTP/2 here if it can, and gets 426 or 400 from a site that is right: curl --http1.1"


def timings_line(connection: Connection, style: Style) -> str:
    """``dns 1 ms · tcp 2 ms · tls 10 ms · first byte 3 ms``."""
    steps = connection.timings
    parts = [("dns", steps.dns), ("tcp", steps.tcp), ("tls", steps.tls), ("first byte", steps.http)]
    return f" {style.glyph('dot')} ".join(f"{name} {seconds(value)}" for name, value in parts)


def _tls(facts: TlsFacts, style: Style) -> str:
    parts = [facts.version, facts.cipher, f"ALPN {facts.alpn}" if facts.alpn else "no ALPN"]
    if facts.chain:
        own = facts.chain[0]
        parts.append(f"certificate for {own.subject}, until {own.not_after[:10]}")
    if facts.problem:
        parts.append(facts.problem)
    elif facts.trusted is None:
        parts.append("not verified (--insecure)")
    return printable(f" {style.glyph('dot')} ".join(part for part in parts if part).encode("utf-8").decode("latin-1"))
