"""Three checks that a WebSocket works: a browser's network panel, ``Upgrade: websocket`` both ways, a client's frame.

What was not done is said to be not done; it never counts as passed.
"""

from __future__ import annotations

from enum import StrEnum

from ws101.http1 import tokens
from ws101.lazy import dataclass
from ws101.probes.core import HandshakeResult, Observation, Verdict

__all__ = ["State", "Step", "Verification", "verification"]


class State(StrEnum):
    """How a step ended."""

    PASSED = "passed"
    FAILED = "failed"
    UNDECIDED = "undecided"
    NOT_DONE = "not-done"


@dataclass(frozen=True, slots=True)
class Step:
    """One of the three steps.

    Args:
        name: ``browser``, ``headers`` or ``client``.
        state: How it ended.
        message: What was seen, one clause, latin-1, secrets masked.
        class_: The failure's name in `ws101.probes.core.FAILURES`; empty if there is none.
        help: What to do about it; empty if there is nothing to add.
    """

    name: str
    state: State
    message: str
    class_: str = ""
    help: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    """The three steps, and what they rest on.

    Args:
        steps: In order: browser, headers, client.
        browser: What the browser saw; None if that step was not done.
        client: What the command line client saw.
        latency: The round trip of the client's frame in seconds; None if none came back.
    """

    steps: tuple[Step, ...]
    browser: Observation | None
    client: Observation
    latency: float | None = None

    @property
    def state(self) -> State:
        """Failed if a step failed; passed only if all did; else what is missing."""
        states = {step.state for step in self.steps}
        order = (State.FAILED, State.NOT_DONE, State.UNDECIDED)
        return next((state for state in order if state in states), State.PASSED)


def verification(browser: Observation | None, missing: Step | None, client: Observation) -> Verification:
    """Join what was seen.

    Args:
        browser: What the browser saw; None if it did not run.
        missing: The browser's step where it did not run; its reason and remedy.
        client: What the command line client saw: an exchange of a frame that began with a handshake.
    """
    first = _browser(browser) if browser is not None else missing
    assert first is not None
    return Verification((first, _headers(browser, client), _client(client)), browser, client, _latency(client))


def _browser(seen: Observation) -> Step:
    who = seen.detail("browser")
    if not seen.passed:
        return Step("browser", State.FAILED, seen.message, seen.class_)
    return Step("browser", State.PASSED, f"{who} shows {seen.detail('status')} Switching Protocols")


def _headers(browser: Observation | None, client: Observation) -> Step:
    opened = browser is not None and browser.passed
    seen = browser if opened else client
    who = "the browser" if opened else "the command line client"
    shake = seen.handshake if seen else None
    if shake is None or shake.response is None:
        return Step("headers", State.FAILED, "no answer came whose header fields could be looked at", client.class_)
    asked, got = _upgrades(shake)
    if asked and got:
        return Step("headers", State.PASSED, f"Upgrade: websocket stands in both heads that {who} saw")
    side = "the answer" if asked else "the request" if got else "neither head"
    lacks = f"{side} has no Upgrade: websocket" if side != "neither head" else "neither head has Upgrade: websocket"
    status = f" (status {shake.status})"
    return Step("headers", State.FAILED, lacks + status, client.class_ or "missing-upgrade")


def _upgrades(shake: HandshakeResult) -> tuple[bool, bool]:
    answer = shake.response.values("Upgrade") if shake.response and shake.response.status == 101 else ()
    return "websocket" in tokens(shake.request.values("Upgrade")), "websocket" in tokens(answer)


def _client(seen: Observation) -> Step:
    took = _latency(seen)
    if seen.passed and took is not None:
        what = "a message was answered" if seen.detail("pongs") is None else "a ping was answered by its pong"
        return Step("client", State.PASSED, f"{what} after {took * 1000:.1f} ms")
    state = {Verdict.PASSED: State.PASSED, Verdict.FAILED: State.FAILED}.get(seen.verdict, State.UNDECIDED)
    return Step("client", state, seen.message, seen.class_, seen.help)


def _latency(seen: Observation) -> float | None:
    value = seen.detail("seconds") or seen.detail("min")
    return value if isinstance(value, float) else None
