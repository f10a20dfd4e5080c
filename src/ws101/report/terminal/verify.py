"""``ws101 verify`` for people: the three steps, and what the browser's network panel shows."""

from __future__ import annotations

from ws101.http1 import Headers
from ws101.probes.core import HandshakeResult, Observation
from ws101.probes.verification import State, Step, Verification
from ws101.report.style import Style, wrap
from ws101.report.terminal.probe import banner
from ws101.report.texts import field, masked, masked_headers
from ws101.text import lower, printable

__all__ = ["verify"]

_TITLES = {
    "browser": "A browser opens the socket",
    "headers": "Upgrade: websocket both ways",
    "client": "A command line client exchanges a frame",
}
_BANNERS = {
    State.PASSED: ("good", "VERIFIED"),
    State.FAILED: ("error", "FAILED"),
    State.UNDECIDED: ("unknown", "UNDECIDED"),
    State.NOT_DONE: ("warning", "INCOMPLETE"),
}
_SIGNS = {
    State.PASSED: ("good", "tick"),
    State.FAILED: ("error", "cross"),
    State.UNDECIDED: ("unknown", "question"),
    State.NOT_DONE: ("warning", "question"),
}
_DECISIVE = ("upgrade", "connection", "sec-websocket-accept", "sec-websocket-protocol", "sec-websocket-extensions")


def verify(url: str, found: Verification, style: Style, *, again: str = "") -> str:
    """The three steps.

    Args:
        url: The address, secrets masked.
        found: What was found.
        style: What the terminal can show.
        again: The command that finds the cause, offered where a step failed; empty offers none.
    """
    role, word = _BANNERS[found.state]
    lines = [banner(role, word, style.paint("title", printable(url)), style)]
    for number, step in enumerate(found.steps, 1):
        lines += ["", *_step(number, step, style)]
        if step.name == "browser" and found.browser is not None:
            lines += _panel(found.browser, style)
        if step.name == "headers" and (found.browser is None or not found.browser.passed):
            lines += _heads(found.client.handshake, "The command line client", style)
    if found.state is State.FAILED and again:
        lines += ["", f"Why it fails: {style.paint('code', again)}"]
    return "\n".join(lines)


def _step(number: int, step: Step, style: Style) -> list[str]:
    role, glyph = _SIGNS[step.state]
    note = " - not done" if step.state is State.NOT_DONE else ""
    lines = [f"{style.paint(role, style.glyph(glyph))} {number}. {style.paint('title', _TITLES[step.name])}{note}"]
    lines += [f"     {line}" for line in wrap(printable(step.message), style.width - 6)]
    if step.help:
        first, *rest = wrap(printable(step.help), style.width - 12)
        lines += [f"     {style.paint('good', 'help')}: {first}", *(f"           {line}" for line in rest)]
    return lines


def _panel(seen: Observation, style: Style) -> list[str]:
    """What the browser's network panel has, in its words."""
    shake = seen.handshake
    if shake is None:
        return []
    status = seen.detail("status")
    answer = f"{status} {shake.response.reason}" if shake.response else str(status) if status else "(failed)"
    role = "good" if seen.passed else "error"
    lines = ["", f"     Status Code: {style.paint(role, printable(answer))}"]
    if not seen.passed:
        who = style.paint("dim", f"{seen.detail('browser')}, from {seen.detail('page')}")
        lines = ["", f"     Console of {who}", f"     Status Code: {style.paint(role, printable(answer))}"]
    return lines + _fields(shake, style)


def _heads(shake: HandshakeResult | None, who: str, style: Style) -> list[str]:
    if shake is None or shake.response is None:
        return []
    status = printable(f"{shake.response.status} {shake.response.reason}")
    role = "good" if shake.status == 101 else "error"
    return ["", f"     {who} got: {style.paint(role, status)}", *_fields(shake, style)]


def _fields(shake: HandshakeResult, style: Style) -> list[str]:
    lines = []
    if shake.response is not None:
        lines += ["     Response Headers", *_list(masked_headers(shake.response.headers), style)]
    asked = masked(shake.request).headers
    return [*lines, "     Request Headers", *(_list(asked, style) or ["       (not sent)"])]


def _list(fields: Headers, style: Style) -> list[str]:
    return [
        f"       {style.paint('good', shown) if lower(name) in _DECISIVE[:2] else shown}"
        for name, value in fields
        for shown in (field(name, value),)
    ]
