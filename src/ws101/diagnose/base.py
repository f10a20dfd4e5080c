"""What a diagnosis is made of: experiments, the facts they gave, causes, and the diagnosis itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from ws101.findings import Finding, Fix, Level
from ws101.http1 import Headers, Request, Response
from ws101.lazy import dataclass, lazy_pattern
from ws101.logs import Clue
from ws101.nginx.config import Unknown
from ws101.nginx.outcome import Forwarded, Trace
from ws101.probes.attribution import Answerer, Attribution, answered_by
from ws101.probes.core import Detail, Observation, Timings
from ws101.probes.endpoint import Endpoint
from ws101.probes.handshake import ORDINARY, HandshakeOptions
from ws101.text import Span

__all__ = [
    "CONFIDENCES",
    "Diagnosis",
    "Experiment",
    "Facts",
    "Observed",
    "Place",
    "RootCause",
    "Surroundings",
    "Tried",
    "blame",
    "equal_answers",
    "said",
]

CONFIDENCES = ("proven", "likely", "possible")
"""How sure a cause is, the surest first."""


@dataclass(frozen=True, slots=True)
class RootCause:
    """One cause of a broken or degraded WebSocket.

    Args:
        rule: The cause's name, as the rules and the list of causes have it.
        level: How bad it is.
        confidence: ``proven`` (an experiment decides it, model and observation agree, or the configuration alone proves
            it), ``likely`` or ``possible``.
        message: One clause: cause, then effect.
        span: The directive that decides; None if it is not in the configuration.
        evidence: What speaks for it, one clause each.
        fix: The edit that mends it, if one can.
        help: The advice in words.
        decided_by: The names of the experiments that decided; empty if the configuration alone did.
    """

    rule: str
    level: Level
    confidence: str
    message: str
    span: Span | None = None
    evidence: tuple[str, ...] = ()
    fix: Fix | None = None
    help: str = ""
    decided_by: tuple[str, ...] = ()


def blame(
    rule: str,
    confidence: str,
    message: str,
    *evidence: str,
    help: str,
    by: tuple[str, ...] = ("site",),
    span: Span | None = None,
    level: Level = Level.ERROR,
) -> RootCause:
    """A cause; empty and repeated clauses of evidence are left out."""
    kept = tuple(dict.fromkeys(clause for clause in evidence if clause))
    return RootCause(rule, level, confidence, message, span, kept, None, help, by)


@dataclass(frozen=True, slots=True)
class Observed:
    """What answered the live handshake; secrets masked.

    Args:
        status: The status; None if no HTTP answer came.
        reason: Its phrase.
        answered_by: ``backend``, ``nginx``, ``other`` or ``nobody``.
        timings: DNS, TCP, TLS and first byte, seconds.
        headers: The answer's header fields.
        body_excerpt: The first lines of the body.
        message: What the probe says of it, one clause.
        attribution: Why ``answered_by``, one clause each, the strongest first.
        request: What was sent; None if no connection stood to send it on.
        response: What came back; None if no HTTP answer came.
    """

    status: int | None
    reason: str
    answered_by: str
    timings: Timings
    headers: Headers = ()
    body_excerpt: tuple[str, ...] = ()
    message: str = ""
    attribution: tuple[str, ...] = ()
    request: Request | None = None
    response: Response | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """An experiment as it is reported.

    Args:
        name: Its short, stable name.
        title: What was done.
        answer: What came of it, one clause, secrets masked.
        passed: Whether it opened a tunnel, or got a good answer where none was hoped for.
        seconds: How long it took.
        figures: What it measured, by name; times in seconds.
    """

    name: str
    title: str
    answer: str
    passed: bool
    seconds: float
    figures: tuple[tuple[str, Detail], ...] = ()


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why a WebSocket fails, or that it works.

    Args:
        url: The address, secrets masked.
        verdict: ``works``, ``degraded``, ``broken`` or ``unknown``.
        root_causes: The first one to bite first.
        observed: The live handshake; None offline.
        predicted: What the model says; None without a configuration.
        agrees: Whether both tell the same; None if there are not both.
        unknown: What could not be known.
        tried: The experiments, in the order in which they were made.
        next_question: What to give or to run next, where the causes are not settled; empty if nothing helps further.
    """

    url: str
    verdict: str
    root_causes: tuple[RootCause, ...] = ()
    observed: Observed | None = None
    predicted: Trace | None = None
    agrees: bool | None = None
    unknown: tuple[Unknown, ...] = ()
    tried: tuple[Tried, ...] = ()
    next_question: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an experiment's connection leads.

    Args:
        endpoint: Scheme, host, port; the target is the request's own.
        unix: Path of a Unix socket to connect to instead.
        backend: Whether this is the backend's own address; else the site's, reached as the user's client reaches it.
        insecure: Whether any certificate will do.
        address: Connect to this address, whatever DNS says; empty looks the host up.
        same_address: Connect to the address that answered the live handshake, whatever DNS says.
        preface: Bytes sent before anything else, TLS included.
    """

    endpoint: Endpoint
    unix: str = ""
    backend: bool = False
    insecure: bool = False
    address: str = ""
    same_address: bool = False
    preface: bytes = b""

    @property
    def shown(self) -> str:
        """The address for people."""
        host = self.address or self.endpoint.host
        if self.unix:
            return f"unix:{self.unix}"
        return f"[{host}]:{self.endpoint.port}" if ":" in host else f"{host}:{self.endpoint.port}"


@dataclass(frozen=True, slots=True)
class Experiment:
    """One request on one connection.

    Args:
        name: Short and stable; part of the JSON.
        title: What is done, in words: ``the same handshake without Origin``.
        place: Where the connection leads.
        request: What is sent, exactly.
        pause: Seconds to wait before.
        tunnel: Whether a tunnel is hoped for; else any good answer will do.
    """

    name: str
    title: str
    place: Place
    request: Request
    pause: float = 0.0
    tunnel: bool = True


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the machine that nginx runs on shows without a connection.

    Args:
        stale: Files that changed after the running workers had loaded them.
        resolved: Names in the configuration and the addresses they have now.
        closed_sockets: Unix sockets that the workers' user cannot use, and why.
        selinux: Whether SELinux enforces rules here and forbids web servers to open connections.
        leaving: How many old workers still hold connections after a reload.
    """

    stale: tuple[str, ...] = ()
    resolved: tuple[tuple[str, tuple[str, ...]], ...] = ()
    closed_sockets: tuple[tuple[str, str], ...] = ()
    selinux: bool = False
    leaving: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is known when a cause is looked for.

    Args:
        endpoint: Where the WebSocket is opened.
        options: How.
        predicted: The trace of the opening handshake; None without a configuration.
        findings: The findings that concern the route it takes, the first to bite first.
        backends: Where the backend can be asked directly, in the order in which nginx tries them.
        results: What each experiment gave, by name; ``site`` is the live handshake itself.
        clues: What the logs say.
        around: What the machine shows.
        nginx: nginx's own address on this machine, where the live handshake went to another one; else None.
        inner: The prediction for the next hop, where the backend is the same nginx once more.
        inner_findings: The findings on that hop's route.
        ports: Other ports at which the configuration offers this name: number and whether with TLS.
        page: The address of the page that opens the WebSocket, as the browser's line shows it; empty if unknown.
        symptom: The browser's own code for the failure, for example ``1006``; empty if unknown.
        unknown: What could not be read or asked.
    """

    endpoint: Endpoint
    options: HandshakeOptions = ORDINARY
    predicted: Trace | None = None
    findings: tuple[Finding, ...] = ()
    backends: tuple[Place, ...] = ()
    results: Mapping[str, Observation] = field(default_factory=dict)
    clues: tuple[Clue, ...] = ()
    around: Surroundings = Surroundings()
    nginx: Place | None = None
    inner: Trace | None = None
    inner_findings: tuple[Finding, ...] = ()
    ports: tuple[tuple[int, bool], ...] = ()
    page: str = ""
    symptom: str = ""
    unknown: tuple[Unknown, ...] = ()

    @property
    def site(self) -> Observation | None:
        """The live handshake; None offline."""
        return self.results.get("site")

    @property
    def works(self) -> bool:
        """Whether the live handshake opened a tunnel."""
        return self.passed("site")

    @property
    def response(self) -> Response | None:
        """The live handshake's answer."""
        return _response(self.site)

    @property
    def status(self) -> int | None:
        """The live answer's status."""
        return self.response.status if self.response else None

    @property
    def answerer(self) -> Attribution:
        """Who made the live answer."""
        return answered_by(self.response)

    @property
    def by_nginx(self) -> bool:
        """Whether nginx itself made the live answer."""
        return self.answerer.who is Answerer.NGINX

    @property
    def forwarded(self) -> Forwarded | None:
        """What the model says reaches the backend."""
        return self.predicted.outcome.forwarded if self.predicted else None

    @property
    def sent(self) -> Request | None:
        """The live handshake's request."""
        return self.site.handshake.request if self.site and self.site.handshake else None

    def passed(self, name: str) -> bool:
        """Whether an experiment was made and opened a tunnel."""
        seen = self.results.get(name)
        return seen is not None and seen.passed

    def failed(self, name: str) -> bool:
        """Whether an experiment was made and opened none."""
        seen = self.results.get(name)
        return seen is not None and not seen.passed

    def class_of(self, name: str) -> str:
        """The failure's class of an experiment; empty if it passed or was not made."""
        seen = self.results.get(name)
        return seen.class_ if seen is not None else ""

    def status_of(self, name: str) -> int | None:
        """The status that an experiment got."""
        response = _response(self.results.get(name))
        return response.status if response else None

    def said(self, name: str) -> str:
        """What an experiment got, in words."""
        seen = self.results.get(name)
        return said(seen) if seen is not None else "not tried"

    def equals(self, name: str, other: str = "site") -> bool:
        """Whether two experiments got the same answer: the proof that they are the same request to the backend."""
        one, two = self.results.get(name), self.results.get(other)
        return one is not None and two is not None and equal_answers(one, two)

    def clue(self, *rules: str) -> Clue | None:
        """The first line of a log that tells of one of these causes."""
        return next((clue for clue in self.clues if clue.rule in rules), None)


