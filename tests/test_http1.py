from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws101.errors import InputError
from ws101.http1 import (
    HEAD_LIMIT,
    Answer,
    Fault,
    Kind,
    Request,
    Response,
    ResponseReader,
    decode_request,
    decode_response,
    tokens,
)

OK = b"HTTP/1.1 200 OK\r\n"


def read(data: bytes, sizes: list[int] | None = None, **options: object) -> tuple[Answer, bytes]:
    """Feed data in pieces of these sizes, the rest at once."""
    reader = ResponseReader(**options)  # type: ignore[arg-type]
    for size in sizes or []:
        reader.feed(data[:size])
        data = data[size:]
    reader.feed(data)
    reader.eof()
    return reader.answer(), reader.rest


# Requests

token = st.text("abcXYZ-_09", min_size=1, max_size=8)
line = st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x85\xa0\x7f"), max_size=12)
requests = st.builds(
    Request,
    token,
    line.filter(bool),
    st.sampled_from(["HTTP/1.0", "HTTP/1.1"]),
    st.lists(st.tuples(token, st.one_of(line, line.map(lambda text: f" {text} ")))).map(tuple),
    st.text(st.characters(max_codepoint=255), max_size=20),
)


@given(requests)
def test_a_request_decodes_to_what_was_encoded(request: Request) -> None:
    assert decode_request(request.encode()) == request


def test_two_requests_are_equal_only_if_their_bytes_are() -> None:
    assert decode_request(b"GET / HTTP/1.1\r\nX:  a\r\n\r\n") != decode_request(b"GET / HTTP/1.1\r\nX: a\r\n\r\n")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET / HTTP/1.1\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost\r\n\r\n",
        b"\r\n\r\n",
        b"\x16\x03\x01",
    ],
)
def test_what_is_no_request_is_refused(data: bytes) -> None:
    with pytest.raises(InputError):
        decode_request(data)


def test_header_fields_are_found_by_any_case() -> None:
    request = Request("GET", "/", headers=(("UPGRADE", "a"), ("upgrade", "b")))
    response = Response("HTTP/1.1", 200, headers=request.headers)
    assert (request.header("Upgrade"), request.values("Upgrade"), request.header("x")) == ("a", ("a", "b"), None)
    assert (response.header("Upgrade"), response.values("Upgrade"), response.header("x")) == ("a", ("a", "b"), None)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((), ()),
        (("Upgrade",), ("upgrade",)),
        (("keep-alive, Upgrade",), ("keep-alive", "upgrade")),
        (("keep-alive", " ,\tUpgrade ,"), ("keep-alive", "upgrade")),
        (("upgrade;q=1",), ("upgrade;q=1",)),
    ],
)
def test_lists_are_split_into_lower_case_tokens(values: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert tokens(values) == expected


# Responses: what is right

WELL_FORMED: dict[str, tuple[bytes, Response]] = {
    "content-length": (
        OK + b"Content-Length: 5\r\nX: \xe9\r\n\r\nhello",
        Response("HTTP/1.1", 200, "OK", (("Content-Length", "5"), ("X", "\xe9")), "hello"),
    ),
    "chunked": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n",
        Response("HTTP/1.1", 200, "OK", (("Transfer-Encoding", "chunked"),), "abc0123456789"),
    ),
    "until close": (OK + b"\r\nall of it", Response("HTTP/1.1", 200, "OK", (), "all of it")),
    "no body": (b"HTTP/1.1 204 No Content\r\n\r\n", Response("HTTP/1.1", 204, "No Content")),
    "empty reason": (
        b"HTTP/1.1 426 \r\nContent-Length: 0\r\n\r\n",
        Response("HTTP/1.1", 426, "", (("Content-Length", "0"),)),
    ),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\n\r\n", Response("HTTP/1.0", 200, "OK")),
    "interim responses first": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 304 Not Modified\r\n\r\n",
        Response("HTTP/1.1", 304, "Not Modified"),
    ),
}


@pytest.mark.parametrize("name", WELL_FORMED)
def test_a_well_formed_response_is_read_whole(name: str) -> None:
    data, expected = WELL_FORMED[name]
    answer, rest = read(data)
    assert answer.response == expected
    assert (answer.kind, answer.faults, answer.complete, rest) == (Kind.HTTP, (), True, b"")
    assert answer.raw == data


def test_what_follows_a_101_is_left_for_the_tunnel() -> None:
    head = b"HTTP/1.1 101 Switching Protocols\r\nContent-Length: 3\r\n\r\n"
    answer, rest = read(head + b"\x81\x02hi")
    assert (answer.raw, rest, answer.complete, answer.head_size) == (head, b"\x81\x02hi", True, len(head))


