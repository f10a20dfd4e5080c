"""A configuration in a sandbox: what is moved, what is asked, and that nothing leaves loopback or stays behind."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab.sandboxes import CORNERS, DISTRIBUTION, read, tried, write
from ws101.errors import InputError, NginxError, UsageError, Ws101Error
from ws101.host.binary import NginxBinary, find_nginx
from ws101.http1 import Request
from ws101.lab import sandbox, sandbox_routes
from ws101.lab.nginx import until
from ws101.lab.sandbox import Report, Tried, Wishes, try_configuration
from ws101.lab.sandbox_backends import Recorders
from ws101.lab.sandbox_client import Door, ask
from ws101.lab.sandbox_compare import Agreement
from ws101.lab.sandbox_examples import examples
from ws101.lab.sandbox_moved import Moved
from ws101.lab.sandbox_report import as_json, as_text, exit_code
from ws101.lab.sandbox_routes import questions
from ws101.lab.sandbox_staging import Staged, directives_of, stage
from ws101.nginx.build import Build
from ws101.nginx.config import Config, MemoryFiles
from ws101.nginx.outcome import Trace
from ws101.nginx.regex import compile_regex
from ws101.nginx.servers import Socket
from ws101.nginx.trace import trace
from ws101.report.style import PLAIN
from ws101.rules.base.urls import handshake_request
from ws101.text import Source

SAME, OPEN, NOT_TRIED, DIFFERS = Agreement.SAME, Agreement.OPEN, Agreement.NOT_TRIED, Agreement.DIFFERS
PASS = "location / { proxy_pass http://b; }"
MINIMAL = "events {{ }}\nhttp {{ server {{ listen 80; server_name a.test; {0} }} }}\n"
LEFT_ALONE = frozenset(("root", "alias", "auth_request", "return", "proxy_redirect"))


@pytest.fixture(scope="module")
def one_nginx() -> NginxBinary:
    found = find_nginx()
    assert found is not None
    return found


@contextmanager
def moved(folder: Path) -> Iterator[Moved]:
    with Recorders() as recorders:
        yield Moved(folder, recorders)


def staged(files: dict[str, str], folder: Path) -> tuple[Config, Staged, Moved]:
    """A configuration and its copy; nothing listens for long."""
    config = read(write(folder / "user", files))
    routes = tuple(route for route in config.routes() if route.handler is not None)
    asked = questions(config, Build((1, 25, 4)), routes)
    with moved(folder / "box") as places:
        copy = stage(config, places, sandbox._urls(asked), "--prefix=/usr/share/nginx", lambda _: True)
        return config, copy, places


def copy_of(copy: Staged, folder: Path) -> Config:
    files = {f"{folder}/{name}": text.encode("latin-1") for name, text in copy.files.items()}
    return Config(MemoryFiles(files), f"{folder}/nginx.conf")


def rows(report: Report) -> dict[str, Tried]:
    """The rows by what follows the block's name."""
    return {row.question.route.location.title.partition(" ")[2]: row for row in report.routes}


def sandboxes() -> set[str]:
    return set(map(str, Path(tempfile.gettempdir()).glob("ws101-try-*")))


