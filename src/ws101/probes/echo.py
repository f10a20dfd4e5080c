"""Is any frame answered?  Sends a text message and waits for a message."""

from __future__ import annotations

from ws101.probes.core import Probe, Steps, Verdict
from ws101.probes.endpoint import Endpoint
from ws101.probes.frames import Outcome, Tunnel, in_tunnel, lost
from ws101.probes.handshake import ORDINARY, HandshakeOptions

__all__ = ["echo"]


def echo(
    endpoint: Endpoint,
    options: HandshakeOptions = ORDINARY,
    *,
    message: str = "ws101",
    timeout: float = 5.0,
    grace: float = 0.5,
) -> Probe:
    """The probe: passed if a message comes back, whether the same or another (detail ``echoed``).

    Silence is undecided: an application need not answer a message it does not know.

    Args:
        endpoint: Where to.
        options: Of the opening handshake.
        message: The text to send.
        timeout: Seconds to wait for an answer.
        grace: Seconds to go on waiting for the same text when another message came first.
    """

    def measure(tunnel: Tunnel) -> Steps[Outcome]:
        sent = yield from tunnel.text(message.encode("utf-8"))
        until, first = sent + timeout, None
        while (seen := (yield from tunnel.receive(until))) is not None:
            if seen.kind not in ("text", "binary"):
                continue
            if seen.data == message.encode("utf-8"):
                details = (("echoed", True), ("seconds", seen.at - sent))
                return Outcome(Verdict.PASSED, "the server sent the message back", "", details)
            if first is None:
                first, until = seen, min(until, seen.at + grace)
        if first is not None:
            details = (("echoed", False), ("seconds", first.at - sent))
            return Outcome(Verdict.PASSED, f"the server sent a {first.kind} message", "", details)
        if tunnel.ended is not None:
            return lost(tunnel.ended, (("echoed", False),))
        silence = (
            f"the tunnel stands, and nothing came back in {timeout:g} s: the application may not answer this message"
        )
        return Outcome(Verdict.UNDECIDED, silence, "no-echo", (("echoed", False),))

    return in_tunnel(endpoint, options, measure)
