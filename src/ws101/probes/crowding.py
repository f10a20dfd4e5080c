"""Many connections at once: the plan, what became of them, and why one was refused."""

from __future__ import annotations

from collections.abc import Iterable

from ws101.lazy import dataclass
from ws101.probes.attribution import Answerer
from ws101.probes.hold import Refusal

__all__ = ["Cause", "Drop", "Failure", "Many", "Plan", "cause_of"]


@dataclass(frozen=True, slots=True)
class Plan:
    """How many, how fast, how long.

    Args:
        number: How many connections.
        rate: New connections a second; 0 opens them as fast as they are answered, 50 at once.
        seconds: How long to hold them after the last was opened.
    """

    number: int = 50
    rate: float = 50.0
    seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class Failure:
    """A connection that did not become a tunnel.

    Args:
        number: Which one, from 1.
        at: When, in seconds since the first was begun.
        refusal: Why.
        here: Whether it failed on this machine, before anything was sent.
    """

    number: int
    at: float
    refusal: Refusal
    here: bool = False


@dataclass(frozen=True, slots=True)
class Drop:
    """A tunnel that ended by itself.

    Args:
        number: Which one, from 1.
        at: When, in seconds since the first was begun.
        lasted: How long it had stood, in seconds.
        how: ``close``, ``fin``, ``reset`` or another error of the connection.
        code: The close code; None without a close frame.
    """

    number: int
    at: float
    lasted: float
    how: str
    code: int | None = None


@dataclass(frozen=True, slots=True)
class Many:
    """What became of all of them; times in seconds since the first was begun.

    Args:
        asked: How many were to be opened.
        tried: How many were begun.
        opened: How many became tunnels.
        peak: The most that stood at one time.
        held: How many still stood at the end.
        opening: How long the opening took, from the first begun to the last answered.
        latencies: How long each handshake took, sorted.
        first: The first failure; None if there was none.
        failures: How many failed, by class.
        drops: Tunnels that ended by themselves, in order.
        stopped: Why fewer were tried than asked for; empty if all were.
        marks: Moments that the caller marked, by name.
    """

    asked: int
    tried: int
    opened: int
    peak: int
    held: int
    opening: float
    latencies: tuple[float, ...]
    first: Failure | None
    failures: tuple[tuple[str, int], ...]
    drops: tuple[Drop, ...]
    stopped: str = ""
    marks: tuple[tuple[str, float], ...] = ()

    @property
    def good(self) -> bool:
        """Whether all were opened and stood to the end."""
        return self.held == self.opened == self.asked and not self.drops

    @property
    def rate(self) -> float:
        """Handshakes a second."""
        return self.opened / self.opening if self.opening > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Cause:
    """What stood in the way.

    Args:
        name: Short and stable: ``worker-connections``, ``open-files``, ``ephemeral-ports``, ``limit-conn``,
            ``backend``, ``backlog``; ``unknown``.
        confidence: ``proven``, ``likely`` or ``possible``.
        message: One clause.
        help: What to do about it.
    """

    name: str
    confidence: str
    message: str
    help: str = ""


_LOGGED = (
    ("worker_connections are not enough", "worker-connections", "nginx's worker has no connection left",
     "raise worker_connections (each tunnel takes two), and worker_rlimit_nofile with it"),
    ("Too many open files", "open-files", "nginx's worker may open no more files",
     "raise worker_rlimit_nofile to at least twice the tunnels"),
    ("Cannot assign requested address", "ephemeral-ports", "nginx has no free port left for connections to the backend",
     "give the backend more addresses, or a Unix socket; see net.ipv4.ip_local_port_range"),
    ("limiting connections", "limit-conn", "limit_conn refuses more connections",
     "raise limit_conn, if so many are meant"),
    ("limiting requests", "limit-conn", "limit_req refuses requests at this rate",
     "raise limit_req, or open them slower"),
    ("no live upstreams", "backend", "every address of the upstream has failed", "look at the backend"),
    ("Connection refused", "backend", "the backend refuses connections", "look at the backend's backlog and limits"),
)  # fmt: skip
"""What nginx writes into its error log (measured on 1.22.1 and 1.31.3), the more telling first."""

_HERE = {
    "open-files": Cause("open-files", "proven", "this process may open no more files", "raise the limit: ulimit -n"),
    "ephemeral-ports": Cause(
        "ephemeral-ports", "proven", "this machine has no free port left for connections to that address",
        "see net.ipv4.ip_local_port_range, or measure from several machines",
    ),
}  # fmt: skip

_ANSWERED = {
    500: Cause(
        "worker-connections", "likely", "nginx answers 500 when it has no connection left for the backend",
        "raise worker_connections (each tunnel takes two); nginx's error log says so at the level alert",
    ),
    503: Cause("limit-conn", "likely", "nginx answers 503 where limit_conn or limit_req refuses", "raise that limit"),
    429: Cause("limit-conn", "likely", "nginx answers 429 where limit_conn_status says so", "raise that limit"),
    502: Cause(
        "backend", "possible", "nginx could not connect to the backend, or has no port left for it",
        "nginx's error log tells which: 111 is the backend, 99 are the ports, 24 the open files",
    ),
    504: Cause("backend", "likely", "the backend takes connections and does not answer in time", "look at the backend"),
}  # fmt: skip
"""By the status of an answer that nginx made itself."""


def cause_of(refusal: Refusal, *, here: bool, standing: int, logged: Iterable[str] = ()) -> Cause:
    """The cause of a failure.

    Args:
        refusal: The failure.
        here: Whether it failed on this machine before anything was sent.
        standing: How many tunnels stood by then.
        logged: Lines that nginx wrote into its error log meanwhile; they prove.
    """
    if here:
        return _HERE.get(refusal.class_, Cause("unknown", "proven", refusal.message))
    lines = list(logged)
    for sign, name, message, help in _LOGGED:
        if any(sign in line for line in lines):
            return Cause(name, "proven", f'{message}: its error log says "{sign}"', help)
    if refusal.status in _ANSWERED and refusal.who is Answerer.NGINX:
        return _ANSWERED[refusal.status]
    if refusal.status is not None and standing and refusal.who is Answerer.BACKEND:
        return Cause(
            "backend", "likely", f"the backend answers {refusal.status} from here on", "it has a limit of its own"
        )
    if refusal.class_ in ("eof", "reset") and standing:
        message = "a connection closed without an answer is what nginx makes of worker_connections that are not enough"
        return Cause("worker-connections", "likely", message, "raise worker_connections (each tunnel takes two)")
    if refusal.class_ in ("refused", "timeout") and standing:
        message = "the server takes no more connections: its backlog is full, or a firewall counts them"
        return Cause("backlog", "possible", message, "see listen ... backlog=, net.core.somaxconn, and the firewall")
    return Cause("unknown", "possible", refusal.message, "ws101 URL looks for the cause of a single failure")