def _response(seen: Observation | None) -> Response | None:
    return seen.handshake.response if seen is not None and seen.handshake is not None else None


def said(seen: Observation) -> str:
    """What came of an experiment, one short clause, secrets masked."""
    response = _response(seen)
    if response is None:
        return seen.message
    if seen.passed:
        return "101, a tunnel"
    lines = seen.handshake.body_lines if seen.handshake else ()
    told = next((line for line in lines if line != f"{response.status} {response.reason}"), "")
    return f"{response.status} {response.reason}".rstrip() + (f': "{told[:80]}"' if told else "")


_CLOSED = frozenset({"eof", "reset", "refused", "tls-plain-mismatch", "not-http", "unreachable", "tls"})
_VOLATILE = lazy_pattern(r"[0-9a-fA-F-]{8,}|[0-9]+")


def equal_answers(one: Observation, other: Observation) -> bool:
    """Whether two observations are the same answer: status and the beginning of the body.

    Figures within the bodies (times, counters, ids) may differ.  Where a backend closes without an answer, nginx makes
    a 502 of it, and a 504 of one that never answers.
    """
    a, b = _response(one), _response(other)
    if a is not None and b is not None:
        return a.status == b.status and a.reason == b.reason and _excerpt(a) == _excerpt(b)
    if a is None and b is None:
        return one.class_ == other.class_
    seen, lost = (a, other) if a is not None else (b, one)
    if seen is None or answered_by(seen).who is not Answerer.NGINX:
        return False
    return (seen.status == 502 and lost.class_ in _CLOSED) or (seen.status == 504 and lost.class_ == "timeout")


def _excerpt(response: Response) -> str:
    return _VOLATILE.sub("#", response.body[:2048])
