"""Whatever is asked of the model, it answers or says why not, in bounded time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws101.http1 import Request
from ws101.nginx.build import Build
from ws101.nginx.config import Config, MemoryFiles
from ws101.nginx.outcome import Arrival, Trace
from ws101.nginx.trace import answer, trace

OLD, NEW = Build((1, 22, 1)), Build((1, 31, 4))
KINDS = {"proxied", "returned", "redirected", "static", "refused", "closed", "unknown"}


def configured(http: str) -> Config:
    """A whole configuration around http-level text."""
    return Config(MemoryFiles({"nginx.conf": f"events {{}} http {{ {http} }}".encode("latin-1")}), "nginx.conf")


def asked(http: str, target: str = "/", build: Build = NEW, **fields: str) -> Trace:
    """What the model says about one request to a configuration."""
    headers = (("Host", "x.test"), *((name.replace("_", "-"), value) for name, value in fields.items()))
    return trace(configured(http), Arrival(Request("GET", target, "HTTP/1.1", headers)), build)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail if the block takes longer, in processor time: other programs do not count."""
    start = time.process_time()
    yield
    assert time.process_time() - start < seconds


def reasons(seen: Trace) -> str:
    """Everything that is said to be unknown."""
    forwarded = seen.outcome.forwarded
    return "; ".join(u.reason for u in (*seen.unknown, *(forwarded.unknown if forwarded else ())))


@pytest.mark.parametrize(
    "maps",
    [
        "map $a $a { default $a; }",
        "map $a $b { default 1; } map $b $a { default 2; }",
        "map $b$b $a { default $b; } map $c$c $b { default $c; } map $a$a $c { default $a; }",
        "map $http_y $a { volatile; default $a$a; }",
        'split_clients "$a" $a { 50% one; * two; }',
        "geo $a $b { default 1; } map $b $a { default $b; }",
    ],
)
def test_variables_that_refer_to_themselves_are_unknown_at_once(maps: str) -> None:
    server = "server { listen 80; location / { proxy_pass http://b; proxy_set_header X $a; proxy_set_header Y y; } }"
    with within(2):
        seen = asked(maps + server)
    assert seen.outcome.kind == "proxied"
    assert 'cycle while evaluating variable "' in reasons(seen)
    assert seen.outcome.forwarded is not None
    assert seen.outcome.forwarded.request is None
    assert seen.outcome.forwarded.fate("Y").value == "y"  # type: ignore[union-attr]  # Y is always there


def test_a_variable_set_to_itself_grows_no_further() -> None:
    seen = asked("server { listen 80; set $a x; set $a $a$a; set $a $a$a; return 200 $a; }")
    assert seen.outcome.body == "xxxx"


def test_variables_that_double_forty_times_are_unknown() -> None:
    doubled = " ".join(f"map $http_y $m{n + 1} {{ volatile; default $m{n}$m{n}; }}" for n in range(40))
    server = "server { listen 80; location / { proxy_pass http://b; proxy_set_header X $m40; } }"
    with within(10):
        seen = asked(f"map $http_y $m0 {{ default ''; }} {doubled} {server}")
    assert "takes too long to work out" in reasons(seen)


def test_a_value_that_doubles_forty_times_is_unknown() -> None:
    sets = "set $a xx; " + "set $a $a$a; " * 40
    with within(5):
        seen = asked(f"server {{ listen 80; {sets} return 200 $a; }}")
    assert "the value grows beyond a megabyte" in reasons(seen)


@pytest.mark.parametrize(
    "location",
    [
        "location / { rewrite ^ /again last; }",
        "location / { rewrite ^(.*)$ $1x; }",
        "location / { try_files /none @a; } location @a { try_files /none @b; } location @b { try_files /none @a; }",
        "location / { error_page 418 /again; recursive_error_pages on; return 418; }",
        "rewrite ^ /x; location / { rewrite ^ /y; }",
    ],
)
def test_endless_redirections_end_after_ten_as_in_nginx(location: str) -> None:
    with within(1):
        seen = asked(f"server {{ listen 80; {location} }}")
    assert (seen.outcome.kind, seen.outcome.status) in {("refused", 500), ("returned", 500)}
    assert sum(d.chosen == "500" for d in seen.decisions) == 1


CATASTROPHE = "/" + "a" * 40 + "!"


