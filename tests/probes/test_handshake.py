from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.probes.servers import ACCEPT, CLOSE_FRAME, CONNECTION, GOOD, SETTINGS_FRAME, UPGRADE, switching
from tests.test_http1 import SAMPLES
from ws101.errors import UsageError
from ws101.http1 import Request
from ws101.probes.core import FAILURES, Data, Eof, Observation, Verdict
from ws101.probes.endpoint import parse_ws_url
from ws101.probes.exchange import exchange, plain_request
from ws101.probes.handshake import ORDINARY, SAMPLE_KEY, HandshakeOptions, accept_for, build_request, handshake
from ws101.probes.replay import replay

HERE = parse_ws_url("ws://example.com/chat")
SAMPLE_ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def good(*fields: bytes) -> bytes:
    """A 101 that accepts the sample key, with further fields."""
    return switching(UPGRADE, CONNECTION, ACCEPT, *fields).replace(b"ACCEPT", SAMPLE_ACCEPT)


def shake(data: bytes, options: HandshakeOptions = ORDINARY, *, error: str = "") -> Observation:
    """The probe against bytes that come after half a second, and the end right after them."""
    script = [Data(0.5, data)] if data else []
    return replay(handshake(HERE, options), [*script, Eof(0.5, error)])[0]


# The request


def test_the_accept_value_of_the_rfcs_example() -> None:
    assert accept_for(SAMPLE_KEY).encode() == SAMPLE_ACCEPT


