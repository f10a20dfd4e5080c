from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws101.http1 import Request, Response
from ws101.probes.core import Log
from ws101.probes.exchange import body_lines
from ws101.probes.masking import mask, mask_headers, mask_request, mask_response, secrets_of

SECRET = "Zx9-hunter2hunter2hunter2"  # what must never be shown

HEADERS = [
    ("Cookie", f"sid={SECRET}; lang=x", "sid=***; lang=***"),
    ("set-cookie", f"sid={SECRET}; Path=/; HttpOnly", "sid=***; Path=/; HttpOnly"),
    ("Authorization", f"Bearer {SECRET}", "Bearer ***"),
    ("Proxy-Authorization", f"Basic {SECRET}", "Basic ***"),
    ("AUTHORIZATION", SECRET, "***"),
    ("Cookie", SECRET, "***"),
    ("X-Api-Key", SECRET, "***"),
    ("Sec-WebSocket-Protocol", f"chat, bearer.{SECRET}", "chat, ***"),
    ("Sec-WebSocket-Protocol", f"access_token, {SECRET}", "access_token, ***"),
    ("Sec-WebSocket-Protocol", "eyJhbGciOi.eyJzdWIi.c2ln", "***"),
    ("Referer", f"https://h/?token={SECRET}&a=b", "https://h/?token=***&a=b"),
]
PLAIN = [
    ("Sec-WebSocket-Protocol", "graphql-transport-ws, v12.stomp"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("X-Cookie-Note", "cookie=1"),
    ("Host", "example.com"),
]


@pytest.mark.parametrize(("name", "value", "shown"), HEADERS)
def test_secret_header_fields_keep_their_form_and_lose_their_value(name: str, value: str, shown: str) -> None:
    assert mask(f"GET / HTTP/1.1\r\n{name}: {value}\r\nA: b") == f"GET / HTTP/1.1\r\n{name}: {shown}\r\nA: b"
    assert mask_headers(((name, value),)) == ((name, shown),)


@pytest.mark.parametrize(("name", "value"), PLAIN)
def test_other_header_fields_stay(name: str, value: str) -> None:
    assert mask_headers(((name, value),)) == ((name, value),)


@pytest.mark.parametrize("argument", ["token", "access_token", "KEY", "jwt", "password", "api_key", "sid", "code"])
def test_secret_arguments_are_masked(argument: str) -> None:
    assert mask(f"/ws?a=b&{argument}={SECRET}&c=d") == f"/ws?a=b&{argument}=***&c=d"
    assert mask(f"/ws?my{argument}x=1") == f"/ws?my{argument}x=1"


def test_passwords_in_urls_are_masked() -> None:
    assert mask(f"see wss://me:{SECRET}@h/x") == "see wss://***@h/x"


def test_what_a_server_sends_back_is_masked_by_value() -> None:
    request = Request(
        "GET", f"/?jwt={SECRET}1", headers=(("Cookie", f"a={SECRET}2"), ("Authorization", f"Bearer {SECRET}3"))
    )
    log = Log(secrets_of(request))
    log.add(0.0, "received", f"1={SECRET}1 2={SECRET}2 3={SECRET}3".encode())
    assert [entry.text for entry in log.entries()] == ["1=*** 2=*** 3=***"]


@given(st.sampled_from(HEADERS), st.sampled_from(["token", "key", "password"]), st.text("abc<\r\n ", max_size=9))
def test_no_secret_survives(header: tuple[str, str, str], argument: str, body: str) -> None:
    request = Request("GET", f"/?{argument}={SECRET}", headers=(header[:2],), body=body + SECRET)
    assert SECRET not in repr(mask_request(request))
    response = Response("HTTP/1.1", 400, SECRET, (header[:2],), body + SECRET)
    assert SECRET not in repr(mask_response(response, secrets_of(request)))


@pytest.mark.parametrize(
    "hostile",
    [
        "a" * 60_000,
        "a." * 30_000,
        "a=" * 30_000,
        "?token=" * 9_000,
        "://" * 20_000,
        "<script" * 8_000,
        "bearer" * 10_000,
        "bearer," * 9_000,
        "\r\n " * 20_000,
        '="' * 30_000,
        "@" * 60_000,
        "a://" + "b" * 60_000,
    ],
)
@pytest.mark.parametrize("name", ["Sec-WebSocket-Protocol", "Cookie", "Authorization", "X"])
def test_hostile_text_takes_no_long_time(name: str, hostile: str) -> None:
    begin = time.monotonic()
    log = Log()
    log.mask(f"{name}: {hostile}")
    body_lines(Response("HTTP/1.1", 400, "", (("Content-Type", "text/html"),), hostile), log)
    assert time.monotonic() - begin < 1


def test_a_secret_with_a_byte_that_unicode_takes_for_a_blank_is_masked_whole() -> None:
    assert mask("/?token=ab\xa0cd\x85ef&x=1") == "/?token=***&x=1"
    assert mask("Cookie: a=b\xa0c\x85d") == "Cookie: a=***"


def test_an_entry_of_a_transcript_is_bounded() -> None:
    log = Log(limit=10)
    log.add(0.0, "received", b"x" * 25)
    assert log.entries()[0].text == "x" * 10 + "[15 more bytes]"
