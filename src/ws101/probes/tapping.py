"""What passes on a tapped connection, read without touching it: requests, answers, and the frames of a tunnel, counted.

``Watch`` is fed what comes from either side and tells what it saw.  It never raises, keeps no more than one head of
each side, and where it can't follow (TLS, HTTP/2, what is no HTTP) it says so once and counts bytes from then on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ws101.http1 import HEAD_LIMIT, Headers, Request, Response, tokens
from ws101.lazy import dataclass, lazy_pattern
from ws101.probes.masking import mask, mask_request, mask_response, secrets_of
from ws101.text import strip

__all__ = ["Heard", "Watch", "lacks"]


@dataclass(frozen=True, slots=True)
class Heard:
    """Something that passed.

    Args:
        kind: ``opened``, ``request``, ``response``, ``note`` or ``closed``.
        at: Seconds on the tap's clock.
        connection: The connection's number, from 1.
        message: For ``opened`` who came, for ``note`` and ``closed`` what happened; latin-1, secrets masked.
        head: The request or the response, without its body, secrets masked.
        lacks: What keeps a request that is meant for a WebSocket from being an opening handshake.
        seconds: For a response, since its request; for ``closed``, since the connection was opened.
        up: Bytes that came from the client so far.
        down: Bytes that came from the backend so far.
        frames: In a tunnel, frames from the client and from the backend so far.
    """

    kind: str
    at: float
    connection: int
    message: str = ""
    head: Request | Response | None = None
    lacks: tuple[str, ...] = ()
    seconds: float | None = None
    up: int = 0
    down: int = 0
    frames: tuple[int, int] = (0, 0)


def lacks(request: Request) -> tuple[str, ...]:
    """What keeps a request from being an opening handshake, if it shows that it is meant as one; else nothing.

    A Sec-WebSocket-Key or an Upgrade to websocket shows that (RFC 6455 section 4.2.1).
    """
    upgrade = tokens(request.values("Upgrade"))
    if request.header("Sec-WebSocket-Key") is None and "websocket" not in upgrade:
        return ()
    found = []
    if request.version != "HTTP/1.1":
        found.append(f"it arrives as {request.version}")
    if request.method != "GET":
        found.append(f"the method is {request.method}")
    if "websocket" not in upgrade:
        found.append(f"Upgrade is {', '.join(upgrade)}" if upgrade else "Upgrade does not arrive")
    connection = request.values("Connection")
    if "upgrade" not in tokens(connection):
        found.append(f"Connection is {', '.join(connection)}" if connection else "Connection does not arrive")
    if request.header("Sec-WebSocket-Key") is None:
        found.append("Sec-WebSocket-Key does not arrive")
    return tuple(found)


class Watch:
    """One connection.

    Args:
        number: From 1.
        client: Who came.
        at: When, in seconds on the tap's clock.
    """

    def __init__(self, number: int, client: str, at: float) -> None:
        self.number, self._opened = number, at
        self._client = client
        self._up = _Side(self._request, lambda what: self._odd("client", what))
        self._down = _Side(self._response, lambda what: self._odd("backend", what))
        self._asked: deque[tuple[float, str]] = deque(maxlen=64)
        self._secrets: tuple[str, ...] = ()
        self._now = at
        self._heard: list[Heard] = []

    def opened(self) -> Heard:
        """That the connection was opened."""
        return Heard("opened", self._opened, self.number, self._client)

    def note(self, at: float, message: str) -> Heard:
        """Something that happened besides."""
        return self._tell("note", at, mask(message, self._secrets))

    def from_client(self, at: float, data: bytes) -> list[Heard]:
        """What is new after these bytes from the client."""
        return self._feed(self._up, at, data)

    def from_backend(self, at: float, data: bytes) -> list[Heard]:
        """What is new after these bytes from the backend."""
        return self._feed(self._down, at, data)

    def closed(self, at: float, how: str) -> Heard:
        """The end.

        Args:
            at: When.
            how: Who ended it, and how.
        """
        for side, name in ((self._up, "client"), (self._down, "backend")):
            if side.close_code is not None:
                how += f", the {name}'s close frame says {side.close_code}"
        seconds = at - self._opened
        return self._tell("closed", at, how, seconds=seconds)

    def _feed(self, side: _Side, at: float, data: bytes) -> list[Heard]:
        self._now, self._heard = at, []
        side.feed(data)
        return self._heard

    def _odd(self, who: str, what: str) -> None:
        self._heard.append(self._tell("note", self._now, f"from the {who} comes {what}"))

    def _tell(
        self, kind: str, at: float, message: str = "", *, head: Request | Response | None = None,
        missing: tuple[str, ...] = (), seconds: float | None = None,
    ) -> Heard:  # fmt: skip
        frames = (self._up.frames, self._down.frames)
        up, down = self._up.size, self._down.size
        return Heard(kind, at, self.number, message, head, missing, seconds, up, down, frames)

    def _request(self, line: str, headers: Headers) -> None:
        match = _REQUEST_LINE.fullmatch(line)
        if match is None:
            self._up.give_up("something that is no HTTP request")
            return
        request = Request(match[1], match[2], match[3], headers)
        self._asked.append((self._now, request.method))
        self._secrets = secrets_of(request)
        self._up.expect(_length(headers, otherwise=0))
        self._heard.append(self._tell("request", self._now, head=mask_request(request), missing=lacks(request)))

    def _response(self, line: str, headers: Headers) -> None:
        match = _STATUS_LINE.fullmatch(line)
        if match is None:
            self._down.give_up("something that is no HTTP answer")
            return
        response = Response(match[1], int(match[2]), match[3] or "", headers)
        interim = 100 <= response.status < 200 and response.status != 101
        asked = self._asked[0] if interim and self._asked else self._asked.popleft() if self._asked else None
        if response.status == 101:
            self._up.tunnel()
            self._down.tunnel()
        else:
            self._down.expect(_body(response, asked[1] if asked else "GET"))
        took = self._now - asked[0] if asked else None
        shown = mask_response(response, self._secrets)
        self._heard.append(self._tell("response", self._now, head=shown, seconds=took))


_REQUEST_LINE = lazy_pattern(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+) +([^\r\n]*?) *(HTTP/[0-9]\.[0-9])")
_STATUS_LINE = lazy_pattern(r"(HTTP/[0-9]\.[0-9]) +([0-9]{3})(?: ([^\r\n]*))?")

_UNTIL_END = -1
_CHUNKED = -2
_LINE_LIMIT = 4096


def _length(headers: Headers, *, otherwise: int) -> int:
    """RFC 9112 section 6.3, for both directions: the body's length, or how it is to be found."""
    coding = [value for name, value in headers if name.lower() == "transfer-encoding"]
    if "chunked" in tokens(coding):
        return _CHUNKED
    given = next((value for name, value in headers if name.lower() == "content-length"), "")
    return int(given) if given.isascii() and given.isdecimal() and len(given) < 19 else otherwise