def test_the_request_has_what_the_rfc_requires() -> None:
    request = build_request(HERE, HandshakeOptions())
    assert request.encode().startswith(b"GET /chat HTTP/1.1\r\nHost: example.com\r\n")
    assert [
        request.header(name) for name in ("Upgrade", "Connection", "Sec-WebSocket-Version", "Sec-WebSocket-Key")
    ] == [
        "websocket",
        "Upgrade",
        "13",
        SAMPLE_KEY,
    ]
    assert [request.header(name) for name in ("Origin", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions")] == [
        None
    ] * 3


def test_every_option_reaches_the_wire() -> None:
    options = HandshakeOptions(
        origin="https://a.example",
        subprotocols=("chat", "v2"),
        extensions="permessage-deflate",
        headers=(("X-Test", "1"), ("user-agent", "mine"), ("X-Test", "2")),
        version="HTTP/1.0",
        connection="keep-alive, Upgrade",
        key="AAAAAAAAAAAAAAAAAAAAAA==",
        host="other.example",
    )
    request = build_request(parse_ws_url("ws://u:p@example.com/x?y"), options)
    assert (request.target, request.version) == ("/x?y", "HTTP/1.0")
    assert dict(request.headers) == {
        "Host": "other.example",
        "Connection": "keep-alive, Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Extensions": "permessage-deflate",
        "Sec-WebSocket-Protocol": "chat, v2",
        "Origin": "https://a.example",
        "Authorization": "Basic dTpw",
        "X-Test": "2",
        "user-agent": "mine",
    }
    assert request.values("X-Test") == ("1", "2")


def test_a_given_host_field_comes_first() -> None:
    assert build_request(HERE, HandshakeOptions(headers=(("host", "x"),))).headers[0] == ("host", "x")


def test_fields_can_be_left_out() -> None:
    request = build_request(HERE, HandshakeOptions(connection="", upgrade=""))
    assert (request.header("Connection"), request.header("Upgrade")) == (None, None)


@pytest.mark.parametrize(
    "field", [("A b", "c"), ("", "c"), ("A", "b\r\nC: d"), ("A", "b\n"), ("A", "\0"), ("A", "\u20ac")]
)
def test_a_header_field_that_would_break_the_request_is_refused(field: tuple[str, str]) -> None:
    with pytest.raises(UsageError):
        build_request(HERE, HandshakeOptions(headers=(field,)))


# The answer


def test_a_good_answer_passes_and_the_server_is_taken_leave_of() -> None:
    probe = handshake(HERE)
    seen, replayed = replay(probe, [Data(0.5, good()), Data(0.75, CLOSE_FRAME), Eof(0.75)])
    assert (seen.verdict, seen.class_) == (Verdict.PASSED, ""), seen.message
    assert seen.handshake is not None
    assert (seen.handshake.seconds, seen.handshake.ended, replayed.closed) == (0.5, "", True)
    assert replayed.sent.partition(b"\r\n\r\n")[2][:2] == b"\x88\x82"


def test_a_server_that_sends_no_frame_at_all_passes_without_a_first_frame() -> None:
    seen, replayed = replay(handshake(HERE), [Data(0.5, good())])
    assert seen.passed
    assert seen.handshake is not None
    assert "first-frame" not in [check.name for check in seen.handshake.checks]
    assert replayed.at == 1.5


REFUSED: dict[str, tuple[bytes, str, HandshakeOptions]] = {
    "accept twice": (good(b"Sec-WebSocket-Accept: " + SAMPLE_ACCEPT), "accept-mismatch", HandshakeOptions()),
    "Upgrade: h2c": (good().replace(b": websocket", b": h2c"), "wrong-upgrade", HandshakeOptions()),
    "another subprotocol": (
        good(b"Sec-WebSocket-Protocol: b"),
        "unrequested-subprotocol",
        HandshakeOptions(subprotocols=("a",)),
    ),
    "two subprotocols": (
        good(b"Sec-WebSocket-Protocol: a, b"),
        "unrequested-subprotocol",
        HandshakeOptions(subprotocols=("a", "b")),
    ),
    "no subprotocol": (good(), "missing-subprotocol", HandshakeOptions(subprotocols=("a",))),
    "another extension": (
        good(b"Sec-WebSocket-Extensions: permessage-deflate, x-other; a=b"),
        "unrequested-extension",
        HandshakeOptions(extensions="permessage-deflate; client_max_window_bits"),
    ),
    "404": (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "status", HandshakeOptions()),
    "HTTP/2": (SETTINGS_FRAME, "http2-only", HandshakeOptions()),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_answer_that_breaks_a_requirement_fails_by_its_name(name: str) -> None:
    data, class_, options = REFUSED[name]
    seen = shake(data, options)
    assert (seen.verdict, seen.class_) == (Verdict.FAILED, class_), seen.message


ACCEPTED: dict[str, tuple[bytes, HandshakeOptions]] = {
    "the offered subprotocol": (good(b"Sec-WebSocket-Protocol: b"), HandshakeOptions(subprotocols=("a", "b"))),
    "the offered extension": (
        good(b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover"),
        HandshakeOptions(extensions="permessage-deflate"),
    ),
    "other case and lists": (
        good().replace(b"Upgrade: websocket", b"UPGRADE: WebSocket").replace(b": Upgrade", b": keep-alive, UPGRADE"),
        HandshakeOptions(),
    ),
    "after an interim response": (b"HTTP/1.1 103 Early Hints\r\n\r\n" + good(), HandshakeOptions()),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_the_rfc_allows_passes(name: str) -> None:
    data, options = ACCEPTED[name]
    seen = shake(data, options)
    assert seen.passed, seen.message


def test_status_and_the_bodys_first_lines_are_always_shown() -> None:
    body = b"<html><title>400 Bad Request</title><style>p{}</style>\n<h1>400 Bad Request</h1><p>No Upgrade</p>"
    seen = shake(b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n\r\n" + body)
    assert seen.handshake is not None
    assert seen.handshake.body_lines == ("400 Bad Request", "No Upgrade")
    assert "400 Bad Request" in seen.message
    assert "No Upgrade" in seen.message


def test_a_redirect_shows_where_to_without_its_secrets() -> None:
    seen = shake(b"HTTP/1.1 302 Found\r\nLocation: https://h/login?token=hunter22\r\nContent-Length: 0\r\n\r\n")
    assert seen.class_ == "redirect"
    assert "https://h/login?token=***" in seen.message


@pytest.mark.parametrize(
    ("error", "class_"), [("", "eof"), ("reset", "reset"), ("client-certificate", "client-certificate")]
)
def test_an_end_without_an_answer_is_named(error: str, class_: str) -> None:
    assert shake(b"", error=error).class_ == class_
    assert shake(b"HTTP/1.1 101 Swi", error=error).class_ == class_


def test_no_answer_in_time_is_a_timeout_at_the_given_second() -> None:
    seen, replayed = replay(handshake(HERE, HandshakeOptions(timeout=3)), [])
    assert (seen.class_, replayed.at) == ("timeout", 3.0)


ANSWERS = [
    *SAMPLES,
    good(),
    good() + CLOSE_FRAME,
    good() + b"<html>",
    good() + b"\x81\x82",
    GOOD,
    *(v[0] for v in REFUSED.values()),
]


@given(
    st.sampled_from(ANSWERS),
    st.integers(0, 300),
    st.lists(st.integers(1, 60), max_size=20),
    st.sampled_from([None, "", "reset"]),
)
def test_the_outcome_is_the_same_however_the_bytes_are_cut(
    data: bytes, length: int, sizes: list[int], error: str | None
) -> None:
    data = data[:length] if length else data
    end = [] if error is None else [Eof(0.5, error)]

    def outcome(pieces: list[bytes]) -> tuple[Observation, object]:
        return replay(handshake(HERE), [*(Data(0.5, piece) for piece in pieces if piece), *end])

    pieces, left = [], data
    for size in sizes:
        pieces.append(left[:size])
        left = left[size:]
    assert outcome([*pieces, left]) == outcome([data])


@given(st.one_of(st.binary(max_size=60), st.sampled_from(ANSWERS)), st.sampled_from([None, "", "reset", "tls"]))
def test_every_failure_has_a_known_name_and_a_message(data: bytes, error: str | None) -> None:
    end = [] if error is None else [Eof(0.5, error)]
    seen, _ = replay(handshake(HERE), [*([Data(0.5, data)] if data else []), *end])
    assert seen.message
    assert (seen.class_ in FAILURES) == (seen.verdict is Verdict.FAILED)
    assert seen.verdict is not Verdict.UNDECIDED


# The exchange


def test_an_exchange_passes_with_any_status() -> None:
    request = plain_request(HERE, (("Accept", "x"),))
    seen, replayed = replay(exchange(request), [Data(0.5, b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy")])
    assert (seen.verdict, seen.message) == (Verdict.PASSED, 'the server answered 503 Busy: "busy"')
    assert replayed.sent == request.encode()
    assert request.values("Accept") == ("x",)


def test_an_exchange_without_a_readable_answer_fails() -> None:
    seen, _ = replay(exchange(Request("GET", "/"), timeout=2), [Data(0.5, b"SSH-2.0-x\r\n")])
    assert (seen.verdict, seen.class_) == (Verdict.FAILED, "not-http")


def test_a_handshake_needs_no_frames_library() -> None:
    code = "import sys, ws101.host.network; print([m for m in ('websockets', 'asyncio', 'rich') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
