"""One of many: an opening handshake, and then the tunnel is held until it ends or it is time to leave.

Thousands of these run at once, so each keeps little: the ordinary answer is read with a few searches in its bytes, and
only another one is read and checked as every probe does (``ws101.probes.handshake``).  Pings are answered, messages are
passed over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from ws101.http1 import Request, Response, ResponseReader
from ws101.lazy import dataclass
from ws101.probes.attribution import Answerer, answered_by
from ws101.probes.core import Close, Data, Eof, HandshakeResult, Log, Receive, Send, Steps
from ws101.probes.endpoint import Endpoint
from ws101.probes.exchange import below_http, body_lines
from ws101.probes.handshake import HandshakeOptions, accept_for, build_request, check_response
from ws101.probes.masking import secrets_of

__all__ = ["Held", "Knock", "Refusal", "hold", "knock_of"]

_FOREVER = Receive(float("inf"))
_PLACE = "ws101-the-key-of-one===="
_LEAVE = b"\x88\x82\0\0\0\0\x03\xe8"
_LIMIT = 4096
_PATIENCE = 1.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a handshake failed.

    Args:
        class_: The failure's name in `ws101.probes.core.FAILURES`.
        message: One clause, secrets masked.
        status: The answer's status; None if there is none.
        who: Who made the answer.
    """

    class_: str
    message: str
    status: int | None = None
    who: Answerer = Answerer.NOBODY


class Held(NamedTuple):
    """How one of many went; times in seconds on its own clock, which begins when its connection stands.

    Args:
        answered: How long the handshake took; None if it failed.
        ended: When the tunnel ended by itself; None if it was left, or never stood.
        how: ``close``, ``fin``, ``reset`` or another error of the connection; ``left``; empty if it never stood.
        code: The close code; None without a close frame.
        refusal: Why the handshake failed.
    """

    answered: float | None = None
    ended: float | None = None
    how: str = ""
    code: int | None = None
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Knock:
    """The request of all of them; only the key differs.

    Args:
        before: The request's bytes before the key.
        after: The bytes after it.
        request: The request, with a key of no meaning.
        options: Of the handshake.
        reading: How long to wait for the answer.
    """

    before: bytes
    after: bytes
    request: Request
    options: HandshakeOptions
    reading: Receive


def knock_of(endpoint: Endpoint, options: HandshakeOptions) -> Knock:
    """The request of many; extensions are not offered.

    Raises:
        UsageError: If a header field makes no sense.
    """
    options = replace(options, extensions="", key=_PLACE)
    request = build_request(endpoint, options)
    before, _, after = request.encode().partition(_PLACE.encode())
    return Knock(before, after, request, options, Receive(options.timeout))


def hold(knock: Knock, key: str, opened: Callable[[float], None]) -> Steps[Held]:
    """The generator: ends when the tunnel does, or when the driver says that the time is over.

    Args:
        knock: The request.
        key: Its Sec-WebSocket-Key.
        opened: Called when the tunnel stands, with the seconds that the handshake took.
    """
    event = yield Send(knock.before + key.encode() + knock.after)
    asked, data = event.at, b""
    while True:
        event = yield knock.reading
        if not isinstance(event, Data):
            break
        data += event.data
        if b"\r\n\r\n" in data or len(data) > _LIMIT:
            break
    rest = _rest(knock, key, data)
    answered = event.at - asked
    if rest is None:
        refusal, rest = yield from _read_on(knock, key, data, "" if isinstance(event, Data) else _ending(event))
        if refusal is not None:
            yield Close()
            return Held(refusal=refusal)
    del data, event
    opened(answered)
    how, code, at = yield from _stay(rest)
    yield Close()
    return Held(answered, None if how == "left" else at, how, code)


def _ending(event: object) -> str:
    return (event.error or "eof") if isinstance(event, Eof) else "timeout"


def _rest(knock: Knock, key: str, data: bytes) -> bytes | None:
    """What comes after the answer, if it is the ordinary good one; None leaves the judgement to the full reading."""
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end or not head.startswith(b"HTTP/1.1 101 ") or knock.options.subprotocols:
        return None
    fields = head.lower() + b"\r\n"
    good = b"\r\nupgrade: websocket\r\n" in fields and b"\r\nconnection: upgrade\r\n" in fields
    start = fields.find(_ACCEPT) + len(_ACCEPT)
    accepted = (
        head[start : start + 28].decode("latin-1") == accept_for(key) and fields[start + 28 : start + 30] == b"\r\n"
    )
    odd = any(name in fields for name in _ODD)
    return rest if good and accepted and not odd else None


