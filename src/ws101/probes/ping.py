"""How long is the round trip through the tunnel?  Sends pings, each after the last one's pong."""

from __future__ import annotations

from ws101.probes.core import Probe, Steps, Verdict
from ws101.probes.endpoint import Endpoint
from ws101.probes.frames import Ending, Outcome, Tunnel, in_tunnel, lost
from ws101.probes.handshake import ORDINARY, HandshakeOptions

__all__ = ["ended_meanwhile", "ping", "round_trip"]


def ping(
    endpoint: Endpoint,
    options: HandshakeOptions = ORDINARY,
    *,
    count: int = 3,
    timeout: float = 5.0,
) -> Probe:
    """The probe: passed if each ping gets its pong (RFC 6455 section 5.5.3: an endpoint must answer).

    Details: ``pongs``, and ``min``, ``mean``, ``max`` of the round trips in seconds.

    Args:
        endpoint: Where to.
        options: Of the opening handshake.
        count: How many pings, at least 1.
        timeout: Seconds to wait for each pong.
    """

    def measure(tunnel: Tunnel) -> Steps[Outcome]:
        trips: list[float] = []
        for number in range(count):
            took = yield from round_trip(tunnel, b"ws101-%d" % number, timeout)
            if took is None:
                break
            trips.append(took)
        details: tuple[tuple[str, int | float], ...] = (("pongs", len(trips)),)
        if trips:
            details += (("min", min(trips)), ("mean", sum(trips) / len(trips)), ("max", max(trips)))
        if len(trips) == count:
            return Outcome(Verdict.PASSED, f"{count} pings, {count} pongs", "", details)
        if tunnel.ended is not None:
            return lost(tunnel.ended, details)
        message = f"no pong within {timeout:g} s after {len(trips)} of {count}"
        return Outcome(Verdict.FAILED, message, "no-pong", details)

    return in_tunnel(endpoint, options, measure)


def round_trip(tunnel: Tunnel, payload: bytes, timeout: float) -> Steps[float | None]:
    """Seconds from a ping to its pong; None if it does not come in time, or the tunnel ends."""
    sent = yield from tunnel.ping(payload)
    while (seen := (yield from tunnel.receive(sent + timeout))) is not None:
        if seen.kind == "pong" and seen.data == payload:
            return seen.at - sent
    return None


def ended_meanwhile(tunnel: Tunnel) -> Ending | None:
    """How the tunnel ended, asked once more after something was waited for; None while it stands."""
    return tunnel.ended