def test_done_comes_with_the_last_byte_and_not_before() -> None:
    data, _ = WELL_FORMED["chunked"]
    reader = ResponseReader()
    states = []
    for byte in data:
        reader.feed(bytes([byte]))
        states.append(reader.done)
    assert states == [False] * (len(data) - 1) + [True]
    reader.feed(b"more")
    assert reader.rest == b"more"


def test_answers_to_head_and_connect_have_no_body() -> None:
    data = OK + b"Content-Length: 5\r\n\r\n"
    assert read(data, method="HEAD")[0].complete
    assert read(data + b"x", method="CONNECT")[1] == b"x"
    assert not read(data)[0].complete


# Responses: what is wrong

FAULTY: dict[str, tuple[bytes, tuple[Fault, ...], int | None]] = {
    "LF alone": (b"HTTP/1.1 101 OK\nUpgrade: a\n\n", (Fault.BARE_LF,), 101),
    "LF and CRLF": (b"HTTP/1.1 204 OK\r\nUpgrade: a\n\r\n", (Fault.BARE_LF,), 204),
    "CR alone": (
        b"HTTP/1.1 101 OK\rUpgrade: a\r\r",
        (Fault.HEAD_CUT_SHORT, Fault.BARE_CR),
        101,
    ),
    "CR within": (b"HTTP/1.1 204 OK\r\nA: b\rc\r\n\r\n", (Fault.BARE_CR, Fault.CONTROL_CHARACTER), 204),
    "no space after the status": (b"HTTP/1.1 204\r\n\r\n", (Fault.NO_REASON_SPACE,), 204),
    "no number": (b"HTTP/1.1 abc OK\r\n\r\n", (Fault.BAD_STATUS_LINE,), None),
    "no colon": (b"HTTP/1.1 204 OK\r\nUpgrade\r\nA: b\r\n\r\n", (Fault.HEADER_WITHOUT_COLON,), 204),
    "space before the colon": (b"HTTP/1.1 204 OK\r\nUpgrade : a\r\n\r\n", (Fault.SPACE_BEFORE_COLON,), 204),
    "space in the name": (b"HTTP/1.1 204 OK\r\nUp grade: a\r\n\r\n", (Fault.BAD_HEADER_NAME,), 204),
    "folded": (b"HTTP/1.1 204 OK\r\nA: b\r\n\tc\r\n\r\n", (Fault.FOLDED_HEADER,), 204),
    "NUL": (b"HTTP/1.1 204 OK\r\nA: b\0\r\n\r\n", (Fault.CONTROL_CHARACTER,), 204),
    "blank lines first": (b"\r\n\nHTTP/1.1 204 OK\r\n\r\n", (Fault.LEADING_BLANK_LINES,), 204),
    "end within the status line": (b"HTTP/1.1 20", (Fault.HEAD_CUT_SHORT, Fault.BAD_STATUS_LINE), None),
    "end within the head": (b"HTTP/1.1 200 OK\r\nServer: x\r\n", (Fault.HEAD_CUT_SHORT,), 200),
    "end after 100": (b"HTTP/1.1 100 Continue\r\n\r\n", (Fault.HEAD_CUT_SHORT,), None),
    "end within the body": (OK + b"Content-Length: 5\r\n\r\nhell", (Fault.BODY_CUT_SHORT,), 200),
    "end within a chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", (Fault.BODY_CUT_SHORT,), 200),
    "no chunk size": (OK + b"Transfer-Encoding: chunked\r\n\r\nhello\r\n", (Fault.BAD_CHUNK,), 200),
    "no end of chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n", (Fault.BAD_CHUNK,), 200),
    "no number of bytes": (OK + b"Content-Length: many\r\n\r\nhello", (Fault.BAD_CONTENT_LENGTH,), 200),
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_faulty_response_is_read_on_and_its_faults_are_named(name: str) -> None:
    data, faults, status = FAULTY[name]
    answer, rest = read(data)
    assert answer.kind is Kind.HTTP
    assert answer.faults == faults
    assert (answer.response.status if answer.response else None) == status
    assert answer.raw + rest == data


