"""HTTP/1 message heads: ``Request`` and ``Response``, encoded and decoded (RFC 9112).

One ``Request`` type stands in three places: what a probe sends, what the model predicts that nginx sends upstream, and
what a backend of the lab recorded.  So the proof of the model is one ``==``.

All text is latin-1: one character is one byte.

``ResponseReader`` reads answers from servers that may be anything: it keeps every byte up to a bound, never raises, and
names what it saw.  Whatever the bytes are cut into, the result is the same: the reader takes exactly the bytes that
belong to the answer, and leaves the others in ``rest``.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from ws101.errors import InputError
from ws101.lazy import dataclass, lazy_pattern
from ws101.text import lower, strip

__all__ = [
    "BODY_LIMIT",
    "HEAD_LIMIT",
    "Answer",
    "Fault",
    "Headers",
    "Kind",
    "Request",
    "Response",
    "ResponseReader",
    "decode_request",
    "decode_response",
    "tokens",
]

Headers = tuple[tuple[str, str], ...]
"""Header fields in the order and case they have on the wire."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it stands on the wire.

    Args:
        method: For example ``GET``.
        target: The request target, byte for byte (RFC 9112 section 3.2).
        version: ``HTTP/1.0`` or ``HTTP/1.1``.
        headers: Header fields in wire order and case.
        body: The body's bytes as text, with any transfer coding as it stands on the wire.
    """

    method: str
    target: str
    version: str = "HTTP/1.1"
    headers: Headers = ()
    body: str = ""

    def encode(self) -> bytes:
        """The request's bytes: ``METHOD SP target SP version CRLF``, ``name: value CRLF``..., ``CRLF``, body."""
        lines = [f"{self.method} {self.target} {self.version}\r\n"]
        lines += [f"{name}: {value}\r\n" for name, value in self.headers]
        return ("".join(lines) + "\r\n" + self.body).encode("latin-1")

    def header(self, name: str) -> str | None:
        """The first value of a header field, by case-insensitive name; None if absent."""
        return _first(self.headers, name)

    def values(self, name: str) -> tuple[str, ...]:
        """All values of a header field, by case-insensitive name."""
        return tuple(v for n, v in self.headers if n.lower() == name.lower())


@dataclass(frozen=True, slots=True)
class Response:
    """A response head and as much of the body as was read."""

    version: str
    status: int
    reason: str = ""
    headers: Headers = ()
    body: str = ""

    def header(self, name: str) -> str | None:
        """The first value of a header field, by case-insensitive name; None if absent."""
        return _first(self.headers, name)

    def values(self, name: str) -> tuple[str, ...]:
        """All values of a header field, by case-insensitive name."""
        return tuple(v for n, v in self.headers if n.lower() == name.lower())


def _first(headers: Headers, name: str) -> str | None:
    wanted = name.lower()
    return next((value for key, value in headers if key.lower() == wanted), None)


HEAD_LIMIT = 256 * 1024
"""How many bytes of a response head are read, Chromium's own bound (net::HttpStreamParser::kMaxHeaderBufSize)."""

BODY_LIMIT = 64 * 1024
"""How many bytes of a body are kept, unless told otherwise."""

