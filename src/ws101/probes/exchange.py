"""One request, one answer: the beginning of every probe, and the probe for plain requests and replays."""

from __future__ import annotations

from ws101.http1 import BODY_LIMIT, Fault, Kind, Request, Response, ResponseReader
from ws101.lazy import dataclass, lazy_pattern
from ws101.probes.core import Close, Data, Eof, HandshakeResult, Log, Observation, Probe, Receive, Send, Steps, Verdict
from ws101.probes.endpoint import Endpoint
from ws101.probes.masking import secrets_of
from ws101.text import strip

__all__ = ["Asked", "ask", "below_http", "body_lines", "exchange", "plain_request", "summary", "tells_of_tls"]

_HIDDEN = lazy_pattern(r"(?is)<(script|style)\b.*?</\1\s*>|<!--.*?-->")
_TAG = lazy_pattern(r"<[^<>]*>")
_PLAIN_TO_TLS = lazy_pattern(
    r"(?i)plain HTTP request was sent to (?:an )?HTTPS|client sent an HTTP request to an HTTPS server"
)


@dataclass(frozen=True, slots=True)
class Asked:
    """An exchange, what came after it, and when it ended on the probe's clock."""

    result: HandshakeResult
    rest: bytes
    at: float


def ask(log: Log, request: Request, *, until: float, limit: int = BODY_LIMIT) -> Steps[Asked]:
    """Send a request and read the answer until it is complete, out of bounds, cut short, or ``until`` has come.

    Args:
        log: Gets what was sent and received.
        request: Sent exactly as it encodes.
        until: Time on the driver's clock, seconds.
        limit: How many bytes of the body to read.
    """
    reader = ResponseReader(method=request.method, limit=limit)
    event = yield Send(request.encode())
    begin, first, ended = event.at, event.at, ""
    log.add(begin, "sent", request.encode())
    while not reader.done:
        event = yield Receive(until)
        if isinstance(event, Data):
            first = first if reader.started else event.at
            reader.feed(event.data)
        elif isinstance(event, Eof):
            ended = event.error or "eof"
            reader.stop() if event.error else reader.eof()
        else:
            ended = "timeout"
            reader.stop()
    answer = reader.answer()
    if answer.raw:
        log.add(first, "received", answer.raw)
    if not answer.complete and ended:
        log.add(event.at, "note", _ENDINGS.get(ended, ended))
    result = HandshakeResult(
        request,
        answer.response,
        answer.raw,
        answer.kind,
        answer.faults,
        body_lines(answer.response, log),
        complete=answer.complete,
        head_size=answer.head_size,
        seconds=first - begin if answer.raw else None,
        ended="" if answer.complete else ended,
    )
    return Asked(result, reader.rest, event.at)


_ENDINGS = {
    "eof": "the server closed the connection",
    "reset": "the server reset the connection",
    "timeout": "no more came in time",
}


def exchange(request: Request, *, timeout: float = 10.0, limit: int = BODY_LIMIT) -> Probe:
    """The probe that sends one request as it is, and passes if an HTTP answer with a complete head comes back.

    Args:
        request: Sent exactly as it encodes.
        timeout: Seconds for the whole exchange.
        limit: How many bytes of the body to read.
    """
    log = Log(secrets_of(request))
    asked = yield from ask(log, request, until=timeout, limit=limit)
    yield Close()
    failure, message = below_http(asked.result, log)
    verdict = Verdict.FAILED if failure else Verdict.PASSED
    if not failure:
        message = f"the server answered {summary(asked.result.response, log)}"
    return Observation(verdict, message, failure, log.entries(), (), asked.result)


def plain_request(endpoint: Endpoint, headers: tuple[tuple[str, str], ...] = (), *, method: str = "GET") -> Request:
    """A plain request, as a browser would ask for a page: no Upgrade, HTTP/1.1, ``Connection: close``."""
    fields = [("Host", endpoint.host_header), ("User-Agent", "ws101"), ("Accept", "*/*"), ("Connection", "close")]
    if endpoint.authorization:
        fields.append(("Authorization", endpoint.authorization))
    named = {name.lower() for name, _ in headers}
    return Request(method, endpoint.target, "HTTP/1.1", (*(f for f in fields if f[0].lower() not in named), *headers))


def summary(response: Response | None, log: Log) -> str:
    """Status, reason and the body's first line: what a person wants to know of an answer first."""
    if response is None:
        return "nothing readable"
    lines = [line for line in body_lines(response, log) if line != f"{response.status} {response.reason}"]
    said = f': "{lines[0][:120]}"' if lines else ""
    return f"{response.status} {log.mask(response.reason)}".rstrip(" ") + said


def body_lines(response: Response | None, log: Log, *, count: int = 3) -> tuple[str, ...]:
    """The first lines of a body that say something, at most 200 characters each, tags of HTML removed."""
    if response is None:
        return ()
    text = response.body[:8192]
    if "html" in (response.header("Content-Type") or "").lower() or text.lstrip(" \t\r\n")[:1] == "<":
        text = _TAG.sub("\n", _HIDDEN.sub("\n", text))
    lines = [stripped[:200] for line in text.split("\n") if (stripped := strip(log.mask(line)))]
    return tuple(dict.fromkeys(lines))[:count]


def below_http(result: HandshakeResult, log: Log) -> tuple[str, str]:
    """Why there is no readable HTTP answer: the failure's name and a message; both empty if there is one."""
    if result.kind is Kind.HTTP:
        return _broken_head(result)
    if result.kind is Kind.NOTHING:
        return result.ended, _NOTHING.get(result.ended, f"the connection failed: {result.ended}")
    start = log.mask(result.raw.decode("latin-1")).split("\n")[0].rstrip("\r")[:60]
    messages = {
        Kind.SSH: ("not-http", f'an SSH server answered: "{start}"'),
        Kind.HTTP2: ("http2-only", "the server began with an HTTP/2 frame: this port does not speak HTTP/1.1"),
        Kind.TLS: ("tls-plain-mismatch", "the server answered with TLS: the port wants wss:// (https://)"),
        Kind.GARBAGE: ("not-http", f'what came back is not HTTP: "{start}"'),
    }
    return messages[result.kind]


_NOTHING = {
    "eof": "the server closed the connection without an answer",
    "reset": "the server reset the connection without an answer",
    "timeout": "the server took the request and did not answer in time",
    "client-certificate": "the server wants a client certificate",
}


def _broken_head(result: HandshakeResult) -> tuple[str, str]:
    if Fault.HEAD_TOO_LARGE in result.faults:
        return "head-too-large", f"the answer's head did not end within {result.head_size} bytes"
    if Fault.HEAD_CUT_SHORT in result.faults:
        if Fault.BARE_CR in result.faults:
            return "malformed-head", "the answer ends its lines with CR alone"
        return result.ended, f"the answer broke off within its head: {_ENDINGS.get(result.ended, result.ended)}"
    if result.response is None:
        return "malformed-head", "the answer's status line is malformed"
    return "", ""


def tells_of_tls(result: HandshakeResult) -> bool:
    """Whether the answer is the 400 of a TLS port to a plain request (nginx's 497, Go's net/http, Apache)."""
    return result.status == 400 and result.response is not None and bool(_PLAIN_TO_TLS.search(result.response.body))