def digests(folder: Path) -> dict[str, tuple[str, int, int]]:
    """What tells whether a file was touched: its bytes, its mode and when it was changed."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.stat()
        data = path.read_bytes() if path.is_file() else b"".join(sorted(os.fsencode(p) for p in path.iterdir()))
        found[str(path)] = (hashlib.sha256(data).hexdigest(), status.st_mode, status.st_mtime_ns)
    return found


# What is moved ----------------------------------------------------------------------------------------------------


ADDRESSED = ("listen", "proxy_pass", "resolver", "fastcgi_pass", "grpc_pass", "memcached_pass")


@pytest.mark.parametrize("files", [DISTRIBUTION, {"nginx.conf": CORNERS}], ids=["distribution", "corners"])
def test_every_address_of_the_copy_is_loopback_or_a_socket_in_the_sandbox(
    files: dict[str, str], tmp_path: Path
) -> None:
    _, copy, _ = staged(files, tmp_path)
    seen = 0
    for placed in directives_of(copy_of(copy, tmp_path / "box")):
        upstream_server = placed.name == "server" and placed.scope.kind == "upstream"
        if placed.name not in ADDRESSED and not upstream_server:
            continue
        text = re.sub(r"^https?://", "", placed.args[0])
        if text.startswith("$ws101_moved_") or text.partition("/")[0] in ("chat", "socket", "secure"):
            continue
        seen += 1
        if text.startswith("unix:"):
            assert text.startswith(f"unix:{tmp_path}/box/"), text
        else:
            host = text.rpartition(":")[0].strip("[]")
            assert ipaddress.ip_address(host).is_loopback, text
    assert seen > 10


@pytest.mark.parametrize("files", [DISTRIBUTION, {"nginx.conf": CORNERS}], ids=["distribution", "corners"])
def test_no_name_address_or_file_of_the_users_is_opened_by_the_copy(files: dict[str, str], tmp_path: Path) -> None:
    _, copy, _ = staged(files, tmp_path)
    for placed in directives_of(copy_of(copy, tmp_path / "box")):
        if placed.name in (*LEFT_ALONE, "allow", "deny", "map", "set", "proxy_set_header", "if", "location"):
            continue
        for arg in placed.args:
            assert not re.search(r"\b10\.\d|\.internal|/etc/|/var/log|/var/cache|/run/|localhost", arg), placed


def test_every_line_that_is_not_moved_is_the_users_and_every_line_keeps_its_number(tmp_path: Path) -> None:
    config, copy, _ = staged(DISTRIBUTION, tmp_path)
    texts = [text for name, text in copy.files.items() if name != "nginx.conf"]
    same = 0
    for source, text in zip(config.sources.values(), texts, strict=True):
        old, new = source.text.split("\n"), text.split("\n")
        assert len(old) == len(new), source.path
        same += sum(a == b for a, b in zip(old, new, strict=True))
        for a, b in zip(old, new, strict=True):
            if a != b:
                assert re.match(
                    r"\s*(listen|ssl|proxy_pass|server |auth_basic|resolver|error_log|access_log|include|user|pid|http)"
                    r"|\s*location.*proxy_pass",
                    a,
                ), a
    assert same > 50


def test_the_same_addresses_share_a_place_and_others_do_not(tmp_path: Path) -> None:
    _, copy, places = staged(DISTRIBUTION, tmp_path)
    text = "".join(copy.files.values())
    assert places.listeners == 4
    port = places.listener(Socket("0.0.0.0", 80)).port
    assert len(re.findall(rf"listen 127\.0\.0\.1:{port}\b", text)) == 2
    assert f"listen 127.0.0.1:{port} default_server;" in text


def test_flags_stay_with_their_listener(tmp_path: Path) -> None:
    _, copy, places = staged({"nginx.conf": CORNERS}, tmp_path)
    text = "".join(copy.files.values())
    assert re.search(r"listen 127\.0\.0\.1:\d+ proxy_protocol;", text)
    assert re.search(r"listen 127\.0\.0\.1:\d+ backlog=64;", text)
    assert re.search(r"listen 127\.0\.0\.1:\d+ ssl default_server;", text)
    if places.has_ipv6:
        assert re.search(r"listen \[::1\]:\d+ ipv6only=on so_keepalive=on;", text)


def test_a_server_without_listen_gets_the_default_one(tmp_path: Path) -> None:
    conf = "events { }\nhttp { server { location / { proxy_pass http://b; } } }\n"
    _, copy, places = staged({"nginx.conf": conf}, tmp_path)
    assert f"server {{ listen {places.listener(Socket('0.0.0.0', 80))};" in "".join(copy.files.values())


def test_a_range_of_ports_becomes_one_listener_each(tmp_path: Path) -> None:
    _, copy, places = staged({"nginx.conf": MINIMAL.format(f"listen 9000-9002; {PASS}")}, tmp_path)
    assert places.listeners == 4
    assert "".join(copy.files.values()).count("listen 127.0.0.1:") == 4


def test_what_comes_out_of_the_sandbox_has_the_users_own_words_again(tmp_path: Path) -> None:
    config, copy, places = staged(DISTRIBUTION, tmp_path)
    name = next(name for name in copy.files if name.endswith("example"))
    path = next(path for path in config.sources if path.endswith("example"))
    port = places.listener(Socket("0.0.0.0", 443)).port
    backend = places.backend("10.0.0.5:3000")
    said = f"open() in {tmp_path}/box/{name}:7, {backend}, http://example.com:{port}/ and {port}0"
    assert places.original(said) == f"open() in {path}:7, 10.0.0.5:3000, http://example.com:443/ and {port}0"


def test_more_addresses_than_can_be_moved_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="more than 400 addresses"):
        staged({"nginx.conf": MINIMAL.format(f"listen 10000-10600; {PASS}")}, tmp_path)


def test_a_file_that_is_included_twice_is_moved_once(tmp_path: Path) -> None:
    conf = MINIMAL.format("location /a { include pass; } location /b { include pass; }")
    _, copy, places = staged({"nginx.conf": conf, "pass": "proxy_pass http://app:3000;\n"}, tmp_path)
    assert [text for name, text in copy.files.items() if name.endswith("-pass")] == [
        f"proxy_pass http://{places.backend('app:3000')};\n"
    ]


# The requests -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pattern",
    [
        r"^/room/(\d+)/live$", r"\.php$", r"^/(api|ws)/v[0-9]{1,2}/", r"^/[^/]+/feed\.(json|xml)$",
        r"^/u/[[:xdigit:]]+$",
        r"(?i)^/Chat", r"^/(?<id>[a-z]+)(?:/x)?$", r"^/a\x2fb", r"^/x{3}\w+?", r"/(?!b)a", "^/[]a]b", "",
    ],
)  # fmt: skip
def test_a_text_is_found_that_an_expression_matches(pattern: str) -> None:
    found = [text for text in examples(pattern) if compile_regex(pattern).search(text) is not None]
    assert found


@given(st.text("ab/.*+?()[]{}|^$\\d1,-:<>=!iPx'", max_size=24))
def test_whatever_the_expression_the_search_for_a_text_ends(pattern: str) -> None:
    assert all(len(text) <= 256 for text in examples(pattern))


@pytest.mark.parametrize(("pattern", "members"), [("[1||]", "1|"), ("[a&&b]", "a&b"), ("[~~]", "~"), ("[+--]", "+,-")])
def test_what_may_come_to_be_an_operator_in_python_is_none_here(pattern: str, members: str) -> None:
    (text,) = examples(pattern)
    assert text in members


# A real nginx -----------------------------------------------------------------------------------------------------


def test_the_distributions_layout_is_tried_and_comes_out_as_predicted(binary: NginxBinary, tmp_path: Path) -> None:
    report = tried(write(tmp_path, DISTRIBUTION), binary, idle=2)
    found = rows(report)
    assert {name: (row.websocket.verdict, row.websocket.status, row.plain.status) for name, row in found.items()} == {
        "@app": (SAME, 200, 200),
        "/ws": (SAME, 101, 200),
        "/plain-ws/": (SAME, 200, 200),
        "/admin/": (SAME, 200, 200),
        r"~ ^/room/(\d+)/live$": (SAME, 101, 200),
        "/": (SAME, 200, 200),
    }
    assert {row.plain.verdict for row in report.routes} == {SAME}
    assert found["/ws"].websocket.tunnel
    assert found["/ws"].idle.agrees, found["/ws"].idle
    assert found["/plain-ws/"].fails
    assert exit_code(report) == 1
    recorded = found["@app"].plain.recorded
    assert recorded is not None
    assert recorded.header("Host") == "10.0.0.5:3000"
    assert recorded.header("X-Port") == "443"


def test_the_corners_are_tried_or_it_is_said_why_not(
    binary: NginxBinary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "_RATE_WAIT", 0.05)
    report = tried(write(tmp_path, {"nginx.conf": CORNERS}), binary)
    assert not any(row.differs for row in report.routes), as_text(report, PLAIN)
    found = rows(report)
    untried = {name: row.websocket.reason for name, row in found.items() if row.websocket.verdict is NOT_TRIED}
    assert untried.pop("/") == "no request was found that ends here: / ends in server with 301"
    assert untried.pop("/run-time").startswith("nginx finds no backend for it: ")
    assert untried == {
        "= /check": "it is internal, and no request was found that is handed on to it",
        "@never": "no request was found that is handed on to it",
        "~ (?=x)y": "no path was found that its regular expression matches",
    }
    assert [found[name].websocket.status for name in ("= /secure", "/auth/", "/if", "/denied")] == [101, 101, 101, 403]
    assert (found["= /slash"].websocket.status, found["= /slash"].websocket.verdict) == (301, SAME)
    assert found["/rate"].plain.verdict is OPEN
    assert exit_code(report) == 0
    text = as_text(report, PLAIN)
    assert "proxy_ssl_verify is left out" in text
    assert "1 not predicted in full; 5 not tried" in text


def test_what_speaks_another_protocol_is_said(one_nginx: NginxBinary, tmp_path: Path) -> None:
    conf = MINIMAL.format("location / { proxy_pass http://b; } location ~ \\.php$ { fastcgi_pass unix:/run/php.sock; }")
    report = tried(write(tmp_path, {"nginx.conf": conf}), one_nginx)
    assert rows(report)["~ \\.php$"].plain.reason == "fastcgi_pass speaks FastCGI, not HTTP/1"
    assert "1 not tried" in as_text(report, PLAIN)


def test_what_takes_another_way_in_the_sandbox_proves_nothing(one_nginx: NginxBinary, tmp_path: Path) -> None:
    conf = MINIMAL.format(
        "location /page { error_page 502 @page; proxy_pass http://down$uri; }\n"
        "location @page { proxy_pass http://10.0.0.3:9002; }"
    ).replace("server {", "upstream down { server 10.0.0.1 down; } server {", 1)
    found = rows(tried(write(tmp_path, {"nginx.conf": conf}), one_nginx))
    assert found["@page"].plain.verdict is OPEN
    assert found["@page"].plain.reason.startswith("in the sandbox it goes another way")


def test_a_body_that_is_announced_and_does_not_come_is_not_waited_for(one_nginx: NginxBinary, tmp_path: Path) -> None:
    conf = MINIMAL.format(
        "location /told { proxy_set_header Content-Length 9; proxy_pass http://b:1; }\n"
        "location /post { limit_except POST { } proxy_pass_request_body off; proxy_pass http://b:2; }"
    )
    found = rows(tried(write(tmp_path, {"nginx.conf": conf}), one_nginx))
    assert [(found[name].plain.verdict, found[name].plain.status) for name in ("/told", "/post")] == [(SAME, 200)] * 2
    recorded = found["/told"].plain.recorded
    assert recorded is not None
    assert recorded.header("Content-Length") == "9"


def test_where_the_request_is_not_known_whole_its_backend_is_found_all_the_same(
    one_nginx: NginxBinary, tmp_path: Path
) -> None:
    unsure = "proxy_set_header X-File $request_filename;"
    conf = MINIMAL.format(
        f"location /fixed {{ {unsure} proxy_pass http://10.0.0.1:1/fixed/$arg_none; }}\n"
        f"location /port {{ {unsure} proxy_set_header X-P p$proxy_port; proxy_pass http://b:9000; }}\n"
        f"location /odd {{ {unsure} proxy_method $arg_none; proxy_pass http://b:2; }}"
    )
    found = rows(tried(write(tmp_path, {"nginx.conf": conf}), one_nginx))
    for name in ("/fixed", "/port", "/odd"):
        for attempt in (found[name].websocket, found[name].plain):
            assert (attempt.verdict, attempt.differences) in [(SAME, ()), (OPEN, ())], (name, attempt)
    recorded = found["/fixed"].plain.recorded
    assert recorded is not None
    assert recorded.target == "/fixed/"


def test_a_connection_that_ends_says_so(one_nginx: NginxBinary, tmp_path: Path) -> None:
    """nginx keeps a connection although it asked to close it, unless the answer says that it ends."""
    conf = MINIMAL.format("location / { proxy_http_version 1.1; proxy_pass http://up; }").replace(
        "server {", "upstream up { server 10.0.0.1:1; keepalive 4; } server {", 1
    )
    with Recorders() as recorders:
        door = Door("127.0.0.1", recorders.open())
        closing = Request("GET", "/", "HTTP/1.1", (("Host", "a"), ("Connection", "close")))
        kept = Request("GET", "/", "HTTP/1.1", (("Host", "a"),))
        for request, header in ((closing, "close"), (kept, None), (replace(kept, method=""), "close")):
            seen = ask(door, request).response
            assert seen is not None
            assert seen.header("Connection") == header
    assert not any(row.differs for row in tried(write(tmp_path, {"nginx.conf": conf}), one_nginx).routes)


def test_a_backend_whose_name_is_made_of_what_was_moved_proves_nothing(one_nginx: NginxBinary, tmp_path: Path) -> None:
    conf = MINIMAL.format("location / { resolver 10.0.0.1; proxy_pass http://h$server_port.test:9000/; }")
    (row,) = tried(write(tmp_path, {"nginx.conf": conf}), one_nginx).routes
    assert row.plain.verdict is OPEN
    assert row.plain.reason.startswith("the backend's name is made of what was moved")


def test_of_two_handlers_in_a_location_the_last_one_counts(one_nginx: NginxBinary, tmp_path: Path) -> None:
    both = (
        "location /a { proxy_pass http://b; fastcgi_pass c:1; } location /b { fastcgi_pass c:1; proxy_pass http://b; }"
    )
    found = rows(tried(write(tmp_path, {"nginx.conf": MINIMAL.format(both)}), one_nginx))
    assert found["/a"].plain.reason == "fastcgi_pass speaks FastCGI, not HTTP/1"
    assert found["/b"].plain.verdict is SAME


def test_stream_is_left_out_and_said(one_nginx: NginxBinary, tmp_path: Path) -> None:
    conf = MINIMAL.format(PASS) + "stream {\n server { listen 1; }\n}\n"
    report = tried(write(tmp_path, {"nginx.conf": conf}), one_nginx)
    assert "stream is left out: TCP and UDP are not tried, only HTTP (nginx.conf:3)" in as_text(report, PLAIN)


@pytest.mark.parametrize("cut", ["server { server_name a.test; location /ws { proxy_pass http://b; } }\n",
                                 "server_name a.test; location /ws { proxy_pass http://b:1; }\n",
                                 "proxy_set_header X-A b; proxy_pass http://b;\n"])  # fmt: skip
def test_a_part_of_a_configuration_is_tried_too(cut: str, one_nginx: NginxBinary, tmp_path: Path) -> None:
    path = tmp_path / "part.conf"
    path.write_text(cut)
    (row,) = tried(path, one_nginx).routes
    assert (row.websocket.verdict, row.plain.verdict) == (SAME, SAME)


def test_of_many_routes_those_meant_for_websockets_come_first(one_nginx: NginxBinary, tmp_path: Path) -> None:
    locations = " ".join(f"location /p{n}/ {{ proxy_pass http://b{n}; }}" for n in range(30))
    chat = "location /ws { proxy_set_header Upgrade $http_upgrade; proxy_pass http://c; }"
    report = tried(write(tmp_path, {"nginx.conf": MINIMAL.format(locations + chat)}), one_nginx, limit=3)
    assert [row.question.route.location.title for row in report.routes] == [
        "location /p0/",
        "location /p1/",
        "location /ws",
    ]
    assert report.beyond == 28
    assert "28 routes beyond the limit: not tried (--limit 31 tries all)" in as_text(report, PLAIN)


def test_a_prediction_that_is_wrong_is_shown_field_by_field(
    one_nginx: NginxBinary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = MINIMAL.format("location /ws { proxy_set_header Upgrade $http_upgrade; proxy_pass http://b; }")
    main = write(tmp_path, {"nginx.conf": conf})

    def wrong(found: Trace) -> Trace:
        forwarded = found.outcome.forwarded
        assert forwarded is not None
        assert forwarded.request is not None
        fields = tuple((n, "h2c" if n == "Upgrade" else v) for n, v in forwarded.request.headers)
        request = replace(forwarded.request, headers=fields)
        return replace(found, outcome=replace(found.outcome, forwarded=replace(forwarded, request=request)))

    monkeypatch.setattr(sandbox_routes, "trace", lambda *asked: wrong(trace(*asked)))
    monkeypatch.setattr(sandbox, "trace", lambda *asked: wrong(trace(*asked)))
    report = tried(main, one_nginx)
    assert report.routes[0].websocket.differences == ("- Upgrade: h2c", "+ Upgrade: websocket")
    assert exit_code(report) == 1
    assert "the opening handshake is not as predicted" in as_text(report, PLAIN)
    assert "    - Upgrade: h2c\n    + Upgrade: websocket" in as_text(report, PLAIN)


def test_an_idle_timeout_that_is_not_kept_counts_as_a_difference(
    one_nginx: NginxBinary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;"
    conf = MINIMAL.format(f"location /ws {{ {fields} proxy_read_timeout 300ms; proxy_pass http://b; }}")
    main = write(tmp_path, {"nginx.conf": conf})
    assert rows(tried(main, one_nginx, idle=1))["/ws"].idle.agrees
    monkeypatch.setattr(sandbox, "silences", _late)
    report = tried(main, one_nginx, idle=1)
    assert rows(report)["/ws"].idle.agrees is False
    assert exit_code(report) == 1
    assert "300 ms, measured 9 s" in as_text(report, PLAIN)


def _late(tunnels: list[socket.socket], _: float) -> dict[int, float | None]:
    numbers = [sock.fileno() for sock in tunnels]
    for sock in tunnels:
        sock.close()
    return dict.fromkeys(numbers, 9.0)


# Nothing is touched, nothing stays -----------------------------------------------------------------------------------


def test_the_users_files_are_not_touched_and_nothing_stays_behind(one_nginx: NginxBinary, tmp_path: Path) -> None:
    before, there = digests(tmp_path), sandboxes()
    main = write(tmp_path, DISTRIBUTION)
    before = digests(tmp_path)
    threads = threading.active_count()
    tried(main, one_nginx)
    assert digests(tmp_path) == before
    assert sandboxes() == there
    until(lambda: threading.active_count() == threads, "end of the backends' threads")


def test_the_sandbox_is_for_its_owner_alone_and_nginx_listens_on_loopback(
    one_nginx: NginxBinary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, object] = {}

    def look(self: sandbox._Sandbox, rows: list[Tried], _: float) -> list[Tried]:
        seen["mode"] = self._folder.stat().st_mode & 0o777
        seen["keys"] = {path.stat().st_mode & 0o077 for path in self._folder.glob("*.key") if path.name != "ticket.key"}
        seen["listening"] = _listening(self._nginx.pid)
        return rows

    monkeypatch.setattr(sandbox._Sandbox, "timed", look)
    tried(write(tmp_path, DISTRIBUTION), one_nginx, idle=1)
    assert (seen["mode"], seen["keys"]) == (0o700, {0})
    assert isinstance(seen["listening"], set)
    assert len(seen["listening"]) == 4
    assert all(ipaddress.ip_address(address).is_loopback for address in seen["listening"] for address in (address[0],))


def _listening(pid: int) -> set[tuple[str, int]]:
    """The addresses on which a process listens, as the kernel tells."""
    links = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in links:
                address, port = words[1].split(":")
                raw = b"".join(bytes.fromhex(address[i : i + 8])[::-1] for i in range(0, len(address), 8))
                found.add((str(ipaddress.ip_address(raw)), int(port, 16)))
    return found


SCRIPT = """
import sys, time
from pathlib import Path
from tests.lab.sandboxes import read
from ws101.cli import trying
from ws101.lab import sandbox, sandbox_routes
def wait(self, rows, longest):
    print(self._folder, self._nginx.pid, *(worker.pid for worker in self._nginx.workers()), flush=True)
    time.sleep(30)
