"""Reading a browser's events: every ending that Chromium has words for, and what is kept from a transcript."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws101.http1 import Headers, Response
from ws101.probes.browsing import FRAMES_KEPT, browsed, class_of, console_status
from ws101.probes.core import FAILURES, HandshakeResult, Observation, Verdict
from ws101.probes.endpoint import parse_ws_url
from ws101.probes.verification import State, Step, Verification, verification

URL = "ws://example.com/ws?token=topsecret"
PREFIX = f"WebSocket connection to '{URL}' failed: "


def event(method: str, **params: Any) -> dict[str, Any]:
    return {"method": method, "params": params}


ANSWER = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSet-Cookie: id=hidden1; Path=/\r\nX: a\r\nX: b\r\n\r\n"
)
ASKED = f"GET {URL} HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nCookie: sid=cookievalue\r\n\r\n"
OPENED = [
    event("Network.webSocketCreated", url=URL),
    event("Network.webSocketWillSendHandshakeRequest", timestamp=5.0, request={"headers": {"Upgrade": "websocket"}}),
    event(
        "Network.webSocketHandshakeResponseReceived",
        timestamp=5.25,
        response={
            "status": 101,
            "statusText": "Switching Protocols",
            "headersText": ANSWER,
            "requestHeadersText": ASKED,
        },
    ),
    event("Network.webSocketFrameSent", timestamp=5.3, response={"opcode": 1, "payloadData": "hi"}),
    event("Network.webSocketFrameReceived", timestamp=5.4, response={"opcode": 1, "payloadData": "hi"}),
    event("Network.webSocketClosed", timestamp=5.5),
]
SAID = {"opened": True, "echoed": True, "code": 1000, "clean": True}


def see(events: list[dict[str, Any]], said: dict[str, Any] | None = None) -> Observation:
    return browsed(events, said or {}, parse_ws_url(URL), browser="Chrome/1", page="http://example.com")


def failed(text: str) -> Observation:
    return see([event("Log.entryAdded", entry={"text": PREFIX + text})])


def test_an_open_socket_has_both_heads_in_wire_order_and_its_times_begin_at_the_handshake() -> None:
    seen = see(OPENED, SAID)
    assert seen.passed
    assert seen.handshake is not None
    assert seen.handshake.status == 101
    assert seen.handshake.request.headers[:2] == (("Host", "example.com"), ("Upgrade", "websocket"))
    assert [name for name, _ in seen.handshake.headers] == ["Upgrade", "Set-Cookie", "X", "X"]
    assert [(entry.at, entry.direction) for entry in seen.transcript] == [
        (0.0, "sent"), (0.25, "received"), (pytest.approx(0.3), "sent"), (pytest.approx(0.4), "received"),
        (0.5, "note"),
    ]  # fmt: skip
    assert (seen.detail("status"), seen.detail("echoed"), seen.detail("close_code")) == (101, True, 1000)
    assert (seen.detail("frames_sent"), seen.detail("frames_received")) == (1, 1)


def test_a_failure_is_the_consoles_line_without_the_secrets_of_the_address() -> None:
    seen = failed("Error during WebSocket handshake: Unexpected response code: 400")
    assert seen.verdict is Verdict.FAILED
    assert seen.message.endswith("Unexpected response code: 400")
    assert "topsecret" not in repr(seen.message) + repr(seen.transcript)
    assert (seen.class_, seen.detail("status")) == ("status", 400)
    assert seen.handshake is not None
    assert seen.handshake.response is None


def test_a_password_in_the_address_is_masked_wherever_it_stands() -> None:
    endpoint = parse_ws_url("ws://user:hunter22@example.com/ws")
    line = "WebSocket connection to 'ws://user:hunter22@example.com/ws' failed: "
    seen = browsed([event("Log.entryAdded", entry={"text": line})], {}, endpoint, browser="b", page="p")
    assert "hunter22" not in seen.message


def test_without_a_line_in_the_console_the_networks_error_speaks_and_without_either_that_is_said() -> None:
    error = event("Network.webSocketFrameError", timestamp=1.0, errorMessage="Invalid frame header")
    assert (see([error]).message, see([error]).class_) == ("Invalid frame header", "invalid-frame")
    assert "console says nothing" in see([]).message
    assert see([event("Log.entryAdded", entry={"text": "some other complaint"})]).message == see([]).message


@pytest.mark.parametrize(
    ("text", "class_"),
    [
        ("Error during WebSocket handshake: Unexpected response code: 502", "status"),
        ("Error during WebSocket handshake: Unexpected response code: 301", "redirect"),
        ("HTTP Authentication failed; no valid credentials available", "authentication"),
        ("Error during WebSocket handshake: 'Upgrade' header is missing", "missing-upgrade"),
        ("Error during WebSocket handshake: 'Connection' header value must contain 'Upgrade'", "wrong-connection"),
        ("Error during WebSocket handshake: Incorrect 'Sec-WebSocket-Accept' header value", "accept-mismatch"),
        (
            "Sent non-empty 'Sec-WebSocket-Protocol' header but no response was received",
            "missing-subprotocol",
        ),
        ("Connection closed before receiving a handshake response", "eof"),
        ("WebSocket opening handshake timed out", "timeout"),
        ("Error in connection establishment: net::ERR_CONNECTION_REFUSED", "refused"),
        ("Error in connection establishment: net::ERR_NAME_NOT_RESOLVED", "dns"),
        ("Error in connection establishment: net::ERR_CERT_AUTHORITY_INVALID", "certificate"),
        ("Error in connection establishment: net::ERR_SSL_PROTOCOL_ERROR", "tls"),
        ("a text of the day after tomorrow", ""),
    ],
)
def test_every_ending_has_the_name_it_has_elsewhere(text: str, class_: str) -> None:
    assert class_of(PREFIX + text) == class_
    assert class_ == "" or class_ in FAILURES


def test_the_status_is_read_from_the_line() -> None:
    assert console_status("Unexpected response code: 426") == 426
    assert console_status("net::ERR_CONNECTION_REFUSED") is None


def test_a_flood_of_frames_is_counted_and_not_kept() -> None:
    frames = [event("Network.webSocketFrameReceived", timestamp=1.0, response={"opcode": 2, "payloadData": "x"})] * 500
    seen = see([*OPENED[:3], *frames], SAID)
    assert seen.detail("frames_received") == 500
    assert len(seen.transcript) <= FRAMES_KEPT + 5


def test_secrets_of_the_heads_stay_out_of_the_transcript() -> None:
    seen = see([*OPENED, event("Network.webSocketFrameError", errorMessage="bad cookievalue topsecret")], SAID)
    assert "cookievalue" not in repr(seen.transcript)
    assert "topsecret" not in repr(seen.transcript)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)
params = st.fixed_dictionaries(
    {},
    optional={
        "timestamp": json_values,
        "errorMessage": json_values,
        "request": st.fixed_dictionaries({}, optional={"headers": json_values}),
        "entry": st.fixed_dictionaries({}, optional={"text": json_values}),
        "response": st.fixed_dictionaries(
            {}, optional={"opcode": st.integers(), "headersText": json_values, "headers": json_values}
        ),
    },
)
METHODS = sorted({str(e["method"]) for e in OPENED} | {"Network.webSocketFrameError", "Log.entryAdded", "X.y"})


@given(st.lists(st.tuples(st.sampled_from(METHODS), params), max_size=8))
def test_whatever_the_events_hold_there_is_an_observation(events: list[tuple[str, dict[str, Any]]]) -> None:
    seen = see([event(method, **given) for method, given in events])
    assert seen.verdict is Verdict.FAILED
    assert seen.message


def client(verdict: Verdict, status: int, upgrade: Headers, *details: tuple[str, float]) -> Observation:
    request = see(OPENED, SAID).handshake
    assert request is not None
    shake = HandshakeResult(request.request, Response("HTTP/1.1", status, "Said", upgrade))
    return Observation(verdict, "what the client saw", "", (), details, shake)


def states(found: Verification) -> list[str]:
    return [step.state.value for step in found.steps]


def test_all_three_passed_is_passed() -> None:
    good = client(Verdict.PASSED, 101, (("Upgrade", "websocket"),), ("seconds", 0.002))
    found = verification(see(OPENED, SAID), None, good)
    assert states(found) == ["passed"] * 3
    assert (found.state, found.latency) == (State.PASSED, 0.002)


def test_a_browser_that_did_not_run_is_never_passed() -> None:
    missing = Step("browser", State.NOT_DONE, "there is no browser")
    good = client(Verdict.PASSED, 101, (("Upgrade", "websocket"),), ("min", 0.002))
    assert verification(None, missing, good).state is State.NOT_DONE
    bad = client(Verdict.FAILED, 400, ())
    found = verification(None, missing, bad)
    assert states(found) == ["not-done", "failed", "failed"]
    assert found.state is State.FAILED


def test_an_upgrade_field_in_another_answer_than_a_101_does_not_count() -> None:
    refused = client(Verdict.FAILED, 426, (("Upgrade", "websocket"),))
    step = verification(None, Step("browser", State.NOT_DONE, "none"), refused).steps[1]
    assert (step.state, step.message) == (State.FAILED, "the answer has no Upgrade: websocket (status 426)")


def test_silence_is_undecided() -> None:
    silent = client(Verdict.UNDECIDED, 101, (("Upgrade", "websocket"),))
    assert verification(see(OPENED, SAID), None, silent).state is State.UNDECIDED
