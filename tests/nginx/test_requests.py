"""How nginx reads requests: the documented facts, then generated requests against a real nginx."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.nginx.asking import MARK, ask, config_of, serving
from ws101.host.binary import NginxBinary
from ws101.http1 import Headers, Request
from ws101.nginx.build import Build
from ws101.nginx.outcome import Arrival
from ws101.nginx.requests import ClientSettings, Received, Refused, client_settings, read_request
from ws101.nginx.servers import Group, listeners
from ws101.nginx.targets import UriParts, normalise_uri, validate_host
from ws101.nginx.trace import trace

OLD, NEW = Build((1, 22, 1)), Build((1, 31, 3))
HOST = ("Host", "h.test")


def read(request: Request, build: Build = NEW, **settings: Any) -> Received | Refused:
    """What a single server with these settings makes of a request."""
    own = ClientSettings(**settings)
    return read_request(request, build, own, lambda host: (host, own))


def received(target: str = "/", *headers: tuple[str, str], version: str = "HTTP/1.1", **settings: Any) -> Received:
    found = read(Request("GET", target, version, (HOST, *headers)), **settings)
    assert isinstance(found, Received), found
    return found


def refused(request: Request, build: Build = NEW, **settings: Any) -> tuple[int | None, str]:
    found = read(request, build, **settings)
    assert isinstance(found, Refused), found
    return found.status, found.reason


@pytest.mark.parametrize(
    ("target", "uri", "args"),
    [
        ("/", "/", ""),
        ("/ms//a///b", "/ms/a/b", ""),
        ("/ms/./a/../b", "/ms/b", ""),
        ("/ms/%2e%2e/b", "/b", ""),
        ("/ms/a%2Fb", "/ms/a/b", ""),
        ("/ms/a%2F%2Fb", "/ms/a/b", ""),
        ("/ms/a?x#y", "/ms/a", "x"),
        ("/ms/a#frag", "/ms/a", ""),
        ("/ms/a#?x", "/ms/a", ""),
        ("/ms/a%3Fb", "/ms/a?b", ""),
        ("/ms/a%23b%25", "/ms/a#b%", ""),
        ("/ms/a+b", "/ms/a+b", ""),
        ("/a?%2e%zz//", "/a", "%2e%zz//"),
        ("/a/..", "/", ""),
        ("/a/.", "/a/", ""),
        ("/a/...", "/a/...", ""),
        ("/a?", "/a", ""),
        ("/%41%c3%a9", "/A\xc3\xa9", ""),
    ],
)
def test_the_path_is_decoded_once_and_resolved_and_the_arguments_are_not(target: str, uri: str, args: str) -> None:
    parts = normalise_uri(target, True)
    assert isinstance(parts, UriParts)
    assert (parts.uri, parts.args) == (uri, args)
    assert received(target).target == target


@pytest.mark.parametrize("target", ["/ms/a%00", "/ms/%zz", "/..", "/a/../..", "/a/%", "/%4", "//../..", "/%2e%2e"])
def test_a_path_that_is_bad_or_leaves_the_root_is_refused(target: str) -> None:
    assert refused(Request("GET", target, headers=(HOST,))) == (400, "client sent invalid request")


def test_slashes_are_kept_if_told() -> None:
    assert normalise_uri("/a//b/..//c", False) == UriParts("/a///c", "", False)
    assert normalise_uri("//..", False) == UriParts("/", "", False)


def test_a_quoted_path_is_known_as_such() -> None:
    assert received("/a%20b").quoted_uri
    assert not received("/a?%20").quoted_uri


@given(st.text(alphabet="/.a%2eF?#+", max_size=14))
def test_a_normalised_path_starts_with_a_slash_and_leads_nowhere_else(rest: str) -> None:
    for merge in (True, False):
        parts = normalise_uri("/" + rest, merge)
        if isinstance(parts, UriParts):
            assert parts.uri.startswith("/")
            assert ".." not in parts.uri.split("/")
            assert not (merge and "//" in parts.uri)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("http://Other.test:81/a?b", ("/a", "b", "other.test", "/a?b", True)),
        ("http://other.test", ("/", "", "other.test", "/", True)),
        ("http://other.test?x=1", ("/", "x=1", "other.test", "?x=1", False)),
        ("ws+x://[::1]:5/a", ("/a", "", "[::1]", "/a", True)),
    ],
)
def test_the_host_of_an_absolute_target_beats_the_field(target: str, expected: tuple[str, str, str, str, bool]) -> None:
    found = received(target)
    assert (found.uri, found.args, found.host, found.target, found.valid_unparsed_uri) == expected
    assert (found.http_host, found.server) == ("h.test", expected[2])


@pytest.mark.parametrize(
    ("host", "old", "new"),
    [
        ("Exact.Test", "exact.test", "exact.test"),
        ("a.test:8080", "a.test", "a.test"),
        ("a.test.", "a.test", "a.test"),
        ("a.test.:80", "a.test", "a.test"),
        ("[::1]:80", "[::1]", "[::1]"),
        ("a_b~!$&'()*+,;=%", "a_b~!$&'()*+,;=%", "a_b~!$&'()*+,;=%"),
        ("a.test:abc", "a.test", None),
        ("a.test:99999", "a.test", None),
        ("a.test:00080", "a.test", "a.test"),
        ("a@b", "a@b", None),
        ("\xe9", "\xe9", None),
        ("a[b]", "a[b]", None),
        ("[::1", "[::1", None),
        ("[::1]x", "[::1]", None),
        ("a..b", None, None),
        ("a/b", None, None),
        ("a b", None, None),
        ("", None, None),
        (".", None, None),
        (":80", None, None),
    ],
)
def test_a_host_is_validated_as_the_version_does(host: str, old: str | None, new: str | None) -> None:
    assert (validate_host(host, OLD), validate_host(host, NEW)) == (old, new)


def test_the_port_of_the_host_is_kept() -> None:
    assert read(Request("GET", "/", headers=(("Host", "a:81"),))).port == 81  # type: ignore[union-attr]
    assert received().port is None


@pytest.mark.parametrize(
    ("request_", "status", "reason"),
    [
        (Request("get", "/", headers=(HOST,)), 400, "client sent invalid method"),
        (Request("GET", "/a b", headers=(HOST,)), 400, "client sent invalid request"),
        (Request("GET", "a", headers=(HOST,)), 400, "client sent invalid request"),
        (Request("GET", "/\x7f", headers=(HOST,)), 400, "client sent invalid request"),
        (Request("GET", "/", "HTTP/2.0", (HOST,)), 505, "client sent invalid version"),
        (Request("GET", "/", "HTTP/0.9", (HOST,)), 400, "client sent invalid request"),
        (Request("POST", "/", ""), 400, "client sent invalid method in HTTP/0.9 request"),
        (Request("GET", "/"), 400, 'client sent HTTP/1.1 request without "Host" header'),
        (Request("GET", "/", headers=(("Host", "a/b"),)), 400, "client sent invalid host header"),
        (Request("GET", "http:///", headers=(HOST,)), 400, "client sent invalid host in request line"),
        (
            Request("GET", "/", headers=(HOST, ("host", "x"))),
            400,
            'client sent duplicate host header: "host: x", previous value: "Host: h.test"',
        ),
        (
            Request("GET", "/", headers=(HOST, ("Expect", "a"), ("expect", "b"))),
            400,
            'client sent duplicate header line: "expect: b", previous value: "Expect: a"',
        ),
        (
            Request("GET", "/", headers=(HOST, ("Content-Length", "-1"))),
            400,
            'client sent invalid "Content-Length" header',
        ),
        (
            Request("GET", "/", headers=(HOST, ("Transfer-Encoding", "gzip"))),
            501,
            'client sent unknown "Transfer-Encoding": "gzip"',
        ),
        (
            Request("GET", "/", "HTTP/1.0", (HOST, ("Transfer-Encoding", "chunked"))),
            400,
            'client sent HTTP/1.0 request with "Transfer-Encoding" header',
        ),
        (
            Request("GET", "/", headers=(HOST, ("Content-Length", "1"), ("Transfer-Encoding", "chunked"))),
            400,
            'client sent "Content-Length" and "Transfer-Encoding" headers at the same time',
        ),
        (Request("TRACE", "/", headers=(HOST,)), 405, "client sent TRACE method"),
        (Request("CONNECT", "h.test:80", headers=(HOST,)), 405, "client sent CONNECT method"),
        (Request("GET", "/", headers=(HOST, ("A B", "x"))), 400, 'client sent invalid header line: "A\\x20..."'),
        (Request("GET", "/", headers=(HOST, ("A", "x\0y"))), 400, 'client sent invalid header line: "A: x\\x00..."'),
    ],
)
def test_what_nginx_refuses_is_refused_in_its_words(
    binary: NginxBinary, request_: Request, status: int, reason: str
) -> None:
    assert refused(request_) == (status, reason)
    if request_.method == "CONNECT" and not binary.build.does("connect_is_405"):
        return
    logged: list[str] = []
    with serving(binary, "server { listen 127.0.0.1:PORT; location / { return 200 ok; } }", logged) as (_, port):
        answer = ask(port, request_)
        assert (answer.status == status) or f"<h1>{status} " in answer.body
    assert reason in logged[0]


def test_connect_to_an_authority_is_a_bad_request_before_1_29_3() -> None:
    request = Request("CONNECT", "h.test:80", headers=(HOST,))
    assert refused(request, OLD) == (400, "client sent invalid request")
    assert refused(Request("CONNECT", "/", headers=(HOST,)), OLD) == (405, "client sent CONNECT method")
    assert refused(Request("CONNECT", "/", headers=(HOST,)), NEW) == (400, "client sent invalid request")
    assert read(request, NEW, allow_connect=True).uri == "/"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("settings", "kept", "dropped"),
    [
        ({}, ("X-A",), ("X_A", "x.a")),
        ({"underscores_in_headers": True}, ("X-A", "X_A"), ("x.a",)),
        ({"ignore_invalid_headers": False}, ("X-A", "X_A", "x.a"), ()),
    ],
)
def test_invalid_names_are_dropped_or_kept_as_the_server_says(
    settings: dict[str, Any], kept: tuple[str, ...], dropped: tuple[str, ...]
) -> None:
    found = received("/", ("X-A", "1"), ("X_A", "2"), ("x.a", "3"), **settings)
    assert tuple(name for name, _ in found.headers) == ("Host", *kept)
    assert tuple(name for name, _ in found.dropped) == dropped


@pytest.mark.parametrize(
    ("value", "kept"), [("a", "a"), ("  a  ", "a"), ("\ta\t", "\ta\t"), ("", ""), ("a  b", "a  b"), ("a\r\r", "a")]
)
def test_only_blanks_around_values_are_cut(value: str, kept: str) -> None:
    assert received("/", ("A", value)).headers[-1] == ("A", kept)


def test_a_line_end_in_a_value_begins_another_field() -> None:
    assert received("/", ("A", "x\r\nB: y")).headers == (HOST, ("A", "x"), ("B", "y"))
    assert received("/", ("A", "x\n\nC: y"), ("D", "z")).headers == (HOST, ("A", "x"))


@pytest.mark.parametrize(
    ("version", "connection", "expected"),
    [
        ("HTTP/1.1", (), True),
        ("HTTP/1.0", (), False),
        ("HTTP/1.1", ("Close",), False),
        ("HTTP/1.0", ("upgrade, Keep-Alive",), True),
        ("HTTP/1.1", ("close", "keep-alive"), True),
        ("HTTP/1.1", ("disclosed",), False),
        ("HTTP/1.1", ("Upgrade",), True),
    ],
)
def test_the_connection_field_decides_about_keepalive(
    version: str, connection: tuple[str, ...], expected: bool
) -> None:
    lines: Headers = tuple(("Connection", value) for value in connection)
    assert received("/", *lines, version=version).keepalive is expected


def test_an_upgrade_field_counts_whatever_it_says() -> None:
    assert received("/", ("upgrade", "")).upgrade
    assert not received().upgrade


def test_the_length_and_coding_of_the_body_are_known() -> None:
    assert received("/", ("Content-Length", "007")).content_length == 7
    assert received().content_length is None
    assert received("/", ("Transfer-Encoding", "Chunked")).chunked


def test_the_request_before_http_1_has_no_fields() -> None:
    found = read(Request("GET", "/a", "", (HOST,)))
    assert isinstance(found, Received)
    assert (found.version, found.host, found.headers, found.keepalive) == ("", None, (), False)


def test_settings_come_from_the_server_or_the_http_block() -> None:
    config = config_of(
        "http { client_header_buffer_size 2k; underscores_in_headers on; "
        "server { large_client_header_buffers 2 16k; merge_slashes off; max_headers 5; } }"
    )
    found = client_settings(config.servers[0], NEW)
    assert found.client_header_buffer_size == 2048
    assert found.large_client_header_buffers == (2, 16384)
    assert (found.merge_slashes, found.underscores_in_headers, found.max_headers) == (False, True, 5)
    assert len(found.origins) == 5
    bare = config_of("http { server { } }").servers[0]
    assert client_settings(bare, NEW) == ClientSettings(max_headers=1000)
    assert client_settings(bare, OLD) == ClientSettings()


def test_lines_before_host_follow_the_default_server_and_lines_after_it_the_chosen_one() -> None:
    strict, lax = ClientSettings(), ClientSettings(underscores_in_headers=True)
    request = Request("GET", "/", headers=(("A_1", ""), HOST, ("A_2", "")))
    found = read_request(request, NEW, strict, lambda host: (host, lax))
    assert isinstance(found, Received)
    assert [name for name, _ in found.headers] == ["Host", "A_2"]
    found = read_request(request, NEW, lax, lambda host: (host, strict))
    assert isinstance(found, Received)
    assert [name for name, _ in found.headers] == ["A_1", "Host"]


def test_too_much_is_refused_as_414_or_494() -> None:
    assert refused(Request("GET", "/" + "a" * 9000, headers=(HOST,))) == (414, "client sent too long URI")
    found = read(Request("GET", "/", headers=(HOST, ("A", "b" * 9000))))
    assert isinstance(found, Refused)
    assert (found.status, found.code, found.server) == (400, 494, "h.test")
    received("/", ("A", "b" * 8000), ("B", "b" * 8000))
    assert refused(Request("GET", "/", headers=(HOST, *(("A", "b"),) * 3)), max_headers=3) == (
        400,
        "client sent too many header lines",
    )


TOKENS = (
    *("/", "a", "b.c", ".", "..", "%2e", "%2F", "//", "?", "#", "%41", "%", "%zz", "%00", "+", "\x80", " ", "\t", "&="),
    *("%3f", "%23", "%25", "%20", "_", "~", "\\", '"', "/../", "/./", "%2e%2e", "\x7f", "%c3%a9"),
)
HOST_TOKENS = (
    *(
        "a",
        "B",
        ".",
        "-",
        "_",
        "80",
        ":",
        "[",
        "]",
        "::1",
        "%",
        "%41",
        "~",
        "/",
        " ",
        "\x80",
        "*",
        "!",
        "99999",
        "65535",
    ),
    *("65536", "00080", "test", "@", "#", "?", "\t", "'", "(", ",", "\\", "<"),
)
NAMES = (
    *("X-A", "X_A", "x.a", "X", "Content-Length", "Transfer-Encoding", "Connection", "Expect", "Upgrade", "Host"),
    *("Authorization", "If-Range", "X-A", "X\x80A", "X A", "", ":", "_x"),
)
VALUES = (
    *("v", "", " v ", "\tv\t", "close", "keep-alive", "a\rb", "a\nX-A: c", "a\r\nX-A: d", "\0", "chunked", "5", "-1"),
    *("99999999999999999999", "gzip, chunked", "Chunked", "a\r\r", "\xe9", "\x01", "12 3"),
)
METHODS = (*("GET",) * 12, "POST", "get", "G-T", "", "GE T", "CONNECT", "TRACE", "\r\nGET")
VERSIONS = (
    *(*("HTTP/1.1",) * 12, "HTTP/1.0", "HTTP/1.2", "HTTP/1.10", "HTTP/2.0", "", "HTTP/1.", "HTTP/1.100", "HTTP/1.1000"),
    *("http/1.1", "HTTP/11", "HTTP/0.9", "HTTP/1.1 ", "HTTP/01.1", "HTTP/1.1\r"),
)
SCHEMES = ("http://", "HTTPS://", "x+1://", "ws:/", "1://", "http:///")
ODD_TARGETS = ("", "*", "a", "?x", "h.test:80", "/%", "/a b", "[::1]:443", "a.b:")
VARIABLES = "$uri $args $host $http_host $request_uri $request_method $http_x_a $server_protocol"


def some(rng: random.Random, tokens: tuple[str, ...], least: int, most: int) -> str:
    return "".join(rng.choice(tokens) for _ in range(rng.randrange(least, most)))


def random_target(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.7:
        return "/" + some(rng, TOKENS, 0, 8)
    if kind < 0.9:
        path = rng.choice(("", "/", "/a//b", "?x=1", "/../", "#f"))
        return rng.choice(SCHEMES) + some(rng, HOST_TOKENS, 1, 4) + path
    return rng.choice(ODD_TARGETS)


def random_request(rng: random.Random) -> Request:
    headers: list[tuple[str, str]] = []
    if rng.random() < 0.9:
        host = rng.choice(("h.test", "H.Test:80", "h.test.", "1.2.3.4:8080", "[::1]:80", some(rng, HOST_TOKENS, 1, 5)))
        headers.append((rng.choice(("Host", "host")), host))
    for _ in range(rng.choice((0, 0, 1, 1, 2, 3))):
        headers.insert(rng.randrange(len(headers) + 1), (rng.choice(NAMES), rng.choice(VALUES)))
    return Request(rng.choice(METHODS), random_target(rng), rng.choice(VERSIONS), tuple(headers))


def predicted(found: Received | Refused, build: Build) -> tuple[int | None, str]:
    if isinstance(found, Refused):
        return found.status, ""
    values = [value for name, value in found.headers if name.lower().replace("-", "_") == "x_a"]
    x_a = ", ".join(values) if build.does("joins_duplicate_headers") else "".join(values[:1])
    host, http_host = found.host or "default", found.http_host or ""
    parts = (found.uri, found.args, host, http_host, found.target, found.method, x_a, found.version)
    return 200, MARK.join(parts)


@pytest.mark.parametrize(
    "settings", ["", "merge_slashes off; underscores_in_headers on;", "ignore_invalid_headers off;"]
)
def test_a_real_nginx_reads_the_same(binary: NginxBinary, settings: str) -> None:
    rng = random.Random(settings)
    body = MARK.join(VARIABLES.split(" "))
    text = f'server {{ listen 127.0.0.1:PORT; server_name default; {settings} location / {{ return 200 "{body}"; }} }}'
    with serving(binary, text) as (config, port):
        server = config.servers[0]
        own = client_settings(server, binary.build)
        for _ in range(150):
            request = random_request(rng)
            found = read_request(request, binary.build, own, lambda _: (server, own))
            answer = ask(port, request)
            bad = answer.body.startswith("<html>\r\n<head><title>400")
            status = 400 if bad else answer.status
            assert (status, answer.body if status == 200 else "") == predicted(found, binary.build), request


SIZES = ((100, 2, 512), (600, 1, 512), (512, 3, 512), (300, 1, 1024))


@pytest.mark.parametrize(("small", "count", "large"), SIZES)
def test_a_real_nginx_has_the_same_room(binary: NginxBinary, small: int, count: int, large: int) -> None:
    rng = random.Random(small)
    text = f"""
    server {{ listen 127.0.0.1:PORT; return 200 ok;
              client_header_buffer_size {small}; large_client_header_buffers {count} {large}; }}
    server {{ listen 127.0.0.1:PORT; server_name big; return 200 ok;
              large_client_header_buffers {count + 1} {large * 2}; }}
    """
    edges = (small, large, large * 2, small // 2, large // 2, 20)
    with serving(binary, text) as (config, port):
        build = binary.build
        group = listeners(config, build).group("127.0.0.1", port)
        assert isinstance(group, Group)
        for _ in range(60):
            lengths = [max(1, rng.choice(edges) + rng.randrange(-30, 10)) for _ in range(rng.randrange(8))]
            headers = [("A", "b" * length) for length in lengths]
            headers.insert(rng.randrange(len(headers) + 1), ("Host", rng.choice(("big", "x"))))
            request = Request("GET", "/" + "u" * rng.choice((3, *edges)), headers=tuple(headers))
            found = read_request(
                request,
                build,
                client_settings(group.default, build),
                lambda host: (host, client_settings(group.find(host).server, build)),
            )
            assert ask(port, request).status == (found.status if isinstance(found, Refused) else 200), lengths


FLAGS = ("underscores_in_headers", "ignore_invalid_headers", "merge_slashes")


@pytest.mark.parametrize(
    ("target", "field", "names"),
    [
        ("/", ("X-Token", "t"), set()),
        ("/", ("X_Token", "t"), {"underscores_in_headers", "ignore_invalid_headers"}),
        ("//a?//", ("X-Token", "t"), {"merge_slashes"}),
        ("/a?//", ("X-Token", "t"), set()),
    ],
)
def test_a_setting_that_an_unread_file_may_hold_leaves_open_what_it_decides(
    target: str, field: tuple[str, str], names: set[str]
) -> None:
    location = "location / { allow all; proxy_pass http://127.0.0.1:1; }"
    config = config_of(f"events {{}} http {{ include /secret.conf; server {{ listen 80; {location} }} }}")
    forwarded = trace(config, Arrival(Request("GET", target, "HTTP/1.1", (HOST, field))), NEW).outcome.forwarded
    assert forwarded is not None
    assert forwarded.request is None
    reasons = [unknown.reason for unknown in forwarded.unknown]
    assert {name for name in FLAGS if any(f'"{name}"' in reason for reason in reasons)} == names
