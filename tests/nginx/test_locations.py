"""Which location answers, first by the documented facts, then by asking a real nginx about generated trees."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest

from tests.nginx.asking import MARK, ask, config_of, serving
from ws101.host.binary import NginxBinary
from ws101.http1 import Request
from ws101.nginx.build import Build
from ws101.nginx.config import Scope
from ws101.nginx.locations import Found, LocationName, auto_redirect, find_location, location_name, named_location

BUILD = Build((1, 31, 3))

FACTS = r"""
http { server {
    location / { }
    location /a {
        location ~ deep$ { }
        location /a/b { location ~ nest$ { } }
    }
    location ~ re$ { }
    location ^~ /c { location /c/d { } }
    location /e { location ^~ /e/f { } }
    location = /x { }
    location /x { }
    location ~* \.WS$ { }
    location ~ ^/ws$ { }
    location /ws/ { proxy_pass http://b; }
    location = /eq/ { proxy_pass http://b; }
    location /sl/ { }
    location /ifpp/ { if ($args) { proxy_pass http://b; } }
    location "/sp ace/" { proxy_pass http://b; }
    location /both/ { proxy_pass http://b; }
    location = /both { }
    location /twin/ { proxy_pass http://b; }
    location /twin { }
    location /Case { }
    location @named { }
} }
"""


def server_of(locations: str) -> Scope:
    return config_of(f"http {{ server {{ {locations} }} }}").servers[0]


def found_in(locations: str, uri: str) -> Found:
    return find_location(server_of(locations), uri, BUILD)


def title(found: Found) -> str:
    return found.scope.title if found.scope is not None else "the server"


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("/", "location /"),
        ("/a", "location /a"),
        ("/ab", "location /a"),
        ("/a/b", "location /a/b"),
        ("/a/b/c", "location /a/b"),
        ("/a/b/xnest", "location ~ nest$"),
        ("/a/deep", "location ~ deep$"),
        ("/a/b/deep", "location ~ deep$"),
        ("/a/b/xre", "location ~ re$"),
        ("/a/xre", "location ~ re$"),
        ("/axre", "location ~ re$"),
        ("/c", "location ^~ /c"),
        ("/c/xre", "location ^~ /c"),
        ("/c/d/xre", "location /c/d"),
        ("/e/xre", "location ~ re$"),
        ("/e/f/xre", "location ~ re$"),
        ("/x", "location = /x"),
        ("/x/", "location /x"),
        ("/xy", "location /x"),
        ("/foo.WS", r"location ~* \.WS$"),
        ("/foo.ws", r"location ~* \.WS$"),
        ("/ws/", "location /ws/"),
        ("/wsx", "location /"),
        ("/eq/", "location = /eq/"),
        ("/sl", "location /"),
        ("/ifpp", "location /"),
        ("/both", "location = /both"),
        ("/twin", "location /twin"),
        ("/case", "location ^~ /c"),
        ("/Case", "location /Case"),
    ],
)
def test_the_location_is_the_one_that_nginx_takes(uri: str, expected: str) -> None:
    found = find_location(config_of(FACTS).servers[0], uri, BUILD)
    assert (title(found), found.redirect, found.unknown) == (expected, False, None)


@pytest.mark.parametrize(("uri", "name"), [("/ws", "/ws/"), ("/eq", "/eq/"), ("/sp ace", "/sp ace/")])
def test_the_missing_slash_of_a_proxied_location_is_redirected_before_patterns_are_tried(uri: str, name: str) -> None:
    found = find_location(config_of(FACTS).servers[0], uri, BUILD)
    assert found.redirect
    assert found.scope is not None
    assert location_name(found.scope).name == name


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("/a", LocationName("", "/a")),
        ("= /a", LocationName("=", "/a")),
        ("=/a", LocationName("=", "/a")),
        ("^~ /a", LocationName("^~", "/a")),
        ("^~/a", LocationName("^~", "/a")),
        ("~ a", LocationName("~", "a")),
        ("~a", LocationName("~", "a")),
        ("~* a", LocationName("~*", "a")),
        ("~*a", LocationName("~*", "a")),
        ("@a", LocationName("@", "@a")),
        ("= @a", LocationName("=", "@a")),
    ],
)
def test_a_head_of_one_or_two_words_means_the_same(head: str, expected: LocationName) -> None:
    assert location_name(server_of(f"location {head} {{ }}").children("location")[0]) == expected


@pytest.mark.parametrize("directive", ["proxy_pass http://b", "fastcgi_pass b", "grpc_pass b", "tunnel_pass"])
def test_only_a_handler_in_the_location_itself_redirects(directive: str) -> None:
    direct, in_if = server_of(
        f"location /a/ {{ {directive}; }} location /b/ {{ if ($x) {{ {directive}; }} }}"
    ).children("location")
    assert (auto_redirect(direct), auto_redirect(in_if)) == (True, False)


def test_names_inside_a_pattern_location_never_answer() -> None:
    found = found_in("location ~ /a { location /a/ { proxy_pass http://b; } location = /a { } location ~ c { } }", "/a")
    assert title(found) == "location ~ /a"
    assert title(found_in("location ~ /a { location /a { } location ~ c { } }", "/ac")) == "location ~ c"


def test_a_server_without_a_matching_location_answers_itself() -> None:
    found = found_in("location /a { }", "/b")
    assert (found.scope, found.kind, found.lost) == (None, "none", ())


def test_captures_are_those_of_the_pattern_that_won() -> None:
    found = found_in(r"location ~ ^/(?<first>\w+)/(\d+)$ { }", "/ws/42")
    assert found.captures is not None
    assert found.captures.groups == ("/ws/42", "ws", "42")
    assert found.captures.named == (("first", "ws"),)
    assert found.kind == "regex"


def test_the_losers_are_named_with_their_reasons() -> None:
    found = found_in("location / { } location /a { } location ~ b$ { } location ~ ^/a { }", "/a/b")
    assert [(c.scope.title, c.why) for c in found.lost] == [
        ("location /a", 'the regular expression of "location ~ b$" comes before a prefix'),
        ("location /", '"/a" is a longer prefix'),
        ("location ~ ^/a", '"location ~ b$" is found first'),
    ]
    found = found_in("location ^~ /a { } location ~ b$ { }", "/a/b")
    assert [c.why for c in found.lost] == ['"^~ /a" keeps regular expressions from being tried']
    found = found_in("location = /b { } location ~ b$ { }", "/b")
    assert [c.why for c in found.lost] == ['"location = /b" is an exact match, which ends the search']
    found = found_in("location /b/ { proxy_pass http://x; } location ~ b$ { }", "/b")
    assert [c.why for c in found.lost] == ['the redirect to "location /b/" comes before regular expressions']


def test_named_locations_are_found_by_name_alone() -> None:
    server = config_of(FACTS).servers[0]
    named = named_location(server, "@named")
    assert named is not None
    assert named.title == "location @named"
    assert named_location(server, "@other") is None
    assert title(find_location(server, "/@named", BUILD)) == "location /"


def test_an_unreadable_include_makes_the_answer_unknown_unless_the_name_is_exact() -> None:
    locations = "location = /exact { } location / { } include missing.conf;"
    assert found_in(locations, "/exact").unknown is None
    doubtful = found_in(locations, "/other")
    assert title(doubtful) == "location /"
    assert doubtful.unknown is not None
    assert doubtful.unknown.origin is not None
    assert doubtful.unknown.origin.args == ("missing.conf",)


def test_an_unreadable_include_in_a_location_that_is_not_entered_does_not_matter() -> None:
    assert found_in("location /a { include missing.conf; } location /b { }", "/b").unknown is None
    assert found_in("location /a { include missing.conf; } location /b { }", "/a").unknown is not None


def test_a_pattern_that_nginx_refuses_makes_the_answer_unknown() -> None:
    found = found_in('location ~ "(" { } location / { }', "/")
    assert found.unknown is not None
    assert "missing closing parenthesis" in found.unknown.reason


def test_twenty_thousand_nested_locations_are_no_trouble() -> None:
    depth = 20_000
    server = server_of("location / { " * depth + "return 204;" + " }" * depth)
    found = find_location(server, "/x", BUILD)
    assert found.scope is not None
    assert found.scope.first("return") is not None


def test_ten_thousand_routes_are_found_quickly() -> None:
    server = server_of("".join(f"location /route{i} {{ }}\n" for i in range(10_000)))
    find_location(server, "/", BUILD)
    started = time.process_time()
    assert all(
        title(find_location(server, f"/route{i}/x", BUILD)) == f"location /route{i}" for i in range(0, 10_000, 5)
    )
    assert time.process_time() - started < 1


SEGMENTS = ("/", "a", "b", "A", "-", "!", ".php", "ab", "/a", "/b", "//")
PATTERNS = ("a", "b$", "^/a/", r"\.php$", "(b+)", "/a", "^(/a)(.*)$", "A", "/a/", "(?<n>b)", "^/$", "/(a|b)/")


class Tree:
    """Random locations, each returning its number and ``$1``."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.count = 0

    def path(self, most: int) -> str:
        return "".join(self.random.choice(SEGMENTS) for _ in range(self.random.randrange(most)))

    def level(self, depth: int, prefix: str) -> str:
        names: set[tuple[bool, str]] = set()
        return "".join(self._location(depth, prefix, names) for _ in range(self.random.randrange(4 if depth else 6)))

    def _location(self, depth: int, prefix: str, names: set[tuple[bool, str]]) -> str:
        modifier = self.random.choice(("", "", "", "", "=", "^~", "~", "~*"))
        name = self.random.choice(PATTERNS) if "~" in modifier[:1] else (prefix or "/") + self.path(3)
        if "~" not in modifier[:1]:
            if (modifier == "=", name) in names:
                return ""
            names.add((modifier == "=", name))
        self.count += 1
        number = self.count
        handler = self.random.choice(("", "proxy_pass http://127.0.0.1:1;"))
        inside = "" if modifier == "=" or depth > 2 or self.random.random() < 0.4 else self.level(depth + 1, name)
        return f'location {modifier} {name} {{ return 200 "{number}{MARK}$1"; {handler} {inside} }}\n'


def predicted(server: Scope, uri: str, build: Build) -> tuple[int, str]:
    """Status and body (or the name redirected to) by the model."""
    found = find_location(server, uri, build)
    assert found.unknown is None
    if found.scope is None:
        return 404, ""
    if found.redirect:
        return 301, location_name(found.scope).name
    first = found.captures.groups[1:2] if found.captures else ()
    line = found.scope.first("return")
    assert line is not None
    return 200, line.args[1].replace("$1", (first[0] if first else None) or "")


def pairs(seed: int, trees: int, uris: int) -> tuple[str, Iterator[tuple[int, str]]]:
    """A configuration of random servers ``s0``, ``s1``, ..., and (server, URI) pairs."""
    tree = Tree(seed)
    servers = [
        f"server {{ listen 127.0.0.1:PORT; server_name s{i}; root /nonexistent; {tree.level(0, '')} }}\n"
        for i in range(trees)
    ]
    asked = ((i, "/" + tree.path(6)) for i in range(trees) for _ in range(uris))
    return "merge_slashes off; server_names_hash_bucket_size 128;\n" + "".join(servers), asked


@pytest.mark.parametrize("seed", [1, 2])
def test_a_real_nginx_takes_the_same_locations(binary: NginxBinary, seed: int) -> None:
    text, asked = pairs(seed, 60, 6)
    with serving(binary, text) as (config, port):
        for number, uri in asked:
            answer = ask(port, Request("GET", uri, headers=(("Host", f"s{number}"),)))
            server = config.servers[number]
            body = answer.body if answer.status == 200 else ""
            if answer.status == 301:
                body = answer.head.partition(f":{port}")[2].partition("\r\n")[0]
            status = 404 if answer.status in (403, 404, 405) else answer.status
            assert (status, body) == predicted(server, uri, binary.build), (server.opener, uri)