_OWS = " \t"
_START = 80
_LINE_LIMIT = 256
_STATUS_LINE = lazy_pattern(r"(HTTP/[0-9]+(?:\.[0-9]+)?)[ \t]+([0-9]{3})(?:([ \t])([^\n]*))?")
_REQUEST_LINE = lazy_pattern(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([^ \r\n]+(?: [^ \r\n]+)*) (HTTP/[0-9]\.[0-9])")
_TOKEN = lazy_pattern(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CHUNK_SIZE = lazy_pattern(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\n]*)?\r?\n")
_CONTROL = lazy_pattern(r"[\x00-\x08\x0b-\x1f\x7f]")


class Kind(StrEnum):
    """What the bytes are."""

    HTTP = "http"
    HTTP2 = "http2"
    SSH = "ssh"
    TLS = "tls"
    GARBAGE = "garbage"
    NOTHING = "nothing"


class Fault(StrEnum):
    """What is wrong with an answer, by RFC 9112; none of these stops the reader from reading on if it can."""

    LEADING_BLANK_LINES = "leading-blank-lines"
    BARE_LF = "bare-lf"
    BARE_CR = "bare-cr"
    BAD_STATUS_LINE = "bad-status-line"
    NO_REASON_SPACE = "no-reason-space"
    HEADER_WITHOUT_COLON = "header-without-colon"
    BAD_HEADER_NAME = "bad-header-name"
    SPACE_BEFORE_COLON = "space-before-colon"
    FOLDED_HEADER = "folded-header"
    CONTROL_CHARACTER = "control-character"
    HEAD_TOO_LARGE = "head-too-large"
    HEAD_CUT_SHORT = "head-cut-short"
    BAD_CONTENT_LENGTH = "bad-content-length"
    BAD_CHUNK = "bad-chunk"
    BODY_CUT_SHORT = "body-cut-short"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server sent, read as far as it could be.

    Args:
        kind: What the bytes are.
        response: The response, if a head could be made out; its body without any transfer coding, up to the bound.
        raw: The bytes taken, as they came, up to the bounds; interim responses (100, 103) included.
        faults: What is wrong with them, in order of appearance, each once.
        head_size: Size of the response's head in bytes; 0 if there is none.
        complete: True if the end of the answer was seen; False if it was cut short, or ends beyond a bound.
    """

    kind: Kind = Kind.NOTHING
    response: Response | None = None
    raw: bytes = b""
    faults: tuple[Fault, ...] = ()
    head_size: int = 0
    complete: bool = False


def tokens(values: Iterable[str]) -> tuple[str, ...]:
    """The members of comma-separated header fields, in lower case (RFC 9110 section 5.6.1).

    For example ``Connection: keep-alive, Upgrade`` has ``keep-alive`` and ``upgrade``.
    """
    return tuple(item for value in values for part in value.split(",") if (item := lower(strip(part, _OWS))))


def decode_request(data: bytes) -> Request:
    """Decode a request as nginx writes it, exactly: ``decode_request(request.encode()) == request``.

    Exactly one space after a header's colon is the separator; all else belongs to the value, so that two requests are
    equal only if their bytes are.

    Raises:
        InputError: If the bytes are not a request head in this form.
    """
    head, separator, body = data.decode("latin-1").partition("\r\n\r\n")
    line, *fields = head.split("\r\n")
    match = _REQUEST_LINE.fullmatch(line)
    if not separator or match is None:
        raise InputError("these bytes are not an HTTP/1 request", where=repr(data[:60]))
    headers = []
    for field in fields:
        name, colon, value = field.partition(": ")
        if not colon:
            raise InputError("a header field of the request has no ': '", where=repr(field[:60]))
        headers.append((name, value))
    return Request(match[1], match[2], match[3], tuple(headers), body)


def decode_response(data: bytes, *, method: str = "GET", limit: int = BODY_LIMIT) -> Answer:
    """Read all that a server sent before it closed the connection; for the arguments see `ResponseReader`."""
    reader = ResponseReader(method=method, limit=limit)
    reader.feed(data)
    reader.eof()
    return reader.answer()


class ResponseReader:
    """An incremental reader of one answer, without I/O.

    ``feed`` what comes until ``done`` is True, call ``eof`` when the connection ends, then ask for the ``answer``.

    Args:
        method: The request's method: the answers to HEAD and (if 2xx) CONNECT have no body.
        head_limit: How many bytes of head to read before giving up; counts interim responses too.
        limit: How many bytes of the body (without transfer coding) to keep; reading ends there.
    """

    def __init__(self, *, method: str = "GET", head_limit: int = HEAD_LIMIT, limit: int = BODY_LIMIT) -> None:
        self.done = False
        self.rest = b""
        """What came after the answer: after a 101, the first bytes of the tunnel."""
        self._method, self._head_limit, self._limit = method, head_limit, limit
        self._data = bytearray()
        self._at = 0
        self._search = 0
        self._kind = Kind.NOTHING
        self._faults: dict[Fault, None] = {}
        self._head: Response | None = None
        self._head_size = 0
        self._body = bytearray()
        self._left = 0
        self._trailer_end = 0
        self._step = self._begin
        self._complete = False

    @property
    def started(self) -> bool:
        """Whether anything has come."""
        return bool(self._data)

    def feed(self, data: bytes) -> None:
        """Take more bytes; what comes after the answer is appended to ``rest``."""
        if self.done:
            self.rest += data
            return
        self._data += data
        while self._step():
            pass

    def eof(self) -> None:
        """The connection has ended, which may be the end of the body."""
        if not self.done and self._step == self._until_close:
            self._finish(len(self._data), complete=True)
        self.stop()

    def stop(self) -> None:
        """Nothing more is waited for: make the best of what has come."""
        if self.done:
            return
        if self._head is not None:
            self._fault(Fault.BODY_CUT_SHORT)
        elif self._data:
            self._cut_head()
        self._finish(len(self._data), complete=False)

    def answer(self) -> Answer:
        """What has been read so far."""
        head = self._head
        if head is not None:
            head = Response(head.version, head.status, head.reason, head.headers, self._body.decode("latin-1"))
        return Answer(self._kind, head, bytes(self._data), tuple(self._faults), self._head_size, self._complete)

    def _fault(self, fault: Fault) -> None:
        self._faults[fault] = None

    def _finish(self, at: int, *, complete: bool) -> bool:
        self.done, self._at, self._complete = True, at, complete
        self.rest = bytes(self._data[at:])
        del self._data[at:]
        return False

    def _cut_head(self) -> None:
        if self._kind is Kind.NOTHING:
            self._kind = _kind(bytes(self._data[:_START]), at_end=True) or Kind.GARBAGE
        if self._kind is Kind.HTTP:
            self._fault(Fault.HEAD_CUT_SHORT)
            self._head_size = len(self._data) - self._at
            if self._head_size:
                self._parse_head(bytes(self._data[self._at :]))

    def _begin(self) -> bool:
        kind = _kind(bytes(self._data[:_START]), at_end=len(self._data) >= _START)
        if kind is None:
            return False
        self._kind = kind
        self._step = {Kind.HTTP: self._read_head, Kind.HTTP2: self._frame, Kind.TLS: self._record}.get(kind, self._line)
        return True

    def _line(self) -> bool:
        """Something else: take its first line."""
        end = self._data.find(b"\n", 0, _LINE_LIMIT) + 1 or _LINE_LIMIT
        return len(self._data) >= end and self._finish(end, complete=False)

    def _frame(self) -> bool:
        """An HTTP/2 frame (RFC 9113 section 4.1): 9 bytes of header, the first 3 of which are the length."""
        end = 9 + int.from_bytes(self._data[:3], "big")
        return len(self._data) >= end and self._finish(end, complete=False)

    def _record(self) -> bool:
        """A TLS record (RFC 8446 section 5.1): 5 bytes of header, the last 2 of which are the length."""
        if len(self._data) < 5:
            return False
        end = 5 + int.from_bytes(self._data[3:5], "big")
        return len(self._data) >= end and self._finish(end, complete=False)

    def _read_head(self) -> bool:
        end = self._find_head_end()
        if end > self._head_limit or (not end and len(self._data) >= self._head_limit):
            self._fault(Fault.HEAD_TOO_LARGE)
            self._parse_head(bytes(self._data[self._at : self._head_limit]))
            self._head_size = self._head_limit - self._at
            return self._finish(self._head_limit, complete=False)
        if not end:
            return False
        self._parse_head(bytes(self._data[self._at : end]))
        self._head_size, self._at, self._search = end - self._at, end, end
        if self._head is None:
            return self._finish(end, complete=False)
        if 100 <= self._head.status < 200 and self._head.status != 101:
            self._head = None
            return True
        return self._choose_body(self._head)

    def _find_head_end(self) -> int:
        """The offset after the empty line; 0 if it has not come yet.  No byte is looked at more than a few times."""
        data, at = self._data, max(self._search, self._at)
        while self._at == at and data[at : at + 1] and data[at] in b"\r\n":
            self._fault(Fault.LEADING_BLANK_LINES)
            self._at = at = at + 1
        while (at := data.find(b"\n", at) + 1) > 0:
            if data[at : at + 1] == b"\n":
                return at + 1
            if data[at : at + 2] == b"\r\n":
                return at + 2
            if len(data) < at + 2:
                break
        self._search = max(self._at, len(data) - 3)
        return 0

    def _parse_head(self, head: bytes) -> None:
        text = head.decode("latin-1")
        if text.count("\n") != text.count("\r\n"):
            self._fault(Fault.BARE_LF)
        lines = [line.removesuffix("\r") for line in text.split("\n")]
        if any("\r" in line for line in lines):
            self._fault(Fault.BARE_CR)
        match = _STATUS_LINE.fullmatch(lines[0])
        if match is None:
            self._fault(Fault.BAD_STATUS_LINE)
            return
        if match[3] is None:
            self._fault(Fault.NO_REASON_SPACE)
        headers = self._parse_fields([line for line in lines[1:] if line])
        self._head = Response(match[1], int(match[2]), match[4] or "", headers)

    def _parse_fields(self, lines: list[str]) -> Headers:
        headers: list[tuple[str, str]] = []
        for line in lines:
            if _CONTROL.search(line):
                self._fault(Fault.CONTROL_CHARACTER)
            if line[0] in " \t" and headers:
                self._fault(Fault.FOLDED_HEADER)
                headers[-1] = (headers[-1][0], f"{headers[-1][1]} {strip(line, _OWS)}")
                continue
            name, colon, value = line.partition(":")
            if not colon:
                self._fault(Fault.HEADER_WITHOUT_COLON)
                continue
            if name != (name := name.rstrip(" \t")):
                self._fault(Fault.SPACE_BEFORE_COLON)
            if not _TOKEN.fullmatch(name):
                self._fault(Fault.BAD_HEADER_NAME)
            headers.append((name, strip(value, _OWS)))
        return tuple(headers)

    def _choose_body(self, head: Response) -> bool:
        """RFC 9112 section 6.3: which rule gives the body's length."""
        connected = self._method == "CONNECT" and 200 <= head.status < 300
        if head.status in (101, 204, 304) or self._method == "HEAD" or connected:
            return self._finish(self._at, complete=True)
        length = head.header("Content-Length")
        if "chunked" in tokens(head.values("Transfer-Encoding")):
            self._step = self._chunk_size
        elif length is not None and length.isascii() and length.isdecimal() and len(length) < 19:
            self._left, self._step = int(length), self._counted
        else:
            if length is not None:
                self._fault(Fault.BAD_CONTENT_LENGTH)
            self._step = self._until_close
        return True

    def _take(self, size: int) -> bool:
        """Move up to ``size`` bytes to the body; True if the bound has been reached."""
        size = min(size, len(self._data) - self._at, self._limit - len(self._body))
        self._body += self._data[self._at : self._at + size]
        self._at += size
        self._left -= size
        return len(self._body) >= self._limit

    def _until_close(self) -> bool:
        return self._take(self._limit) and self._finish(self._at, complete=False)

    def _counted(self) -> bool:
        full = self._take(self._left)
        return (self._left == 0 or full) and self._finish(self._at, complete=self._left == 0)

    def _chunk_size(self) -> bool:
        end = self._at + _LINE_LIMIT
        match = _CHUNK_SIZE.match(self._data, self._at, end)
        if match is None:
            if self._data.find(b"\n", self._at, end) < 0 and len(self._data) < end:
                return False
            self._fault(Fault.BAD_CHUNK)
            return self._finish(self._at, complete=False)
        self._at, self._left = match.end(), int(match[1], 16)
        self._step = self._chunk if self._left else self._trailers
        self._trailer_end = self._at + self._head_limit
        return True

    def _chunk(self) -> bool:
        if self._take(self._left) and self._left:
            return self._finish(self._at, complete=False)
        if self._left:
            return False
        self._step = self._chunk_end
        return True

    def _chunk_end(self) -> bool:
        end = bytes(self._data[self._at : self._at + 2])
        if end in (b"", b"\r"):
            return False
        if end != b"\r\n" and end[:1] != b"\n":
            self._fault(Fault.BAD_CHUNK)
            return self._finish(self._at, complete=False)
        self._at += 2 if end == b"\r\n" else 1
        self._step = self._chunk_size
        return True

    def _trailers(self) -> bool:
        """Trailer fields are skipped up to the empty line."""
        end = self._data.find(b"\n", self._at, self._trailer_end)
        if end < 0:
            if len(self._data) < self._trailer_end:
                return False
            self._fault(Fault.BAD_CHUNK)
            return self._finish(self._at, complete=False)
        empty = bytes(self._data[self._at : end]) in (b"", b"\r")
        self._at = end + 1
        return not empty or self._finish(self._at, complete=True)


def _kind(start: bytes, *, at_end: bool) -> Kind | None:
    """What the first bytes are; None if more are needed, which is not so ``at_end``."""
    text = start.lstrip(b"\r\n")
    for name, kind in ((b"HTTP/", Kind.HTTP), (b"SSH-", Kind.SSH)):
        if text.startswith(name):
            return kind
        if name.startswith(text) and not at_end:
            return None
    if start[:1] in (b"\x15", b"\x16") and start[1:2] in (b"\x03", b""):
        return Kind.TLS if len(start) > 1 else Kind.GARBAGE if at_end else None
    if start[:1] == b"\x00" and _may_be_http2(start):
        return Kind.HTTP2 if len(start) >= (4 if at_end else 9) else Kind.GARBAGE if at_end else None
    return Kind.GARBAGE


def _may_be_http2(start: bytes) -> bool:
    """A SETTINGS (4) or GOAWAY (7) frame on stream 0, as far as it has come (RFC 9113 sections 6.5 and 6.8)."""
    return start[3:4] in (b"\x04", b"\x07", b"") and start[5:9] == bytes(len(start[5:9]))
