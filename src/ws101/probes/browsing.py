"""What a browser showed of a WebSocket, read from the events of its DevTools protocol: an ``Observation``.

The events are those behind the network panel and the console (domains Network and Log of the Chrome DevTools protocol).
On success ``Network.webSocketHandshakeResponseReceived`` carries the text of both heads.  On failure it never comes:
then only the request's fields, an error and the console's line are known, and the status is read from that line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ws101.http1 import Headers, Request, Response, decode_response
from ws101.lazy import lazy_pattern
from ws101.probes.core import Detail, HandshakeResult, Log, Observation, Verdict
from ws101.probes.endpoint import Endpoint
from ws101.probes.masking import secrets_of

__all__ = ["FRAMES_KEPT", "Event", "browsed", "class_of", "console_status"]

Event = Mapping[str, Any]
"""One event of the DevTools protocol: ``method`` and ``params``."""

FRAMES_KEPT = 100
"""How many frames are put into the transcript."""

_STATUS = lazy_pattern(r"Unexpected response code: (\d{3})")
_CLASSES: tuple[tuple[str, str], ...] = (
    (r"Unexpected response code: 3\d\d", "redirect"),
    (r"HTTP Authentication failed|Unexpected response code: 40[17]", "authentication"),
    (r"Unexpected response code", "status"),
    (r"'Upgrade' header is missing", "missing-upgrade"),
    (r"'Upgrade' header", "wrong-upgrade"),
    (r"'Connection' header is missing", "missing-connection"),
    (r"'Connection' header", "wrong-connection"),
    (r"'Sec-WebSocket-Accept' header is missing", "missing-accept"),
    (r"'Sec-WebSocket-Accept'", "accept-mismatch"),
    (r"Sent non-empty 'Sec-WebSocket-Protocol'", "missing-subprotocol"),
    (r"'Sec-WebSocket-Protocol'", "unrequested-subprotocol"),
    (r"'Sec-WebSocket-Extensions'", "unrequested-extension"),
    (r"closed before receiving a handshake response|ERR_EMPTY_RESPONSE|ERR_CONNECTION_CLOSED", "eof"),
    (r"ERR_CONNECTION_RESET", "reset"),
    (r"timed out|ERR_TIMED_OUT", "timeout"),
    (r"ERR_CONNECTION_REFUSED", "refused"),
    (r"ERR_NAME_NOT_RESOLVED", "dns"),
    (r"ERR_ADDRESS_UNREACHABLE|ERR_INTERNET_DISCONNECTED|ERR_NETWORK", "unreachable"),
    (r"ERR_CERT_", "certificate"),
    (r"ERR_BAD_SSL_CLIENT_AUTH", "client-certificate"),
    (r"ERR_SSL_", "tls"),
    (r"ERR_PROXY|ERR_TUNNEL", "proxy"),
    (r"ERR_RESPONSE_HEADERS_TOO_BIG", "head-too-large"),
    (r"Invalid status line|ERR_INVALID_HTTP_RESPONSE", "not-http"),
    (r"must not be masked|masked frame", "masked-frame"),
    (r"Invalid frame header|reserved bit|Unrecognized frame opcode|invalid opcode", "invalid-frame"),
)
"""Chromium's words (net/websockets/websocket_basic_handshake_stream.cc, websocket_stream.cc, websocket_channel.cc)."""


def class_of(console: str) -> str:
    """The failure's name for what Chromium's console says; empty if it is none that is known."""
    return next((class_ for pattern, class_ in _CLASSES if re.search(pattern, console)), "")


def console_status(console: str) -> int | None:
    """The status in Chromium's line about a failed handshake; None if it names none."""
    match = _STATUS.search(console)
    return int(match[1]) if match else None


def browsed(
    events: Iterable[Event], said: Mapping[str, Any], endpoint: Endpoint, *, browser: str, page: str
) -> Observation:
    """What the browser saw: passed if the socket opened there.

    Details: ``browser``, ``page`` (the origin the socket was opened from), ``opened``, ``status``, ``echoed`` (whether
    the message that the page sent came back), ``frames_sent``, ``frames_received``, ``close_code``, ``clean``.

    Args:
        events: Of the DevTools protocol, of the one page, in order.
        said: What the page's script reported: ``opened``, ``echoed``, ``code``, ``clean``, ``error`` if it
            could not even try.
        endpoint: The WebSocket's address.
        browser: The browser's name and version.
        page: The origin of the page.
    """
    reading = _Reading(endpoint)
    for event in events:
        reading.take(str(event.get("method", "")), event.get("params") or {})
    opened = bool(said.get("opened"))
    message = "the socket is open" if opened else reading.console or reading.error or str(said.get("error") or _SILENT)
    details: tuple[tuple[str, Detail], ...] = (
        ("browser", browser),
        ("page", page),
        ("opened", opened),
        ("status", reading.response.status if reading.response else console_status(message)),
        ("echoed", bool(said.get("echoed"))),
        ("frames_sent", reading.sent),
        ("frames_received", reading.received),
        ("close_code", said.get("code")),
        ("clean", said.get("clean")),
    )
    request = Request("GET", endpoint.target, "HTTP/1.1", reading.asked)
    shake = HandshakeResult(request, reading.response, reading.raw, complete=reading.response is not None)
    return Observation(
        Verdict.PASSED if opened else Verdict.FAILED,
        reading.log.mask(_latin1(message)),
        "" if opened else class_of(message),
        reading.log.entries(),
        details,
        shake,
    )