@pytest.mark.parametrize(
    "server",
    [
        'location ~ "^/(a+)+$" { return 204; }',
        'location / { rewrite "^/(a|aa)+$" /x; return 204; }',
        'location / { if ($uri ~ "^/(a*)*b") { return 200; } return 204; }',
        'location ~* "^/(.*)*(.*)*(.*)*$" { location ~ "(x+x+)+y" { return 200; } return 204; }',
    ],
)
def test_catastrophic_patterns_are_given_up(server: str) -> None:
    with within(5):
        seen = asked(f"server {{ listen 80; {server} }}", CATASTROPHE)
    assert seen.outcome.kind in KINDS
    assert seen.outcome.kind == "unknown" or seen.outcome.status == 204
    assert seen.outcome.kind != "unknown" or "given up" in reasons(seen) or "pcre2" in reasons(seen)


def test_a_catastrophic_pattern_in_a_map_leaves_the_rest_known() -> None:
    maps = 'map $uri $m { default 0; "~^/(a+)+$" 1; }'
    with within(5):
        seen = asked(
            maps + "server { listen 80; location / { proxy_pass http://b; proxy_set_header X $m; } }", CATASTROPHE
        )
    assert seen.outcome.kind == "proxied"
    assert seen.outcome.forwarded is not None
    assert seen.outcome.forwarded.fate("Host").value == "b"  # type: ignore[union-attr]  # Host is always there


def test_twenty_thousand_nested_locations_cost_no_stack() -> None:
    depth = 20_000
    inside = "".join(f"location {'/' + 'a' * 3} {{ " if not at else "location /aaa { " for at in range(depth))
    text = f"server {{ listen 80; {inside} proxy_pass http://b; {'}' * depth} }}"
    with within(60):
        config = configured(text)
        routes = config.routes()
        seen = trace(config, Arrival(Request("GET", "/aaa", "HTTP/1.1", (("Host", "x"),))), NEW)
        deepest = answer(routes[-1], Request("GET", "/aaa", "HTTP/1.1", (("Host", "x"),)), NEW)
    assert len(routes) == depth
    assert seen.outcome.kind == deepest.outcome.kind == "proxied"


def test_twenty_thousand_locations_side_by_side_are_found_quickly() -> None:
    many = " ".join(f"location /p{at}/ {{ proxy_pass http://b{at}; }}" for at in range(20_000))
    config = configured(f"server {{ listen 80; {many} }}")
    with within(20):
        for at in range(0, 20_000, 100):
            seen = trace(config, Arrival(Request("GET", f"/p{at}/x", "HTTP/1.1", (("Host", "x"),))), NEW)
            assert seen.outcome.forwarded is not None
            assert seen.outcome.forwarded.upstream is not None
            assert seen.outcome.forwarded.upstream.name == f"b{at}"


def test_requests_far_over_every_limit_are_refused() -> None:
    many = {f"X_{number}": "" for number in range(1500)}
    with within(2):
        assert asked("server { listen 80; return 204; }", "/" + "a" * 1_000_000).outcome.status == 414
        assert asked("server { listen 80; return 204; }", X="a" * 1_000_000).outcome.status == 400
        assert asked("server { listen 80; return 204; }", "/", NEW, **many).outcome.status == 400


anything = st.text(st.characters(max_codepoint=255), max_size=12)
RICH = """
map $http_x $m { hostnames; default d; *.x.test w; ~^(.)(.*)$ $2$1; "" e; }
upstream u { server 127.0.0.1:1; }
server {
    listen 80; server_name ~^(?<who>.+)\\.test$; underscores_in_headers on; error_page 404 @n;
    location / {
        set $v $arg_a$m;
        if ($v ~ (.)) { rewrite ^/(.*)$ /w/$1?x=$1; }
        proxy_pass http://u/p/; proxy_set_header X $v$1;
    }
    location ~ ^/w/(.*)$ { proxy_pass http://$arg_x$who/$1; proxy_set_body "$1$cookie_a"; }
    location /r/ { rewrite ^/r/(.*)$ $1 redirect; }
    location @n { proxy_pass http://u; }
}
server {
    listen 80 default_server; ignore_invalid_headers off;
    location /p { limit_except GET { deny all; } proxy_pass http://u; }
}
"""


@given(anything, anything, anything, st.lists(st.tuples(anything, anything), max_size=4), anything)
def test_any_bytes_get_an_answer(
    method: str, target: str, version: str, fields: list[tuple[str, str]], body: str
) -> None:
    config = configured(RICH)
    for request in (
        Request(method, target, version, tuple(fields), body),
        Request("GET", "/" + target, "HTTP/1.1", (("Host", "a.test"), ("X", body), *fields), body),
        Request("POST", "/r/" + target, "HTTP/1.1", (("Host", body or "x"), *fields), body),
    ):
        for build in (OLD, NEW):
            seen = trace(config, Arrival(request), build)
            assert seen.outcome.kind in KINDS
            assert seen.outcome.kind != "unknown" or seen.unknown
            assert seen.decisions or seen.outcome.kind in {"closed", "unknown", "refused"}
