"""What a probe is: a generator of commands, with no socket in sight, that returns an ``Observation``.

Theory of operation: a probe yields ``Send``, ``Receive``, ``Wait`` or ``Close`` and is sent an event, each with the
time on the driver's clock: ``Done`` after Send, Wait and Close; ``Data``, ``Eof`` or ``TimedOut`` after Receive.  One
probe is one connection, and its clock starts at 0 when that connection stands.  Whatever a probe says it derives from
the bytes and the times it was sent, so a driver that replays a script (``ws101.probes.replay``) gives the same outcome
as one with sockets (``ws101.host.network``), however the bytes are cut.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import field
from enum import StrEnum
from typing import TypeVar

from ws101.http1 import Fault, Headers, Kind, Request, Response
from ws101.lazy import dataclass
from ws101.probes.masking import mask

__all__ = [
    "FAILURES",
    "Check",
    "Close",
    "Command",
    "Connection",
    "Data",
    "Detail",
    "Done",
    "Entry",
    "Eof",
    "Event",
    "HandshakeResult",
    "Log",
    "Observation",
    "Probe",
    "Receive",
    "Send",
    "Steps",
    "TimedOut",
    "Timings",
    "TlsFacts",
    "Verdict",
    "Wait",
    "drive",
]


class Verdict(StrEnum):
    """A probe's outcome; undecided never counts as passed."""

    PASSED = "passed"
    FAILED = "failed"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Send:
    """Send these bytes; answered by Done, or by Eof if the connection is gone."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Receive:
    """Wait for bytes until a time on the driver's clock; answered by Data, Eof or TimedOut."""

    until: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing until a time on the driver's clock, and leave what comes unread; answered by Done."""

    until: float


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection; answered by Done."""


@dataclass(frozen=True, slots=True)
class Done:
    """The command is carried out; for Send, the time is that at which sending began."""

    at: float


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes have come; never empty."""

    at: float
    data: bytes


