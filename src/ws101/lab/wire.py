"""Where a request ends: cutting a stream of bytes into the exact bytes of each request (RFC 9112 sections 6 and 7)."""

from __future__ import annotations

import re

from ws101.http1 import Request, tokens

__all__ = ["RequestCutter", "is_opening_handshake", "keeps_open"]

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r\n]*chunked[ \t]*\r\n", re.IGNORECASE)
_CHUNK = re.compile(rb"([0-9A-Fa-f]+)[^\r\n]*\r\n")


class RequestCutter:
    """Cuts what one connection sends into requests, pipelined ones included.

    Attributes:
        rest: Bytes that belong to no whole request yet.
    """

    def __init__(self) -> None:
        self.rest = b""
        self._head_end = 0
        self._chunk_at = 0

    def feed(self, data: bytes) -> None:
        """Take more bytes."""
        self.rest += data

    @property
    def in_body(self) -> bool:
        """Whether a head has come whose body has not, after the last `next`."""
        return self._head_end > 0

    def next(self) -> bytes | None:
        """The exact bytes of the next whole request, body and transfer coding included; None if none is whole."""
        if not self._head_end:
            self._head_end = self._chunk_at = self.rest.find(b"\r\n\r\n") + 4 if b"\r\n\r\n" in self.rest else 0
        end = self._end() if self._head_end else None
        if end is None or len(self.rest) < end:
            return None
        request, self.rest = self.rest[:end], self.rest[end:]
        self._head_end = self._chunk_at = 0
        return request

    def _end(self) -> int | None:
        """Offset after the request that begins at 0; None if it can't be told yet."""
        head = self.rest[: self._head_end]
        if _CHUNKED.search(head):
            return self._chunked_end()
        length = _LENGTH.search(head)
        return self._head_end + (int(length[1]) if length else 0)

    def _chunked_end(self) -> int | None:
        """Offset after the last chunk and its trailer; goes on where it stopped, so each chunk is looked at once."""
        while (chunk := _CHUNK.match(self.rest, self._chunk_at)) is not None:
            size = int(chunk[1], 16)
            if size == 0:
                trailer = self.rest.find(b"\r\n\r\n", chunk.end() - 2)
                return trailer + 4 if trailer >= 0 else None
            if len(self.rest) < chunk.end() + size + 2:
                return None
            self._chunk_at = chunk.end() + size + 2
        return None


def is_opening_handshake(request: Request) -> bool:
    """Whether a backend of the usual kind takes a request for a WebSocket's (RFC 6455 section 4.2.1): HTTP/1.1,
    ``Upgrade`` with websocket, ``Connection`` with upgrade.
    """
    return (
        request.version == "HTTP/1.1"
        and "websocket" in tokens(request.values("Upgrade"))
        and "upgrade" in tokens(request.values("Connection"))
    )


def keeps_open(request: Request, answer: bytes) -> bool:
    """Whether the connection outlives an answer: both sides want it to, and the answer's end can be told."""
    head = answer.partition(b"\r\n\r\n")[0].lower() + b"\r\n"
    wanted = request.version == "HTTP/1.1" and "close" not in tokens(request.values("Connection"))
    ends = b"\r\ncontent-length:" in head or b"\r\ntransfer-encoding:" in head or head[9:12] in (b"101", b"204", b"304")
    return wanted and ends and b"\r\nconnection: close" not in head