_ACCEPT = b"\r\nsec-websocket-accept: "
_ODD = (b"\r\nsec-websocket-extensions", b"\r\nsec-websocket-protocol", b"\n ", b"\n\t")


def _read_on(knock: Knock, key: str, data: bytes, ended: str) -> Steps[tuple[Refusal | None, bytes]]:
    """Read and judge an answer as every probe does; what came after it, if it is good."""
    request = _with_key(knock.request, key)
    log = Log(secrets_of(request))
    reader = ResponseReader(limit=_LIMIT)
    reader.feed(data)
    while not reader.done and not ended:
        event = yield knock.reading
        if isinstance(event, Data):
            reader.feed(event.data)
        else:
            ended = _ending(event)
    reader.eof() if ended == "eof" else reader.stop()
    answer = reader.answer()
    result = HandshakeResult(
        request, answer.response, answer.raw, answer.kind, answer.faults, body_lines(answer.response, log),
        complete=answer.complete, head_size=answer.head_size, ended=ended,
    )  # fmt: skip
    failure, message = below_http(result, log)
    if failure or answer.response is None:
        return Refusal(failure or "not-http", message), b""
    return _judge(request, result, answer.response, log), reader.rest


def _judge(request: Request, result: HandshakeResult, response: Response, log: Log) -> Refusal | None:
    failed = next((check for check in check_response(request, result, log) if not check.passed), None)
    if failed is None:
        return None
    return Refusal(failed.class_, failed.message, response.status, answered_by(response).who)


def _with_key(request: Request, key: str) -> Request:
    headers = tuple((name, key if value == _PLACE else value) for name, value in request.headers)
    return replace(request, headers=headers)


def _stay(rest: bytes) -> Steps[tuple[str, int | None, float]]:
    """Hold the tunnel: how it ended, with what code, when."""
    skip = 0
    while True:
        rest, skip, answer, code = _frames(rest, skip)
        if answer:
            event = yield Send(answer)
        if code is not None:
            return ("close", code, event.at) if code else ("invalid-frame", None, event.at)
        event = yield _FOREVER
        if isinstance(event, Data):
            rest += event.data
        elif isinstance(event, Eof):
            return event.error or "fin", None, event.at
        else:
            yield from _leave(event.at)
            return "left", None, event.at


def _leave(at: float) -> Steps[None]:
    """A close frame, and a moment for the server's."""
    yield Send(_LEAVE)
    wait = Receive(at + _PATIENCE)
    while isinstance(event := (yield wait), Data):
        if event.data[:1] == b"\x88":
            return


def _frames(data: bytes, skip: int) -> tuple[bytes, int, bytes, int | None]:
    """Pass over whole frames (RFC 6455 section 5.2).

    Args:
        data: What has come and was not looked at.
        skip: How many bytes of a message are still to be passed over.

    Returns:
        What is left of the data, how much more is to be skipped, what is to be answered, the code of a close frame (0
        for what can't be a control frame, 1005 for one without a code).
    """
    answer = b""
    while True:
        if skip:
            taken = min(skip, len(data))
            data, skip = data[taken:], skip - taken
        if len(data) < 2:
            return data, skip, answer, None
        opcode, size, start = data[0] & 15, data[1] & 127, 2
        if opcode >= 8 and size > 125:
            return b"", 0, answer + _LEAVE, 0
        if size > 125:
            start = 4 if size == 126 else 10
            if len(data) < start:
                return data, skip, answer, None
            size = int.from_bytes(data[2:start], "big")
        if opcode < 8:
            data, skip = data[start:], size
            continue
        if len(data) < start + size:
            return data, skip, answer, None
        payload, data = data[start : start + size], data[start + size :]
        if opcode == 8:
            return data, 0, answer + _LEAVE, int.from_bytes(payload[:2], "big") if len(payload) > 1 else 1005
        if opcode == 9:
            answer += bytes((0x8A, 0x80 | size, 0, 0, 0, 0)) + payload