@dataclass(frozen=True, slots=True)
class Eof:
    """The connection has ended: in good order (``error`` empty), or by an error that is one of `FAILURES`."""

    at: float
    error: str = ""


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The time given is over."""

    at: float


Command = Send | Receive | Wait | Close
"""What a probe yields."""

Event = Done | Data | Eof | TimedOut
"""What a probe is sent."""

_T = TypeVar("_T")

Steps = Generator[Command, Event, _T]
"""A part of a probe, to be used with ``yield from``."""


FAILURES: dict[str, str] = {
    "dns": "the name has no address",
    "refused": "nothing listens there, or a firewall refuses",
    "unreachable": "there is no route to the address",
    "timeout": "no answer in time",
    "eof": "the connection was closed without an answer, or in the middle of one",
    "reset": "the connection was reset",
    "proxy": "the HTTP proxy did not open a connection",
    "certificate": "the certificate is not to be trusted",
    "client-certificate": "the server wants a client certificate",
    "tls": "TLS could not be agreed on",
    "tls-plain-mismatch": "one side speaks TLS and the other does not",
    "http2-only": "the server speaks HTTP/2 alone",
    "not-http": "what answered does not speak HTTP",
    "malformed-head": "the answer's head breaks the rules of HTTP",
    "head-too-large": "the answer's head is larger than clients take",
    "redirect": "the server answered with a redirect, which clients of WebSockets do not follow",
    "authentication": "the server asks for credentials",
    "status": "the status is not 101",
    "http-version": "the answer is not HTTP/1.1",
    "missing-upgrade": "the 101 has no Upgrade field",
    "wrong-upgrade": "the 101 does not upgrade to websocket",
    "missing-connection": "the 101 has no Connection field",
    "wrong-connection": "the Connection field of the 101 lacks upgrade",
    "missing-accept": "the 101 has no Sec-WebSocket-Accept field",
    "accept-mismatch": "Sec-WebSocket-Accept does not match the key",
    "unrequested-extension": "the server chose an extension that was not offered",
    "unrequested-subprotocol": "the server chose a subprotocol that was not offered",
    "missing-subprotocol": "subprotocols were offered and none was chosen, which browsers refuse",
    "masked-frame": "the server masks its frames",
    "html-after-101": "after the 101 comes a page of HTML instead of frames",
    "invalid-frame": "after the 101 comes something that is not a WebSocket frame",
    "too-large": "the server sends a message larger than is taken",
    "no-echo": "the server took the message and sent nothing back",
    "no-pong": "the server does not answer a ping",
    "no-close": "the server does not answer a close frame",
    "no-heartbeat": "the server sends nothing of its own that keeps an idle tunnel alive",
    "too-short": "the heartbeat that the server announces is slower than it was listened for",
    "vanished": "nothing comes any more, and the connection looks open",
    "no-prune": "the server keeps a peer that does not answer its heartbeat",
    "closed": "the server closed the tunnel",
    "cut": "the tunnel ended without a close frame",
}
"""Every failure's short, stable name and what it means; the ``class_`` of observations and network errors."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a transcript.

    Args:
        at: Seconds on the probe's clock.
        direction: ``sent``, ``received``, or ``note`` for what was seen rather than sent.
        text: Latin-1, secrets masked; for terminals it must still pass through ``ws101.text.printable``.
    """

    at: float
    direction: str
    text: str


class Log:
    """Builds a transcript: masks secrets, keeps it bounded.

    Args:
        secrets: Values that must not appear anywhere, whatever stands around them.
        limit: How many characters of one entry to keep.
    """

    def __init__(self, secrets: tuple[str, ...] = (), *, limit: int = 64 * 1024) -> None:
        self.secrets = secrets
        self._limit = limit
        self._entries: list[Entry] = []

    def add(self, at: float, direction: str, text: bytes | str) -> None:
        """Add an entry; bytes are decoded as latin-1."""
        shown = text.decode("latin-1") if isinstance(text, bytes) else text
        shown = self.mask(shown)
        dropped = len(shown) - self._limit
        if dropped > 0:
            shown = f"{shown[: self._limit]}[{dropped} more bytes]"
        self._entries.append(Entry(at, direction, shown))

    def mask(self, text: str) -> str:
        """Text without secrets."""
        return mask(text, self.secrets)

    def entries(self) -> tuple[Entry, ...]:
        """The transcript."""
        return tuple(self._entries)


@dataclass(frozen=True, slots=True)
class Check:
    """One requirement on the answer to an opening handshake.

    Args:
        name: Short and stable, for example ``accept``.
        passed: Whether it is met.
        message: What was seen, one clause, secrets masked.
        section: Where it is required, for example ``RFC 6455 section 4.1``.
        class_: The failure's name in `FAILURES`; empty if passed.
    """

    name: str
    passed: bool
    message: str
    section: str
    class_: str = ""


@dataclass(frozen=True, slots=True)
class HandshakeResult:
    """An opening handshake, or a plain exchange, as sent and as answered.

    ``request``, ``response`` and ``raw`` are exact, secrets included, because answers are compared by them: mask them
    (``ws101.probes.masking``) before they are shown.  ``body_lines`` and the checks' messages are masked already.

    Args:
        request: As sent.
        response: As received, body without transfer coding and up to a bound; None if no head could be made out.
        raw: The bytes received, up to a bound.
        kind: What the bytes are.
        faults: What is wrong with the head or body by RFC 9112.
        body_lines: The first lines of the body that say something, secrets masked, tags of HTML removed.
        checks: The requirements, in the order in which they decide.
        complete: Whether the whole answer was seen.
        head_size: Size of the answer's head in bytes.
        seconds: From the request sent to the first byte of the answer; None if none came.
        ended: How the connection ended before the answer was complete: ``eof``, ``reset``, ``timeout``; else empty.
    """

    request: Request
    response: Response | None = None
    raw: bytes = b""
    kind: Kind = Kind.NOTHING
    faults: tuple[Fault, ...] = ()
    body_lines: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    complete: bool = False
    head_size: int = 0
    seconds: float | None = None
    ended: str = ""

    @property
    def status(self) -> int | None:
        """The answer's status, None if there is none."""
        return self.response.status if self.response else None

    @property
    def headers(self) -> Headers:
        """The answer's header fields, empty if there are none."""
        return self.response.headers if self.response else ()