def _body(response: Response, method: str) -> int:
    bare = response.status in (204, 304) or response.status < 200 or method == "HEAD"
    return 0 if bare else _length(response.headers, otherwise=_UNTIL_END)


class _Side:
    """What comes from one side: heads are handed on, bodies are skipped, frames are counted.

    Args:
        head: Called with the first line and the header fields of each head; must call ``expect``, ``tunnel`` or
            ``give_up``.
        odd: Called with what can't be followed.
    """

    def __init__(self, head: Callable[[str, Headers], None], odd: Callable[[str], None]) -> None:
        self.size = self.frames = 0
        self.close_code: int | None = None
        self._head, self._odd = head, odd
        self._data = bytearray()
        self._searched = 0
        self._left = 0
        self._step = self._in_start

    def feed(self, data: bytes) -> None:
        self.size += len(data)
        if self._step == self._blind:
            return
        self._data += data
        while self._step():
            pass

    def expect(self, length: int) -> None:
        """After this head comes a body of so many bytes, or chunks, or one up to the end."""
        self._left = length
        self._step = {_CHUNKED: self._in_chunk_size, _UNTIL_END: self._blind}.get(length, self._in_body)

    def tunnel(self) -> None:
        """From here on there are frames."""
        self._left = 0
        self._step = self._in_frame

    def give_up(self, what: str) -> None:
        self._odd(what)
        self._step = self._blind

    def _blind(self) -> bool:
        """Bytes are counted and not looked at."""
        self._data.clear()
        return False

    def _in_start(self) -> bool:
        """The very first bytes show whether this is HTTP/1 at all."""
        for begin, what in _STRANGERS:
            have = bytes(self._data[: len(begin)])
            if have == begin:
                self.give_up(what)
                return True
            if begin.startswith(have) and have not in (b"\r", b"P"):
                return False
        if self._data[:6] == b"PROXY ":
            return self._skip_proxy_line()
        if len(self._data) < 6 and b"PROXY ".startswith(bytes(self._data)):
            return False
        self._step = self._in_head
        return True

    def _skip_proxy_line(self) -> bool:
        """Version 1 of the PROXY protocol: one line of at most 107 bytes before the request."""
        end = self._data.find(b"\r\n", 0, 108)
        if end < 0:
            if len(self._data) > 107:
                self.give_up("a broken line of the PROXY protocol")
                return True
            return False
        self._odd(f'the PROXY protocol: "{self._data[:end].decode("latin-1")}"')
        del self._data[: end + 2]
        self._step = self._in_head
        return True

    def _in_head(self) -> bool:
        while self._data and self._data[0] in b"\r\n":
            del self._data[:1]
        match = _END_OF_HEAD.search(self._data, max(0, self._searched - 3))
        if match is None:
            self._searched = len(self._data)
            if len(self._data) > HEAD_LIMIT:
                self.give_up(f"a head of more than {HEAD_LIMIT} bytes")
                return True
            return False
        head = self._data[: match.start()].decode("latin-1")
        del self._data[: match.end()]
        self._searched = 0
        line, *fields = head.split("\n")
        pairs = (field.removesuffix("\r").partition(":") for field in fields)
        self._head(line.removesuffix("\r"), tuple((name, strip(value, " \t")) for name, colon, value in pairs if colon))
        return True

    def _in_body(self) -> bool:
        taken = min(self._left, len(self._data))
        del self._data[:taken]
        self._left -= taken
        if self._left:
            return False
        self._step = self._in_head
        return bool(self._data)

    def _in_chunk_size(self) -> bool:
        end = self._data.find(b"\n", 0, _LINE_LIMIT)
        if end < 0:
            if len(self._data) >= _LINE_LIMIT:
                self.give_up("a body whose chunks can't be told apart")
                return True
            return False
        match = _CHUNK_SIZE.match(self._data[: end + 1])
        del self._data[: end + 1]
        if match is None:
            self.give_up("a body whose chunks can't be told apart")
            return True
        size = int(match[1], 16)
        self._left, self._step = (size + 2, self._in_chunk) if size else (0, self._in_trailers)
        return True

    def _in_chunk(self) -> bool:
        taken = min(self._left, len(self._data))
        del self._data[:taken]
        self._left -= taken
        if self._left:
            return False
        self._step = self._in_chunk_size
        return True

    def _in_trailers(self) -> bool:
        end = self._data.find(b"\n", 0, HEAD_LIMIT)
        if end < 0:
            if len(self._data) >= HEAD_LIMIT:
                self.give_up("trailers without an end")
                return True
            return False
        if bytes(self._data[:end]) in (b"", b"\r"):
            self._step = self._in_head
        del self._data[: end + 1]
        return True

    def _in_frame(self) -> bool:
        """A frame's header (RFC 6455 section 5.2); its payload is skipped, but for the code of a close frame."""
        if self._left:
            taken = min(self._left, len(self._data))
            del self._data[:taken]
            self._left -= taken
            if self._left:
                return False
        if len(self._data) < 2:
            return False
        first, second = self._data[0], self._data[1]
        if first & 0x30 or first & 15 in _RESERVED:
            self.give_up("something that is no WebSocket frame")
            return True
        extra = {126: 2, 127: 8}.get(second & 127, 0)
        start = 2 + extra + (4 if second & 128 else 0)
        if len(self._data) < start:
            return False
        size = int.from_bytes(self._data[2 : 2 + extra], "big") if extra else second & 127
        if first & 15 == 8 and size <= 125:
            if len(self._data) < start + size:
                return False
            self._read_close(bytes(self._data[start - 4 : start]) if second & 128 else bytes(4), start, size)
        self.frames += 1
        del self._data[:start]
        self._left = size
        return True

    def _read_close(self, key: bytes, start: int, size: int) -> None:
        code = bytes(a ^ b for a, b in zip(self._data[start : start + 2], key, strict=False))
        self.close_code = int.from_bytes(code, "big") if size >= 2 else 1005


_RESERVED = frozenset((3, 4, 5, 6, 7, 11, 12, 13, 14, 15))
_END_OF_HEAD = lazy_pattern(rb"\r?\n\r?\n")
_CHUNK_SIZE = lazy_pattern(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\n]*)?\r?\n")
_STRANGERS = (
    (b"\x16\x03", "TLS, into which can't be looked: put the tap where the bytes are plain"),
    (b"PRI * HTTP/2.0\r\n\r\n", "HTTP/2, in which there is no Upgrade"),
    (b"\r\n\r\n\x00\r\nQUIT\n", "the binary PROXY protocol"),
)
