from __future__ import annotations

import itertools
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import ClientConnection, connect

from tests.certificates import certificate
from ws101.check import check
from ws101.errors import UsageError
from ws101.host.binary import NginxBinary
from ws101.http1 import Request
from ws101.lab.backends import Recorder, StoryApp, accept, plain
from ws101.lab.nginx import Nginx, accepts, wrap
from ws101.lab.ports import free_ports
from ws101.newsite import NewSite, site_text
from ws101.nginx.build import Build
from ws101.nginx.config import Config, MemoryFiles

SITE = NewSite(("example.com",), ("/ws",), ("127.0.0.1:3000",))


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as six:
            six.bind(("::1", 0))
    except OSError:
        return False
    return True


HAS_IPV6 = has_ipv6()
FORMS = [
    SITE,
    replace(SITE, style="quick"),
    replace(SITE, paths=("/",)),
    replace(SITE, paths=("/ws", "/chat/live"), server_names=("example.com", "*.example.com", "www.example.org")),
    replace(SITE, paths=("/socket.io/",), upstreams=("127.0.0.1:3000", "127.0.0.1:3001")),
    replace(SITE, paths=("/rt",), upstreams=("127.0.0.1:3000", "unix:/run/app.sock", "[::1]:3000"), sticky=True),
    replace(SITE, listen="127.0.0.1:8080", idle_timeout=120),
    *([replace(SITE, listen="8080", ipv6=True)] if HAS_IPV6 else ()),
]
TLS = replace(SITE, certificate=("cert.pem", "cert.key"))


def reading(text: str) -> Config:
    return Config(MemoryFiles({"/etc/nginx/nginx.conf": text.encode("ascii")}), "/etc/nginx/nginx.conf", complete=True)


@pytest.mark.parametrize("site", FORMS, ids=range(len(FORMS)))
def test_nginx_accepts_it_as_it_is(site: NewSite, binary: NginxBinary) -> None:
    whole = site_text(replace(site, whole=True, builds=(binary.build,)))
    accepted, output = accepts(whole, binary=binary)
    assert accepted, output
    assert "warn" not in output
    part, output = accepts(
        wrap("include site.conf;", binary=binary), binary=binary, files={"site.conf": site_text(site)}
    )
    assert part, output


@pytest.mark.parametrize("told", [True, False], ids=["told", "unknown"])
def test_nginx_accepts_it_with_a_certificate_in_every_version(told: bool, binary: NginxBinary) -> None:
    builds = (binary.build,) if told else Build.representatives()
    text = site_text(replace(TLS, whole=True, builds=builds))
    assert (" http2" in text) is (told and binary.build.has_module("http_v2") is True)
    accepted, output = accepts(text, binary=binary, files=certificate())
    assert accepted, output
    assert "warn" not in output


def test_http2_is_asked_for_in_the_versions_own_words() -> None:
    old, new = (site_text(replace(TLS, builds=(Build(v),))) for v in ((1, 25, 0), (1, 25, 1)))
    assert "listen 443 ssl http2;" in old
    assert "listen 443 ssl;" in new
    assert "http2 on;" in new
    assert " http2;" not in new


@pytest.mark.parametrize("site", [*FORMS, TLS], ids=range(len(FORMS) + 1))
@pytest.mark.parametrize("version", [*(b.version for b in Build.representatives()), None], ids=str)
def test_check_finds_nothing_at_all(site: NewSite, version: tuple[int, int, int] | None) -> None:
    builds = (Build(version),) if version else Build.representatives()
    report = check(reading(site_text(replace(site, whole=True, builds=builds))), builds)
    assert [finding.message for finding in report.findings] == []
    assert report.problems == ()
    paths = [row for row in report.routes if row.websocket == "intended"]
    assert {row.location.split()[0] for row in paths} == set(site.paths)
    assert all(row.tunnel for row in paths)


def test_two_sites_live_side_by_side(binary: NginxBinary) -> None:
    other = replace(SITE, server_names=("other.example",), upstreams=("127.0.0.1:4000",))
    files = {"a.conf": site_text(SITE), "b.conf": site_text(other)}
    accepted, output = accepts(wrap("include a.conf; include b.conf;", binary=binary), binary=binary, files=files)
    assert accepted, output


