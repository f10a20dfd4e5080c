"""Does a large message get through, both ways?  Sends one and expects it back from an application that echoes."""

from __future__ import annotations

from ws101.probes.core import Probe, Steps, Verdict
from ws101.probes.endpoint import Endpoint
from ws101.probes.frames import Outcome, Tunnel, in_tunnel, lost
from ws101.probes.handshake import ORDINARY, HandshakeOptions

__all__ = ["large"]


def large(
    endpoint: Endpoint,
    options: HandshakeOptions = ORDINARY,
    *,
    size: int = 1024 * 1024,
    timeout: float = 30.0,
) -> Probe:
    """The probe: passed if the same bytes come back; silence is undecided, since an application need not echo.

    Details: ``size`` in bytes, ``seconds`` from the last byte sent to the whole message back.

    Args:
        endpoint: Where to.
        options: Of the opening handshake.
        size: Of the message, in bytes.
        timeout: Seconds to wait for it to come back.
    """
    message = (bytes(range(256)) * (size // 256 + 1))[:size]

    def measure(tunnel: Tunnel) -> Steps[Outcome]:
        sent = yield from tunnel.binary(message)
        while (seen := (yield from tunnel.receive(sent + timeout))) is not None:
            if seen.kind == "binary" and seen.data == message:
                details = (("size", size), ("seconds", seen.at - sent))
                return Outcome(Verdict.PASSED, f"{size} bytes went both ways", "", details)
        ending = tunnel.ended
        if ending is None:
            silence = f"the tunnel stands, and {size} bytes did not come back in {timeout:g} s"
            return Outcome(Verdict.UNDECIDED, silence, "no-echo", (("size", size),))
        if ending.code == 1009:
            return Outcome(Verdict.FAILED, f"the server takes no message of {size} bytes", "closed", _refused(size))
        return lost(ending, (("size", size),))

    return in_tunnel(endpoint, options, measure)


def _refused(size: int) -> tuple[tuple[str, int], ...]:
    return (("size", size), ("close_code", 1009))
