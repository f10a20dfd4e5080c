"""The proof of an undo, by measuring: every route answers as it did before the change that is taken back.

What that was is in the change's journal, written down before its first byte was.  The files are put back whatever the
routes answer, because they were asked for; what is not as it was then is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import cast

from ws101.host.dial import Network, Resolve
from ws101.host.journal import Journal
from ws101.host.outcome import Verdict
from ws101.host.proof import Measured, OnMeasured, Watched, answer_of, counted, measure, written_down
from ws101.lazy import dataclass
from ws101.probes.endpoint import parse_ws_url
from ws101.probes.handshake import ORDINARY, HandshakeOptions

__all__ = ["MEASURED", "UndoProof", "proof_of_undo"]

MEASURED = "measured"
"""The journal's word for what was measured before a change was written."""

_UNKNOWN = "what was answered before that change was not written down, so nothing was compared"


@dataclass(slots=True)
class UndoProof:
    """Watches an undo (see ``ws101.host.outcome.Proof``).

    Args:
        watched: What is measured.
        then: What each answered before the change, by URL.
        on_measured: Called with a word for the phase, the route and what was measured.
    """

    watched: tuple[Watched, ...]
    then: Mapping[str, Measured]
    on_measured: OnMeasured | None = None
    old: dict[str, Measured] = field(default_factory=dict)

    def before(self) -> Verdict:
        """Measure what is answered until the change is taken back."""
        self.old = self._measured("before")
        return Verdict(True, counted(len(self.watched)), written_down(self.watched, self.old))

    def after(self) -> Verdict:
        """Compare with what was answered before the change."""
        if not self.watched:
            return Verdict(True, _UNKNOWN, measured=False)
        now = self._measured("after")
        same = [url for url, then in self.then.items() if _same(then, now[url])]
        told = [f"{url} answers {answer_of(now[url])}, as before the change" for url in same]
        other = [
            f"{url} answers {answer_of(now[url])}, before the change {answer_of(then)}"
            for url, then in self.then.items()
            if url not in same
        ]
        return Verdict(True, "; ".join([*other, *told]), shortfall="; ".join(other))

    def after_rollback(self) -> Verdict:
        """Whether every route answers as it did when the undo began."""
        now = self._measured("after rollback")
        other = [url for url, old in self.old.items() if not _same(old, now[url])]
        return Verdict(not other, f"{other[0]} answers {answer_of(now[other[0]])}" if other else "answers as before")

    def _measured(self, phase: str) -> dict[str, Measured]:
        return {item.endpoint.url: measure(phase, item, self.on_measured) for item in self.watched}


def _same(one: Measured, other: Measured) -> bool:
    return (one.status, one.works, one.plain) == (other.status, other.works, other.plain)


def proof_of_undo(
    journal: Journal, options: HandshakeOptions = ORDINARY, on_measured: OnMeasured | None = None
) -> UndoProof:
    """The proof of taking back a change.

    Args:
        journal: The change's journal.
        options: How the handshakes of the routes that it was about are made.
        on_measured: Called with a word for the phase, the route and what was measured.
    """
    rows = cast("Sequence[Mapping[str, object]]", journal.first(MEASURED).get("routes", ()))
    watched = tuple(_watched(row, options) for row in rows)
    then = {str(row["url"]): _measured(row) for row in rows}
    return UndoProof(watched, then, on_measured)


def _watched(row: Mapping[str, object], options: HandshakeOptions) -> Watched:
    places = cast("Sequence[tuple[str, int, Sequence[str]]]", row["at"])
    network = Network(
        resolve=tuple(Resolve(host, port, tuple(addresses)) for host, port, addresses in places),
        insecure=True,
        timeout=5.0,
    )
    aimed = bool(row["aimed"])
    return Watched(parse_ws_url(str(row["url"])), network, aimed, options=options if aimed else ORDINARY)


def _measured(row: Mapping[str, object]) -> Measured:
    status, plain = cast("tuple[int | None, int | None]", (row["status"], row["plain"]))
    return Measured(status, bool(row["works"]), plain, "")
