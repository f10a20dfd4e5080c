"""The closing handshake: does the server take part in it (RFC 6455 section 7)?  Sends a close frame and waits."""

from __future__ import annotations

from ws101.probes.core import Detail, Probe, Steps, Verdict
from ws101.probes.endpoint import Endpoint
from ws101.probes.frames import Outcome, Tunnel, in_tunnel, lost
from ws101.probes.handshake import ORDINARY, HandshakeOptions

__all__ = ["close"]


def close(
    endpoint: Endpoint,
    options: HandshakeOptions = ORDINARY,
    *,
    code: int = 1000,
    reason: str = "",
    timeout: float = 5.0,
) -> Probe:
    """The probe: passed if a close frame answers ours.

    Details: ``seconds`` to the server's close frame, its ``close_code`` and ``close_reason``.

    Args:
        endpoint: Where to.
        options: Of the opening handshake.
        code: The close code to send.
        reason: The close reason to send.
        timeout: Seconds to wait for the server's close frame.
    """

    def measure(tunnel: Tunnel) -> Steps[Outcome]:
        sent = yield from tunnel.close(code, reason)
        while (yield from tunnel.receive(sent + timeout)) is not None:
            pass
        ending = tunnel.ended
        if ending is None:
            return Outcome(Verdict.FAILED, f"no close frame came back within {timeout:g} s", "no-close")
        if ending.how != "close":
            return lost(ending)
        details: tuple[tuple[str, Detail], ...] = (
            ("seconds", ending.at - sent),
            ("close_code", ending.code),
            ("close_reason", ending.reason),
        )
        return Outcome(Verdict.PASSED, f"the server answered with code {ending.code}", "", details)

    return in_tunnel(endpoint, options, measure)