@dataclass(frozen=True, slots=True)
class Timings:
    """How long each step took, in seconds; None if there was no such step, or it was not reached."""

    dns: float | None = None
    tcp: float | None = None
    tls: float | None = None
    http: float | None = None


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """What TLS showed.

    Args:
        version: For example ``TLSv1.3``.
        cipher: The cipher suite's name.
        alpn: The protocol chosen; None if the server chose none.
        chain: The certificates, the server's own first; only that one where the TLS library shows no more.
        name_matches: Whether the first certificate is for the name asked for.
        trusted: Whether the chain was verified; None if verification was switched off.
        problem: Why it is not trusted; empty if it is.
    """

    version: str = ""
    cipher: str = ""
    alpn: str | None = None
    chain: tuple[CertificateFacts, ...] = ()
    name_matches: bool | None = None
    trusted: bool | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """A certificate, as far as it matters here.

    Args:
        subject: The subject's common name, or its whole name if it has none.
        issuer: The issuer's, likewise.
        not_before: Start of validity, ``YYYY-MM-DDTHH:MM:SSZ``.
        not_after: Expiry, likewise.
        names: DNS names and IP addresses it is for.
    """

    subject: str
    issuer: str
    not_before: str
    not_after: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Connection:
    """The connection that a probe ran on.

    Args:
        address: ``ip:port``, ``[ip]:port`` or ``unix:path`` that answered.
        tried: ``address: failure`` of those that did not.
        timings: DNS, TCP, TLS, and HTTP to the first byte.
        tls: None without TLS.
        proxy: ``host:port`` of the HTTP proxy; empty if none.
    """

    address: str = ""
    tried: tuple[str, ...] = ()
    timings: Timings = field(default_factory=Timings)
    tls: TlsFacts | None = None
    proxy: str = ""


Detail = str | int | float | bool | None
"""One of a probe's own figures; times in seconds."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What a probe saw.

    Args:
        verdict: Passed, failed or undecided.
        message: One clause, latin-1, secrets masked; for terminals it must still pass through `ws101.text.printable`.
        class_: The failure's name in `FAILURES`; empty if there is none.
        transcript: What was sent and received, secrets masked.
        details: The probe's own figures by name; times in seconds.
        handshake: The opening handshake that the probe began with.
        connection: Filled in by the driver; None in a replay.
        help: What to do about it, one sentence; empty if there is nothing to add.
    """

    verdict: Verdict
    message: str
    class_: str = ""
    transcript: tuple[Entry, ...] = ()
    details: tuple[tuple[str, Detail], ...] = ()
    handshake: HandshakeResult | None = None
    connection: Connection | None = None
    help: str = ""

    @property
    def passed(self) -> bool:
        """Whether the verdict is passed."""
        return self.verdict is Verdict.PASSED

    def detail(self, name: str) -> Detail:
        """One of the details; None if there is no such one."""
        return dict(self.details).get(name)


Probe = Generator[Command, Event, Observation]
"""A probe, ready to be driven once."""


def drive(steps: Steps[_T], answer: Callable[[Command], Event]) -> _T:
    """Run a probe to its end, each command answered by ``answer``; errors raised there end the probe."""
    try:
        command = next(steps)
        while True:
            command = steps.send(answer(command))
    except StopIteration as stop:
        result: _T = stop.value
        return result
    finally:
        steps.close()
