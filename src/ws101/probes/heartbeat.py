"""The server's heartbeat: does it keep the tunnel alive, and notice a dead peer?  Listens, then plays dead.

Three steps on one connection: ping, and listen for the server's heartbeat (a ping, or the text ``2`` of Engine.IO,
which Socket.IO runs on); ping again; then stop answering, and wait to be dropped.
"""

from __future__ import annotations

from dataclasses import field

from ws101.lazy import dataclass, lazy_pattern
from ws101.probes.core import Detail, Probe, Steps, Verdict
from ws101.probes.endpoint import Endpoint
from ws101.probes.frames import Outcome, Seen, Tunnel, in_tunnel, lost
from ws101.probes.handshake import ORDINARY, HandshakeOptions
from ws101.probes.ping import ended_meanwhile, round_trip

__all__ = ["heartbeat"]

_ENGINE_IO = {"ping": b"2", "pong": b"3"}
_ANNOUNCED = lazy_pattern(rb'0\{.*"pingInterval":([0-9]{1,9})\b')
"""Engine.IO's first message, with the interval in milliseconds (Engine.IO protocol 4, "open")."""


def heartbeat(
    endpoint: Endpoint,
    options: HandshakeOptions = ORDINARY,
    *,
    listen: float = 30.0,
    prune: float = 60.0,
    timeout: float = 5.0,
) -> Probe:
    """The probe: passed if the server has a heartbeat and drops a peer that does not answer it.

    Details: ``kind`` (``ping``, ``engine.io`` or ``none``), ``first`` (seconds from the 101 to the first heartbeat),
    ``interval`` (between the first two; None if only one came), ``announced`` (the interval that Engine.IO names in its
    first message; None without), ``answered_first`` (whether the ping at the opening was
    answered), ``answers_pings`` (whether the one after listening was), ``pruned_after`` (seconds from the first
    heartbeat that was not answered to the end; None if not dropped), ``ended``, ``close_code``.  A server of which
    nothing comes any more, not even that answer, is of class ``vanished``.

    Args:
        endpoint: Where to.
        options: Of the opening handshake.
        listen: Seconds to wait for the first heartbeat, and again for the second.
        prune: Seconds to wait, without answering, to be dropped; 0 leaves out this step.
        timeout: Seconds to wait for the pong to our ping.
    """

    def measure(tunnel: Tunnel) -> Steps[Outcome]:
        yield from tunnel.ping(_FIRST)
        found = yield from _listen(tunnel, listen)
        details: tuple[tuple[str, Detail], ...] = (
            ("kind", found.kind),
            ("first", found.times[0] - tunnel.opened if found.times else None),
            ("interval", found.times[1] - found.times[0] if len(found.times) > 1 else None),
            ("announced", found.announced),
            ("answered_first", found.answered),
        )
        if tunnel.ended is not None:
            return lost(tunnel.ended, details)
        heard = tunnel.heard
        trip = yield from round_trip(tunnel, b"ws101", timeout)
        details += (("answers_pings", trip is not None),)
        ending = ended_meanwhile(tunnel)
        if ending is not None:
            return lost(ending, details)
        if trip is None and not found.times and tunnel.heard == heard:
            return Outcome(Verdict.FAILED, _vanished(tunnel, found, listen), "vanished", details)
        if not found.times and found.announced is not None and found.announced > listen:
            message = (
                f"no heartbeat within {listen:g} s, but one every {found.announced:g} s is announced: listen longer"
            )
            return Outcome(Verdict.UNDECIDED, message, "too-short", details)
        if not found.times:
            message = f"the server sent no heartbeat within {listen:g} s: it is for the client to keep the tunnel alive"
            return Outcome(Verdict.FAILED, message, "no-heartbeat", details)
        if prune <= 0:
            return Outcome(Verdict.PASSED, f"the server has a heartbeat ({found.kind})", "", details)
        return (yield from _play_dead(tunnel, found, prune, details))

    return in_tunnel(endpoint, options, measure)


_FIRST = b"ws101 first"


@dataclass(slots=True)
class _Found:
    kind: str = "none"
    times: list[float] = field(default_factory=list)
    answered: bool = False
    announced: float | None = None


def _vanished(tunnel: Tunnel, found: _Found, listen: float) -> str:
    """What is said of a server that has fallen silent; one that never answered a ping may only be ignoring them."""
    if found.answered:
        return (
            f"a ping at the opening was answered, and after {listen:g} s none is: the server has vanished or is "
            "frozen, and the connection looks open"
        )
    last = "nothing came" if tunnel.heard is None else f"nothing came after {tunnel.heard - tunnel.opened:.1f} s"
    return (
        f"{last}, and two pings within {listen:g} s were not answered: the server has vanished or is frozen, or it "
        "ignores pings, and the connection looks open"
    )


def _is_heartbeat(seen: Seen) -> str:
    if seen.kind == "ping":
        return "ping"
    return "engine.io" if seen.kind == "text" and seen.data == _ENGINE_IO["ping"] else ""


def _listen(tunnel: Tunnel, listen: float) -> Steps[_Found]:
    """Wait for two heartbeats; answer those of Engine.IO (a ping's pong is sent by the tunnel)."""
    found = _Found()
    until = tunnel.opened + listen
    while len(found.times) < 2 and (seen := (yield from tunnel.receive(until))) is not None:
        found.answered = found.answered or (seen.kind == "pong" and seen.data == _FIRST)
        if seen.kind == "text" and (told := _ANNOUNCED.match(seen.data)):
            found.announced = int(told[1]) / 1000
        if kind := _is_heartbeat(seen):
            found.kind = kind
            found.times.append(seen.at)
            until = seen.at + listen
        if kind == "engine.io":
            yield from tunnel.text(_ENGINE_IO["pong"])
    return found


def _play_dead(tunnel: Tunnel, found: _Found, prune: float, details: tuple[tuple[str, Detail], ...]) -> Steps[Outcome]:
    tunnel.frozen = True
    unanswered: float | None = None
    until = found.times[-1] + prune
    while (seen := (yield from tunnel.receive(until))) is not None:
        if unanswered is None and _is_heartbeat(seen):
            unanswered = seen.at
    ending = tunnel.ended
    if ending is None:
        message = f"the server still keeps a peer that has not answered for {prune:g} s"
        return Outcome(Verdict.FAILED, message, "no-prune", (*details, ("pruned_after", None), ("ended", "open")))
    after = ending.at - (found.times[-1] if unanswered is None else unanswered)
    details = (*details, ("pruned_after", after), ("ended", ending.how), ("close_code", ending.code))
    if unanswered is None:
        return lost(ending, details)
    return Outcome(Verdict.PASSED, f"the server drops a peer {after:.1f} s after a heartbeat unanswered", "", details)