sandbox._Sandbox.timed = wait
from ws101.cli.running import run
sys.exit(run(["lab", "try", sys.argv[1], "--idle", "1"]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"])
def test_nothing_stays_behind_when_it_is_interrupted(number: int, tmp_path: Path) -> None:
    main = write(tmp_path, {"nginx.conf": MINIMAL.format(PASS)})
    with _waiting(main) as (process, folder, pids):
        process.send_signal(number)
        assert process.wait(20) == 130
        assert not folder.exists()
        assert not any(map(_is_alive, pids))


def test_nothing_stays_behind_when_nginx_is_killed(tmp_path: Path) -> None:
    main = write(tmp_path, {"nginx.conf": MINIMAL.format(PASS)})
    with _waiting(main) as (process, folder, pids):
        os.kill(pids[0], signal.SIGKILL)
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        assert not folder.exists()
        until(lambda: not any(map(_is_alive, pids)), "end of the workers")


@contextmanager
def _waiting(main: Path) -> Iterator[tuple[subprocess.Popen[str], Path, list[int]]]:
    """The command, while nginx stands."""
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}", "WS101_STATE": str(main.parent / "state")}
    command = [sys.executable, "-c", SCRIPT, str(main)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=root
    )
    with process:
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            assert first, process.communicate()
            folder, *pids = first.split()
            yield process, Path(folder), [int(pid) for pid in pids]
        finally:
            process.kill()


def _is_alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


# What goes wrong --------------------------------------------------------------------------------------------------


def failure(main: Path, binary: NginxBinary) -> Ws101Error:
    there = sandboxes()
    with pytest.raises(Ws101Error) as caught:
        tried(main, binary)
    assert sandboxes() == there
    return caught.value


def test_nginxs_refusal_is_told_in_its_words_at_the_users_place(binary: NginxBinary, tmp_path: Path) -> None:
    files = {
        "nginx.conf": MINIMAL.format("include more/*.conf;"),
        "more/a.conf": "\n\nlocation / {\n  proxy_pas http://b; proxy_pass http://b; }\n",
    }
    error = failure(write(tmp_path, files), binary)
    assert error.message == 'nginx refuses this configuration: unknown directive "proxy_pas"'
    assert error.where == f"{tmp_path}/more/a.conf:4"
    assert "lacks the module for it" in error.help


def test_code_that_nginx_does_not_know_is_refused_by_nginx(one_nginx: NginxBinary, tmp_path: Path) -> None:
    conf = MINIMAL.format(
        "location /lua { content_by_lua_block { ngx.say('x') } }\n location / { proxy_pass http://b; }"
    )
    error = failure(write(tmp_path, {"nginx.conf": conf}), one_nginx)
    assert 'unknown directive "content_by_lua_block"' in error.message
    assert error.where == f"{tmp_path}/nginx.conf:2"


def test_code_that_nginx_knows_runs_only_if_told_to(one_nginx: NginxBinary, tmp_path: Path) -> None:
    conf = "load_module modules/ngx_http_lua_module.so;\n" + MINIMAL.format(
        "location /lua { content_by_lua_block { } }\n location / { proxy_pass http://b; }"
    )
    error = failure(write(tmp_path, {"nginx.conf": conf}), one_nginx)
    assert isinstance(error, UsageError)
    assert "--with-code" in error.help
    with pytest.raises(NginxError, match=r"ngx_http_lua_module\.so.* failed|dlopen"):
        try_configuration(read(tmp_path / "nginx.conf"), one_nginx, Wishes(code=True))


def test_files_that_include_each_other_are_refused(one_nginx: NginxBinary, tmp_path: Path) -> None:
    files = {"nginx.conf": MINIMAL.format("include a;"), "a": "include b;\n", "b": "include a;\n"}
    error = failure(write(tmp_path, files), one_nginx)
    assert "includes itself" in error.message
    assert error.where == f"{tmp_path}/b:1"


def test_an_include_that_is_not_there_is_nginxs_to_refuse(one_nginx: NginxBinary, tmp_path: Path) -> None:
    conf = MINIMAL.format("include nowhere.conf; location / { proxy_pass http://b; }")
    error = failure(write(tmp_path, {"nginx.conf": conf}), one_nginx)
    assert f'open() "{tmp_path}/nowhere.conf" failed (2: No such file or directory)' in error.message
    assert error.where == f"{tmp_path}/nginx.conf:2"


@pytest.mark.parametrize(
    ("conf", "said"),
    [
        ("events { }\n", "there is no server in this configuration"),
        ("events { }\nhttp { }\n", "there is no server in this configuration"),
        (MINIMAL.format("return 204;"), "no route of this configuration is proxied: there is nothing to try"),
    ],
)
def test_where_there_is_nothing_to_try_it_is_said(conf: str, said: str, one_nginx: NginxBinary, tmp_path: Path) -> None:
    assert failure(write(tmp_path, {"nginx.conf": conf}), one_nginx).message == said


def test_without_openssl_tls_cannot_be_tried(
    one_nginx: NginxBinary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    error = failure(write(tmp_path, DISTRIBUTION), one_nginx)
    assert error.message == "the configuration uses TLS, and without openssl no certificate can be made"


def test_a_port_that_somebody_else_took_is_left_to_him(
    one_nginx: NginxBinary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = iter([taken.getsockname()[1]])
        real = Moved._new_place
        monkeypatch.setattr(
            Moved,
            "_new_place",
            lambda self, at: Socket("127.0.0.1", port) if (port := next(ports, None)) else real(self, at),
        )
        report = tried(write(tmp_path, {"nginx.conf": MINIMAL.format(PASS)}), one_nginx)
    assert [row.websocket.verdict for row in report.routes] == [SAME]


def test_a_thousand_servers_are_tried_in_part(one_nginx: NginxBinary, tmp_path: Path) -> None:
    server = "server {{ listen 80; server_name s{0}.test; location / {{ proxy_pass http://b{0}:3000; }} }}"
    conf = (
        "events { }\nhttp { server_names_hash_max_size 4096;\n" + "\n".join(map(server.format, range(1000))) + "\n}\n"
    )
    report = tried(write(tmp_path, {"nginx.conf": conf}), one_nginx, limit=20)
    assert (report.tried, report.beyond) == (20, 980)
    assert not any(row.differs for row in report.routes)


# The parts ---------------------------------------------------------------------------------------------------------


def test_a_backend_answers_101_to_a_whole_handshake_alone_and_keeps_the_bytes() -> None:
    request = handshake_request("/ws", "a.test")
    broken = replace(request, headers=tuple(f for f in request.headers if f[0] != "Sec-WebSocket-Key"))
    with Recorders() as recorders:
        door = Door("127.0.0.1", recorders.open())
        assert [ask(door, r).status for r in (request, broken, replace(request, version="HTTP/1.0"))] == [101, 200, 200]
        assert ask(door, request).tunnel
        recorders.plain.add((door.port, "/ws"))
        assert ask(door, request).status == 200
        taken = recorders.take()
        assert [one.raw for one in taken[:2]] == [request.encode(), broken.encode()]
        assert recorders.take() == ()


def test_a_client_that_gets_no_answer_says_so() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        seen = ask(Door("127.0.0.1", silent.getsockname()[1]), Request("GET", "/"), timeout=0.2)
    assert (seen.status, seen.problem) == (None, "no answer within 0.2 s")


def test_the_json_names_what_the_table_shows(one_nginx: NginxBinary, tmp_path: Path) -> None:
    report = tried(
        write(tmp_path, {"nginx.conf": MINIMAL.format("location /a { proxy_pass http://b:1/; }")}), one_nginx
    )
    (route,) = as_json(report)["routes"]
    assert (route["location"], route["upstream"], route["line"]) == ("/a", "http://b:1/", 2)
    assert route["plain"]["recorded"]["target"] == "/"
    assert route["plain"]["verdict"] == "as-predicted"


def test_an_edit_stays_on_its_lines(tmp_path: Path) -> None:
    conf = MINIMAL.format(
        "ssl_certificate\n  a.pem ;ssl_certificate_key\n\n b.key;\n location / { proxy_pass\n http://b; }"
    )
    config, copy, _ = staged({"nginx.conf": conf}, tmp_path)
    (source,) = config.sources.values()
    (text,) = (text for name, text in copy.files.items() if name != "nginx.conf")
    assert text.count("\n") == source.text.count("\n")
    assert Source("x", text).line(text.index("proxy_pass")) == source.line(source.text.index("proxy_pass"))