def ask(port: int, text: str) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(text.replace("\n", "\r\n").encode())
        data = b""
        while more := connection.recv(65536):
            data += more
    return data


PLAIN = "GET {} HTTP/1.1\nHost: example.com\nConnection: close\n\n"


@contextmanager
def websocket(
    port: int, path: str = "/ws", tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> Iterator[ClientConnection]:
    plain_socket = socket.create_connection((host, port), timeout=5)
    url = f"{'wss' if tls else 'ws'}://example.com:{port}{path}"
    with connect(url, sock=plain_socket, ssl=tls, proxy=None, compression=None, ping_interval=None) as connection:
        yield connection


@pytest.mark.parametrize("style", ["map", "quick"])
def test_on_a_real_nginx_a_websocket_gets_through_and_a_plain_page_too(style: str, binary: NginxBinary) -> None:
    with StoryApp("/ws") as app:
        (port,) = free_ports(1)
        site = replace(
            SITE, upstreams=(f"127.0.0.1:{app.port}",), listen=f"127.0.0.1:{port}", style=style, whole=True,
            builds=(binary.build,),
        )  # fmt: skip
        with Nginx(site_text(site), binary=binary):
            with websocket(port) as connection:
                connection.send("hello")
                assert connection.recv(timeout=5) == "hello"
            assert b"A plain page." in ask(port, PLAIN.format("/"))
        host = next(request for request in app.requests if request.target == "/ws").header("Host")
        assert host == f"example.com:{port}", "what the browser's Origin names"


@pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6")
def test_with_ipv6_it_answers_on_both_kinds_of_address(binary: NginxBinary) -> None:
    with StoryApp("/ws") as app:
        (port,) = free_ports(1)
        site = replace(SITE, upstreams=(f"127.0.0.1:{app.port}",), listen=str(port), ipv6=True, whole=True)
        with Nginx(site_text(site), binary=binary):
            for host in ("127.0.0.1", "::1"):
                with websocket(port, host=host) as connection:
                    connection.send("hello")
                    assert connection.recv(timeout=5) == "hello"


def test_ipv6_holds_for_each_listen_and_keeps_its_flags() -> None:
    text = site_text(replace(TLS, ipv6=True, builds=(Build((1, 22, 1)),)))
    assert [line.strip() for line in text.splitlines() if "listen" in line] == [
        "listen 80;", "listen [::]:80;", "listen 443 ssl http2;", "listen [::]:443 ssl http2;",
    ]  # fmt: skip


def test_with_a_certificate_it_answers_wss_and_https(binary: NginxBinary) -> None:
    if binary.build.has_module("http_ssl") is False:
        pytest.skip("this nginx is built without TLS")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with StoryApp("/ws") as app:
        (port,) = free_ports(1)
        site = replace(
            TLS, upstreams=(f"127.0.0.1:{app.port}",), listen=f"127.0.0.1:{port}", whole=True, builds=(binary.build,)
        )
        with Nginx(site_text(site), binary=binary, files=certificate()), websocket(port, tls=context) as connection:
            connection.send("hello")
            assert connection.recv(timeout=5) == "hello"
        assert app.requests[0].header("X-Forwarded-Proto") == "https"


def test_without_an_address_http_is_sent_on_to_https() -> None:
    text = site_text(TLS)
    assert "listen 80;" in text
    assert "return 301 https://$host$request_uri;" in text


def test_plain_requests_on_the_same_path_are_not_upgraded_and_no_other_protocol_is(binary: NginxBinary) -> None:
    def answer(request: Request) -> bytes:
        return plain(200, "OK", "plain") if request.header("Upgrade") is None else accept(request)

    with Recorder(answer) as backend:
        (port,) = free_ports(1)
        site = replace(SITE, upstreams=(backend.address,), listen=f"127.0.0.1:{port}", whole=True)
        with Nginx(site_text(site), binary=binary):
            ask(port, PLAIN.format("/ws"))
            ask(port, PLAIN.format("/ws").replace("close", "close, Upgrade").replace("\n\n", "\nUpgrade: h2c\n\n"))
        fields = [(request.header("Upgrade"), request.header("Connection")) for request in backend.requests]
        assert fields == [(None, None)] * 2


def test_a_silent_websocket_lasts_as_long_as_asked_for(binary: NginxBinary) -> None:
    with StoryApp("/ws", ping_interval=None) as app:
        (port,) = free_ports(1)
        site = replace(
            SITE, upstreams=(f"127.0.0.1:{app.port}",), listen=f"127.0.0.1:{port}", whole=True, idle_timeout=1
        )
        with (
            Nginx(site_text(site), binary=binary),
            websocket(port) as connection,
            pytest.raises(ConnectionClosedError),
        ):
            connection.recv(timeout=5)


def test_several_backends_of_a_polling_library_are_sticky_without_being_asked() -> None:
    two = ("127.0.0.1:3000", "127.0.0.1:3001")
    assert "ip_hash;" in site_text(replace(SITE, paths=("/socket.io/",), upstreams=two))
    assert "ip_hash;" not in site_text(replace(SITE, upstreams=two))
    assert "ip_hash;" in site_text(replace(SITE, upstreams=two, sticky=True))


WRONG = {
    "server_names": ["", "a b", "example.com;", "~^x", '"x"', "bücher.example", "$host", "a..b{"],
    "paths": ["ws", "/a b", "/ws;", "/ws{", "/$x", '/"', "/ü", "~ /ws"],
    "upstreams": ["http://a:1", "a b", "a:1;", "a:b", "unix:app", "$x:1", ""],
}


@pytest.mark.parametrize(("part", "value"), [(part, value) for part, values in WRONG.items() for value in values])
def test_what_nginx_would_read_as_something_else_is_refused(part: str, value: str) -> None:
    with pytest.raises(UsageError) as caught:
        replace(SITE, **{part: (value,)})  # type: ignore[arg-type]
    assert caught.value.help


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sticky": True}, "with one backend every client gets the same"),
        ({"style": "quick", "paths": ("/",)}, "/ also serves plain requests, which --style quick breaks"),
        ({"style": "quick", "paths": ("/a/SockJS",)}, "/a/SockJS also serves plain requests"),
        ({"paths": ()}, "a site needs a server name, a path and an upstream"),
        ({"paths": ("/ws", "/ws")}, "the same path is given twice"),
        ({"listen": "x"}, "x is no address to listen on"),
        ({"listen": "127.0.0.1:80", "ipv6": True}, "127.0.0.1:80 is one address, and not one of IPv6"),
        ({"certificate": ("a b", "c")}, "a b is no file name"),
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        replace(SITE, **change)  # type: ignore[arg-type]


def test_what_must_be_there_first_is_said() -> None:
    assert replace(TLS, upstreams=("app.internal:3000", "127.0.0.1:1", "[::1]:2", "unix:/x")).expects == (
        "nginx reads the certificate chain from cert.pem and its key from cert.key",
        "nginx looks app.internal:3000 up when it starts, so the name must resolve",
    )
    assert SITE.expects == ()


WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=12)