OTHERS: dict[str, tuple[bytes, Kind]] = {
    "nothing": (b"", Kind.NOTHING),
    "SSH": (b"SSH-2.0-OpenSSH_9.2\r\n", Kind.SSH),
    "HTTP/2 SETTINGS": (bytes.fromhex("000012040000000000000300000080000400010000000500ffffff"), Kind.HTTP2),
    "HTTP/2 GOAWAY": (bytes.fromhex("000008070000000000") + bytes(8), Kind.HTTP2),
    "HTTP/2, cut short": (b"\x00\x00\x12\x04", Kind.HTTP2),
    "TLS alert": (b"\x15\x03\x01\x00\x02\x02\x46", Kind.TLS),
    "TLS handshake": (b"\x16\x03\x03\x00\x01\x02", Kind.TLS),
    "HTML without a head": (b"<html>\nhello", Kind.GARBAGE),
    "SMTP": (b"220 mail.example.com ESMTP\r\n", Kind.GARBAGE),
    "zeros": (bytes(300), Kind.GARBAGE),
    "one zero": (b"\0", Kind.GARBAGE),
    "blank lines": (b"\r\n" * 50, Kind.GARBAGE),
    "the beginning of HTTP": (b"HTT", Kind.GARBAGE),
    "ICY": (b"ICY 200 OK\r\n", Kind.GARBAGE),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not_http_is_named(name: str) -> None:
    data, kind = OTHERS[name]
    answer, rest = read(data)
    assert (answer.kind, answer.response, answer.complete) == (kind, None, False)
    assert answer.raw + rest == data


# Whatever comes

SAMPLES = [data for data, *_ in (*WELL_FORMED.values(), *FAULTY.values(), *OTHERS.values())]
fragments = st.sampled_from(
    [
        b"HTTP/1.1 ",
        b"101 Switching",
        b"200 OK",
        b"\r\n",
        b"\n",
        b"\r",
        b": ",
        b"Content-Length: 4",
        b"0\r\n",
        b"5\r\nhello",
        b"Transfer-Encoding: chunked",
        b"SSH-",
        b"\x15\x03\x01",
        b"\0\0\0\x04\0\0\0\0\0",
        b"\xff",
        b"x" * 70,
        b" ",
        b"<html>",
    ]
)
wild = st.one_of(st.binary(max_size=80), st.lists(fragments, max_size=14).map(b"".join), st.sampled_from(SAMPLES))


@given(wild, st.lists(st.integers(0, 20), max_size=30), st.integers(0, 40))
def test_the_result_is_the_same_however_the_bytes_are_cut(data: bytes, sizes: list[int], limit: int) -> None:
    assert read(data, sizes, limit=limit) == read(data, limit=limit)
    assert read(data, [1] * len(data), limit=limit) == read(data, limit=limit)


@given(wild)
def test_no_byte_is_lost_and_nothing_is_raised(data: bytes) -> None:
    answer, rest = read(data)
    assert answer.raw + rest == data
    assert decode_response(data) == answer


@given(wild)
def test_a_cut_off_answer_is_never_complete(data: bytes) -> None:
    reader = ResponseReader()
    reader.feed(data)
    was_done = reader.done
    reader.stop()
    assert was_done or not reader.answer().complete


# Bounds


def test_a_head_beyond_the_bound_is_given_up_and_still_shows_its_status() -> None:
    reader = ResponseReader()
    reader.feed(b"HTTP/1.1 101 OK\r\n")
    fed = 0
    while not reader.done and fed < 100_000_000:
        fed += 8012
        reader.feed(b"X-Flood: " + b"y" * 8001 + b"\r\n")
    answer = reader.answer()
    assert fed < 2 * HEAD_LIMIT
    assert len(answer.raw) == HEAD_LIMIT
    assert answer.faults == (Fault.HEAD_TOO_LARGE,)
    assert answer.response is not None
    assert answer.response.status == 101


@pytest.mark.parametrize(
    "flood",
    [b"HTTP/1.1 100 Continue\r\n\r\n", b"\r\n", b"x", b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 70_000],
    ids=["interim responses", "blank lines", "garbage", "a body"],
)
def test_an_endless_answer_is_done_soon(flood: bytes) -> None:
    reader = ResponseReader()
    for _ in range(20_000):
        if reader.done:
            break
        reader.feed(flood)
    assert reader.done
    assert len(reader.answer().raw) <= HEAD_LIMIT + 64 * 1024


def test_endless_trailers_are_done_soon() -> None:
    reader = ResponseReader()
    reader.feed(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n")
    for _ in range(40_000):
        reader.feed(b"Trailer: xxxxxx\r\n")
    assert reader.done
    assert reader.answer().faults == (Fault.BAD_CHUNK,)


def test_a_large_head_byte_by_byte_takes_linear_time() -> None:
    data = OK + b"X: " + b"y" * 200_000 + b"\r\n\r\n"
    reader = ResponseReader()
    begin = time.monotonic()
    for at in range(len(data)):
        reader.feed(data[at : at + 1])
    assert time.monotonic() - begin < 5
    assert reader.answer().response is not None
