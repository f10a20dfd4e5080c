"""What is read of bytes that pass: heads, bodies skipped, frames counted, however the bytes are cut."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws101.http1 import Request, Response
from ws101.probes.tapping import Heard, Watch, lacks

ASKED = (
    b"GET /ws?token=topsecret HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: k\r\nCookie: sid=cookiesecret\r\n\r\n"
)
ANSWERED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nX-Echo: cookiesecret\r\n\r\n"
MASKED_CLOSE = b"\x88\x82\x01\x02\x03\x04" + bytes((0x03 ^ 1, 0xE8 ^ 2))


def watch(*parts: tuple[str, bytes]) -> tuple[list[Heard], Watch]:
    """What is heard when these bytes come from ``up`` (the client) and ``down`` (the backend), and the watch."""
    eye = Watch(1, "client", 0.0)
    heard: list[Heard] = []
    for number, (side, data) in enumerate(parts):
        heard += (eye.from_client if side == "up" else eye.from_backend)(number / 10, data)
    return heard, eye


def line(item: Heard) -> str:
    head = item.head
    if isinstance(head, Request):
        return f"{head.method} {head.target} {head.version}"
    return f"{head.status} {head.reason}" if isinstance(head, Response) else item.message


def test_a_handshake_is_a_request_an_answer_and_then_frames() -> None:
    heard, eye = watch(
        ("up", ASKED),
        ("down", ANSWERED + b"\x81\x02hi"),
        ("up", b"\x81\x81\0\0\0\0x" + MASKED_CLOSE),
        ("down", b"\x88\x00"),
    )
    assert [line(item) for item in heard] == ["GET /ws?token=*** HTTP/1.1", "101 Switching Protocols"]
    assert heard[1].seconds == pytest.approx(0.1)
    end = eye.closed(2.0, "the client closed it")
    assert (end.frames, end.seconds) == ((2, 2), 2.0)
    assert "client's close frame says 1000, the backend's close frame says 1005" in end.message


def test_secrets_are_masked_also_where_the_backend_sends_them_back() -> None:
    heard, eye = watch(("up", ASKED), ("down", ANSWERED))
    assert "secret" not in repr(heard)
    assert "cookiesecret" not in eye.note(1.0, "saw cookiesecret").message


@pytest.mark.parametrize(
    ("head", "missing"),
    [
        (ASKED, ()),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", ()),
        (
            b"GET / HTTP/1.0\r\nConnection: close\r\nSec-WebSocket-Key: k\r\n\r\n",
            ("it arrives as HTTP/1.0", "Upgrade does not arrive", "Connection is close"),
        ),
        (b"POST / HTTP/1.1\r\nUpgrade: WebSocket\r\n\r\n",
         ("the method is POST", "Connection does not arrive", "Sec-WebSocket-Key does not arrive")),
        (b"GET / HTTP/1.1\r\nConnection: keep-alive, upgrade\r\nUpgrade: h2c\r\nSec-WebSocket-Key: k\r\n\r\n",
         ("Upgrade is h2c",)),
    ],
)  # fmt: skip
def test_what_keeps_a_request_from_being_a_handshake_is_named(head: bytes, missing: tuple[str, ...]) -> None:
    (heard,), _ = watch(("up", head))
    assert heard.lacks == missing
    assert isinstance(heard.head, Request)
    assert lacks(heard.head) == missing


GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;x=y\r\nGET\r\n0\r\nT: x\r\n\r\n"


@pytest.mark.parametrize(
    ("up", "down", "lines"),
    [
        (GET + GET, b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
         ["200 OK", "404 No"]),
        (GET, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 None\r\n\r\n", ["100 Continue", "204 None"]),
        (HEAD + GET, b"HTTP/1.1 200 A\r\nContent-Length: 9\r\n\r\nHTTP/1.1 200 B\r\nContent-Length: 0\r\n\r\n",
         ["200 A", "200 B"]),
        (GET + GET, b"HTTP/1.1 200 A\r\n" + CHUNKED + b"HTTP/1.1 304 B\r\n\r\n", ["200 A", "304 B"]),
        (GET, b"HTTP/1.1 200 A\r\n\r\nuntil the end HTTP/1.1 500 B\r\n\r\n", ["200 A"]),
        (GET, b"HTTP/1.0 200 A\nX: y\n\nbody", ["200 A"]),
        (GET, b"HTTP/1.1 400\r\nContent-Length: 0\r\n\r\n", ["400 "]),
    ],
)  # fmt: skip
def test_bodies_are_skipped_and_the_next_answer_is_found(up: bytes, down: bytes, lines: list[str]) -> None:
    heard, _ = watch(("up", up), ("down", down))
    assert [line(item) for item in heard if item.kind == "response"] == lines


def test_a_body_of_a_request_is_skipped_too() -> None:
    post = b"POST /a HTTP/1.1\r\nContent-Length: 4\r\n\r\nGET "
    chunked = b"POST /b HTTP/1.1\r\n" + CHUNKED
    heard, _ = watch(("up", post + chunked + GET))
    assert [line(item) for item in heard] == ["POST /a HTTP/1.1", "POST /b HTTP/1.1", "GET / HTTP/1.1"]


@pytest.mark.parametrize(
    ("up", "says"),
    [
        (b"\x16\x03\x01\x02\x00", "TLS"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/2"),
        (b"\r\n\r\n\x00\r\nQUIT\nrest", "binary PROXY protocol"),
        (b"nonsense\r\n\r\n", "no HTTP request"),
        (b"x" * 300_000, "a head of more than"),
        (b"PROXY " + b"x" * 200, "broken line of the PROXY protocol"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "chunks can't be told apart"),
    ],
)
def test_what_cannot_be_followed_is_said_once_and_then_counted(up: bytes, says: str) -> None:
    heard, eye = watch(("up", up), ("up", b"more" * 10))
    notes = [item for item in heard if item.kind == "note"]
    assert len(notes) == 1
    assert says in notes[0].message
    assert eye.closed(1.0, "x").up == len(up) + 40


def test_after_the_proxy_protocols_line_the_request_is_read() -> None:
    heard, _ = watch(("up", b"PROXY TCP4 192.0.2.1 192.0.2.2 5 6\r\n" + GET))
    assert sorted(item.kind for item in heard) == ["note", "request"]


def test_what_is_no_frame_after_a_101_is_said() -> None:
    heard, _ = watch(("up", ASKED), ("down", ANSWERED + b"<html>"))
    assert "no WebSocket frame" in heard[-1].message


def told(heard: list[Heard]) -> list[Heard]:
    """Without what depends on how the bytes were cut: times, and how much had come by then."""
    return [dataclasses.replace(item, at=0.0, seconds=None, up=0, down=0, frames=(0, 0)) for item in heard]


STREAMS = [
    (ASKED, ANSWERED + b"\x81\x02hi\x82\x7e\x01\x00" + bytes(256) + b"\x88\x02\x03\xe9"),
    (GET + HEAD + GET,
     b"HTTP/1.1 200 A\r\n" + CHUNKED + b"HTTP/1.1 200 B\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 C\r\n\r\nx"),
    (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n" + GET, b"HTTP/1.0 502 Bad\n\nx"),
    (b"\x16\x03\x01\x02\x00", b"\x15\x03\x01"),
]  # fmt: skip


@given(st.sampled_from(STREAMS), st.lists(st.integers(0, 500), max_size=8))
def test_however_the_bytes_are_cut_the_same_is_told(stream: tuple[bytes, bytes], cuts: list[int]) -> None:
    whole, eye = watch(("up", stream[0]), ("down", stream[1]))
    parts: list[tuple[str, bytes]] = []
    for side, data in zip(("up", "down"), stream, strict=True):
        edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
        parts += [(side, data[a:b]) for a, b in itertools.pairwise(edges) if a < b]
    cut, other = watch(*parts)
    assert told(cut) == told(whole)
    one, two = eye.closed(9.0, "end"), other.closed(9.0, "end")
    assert (one.up, one.down, one.frames, one.message) == (two.up, two.down, two.frames, two.message)


@given(st.lists(st.tuples(st.sampled_from(["up", "down"]), st.binary(max_size=80)), max_size=10), st.booleans())
def test_whatever_passes_nothing_is_raised_and_every_byte_is_counted(
    parts: list[tuple[str, bytes]], in_tunnel: bool
) -> None:
    begin = [("up", ASKED), ("down", ANSWERED)] if in_tunnel else []
    _, eye = watch(*begin, *parts)
    end = eye.closed(1.0, "end")
    assert end.up == sum(len(data) for side, data in (*begin, *parts) if side == "up")
    assert end.down == sum(len(data) for side, data in (*begin, *parts) if side == "down")