@settings(max_examples=200)
@given(st.lists(WORDS, min_size=1, max_size=2), st.lists(WORDS.map("/".__add__), min_size=1, max_size=2), WORDS)
def test_whatever_is_accepted_means_what_was_said(names: list[str], paths: list[str], upstream: str) -> None:
    try:
        site = replace(SITE, server_names=tuple(names), paths=tuple(paths), upstreams=(upstream,), whole=True)
    except UsageError:
        return
    config = reading(site_text(site))
    assert config.problems == ()
    (server,) = config.servers
    assert [name for placed in server.all("server_name") for name in placed.args] == names
    locations = [placed.args for placed in server.all("location")]
    assert list(itertools.takewhile(lambda args: list(args) != ["/"], locations)) == [(p,) for p in paths if p != "/"]


def test_the_file_ends_with_a_line_end_and_has_no_trailing_blanks() -> None:
    for site in FORMS:
        text = site_text(site)
        assert text.endswith("}\n")
        assert not re.search(r"[ \t]\n", text)
        assert text.isascii()


def test_the_example_of_the_documentation_is_what_it_prints(repository: Path) -> None:
    page = (repository / "docs" / "how-to" / "new-site.md").read_text(encoding="utf-8")
    assert f"```nginx\n{site_text(SITE)}```" in page