_SILENT = "the browser did not open the socket in time, and its console says nothing"


class _Reading:
    """The events of one WebSocket, as they come."""

    def __init__(self, endpoint: Endpoint) -> None:
        secret = (endpoint.authorization.partition(" ")[2],) if endpoint.authorization else ()
        self.log = Log((*secrets_of(Request("GET", endpoint.target)), *secret))
        self.asked: Headers = ()
        self.response: Response | None = None
        self.raw = b""
        self.console = self.error = ""
        self.sent = self.received = 0
        self._begin: float | None = None

    def take(self, method: str, params: Event) -> None:
        step = _STEPS.get(method)
        if step is not None:
            step(self, params, self._at(params.get("timestamp")))

    def _at(self, stamp: object) -> float:
        """Seconds since the handshake began; the protocol's clock has no beginning that means anything."""
        if not isinstance(stamp, int | float):
            return 0.0
        self._begin = stamp if self._begin is None else self._begin
        return max(0.0, stamp - self._begin)

    def _will_send(self, params: Event, at: float) -> None:
        self.asked = _fields(params.get("request", {}).get("headers"))
        self._learn()
        self.log.add(at, "sent", "opening handshake")

    def _answered(self, params: Event, at: float) -> None:
        answer = params.get("response", {})
        asked, got = str(answer.get("requestHeadersText", "")), str(answer.get("headersText", ""))
        self.asked = _fields_of(asked) or _fields(answer.get("requestHeaders")) or self.asked
        self._learn()
        self.raw = got.encode("latin-1", "replace")
        read = decode_response(self.raw).response if got else None
        status, reason = int(answer.get("status", 0)), _latin1(str(answer.get("statusText", "")))
        self.response = read or Response("HTTP/1.1", status, reason, _fields(answer.get("headers")))
        self.log.add(at, "received", f"{self.response.status} {self.response.reason}")

    def _learn(self) -> None:
        self.log.secrets = (*self.log.secrets, *secrets_of(Request("GET", "/", headers=self.asked)))

    def _frame(self, params: Event, at: float, direction: str) -> None:
        frame = params.get("response", {})
        if self.sent + self.received <= FRAMES_KEPT:
            kind = _KINDS.get(frame.get("opcode"), "other")
            self.log.add(at, direction, f"{kind} frame, {len(str(frame.get('payloadData', '')))} characters")

    def _frame_sent(self, params: Event, at: float) -> None:
        self.sent += 1
        self._frame(params, at, "sent")

    def _frame_received(self, params: Event, at: float) -> None:
        self.received += 1
        self._frame(params, at, "received")

    def _failed(self, params: Event, at: float) -> None:
        self.error = self.error or str(params.get("errorMessage", ""))
        self.log.add(at, "note", _latin1(self.error))

    def _closed(self, _: Event, at: float) -> None:
        self.log.add(at, "note", "closed")

    def _logged(self, params: Event, _: float) -> None:
        text = str(params.get("entry", {}).get("text", ""))
        if "WebSocket" in text:
            self.console = self.console or text


_KINDS = {0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}

_STEPS = {
    "Network.webSocketWillSendHandshakeRequest": _Reading._will_send,
    "Network.webSocketHandshakeResponseReceived": _Reading._answered,
    "Network.webSocketFrameSent": _Reading._frame_sent,
    "Network.webSocketFrameReceived": _Reading._frame_received,
    "Network.webSocketFrameError": _Reading._failed,
    "Network.webSocketClosed": _Reading._closed,
    "Log.entryAdded": _Reading._logged,
}


def _latin1(text: str) -> str:
    """Text of the browser, which is Unicode, as the bytes of UTF-8 in latin-1 text."""
    return text.encode("utf-8", "replace").decode("latin-1")


def _fields(headers: object) -> Headers:
    """Header fields from the protocol's object; several values of one name are joined there by line ends."""
    if not isinstance(headers, dict):
        return ()
    pairs = [(_latin1(str(name)), one) for name, value in headers.items() for one in str(value).split("\n")]
    return tuple((name, _latin1(value)) for name, value in pairs)


def _fields_of(head: str) -> Headers:
    """Header fields, in wire order, from the text of a request's head."""
    lines = [line.partition(": ") for line in _latin1(head).split("\r\n")[1:]]
    return tuple((name, value) for name, colon, value in lines if colon)
