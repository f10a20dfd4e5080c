from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws101.cli.pasted import read_pasted

URL = "wss://example.com/ws"

CHROME = "WebSocket connection to 'wss://example.com/ws' failed:"
WHY = "Error during WebSocket handshake: Unexpected response code:"

LINES = {
    f"{CHROME} {WHY} 400": 400,
    f"app.js:12 {CHROME} {WHY} 502": 502,
    f"{CHROME} ": None,
    f"WebSocket connection to wss://example.com/ws failed: {WHY} 400": 400,
    "Firefox can’t establish a connection to the server at wss://example.com/ws.": None,
    "The connection to wss://example.com/ws was interrupted while the page was loading.": None,
    "Firefox kann keine Verbindung zu dem Server unter wss://example.com/ws aufbauen.": None,
    f"[Error] {CHROME} Unexpected response code: 404": 404,
    "Error: Unexpected server response: 426 wss://example.com/ws": 426,
    "websocket: bad handshake (wss://example.com/ws) HTTP 403": 403,
    "http://localhost:5173/src/app.js:7 WebSocket connection to 'wss://example.com/ws' failed": None,
    "“wss://example.com/ws”": None,
    "wss://example.com/ws": None,
}


@pytest.mark.parametrize(("line", "status"), LINES.items())
def test_the_address_and_the_status_are_found_in_what_browsers_print(line: str, status: int | None) -> None:
    pasted = read_pasted(line)
    assert pasted is not None
    assert pasted.url == URL
    assert pasted.status == status


def test_a_bare_address_is_no_line() -> None:
    pasted = read_pasted(URL)
    assert pasted is not None
    assert not pasted.line


def test_the_whole_line_is_kept_as_an_observation() -> None:
    line = "WebSocket connection to 'wss://example.com/ws' failed: Unexpected response code: 400"
    pasted = read_pasted(f"  {line}\n")
    assert pasted is not None
    assert pasted.line == line


@pytest.mark.parametrize(
    ("line", "symptom"),
    [
        ("WebSocket connection to 'ws://a/' failed: Error in connection establishment: net::ERR_CONNECTION_REFUSED",
         "net::ERR_CONNECTION_REFUSED"),
        ("Error: connect ECONNREFUSED ws://a/", "ECONNREFUSED"),
        ("WebSocket ws://a/ closed with code 1006", "code 1006"),
    ],
)  # fmt: skip
def test_the_browsers_own_word_for_the_failure_is_found(line: str, symptom: str) -> None:
    pasted = read_pasted(line)
    assert pasted is not None
    assert pasted.symptom == symptom


def test_an_address_of_a_web_page_counts_if_there_is_no_other() -> None:
    pasted = read_pasted("GET https://example.com/socket.io/?EIO=4&transport=websocket 400 (Bad Request)")
    assert pasted is not None
    assert pasted.url == "https://example.com/socket.io/?EIO=4&transport=websocket"


def test_an_ipv6_address_keeps_its_bracket() -> None:
    pasted = read_pasted("connecting to ws://[::1]:8080/ws.")
    assert pasted is not None
    assert pasted.url == "ws://[::1]:8080/ws"


@pytest.mark.parametrize(
    "text", ["", "check", "example.com/ws", "Unexpected server response: 400", "ftp://example.com/"]
)
def test_text_without_an_address_is_not_a_pasted_line(text: str) -> None:
    assert read_pasted(text) is None


@given(st.text())
def test_any_text_gives_an_answer_whose_address_stands_in_it(text: str) -> None:
    pasted = read_pasted(text)
    assert pasted is None or pasted.url in text


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=20))
def test_the_address_is_found_whatever_stands_around_it(text: str) -> None:
    pasted = read_pasted(f"{text} '{URL}' {text}")
    assert pasted is not None
    assert pasted.url == URL
