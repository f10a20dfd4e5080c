from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws101.http1 import Request
from ws101.lab.wire import RequestCutter, is_opening_handshake, keeps_open

HANDSHAKE = (("Upgrade", "websocket"), ("Connection", "Upgrade"))

plain_requests = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        b"POST /p HTTP/1.1\r\nHost: a\r\ncontent-length:4\r\n\r\n\r\n\r\n",
        b"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;ext=1\r\n\r\n\r\n0\r\nX: trailer\r\n\r\n",
        b"POST /c HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ]
)


def cut(pieces: list[bytes]) -> tuple[list[bytes], bytes]:
    """All whole requests in a stream that comes in pieces, and what is left."""
    cutter = RequestCutter()
    whole = []
    for piece in pieces:
        cutter.feed(piece)
        while (request := cutter.next()) is not None:
            whole.append(request)
    return whole, cutter.rest


@given(st.lists(plain_requests, max_size=6), st.lists(st.integers(0, 400), max_size=12))
def test_pipelined_requests_are_cut_alike_however_the_bytes_arrive(requests: list[bytes], places: list[int]) -> None:
    stream = b"".join(requests)
    ends = sorted({min(place, len(stream)) for place in places} | {0, len(stream)})
    pieces = [stream[start:end] for start, end in pairwise(ends)]
    assert cut(pieces) == (requests, b"")


@given(plain_requests, st.data())
def test_a_request_that_is_cut_short_is_not_a_request(request: bytes, data: st.DataObject) -> None:
    length = data.draw(st.integers(0, len(request) - 1))
    assert cut([request[:length]]) == ([], request[:length])


def test_what_follows_a_handshake_is_left_for_the_tunnel() -> None:
    handshake = b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"
    cutter = RequestCutter()
    cutter.feed(handshake + b"\x81\x85frame")
    assert cutter.next() == handshake
    assert cutter.rest == b"\x81\x85frame"


@pytest.mark.parametrize(
    ("version", "headers", "expected"),
    [
        ("HTTP/1.1", HANDSHAKE, True),
        ("HTTP/1.1", (("upgrade", "WebSocket"), ("CONNECTION", "keep-alive, upgrade")), True),
        ("HTTP/1.0", HANDSHAKE, False),
        ("HTTP/1.1", (("Upgrade", "websocket"), ("Connection", "close")), False),
        ("HTTP/1.1", (("Upgrade", "h2c"), ("Connection", "Upgrade")), False),
        ("HTTP/1.1", (("Connection", "Upgrade"),), False),
        ("HTTP/1.1", (), False),
    ],
)
def test_a_handshake_needs_http_1_1_and_both_headers(
    version: str, headers: tuple[tuple[str, str], ...], expected: bool
) -> None:
    assert is_opening_handshake(Request("GET", "/ws", version, headers)) is expected


@pytest.mark.parametrize(
    ("version", "connection", "answer", "expected"),
    [
        ("HTTP/1.1", "keep-alive", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        ("HTTP/1.1", "keep-alive", b"HTTP/1.1 204 No Content\r\n\r\n", True),
        ("HTTP/1.1", "keep-alive", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", True),
        ("HTTP/1.1", "keep-alive", b"HTTP/1.1 200 OK\r\n\r\nuntil the end", False),
        ("HTTP/1.1", "keep-alive", b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", False),
        ("HTTP/1.1", "close", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        ("HTTP/1.0", "", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", False),
    ],
)
def test_a_connection_stays_open_only_if_both_sides_want_it_and_the_end_is_known(
    version: str, connection: str, answer: bytes, expected: bool
) -> None:
    assert keeps_open(Request("GET", "/", version, (("Connection", connection),)), answer) is expected
