"""What backends say that are no HTTP/1: FastCGI, uwsgi, SCGI, HTTP/2 (gRPC), and the answers of a name server.

Each answer is the shortest that nginx takes as complete, always a 200 with the text ``ok``.
"""

from __future__ import annotations

import re
import struct

__all__ = ["answer", "is_other", "name_answer", "protocol_of"]

_PREFACE = b"PRI * HTTP/2.0\r\n"
_SCGI = re.compile(rb"\d+:CONTENT_LENGTH\0")
_CGI = b"Status: 200 OK\r\nContent-Length: 2\r\n\r\nok"


def protocol_of(data: bytes | bytearray) -> str:
    """The directive that makes nginx speak so, for example ``fastcgi_pass``; "" for HTTP/1."""
    if data.startswith(_PREFACE):
        return "grpc_pass"
    if data[:2] == b"\1\1":
        return "fastcgi_pass"
    if _SCGI.match(data):
        return "scgi_pass"
    return "uwsgi_pass" if data[:1] == b"\0" else ""


def is_other(data: bytes | bytearray) -> bool:
    """Whether a backend is spoken to in another protocol than HTTP/1."""
    return bool(protocol_of(data))


def answer(data: bytes) -> bytes:
    """The answer in the protocol of a request."""
    protocol = protocol_of(data)
    if protocol == "fastcgi_pass":
        return _record(6, _CGI) + _record(6, b"") + _record(3, bytes(8))
    if protocol == "grpc_pass":
        return _frame(4, 0, 0, b"") + _frame(1, 4, 1, b"\x88") + _frame(0, 1, 1, b"ok")
    return _CGI


def _record(kind: int, content: bytes) -> bytes:
    """A FastCGI record of the first request."""
    return struct.pack(">BBHHBB", 1, kind, 1, len(content), 0, 0) + content


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """An HTTP/2 frame (RFC 9113 section 4.1)."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def name_answer(question: bytes) -> bytes:
    """127.0.0.1 for names in ``dns.test``, "no such name" for all others (RFC 1035 section 4)."""
    known = b"\3dns\4test\0" in question.lower()
    number, flags = question[:2], b"\x81\x80" if known else b"\x81\x83"
    head = number + flags + question[4:6] + (b"\0\1" if known else b"\0\0") + bytes(4)
    body = question[12:]
    return head + body + (b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1" if known else b"")
