"""What logs tell, and that no line, however broken, hurts."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws101.lab.nginx import ACCESS_FORMAT
from ws101.logs import COMBINED, SIGNATURES, AccessEntry, Tally, bursts, clues_in, cut_tunnels, read_access, read_errors

CONTEXT = 'client: 127.0.0.1, server: x, request: "GET /ws HTTP/1.1", upstream: "{}", host: "x"'
BACKEND = CONTEXT.format("http://10.0.0.5:3000/ws")

LINES = {
    'unknown "connection_upgrade" variable': "map-variable-undefined",
    '"map" directive is not allowed here in /etc/nginx/nginx.conf:9': "map-misdefined",
    'invalid number of arguments in "proxy_http_version" directive in x:1': "config-syntax-error",
    f"connect() failed (111: Connection refused) while connecting to upstream, {BACKEND}": "upstream-unreachable",
    "connect() failed (111: Connection refused) while connecting to upstream, "
    + CONTEXT.format("http://[::1]:3000/ws"): "localhost-ipv6",
    f"connect() failed (113: No route to host) while connecting to upstream, {BACKEND}": "stale-upstream-dns",
    f"connect() to unix:/run/app.sock failed (13: Permission denied) while connecting to upstream, {BACKEND}":
        "selinux-or-socket-permission",
    f"connect() to 10.0.0.5:3000 failed (13: Permission denied) while connecting to upstream, {BACKEND}":
        "selinux-or-socket-permission",
    f"connect() to unix:/run/app.sock failed (2: No such file or directory) while connecting to upstream, {BACKEND}":
        "upstream-unreachable",
    f"no live upstreams while connecting to upstream, {BACKEND}": "upstream-unreachable",
    f"no resolver defined to resolve backend, {BACKEND}": "missing-resolver",
    f"backend could not be resolved (3: Host not found), {BACKEND}": "stale-upstream-dns",
    f"peer closed connection in SSL handshake while SSL handshaking to upstream, {BACKEND}": "upstream-scheme-mismatch",
    "SSL_do_handshake() failed (SSL: error:0A00010B:SSL routines::wrong version number) while SSL handshaking to "
    f"upstream, {BACKEND}": "upstream-scheme-mismatch",
    f"upstream prematurely closed connection while reading response header from upstream, {BACKEND}": "backend-closes",
    f"auth request unexpected status: 400 while sending to client, {BACKEND}": "auth-request-inherits-upgrade",
    f"upstream timed out (110: Connection timed out) while proxying upgraded connection, {BACKEND}": "read-timeout",
    f"upstream timed out (110: Connection timed out) while reading response header from upstream, {BACKEND}":
        "upstream-slow-504",
    f"upstream timed out (110: Connection timed out) while connecting to upstream, {BACKEND}": "upstream-slow-504",
    "client sent plain HTTP request to HTTPS port while reading client request headers, client: 1":
        "plain-http-to-https-port",
    'client sent too long header line: "Cookie: x" while reading client request headers, client: 1': "header-too-large",
    'broken header: "GET /ws HTTP/1.1" while reading PROXY protocol, client: 1': "proxy-protocol-mismatch",
    'client sent invalid method while reading client request line, client: 1, request: "PROXY TCP4 1.1.1.1"':
        "proxy-protocol-mismatch",
    "invalid connection preface while processing HTTP/2 connection, client: 1": "http2-without-rfc8441",
    f'limiting connections by zone "z", {BACKEND}': "rate-limit",
    f'limiting requests, excess: 0.9 by zone "z", {BACKEND}': "rate-limit",
    "24 worker_connections are not enough": "worker-connections",
    f"upstream sent too big header while reading response header from upstream, {BACKEND}": "proxy-buffer-too-small",
}  # fmt: skip


def written(message: str, level: str = "error", at: str = "12:00:00") -> str:
    return f"2026/01/31 {at} [{level}] 10#10: *7 {message}\n"


@pytest.mark.parametrize("message", LINES)
def test_each_signature_names_its_cause(message: str) -> None:
    (clue,) = clues_in(written(message), "/var/log/nginx/error.log", target="/ws")
    assert clue.rule == LINES[message]
    assert message[:40] in clue.line


def test_every_signature_has_a_line_that_shows_it() -> None:
    shown = {next(i for i, s in enumerate(SIGNATURES) if s.pattern.search(message)) for message in LINES}
    rules = {SIGNATURES[i].rule for i in shown}
    assert {s.rule for s in SIGNATURES} - rules == {
        *("access-denied", "auth-basic", "waf-modsecurity", "no-websocket-location-spa-fallback", "redirect-cycle"),
    }


def test_a_line_without_a_meaning_tells_nothing() -> None:
    assert clues_in(written("signal process started", "notice"), "log") == ()


def test_lines_about_the_request_come_before_lines_about_others() -> None:
    other = written(f"no live upstreams, {BACKEND}".replace("/ws ", "/other "))
    mine = written(f'limiting requests, excess: 0.9 by zone "z", {BACKEND}')
    clues = clues_in(mine + other, "log", target="/ws?token=1")
    assert [(clue.rule, clue.mine) for clue in clues] == [("rate-limit", True), ("upstream-unreachable", False)]


def test_a_clue_names_the_address_that_nginx_asked() -> None:
    (clue,) = clues_in(written(f"no live upstreams, {BACKEND}"), "log", target="/ws")
    assert clue.upstream == "10.0.0.5:3000"
    (clue,) = clues_in(written("no live upstreams, " + CONTEXT.format("http://unix:/run/a.sock:/ws")), "log")
    assert clue.upstream == "unix:/run/a.sock"


def test_the_newest_of_two_causes_comes_first() -> None:
    text = written("24 worker_connections are not enough") + written(f"no live upstreams, {BACKEND}")
    assert [clue.rule for clue in clues_in(text, "log", target="/ws")] == ["upstream-unreachable", "worker-connections"]


def test_each_cause_is_told_once_by_its_last_line() -> None:
    text = written("24 worker_connections are not enough") + written("99 worker_connections are not enough")
    (clue,) = clues_in(text, "log")
    assert "99 worker" in clue.line


@given(st.text(st.characters(max_codepoint=255)))
def test_any_text_is_read_without_harm(text: str) -> None:
    clues_in(text, "log", target="/ws")
    list(read_errors(text))
    entries = list(read_access(text))
    bursts(entries)
    cut_tunnels(entries, 60.0)


@given(st.text(st.characters(max_codepoint=255), max_size=60))
def test_any_format_is_taken(form: str) -> None:
    list(read_access("101 60.001 /ws\n", form))


def test_a_line_of_many_megabytes_costs_no_time() -> None:
    begin = time.process_time()
    text = "2026/01/31 12:00:00 [error] 1#1: " + ', request: "' * 1_000_000
    clues_in(text, "log")
    list(read_access('" "' * 2_000_000))
    assert time.process_time() - begin < 2.0


# access logs


def test_the_combined_format_is_read() -> None:
    line = '10.0.0.1 - - [31/Jan/2026:12:00:00 +0000] "GET /ws?a=1 HTTP/1.1" 101 57 "-" "Mozilla/5.0 (X11)"'
    (entry,) = read_access(line, COMBINED)
    ended = "31/Jan/2026:12:00:00 +0000"
    assert entry == AccessEntry(101, None, "/ws?a=1", "", ended, "10.0.0.1", "Mozilla/5.0 (X11)")
    assert not entry.ours


def test_a_format_of_ones_own_is_read() -> None:
    (entry,) = read_access("101 60.012 101 10.0.0.5:3000 80 GET /ws", ACCESS_FORMAT)
    assert (entry.status, entry.seconds, entry.target, entry.upstream_status) == (101, 60.012, "/ws", "101")


def test_braces_around_a_variable_mean_the_same() -> None:
    (entry,) = read_access("s=101 t=60.5", "s=${status} t=${request_time}")
    assert (entry.status, entry.seconds) == (101, 60.5)


def test_lines_of_another_format_are_passed_over() -> None:
    assert list(read_access("nothing of that kind\n\n101", COMBINED)) == []


def entry(seconds: float, *, status: int = 101, target: str = "/ws", ended: str = "", agent: str = "") -> AccessEntry:
    return AccessEntry(status, seconds, target, "", ended, "", agent)


def test_tunnels_that_end_at_the_timeout_were_cut() -> None:
    entries = [
        entry(60.01),
        entry(59.7),
        entry(12.0),
        entry(60.0, status=200),
        entry(60.0, target="/other"),
        entry(61.5),
    ]
    assert cut_tunnels(entries, 60.0, "/ws") == (entries[0], entries[1])


def test_tunnels_of_different_age_that_end_together_are_a_burst() -> None:
    together = [entry(3.0 * n, ended="1700000000.123") for n in range(1, 5)]
    alone = [entry(5.0, ended="1700000009.123")]
    assert bursts([*together, *alone]) == (tuple(together),)


def test_tunnels_of_one_age_that_end_together_timed_out_each_by_itself() -> None:
    assert bursts([entry(60.0, ended="1700000000.1")] * 5) == ()


@pytest.mark.parametrize(("agent", "ours"), [("ws101", True), ("ws101/1.2", True), ("ws1010", False), ("", False)])
def test_the_tunnels_of_ws101_itself_tell_nothing_of_users(agent: str, ours: bool) -> None:
    many = [entry(60.0 + n / 5, ended="1700000000.123", agent=agent) for n in range(4)]
    assert bursts(many) == (() if ours else (tuple(many),))
    assert len(cut_tunnels(many, 60.0)) == (0 if ours else 4)
    tally = Tally()
    for one in many:
        tally.add_access(one)
    assert (tally.own, tally.tunnels) == ((4, 0) if ours else (0, 4))
    assert tally.statuses == {("/ws", 101): 4}
    assert bool(tally.clusters()) is not ours
