"""How long may the tunnel stay silent?  Opens one and waits, silent or with a ping now and then."""

from __future__ import annotations

from ws101.probes.core import Detail, Probe, Steps, Verdict
from ws101.probes.endpoint import Endpoint
from ws101.probes.frames import Ending, Outcome, Tunnel, in_tunnel, lost
from ws101.probes.handshake import ORDINARY, HandshakeOptions
from ws101.probes.ping import ended_meanwhile, round_trip

__all__ = ["KNOWN", "idle", "known_figure"]

KNOWN: tuple[tuple[float, str], ...] = (
    (50.0, "HAProxy with Debian's timeouts, without timeout tunnel"),
    (60.0, "nginx's default proxy_read_timeout, an AWS ALB, or Apache's compiled-in Timeout"),
    (100.0, "Cloudflare, as its users report"),
    (120.0, "Cloudflare's proxy read timeout"),
    (240.0, "an Azure load balancer"),
    (300.0, "Envoy's stream_idle_timeout, Azure Front Door, or Apache as Debian ships it"),
    (350.0, "an AWS NLB"),
    (600.0, "AWS API Gateway, or Google Cloud's TCP timeout"),
)
"""Idle timeouts that products have unless told otherwise, in seconds: the first two measured, the others documented."""


def known_figure(seconds: float) -> str:
    """Whose default an idle timeout is, if it is one: up to 0.3 s early (nginx's lazy timers) or 1 s late."""
    return next((owner for figure, owner in KNOWN if figure - 0.35 <= seconds <= figure + 1.0), "")


def idle(
    endpoint: Endpoint,
    options: HandshakeOptions = ORDINARY,
    *,
    limit: float = 75.0,
    ping_every: float | None = None,
    timeout: float = 5.0,
) -> Probe:
    """The probe: passed if the tunnel still stands after ``limit`` seconds, and a ping is answered then.

    A peer that vanished without a word leaves a connection that looks open; without the answer nothing is decided.

    Details: ``lasted`` (from the 101 to the end, or to the limit), ``silent`` (from the last frame in either direction
    to the end), ``frames`` (how many came from the server), ``ended`` (``fin``, ``close``, ``reset`` ... or ``open``),
    ``close_code``, ``known`` (whose default ``silent`` is, if it was cut without a close frame), ``answers`` (whether
    the ping at the end was answered; missing if the tunnel had ended).

    Args:
        endpoint: Where to.
        options: Of the opening handshake.
        limit: Seconds to wait.
        ping_every: Seconds between pings of ours; None stays silent, but for pongs.
        timeout: Seconds to wait for the pong to the ping at the end.
    """

    def measure(tunnel: Tunnel) -> Steps[Outcome]:
        end, frames, due = tunnel.opened + limit, 0, tunnel.opened + (ping_every or limit)
        while True:
            seen = yield from tunnel.receive(min(end, due))
            if seen is not None:
                frames += seen.kind not in {"pong", "close"}
            elif tunnel.ended is not None:
                return _cut(tunnel.ended, tunnel, frames)
            elif due < end and ping_every:
                due = (yield from tunnel.ping(b"ws101")) + ping_every
            else:
                break
        details = _details(Ending(end, "open"), tunnel, frames)
        trip = yield from round_trip(tunnel, b"ws101 end", timeout)
        ending = ended_meanwhile(tunnel)
        if ending is not None:
            return _cut(ending, tunnel, frames)
        details += (("answers", trip is not None),)
        if trip is not None:
            return Outcome(Verdict.PASSED, f"the tunnel still stands after {limit:g} s", "", details)
        message = (
            f"nothing ended the tunnel within {limit:g} s, but the ping at the end is not answered: that it still "
            "stands is not proven, nobody may be there any more"
        )
        return Outcome(Verdict.UNDECIDED, message, "no-pong", details)

    return in_tunnel(endpoint, options, measure)


def _details(ending: Ending, tunnel: Tunnel, frames: int) -> tuple[tuple[str, Detail], ...]:
    silent = ending.at - min(tunnel.traffic, ending.at)
    known = known_figure(silent) if ending.how == "fin" else ""
    lasted = ending.at - tunnel.opened
    return (
        ("lasted", lasted),
        ("silent", silent),
        ("frames", frames),
        ("ended", ending.how),
        ("close_code", ending.code),
        ("known", known),
    )


def _cut(ending: Ending, tunnel: Tunnel, frames: int) -> Outcome:
    details = _details(ending, tunnel, frames)
    silent, known = ending.at - tunnel.traffic, str(dict(details)["known"])
    if ending.how == "fin":
        message = (
            f"the tunnel was cut after {silent:.1f} s of silence, without a close frame, as a proxy's idle timeout does"
        )
        return Outcome(Verdict.FAILED, message + (f" ({known})" if known else ""), "cut", details)
    found = lost(ending)
    verdict = Verdict.FAILED if found.verdict is Verdict.UNDECIDED else found.verdict
    lasted = ending.at - tunnel.opened
    return Outcome(verdict, f"{found.message} after {lasted:.1f} s", found.class_, details)
