"""The opening handshake (RFC 6455 section 4): build the request, read whatever answers, check every requirement.

No frames library is needed here: a probe of the handshake alone starts up fast.  After a good 101 the probe sends a
close frame of its own making, so that the application sees an orderly end, and looks at the first frame's two bytes.
"""

from __future__ import annotations

import binascii
import hashlib
from dataclasses import replace

from ws101.errors import UsageError
from ws101.http1 import BODY_LIMIT, Fault, Headers, Request, Response, tokens
from ws101.lazy import dataclass, lazy_pattern
from ws101.probes.core import (
    Check,
    Close,
    Data,
    HandshakeResult,
    Log,
    Observation,
    Probe,
    Receive,
    Send,
    Steps,
    Verdict,
)
from ws101.probes.endpoint import Endpoint
from ws101.probes.exchange import Asked, ask, below_http, summary, tells_of_tls
from ws101.probes.masking import secrets_of

__all__ = [
    "ORDINARY",
    "SAMPLE_KEY",
    "HandshakeOptions",
    "accept_for",
    "build_request",
    "check_frame_start",
    "check_response",
    "handshake",
    "knock",
    "open_tunnel",
]

SAMPLE_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
"""The key of RFC 6455's example; drivers put a random one in its place."""

HEAD_TAKEN = 16 * 1024
"""The largest head that common clients take: Node's default (--max-http-header-size), in bytes."""

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_NAME = lazy_pattern(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = lazy_pattern(r"[\x01-\x09\x0b\x0c\x0e-\xff]*")
_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class HandshakeOptions:
    """What to ask for, and how.

    Args:
        origin: The Origin field; None sends none.
        subprotocols: Offered in this order.
        extensions: The Sec-WebSocket-Extensions field, for example ``permessage-deflate``; empty offers none.
        headers: Further header fields; one with the name of a field made here takes its place.
        version: ``HTTP/1.1`` or ``HTTP/1.0``.
        connection: The Connection field, for example ``keep-alive, Upgrade`` as Firefox sends it; empty leaves it out.
        upgrade: The Upgrade field; empty leaves it out.
        key: The Sec-WebSocket-Key.
        host: The Host field; None takes the URL's.
        timeout: Seconds for the whole handshake, from the established connection on.
        limit: How many bytes of the body to read.
        linger: Seconds to wait for the first frame after a good 101 and our close frame; 0 does not wait.
    """

    origin: str | None = None
    subprotocols: tuple[str, ...] = ()
    extensions: str = ""
    headers: Headers = ()
    version: str = "HTTP/1.1"
    connection: str = "Upgrade"
    upgrade: str = "websocket"
    key: str = SAMPLE_KEY
    host: str | None = None
    timeout: float = 10.0
    limit: int = BODY_LIMIT
    linger: float = 1.0


ORDINARY = HandshakeOptions()
"""What most clients send."""


def accept_for(key: str) -> str:
    """The Sec-WebSocket-Accept that answers a key (RFC 6455 section 4.2.2, step 5.4)."""
    digest = hashlib.sha1(key.encode("latin-1") + _GUID, usedforsecurity=False).digest()
    return binascii.b2a_base64(digest, newline=False).decode("ascii")


def build_request(endpoint: Endpoint, options: HandshakeOptions) -> Request:
    """The opening handshake's request (RFC 6455 section 4.1).

    Raises:
        UsageError: If a header field's name is no token, or a value holds a line end or characters beyond latin-1.
    """
    fields = [
        ("Host", endpoint.host_header if options.host is None else options.host),
        ("User-Agent", "ws101"),
        ("Connection", options.connection),
        ("Upgrade", options.upgrade),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", options.key),
        ("Sec-WebSocket-Extensions", options.extensions),
        ("Sec-WebSocket-Protocol", ", ".join(options.subprotocols)),
        ("Origin", options.origin or ""),
        ("Authorization", endpoint.authorization),
    ]
    given = {name.lower() for name, _ in options.headers}
    kept = [(name, value) for name, value in fields if value and name.lower() not in given]
    headers = (*kept, *options.headers)
    if "host" in given:
        headers = tuple(sorted(headers, key=lambda field: field[0].lower() != "host"))
    for name, value in headers:
        _refuse_bad_field(name, value)
    return Request("GET", endpoint.target, options.version, headers)


def _refuse_bad_field(name: str, value: str) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError("this is not the name of a header field", where=repr(name[:60]), help="write 'Name: value'")
    if not _VALUE.fullmatch(value):
        raise UsageError(f"the value of {name} holds a character that a header field cannot", where=name)


def handshake(endpoint: Endpoint, options: HandshakeOptions = ORDINARY) -> Probe:
    """The probe: one opening handshake, every requirement checked; passed only if all are met."""
    return knock(build_request(endpoint, options), options)


def knock(request: Request, options: HandshakeOptions = ORDINARY) -> Probe:
    """The same probe with a request that is made already, whatever it lacks; of the options the limits count."""
    log = Log(secrets_of(request))
    asked, failure, message = yield from open_tunnel(log, request, options)
    result = asked.result
    if not failure:
        frame = yield from _take_leave(log, asked, options)
        result = replace(result, checks=(*result.checks, *frame))
        failure, message = _first_failure(result.checks, message)
    yield Close()
    verdict = Verdict.FAILED if failure else Verdict.PASSED
    return Observation(verdict, message, failure, log.entries(), (), result)


def open_tunnel(log: Log, request: Request, options: HandshakeOptions) -> Steps[tuple[Asked, str, str]]:
    """The handshake alone: the exchange with its checks, the failure's name (empty if none), and a message."""
    asked = yield from ask(log, request, until=options.timeout, limit=options.limit)
    failure, message = below_http(asked.result, log)
    if not failure and asked.result.response is not None:
        checks = check_response(request, asked.result, log)
        asked = replace(asked, result=replace(asked.result, checks=checks))
        good = f"the server opened a tunnel with {summary(asked.result.response, log)}"
        failure, message = _first_failure(checks, good)
    return asked, failure, message


def _first_failure(checks: tuple[Check, ...], message: str) -> tuple[str, str]:
    failed = next((check for check in checks if not check.passed), None)
    return (failed.class_, failed.message) if failed else ("", message)


def check_response(request: Request, result: HandshakeResult, log: Log) -> tuple[Check, ...]:
    """The requirements on an answer, in the order in which they decide; without a 101 only those that tell."""
    if result.response is None:
        return ()
    checks = [_status(result, result.response, log), _syntax(result), _size(result), _version(result.response)]
    if result.status == 101:
        needed = (_upgrade, _connection, _accept, _extensions, _subprotocol)
        checks += [check(request, result.response) for check in needed]
    return tuple(_masked(check, log) for check in checks)


def _masked(check: Check, log: Log) -> Check:
    message = log.mask(check.message)
    return check if message == check.message else replace(check, message=message)


def _verdict(name: str, section: str, class_: str, good: str, bad: str) -> Check:
    """A check that failed if ``class_`` is not empty."""
    return Check(name, not class_, bad if class_ else good, section, class_)


def _status(result: HandshakeResult, response: Response, log: Log) -> Check:
    class_, message = "status", f"the server answered {summary(response, log)} instead of 101 Switching Protocols"
    if response.status == 101:
        class_ = ""
    elif tells_of_tls(result):
        class_, message = "tls-plain-mismatch", f"a TLS port got a plain request: {summary(response, log)}"
    elif response.status in _REDIRECTS:
        location = response.header("Location") or "nowhere"
        class_, message = "redirect", f"the server answered {response.status} and redirects to {location}"
    elif response.status in (401, 407):
        class_ = "authentication"
    return _verdict("status", "RFC 6455 section 4.1, 1", class_, "the status is 101", message)


def _syntax(result: HandshakeResult) -> Check:
    faults = [fault for fault in result.faults if fault not in (Fault.BODY_CUT_SHORT, Fault.BAD_CHUNK)]
    bad = f"the answer's head is malformed ({', '.join(faults)}): strict clients refuse it"
    return _verdict(
        "head", "RFC 9112 sections 2 to 5", "malformed-head" if faults else "", "the head is well-formed", bad
    )


def _size(result: HandshakeResult) -> Check:
    size = result.head_size
    class_ = "head-too-large" if size > HEAD_TAKEN else ""
    bad = (
        f"the answer's head has {size} bytes; many clients take {HEAD_TAKEN} at most, and nginx as a proxy 4096 or 8192"
    )
    return _verdict("head-size", "RFC 9110 section 5.4", class_, f"the head has {size} bytes", bad)


def _version(response: Response) -> Check:
    class_ = "" if response.version == "HTTP/1.1" else "http-version"
    bad = f"the answer is {response.version}: only HTTP/1.1 can switch protocols"
    return _verdict("http-version", "RFC 6455 section 4.2.2, 5", class_, "the answer is HTTP/1.1", bad)


def _listed(response: Response, field: str, token: str) -> str:
    """The failure's ending for a field that must list a token: empty, ``missing`` or ``wrong``."""
    values = response.values(field)
    return "missing" if not values else "" if token in tokens(values) else "wrong"


def _upgrade(_: Request, response: Response) -> Check:
    kind = _listed(response, "Upgrade", "websocket")
    bad = f"the 101 says Upgrade: {response.header('Upgrade')}" if kind == "wrong" else "the 101 has no Upgrade field"
    return _verdict("upgrade", "RFC 6455 section 4.1, 2", kind and f"{kind}-upgrade", "Upgrade is websocket", bad)


def _connection(_: Request, response: Response) -> Check:
    kind = _listed(response, "Connection", "upgrade")
    value = response.header("Connection")
    bad = f"the 101 says Connection: {value}" if kind == "wrong" else "the 101 has no Connection field"
    return _verdict(
        "connection", "RFC 6455 section 4.1, 3", kind and f"{kind}-connection", "Connection lists upgrade", bad
    )


def _accept(request: Request, response: Response) -> Check:
    expected, values = accept_for(request.header("Sec-WebSocket-Key") or ""), response.values("Sec-WebSocket-Accept")
    class_ = "missing-accept" if not values else "" if values == (expected,) else "accept-mismatch"
    bad = f"Sec-WebSocket-Accept is {', '.join(values)}, must be {expected}" if values else _NO_ACCEPT
    return _verdict("accept", "RFC 6455 section 4.1, 4", class_, "Sec-WebSocket-Accept matches the key", bad)


_NO_ACCEPT = "the 101 has no Sec-WebSocket-Accept field: browsers refuse it"


def _extensions(request: Request, response: Response) -> Check:
    offered = {_extension(item) for item in tokens(request.values("Sec-WebSocket-Extensions"))}
    extra = [item for item in tokens(response.values("Sec-WebSocket-Extensions")) if _extension(item) not in offered]
    bad = f"the server chose the extension {', '.join(extra)}, which was not offered"
    class_ = "unrequested-extension" if extra else ""
    return _verdict("extensions", "RFC 6455 section 4.1, 5", class_, "no extension that was not offered", bad)


def _extension(item: str) -> str:
    return item.partition(";")[0].rstrip(" \t")


def _subprotocol(request: Request, response: Response) -> Check:
    offered = [p.strip(" \t") for v in request.values("Sec-WebSocket-Protocol") for p in v.split(",") if p.strip(" \t")]
    chosen = response.values("Sec-WebSocket-Protocol")
    section = "RFC 6455 section 4.1, 6"
    if not chosen and offered:
        bad = "the server chose none of the subprotocols offered: browsers refuse that"
        return _verdict("subprotocol", "WebSockets Standard section 2", "missing-subprotocol", "", bad)
    bad = f"the server chose the subprotocol {', '.join(chosen)}, which was not offered"
    class_ = "unrequested-subprotocol" if chosen and (len(chosen) > 1 or chosen[0] not in offered) else ""
    return _verdict("subprotocol", section, class_, "no subprotocol that was not offered", bad)


def _take_leave(log: Log, asked: Asked, options: HandshakeOptions) -> Steps[tuple[Check, ...]]:
    """Send a close frame and look at the first frame that comes."""
    key = hashlib.sha1(options.key.encode("latin-1"), usedforsecurity=False).digest()[:4]
    event = yield Send(b"\x88\x82" + key + bytes(a ^ b for a, b in zip(b"\x03\xe8", key, strict=False)))
    log.add(event.at, "sent", "close frame, code 1000")
    until, seen = min(options.timeout, event.at + options.linger), asked.rest
    while len(seen) < 2 and options.linger > 0:
        event = yield Receive(until)
        if not isinstance(event, Data):
            break
        seen += event.data
    if len(seen) < 2:
        log.add(event.at, "note", "no frame came back")
        return ()
    compressed = bool(asked.result.response and asked.result.response.header("Sec-WebSocket-Extensions"))
    check = check_frame_start(seen[:2], compressed=compressed)
    log.add(event.at, "received", f"a frame of {_OPCODES[seen[0] & 15]}" if check.passed else seen[:2])
    return (check,)


_OPCODES = {0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}


def check_frame_start(start: bytes, *, compressed: bool) -> Check:
    """Whether two bytes can begin a frame from a server (RFC 6455 sections 5.1 and 5.2)."""
    class_, bad = "", ""
    if start[:1] == b"<":
        class_, bad = (
            "html-after-101",
            "after the 101 comes HTML instead of frames: what sent the 101 is no WebSocket server",
        )
    elif start[0] & (0x30 if compressed else 0x70) or start[0] & 15 not in _OPCODES:
        class_, bad = "invalid-frame", f"after the 101 comes no frame: its first bytes are {start.hex(' ')}"
    elif start[1] & 0x80:
        class_, bad = "masked-frame", "the server masks its frames, which only clients do"
    return _verdict("first-frame", "RFC 6455 section 5.1", class_, "the first frame begins well", bad)
