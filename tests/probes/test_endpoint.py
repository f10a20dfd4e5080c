from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws101.errors import UsageError
from ws101.probes.endpoint import Endpoint, parse_ws_url


@pytest.mark.parametrize(
    ("url", "expected", "host_header"),
    [
        ("ws://example.com", Endpoint("ws", "example.com", 80, "/"), "example.com"),
        ("WSS://Example.COM/Ws?a=B", Endpoint("wss", "example.com", 443, "/Ws?a=B"), "example.com"),
        ("ws://localhost:3000/", Endpoint("ws", "localhost", 3000, "/"), "localhost:3000"),
        ("wss://example.com:443/", Endpoint("wss", "example.com", 443, "/"), "example.com"),
        ("ws://example.com:443/", Endpoint("ws", "example.com", 443, "/"), "example.com:443"),
        ("http://example.com?x", Endpoint("http", "example.com", 80, "/?x"), "example.com"),
        ("https://a:/p", Endpoint("https", "a", 443, "/p"), "a"),
        ("ws://[::1]:8080/x", Endpoint("ws", "::1", 8080, "/x"), "[::1]:8080"),
        ("ws://[fe80::1%eth0]/", Endpoint("ws", "fe80::1%eth0", 80, "/"), "[fe80::1]"),
        (
            "ws://b\xfccher.example/\xfc",
            Endpoint("ws", "xn--bcher-kva.example", 80, "/%C3%BC"),
            "xn--bcher-kva.example",
        ),
        ("ws://my_app.internal/", Endpoint("ws", "my_app.internal", 80, "/"), "my_app.internal"),
        ("ws://user:p%40ss@h/", Endpoint("ws", "h", 80, "/", "Basic dXNlcjpwQHNz"), "h"),
        ("ws://user@h/", Endpoint("ws", "h", 80, "/", "Basic dXNlcjo="), "h"),
    ],
)
def test_a_url_is_read(url: str, expected: Endpoint, host_header: str) -> None:
    endpoint = parse_ws_url(url)
    assert endpoint == expected
    assert endpoint.host_header == host_header
    assert endpoint.tls == (expected.scheme in ("wss", "https"))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "not a URL"),
        ("example.com/ws", "not a URL"),
        ("//example.com/ws", "not a URL"),
        ("ftp://example.com/", "ftp"),
        ("localhost:3000/ws", "not a URL"),
        ("ws:///chat", "no host"),
        ("ws://:80/", "no host"),
        ("ws://h:0/", "port"),
        ("ws://h:65536/", "port"),
        ("ws://h:x/", "port"),
        ("ws://h:\u0663/", "port"),
        ("ws://h/#top", "fragment"),
        ("ws://h/a b", "blank"),
        ("ws://h/a\r\nX: y", "blank"),
        ("ws://::1/", "not well-formed"),
        ("ws://[zz]/", "IPv6"),
        ("ws://a..b/", "not well-formed"),
        ("ws://-a/", "not well-formed"),
        (f"ws://{'a' * 64}.b/", "not well-formed"),
        ("ws://" + "\xfc" * 70 + "/", "cannot be encoded"),
    ],
)
def test_a_wrong_url_is_refused_with_a_reason(url: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_ws_url(url)


def test_the_remedy_for_a_missing_scheme_shows_the_users_own_address() -> None:
    with pytest.raises(UsageError) as caught:
        parse_ws_url("example.com/ws")
    assert "ws://example.com/ws" in caught.value.help


def test_neither_password_nor_token_is_shown() -> None:
    assert parse_ws_url("wss://u:hunter22@h/ws?token=hunter22&a=b").url == "wss://h/ws?token=***&a=b"
    for url in ("ftp://u:hunter22@h/?token=hunter22", "u:hunter22@h/ws", "ws://u:hunter22@h:x/"):
        with pytest.raises(UsageError) as caught:
            parse_ws_url(url)
        assert "hunter22" not in str(caught.value)


@given(st.text(max_size=40), st.sampled_from(["", "ws://", "wss://h/", "ws://h:", "ws://["]))
def test_anything_is_read_or_refused(text: str, start: str) -> None:
    try:
        endpoint = parse_ws_url(start + text)
    except UsageError:
        return
    assert endpoint.target.isascii()
    assert endpoint.host.isascii()
    assert 0 < endpoint.port < 65536
    assert not set(endpoint.target + endpoint.host) & set(" \r\n\t\0")
