"""map, geo and split_clients: the documented facts, then generated tables against a real nginx."""

from __future__ import annotations

import random

import pytest

from tests.nginx.asking import MARK, ask, config_of, serving
from ws101.host.binary import NginxBinary
from ws101.http1 import Request
from ws101.nginx.build import Build
from ws101.nginx.maps import (
    GeoTable,
    Hit,
    MapTable,
    SplitClients,
    geo_tables,
    map_tables,
    murmur_hash2,
    split_tables,
)
from ws101.nginx.outcome import Arrival, Forwarded
from ws101.nginx.regex import Undecided
from ws101.nginx.trace import trace
from ws101.nginx.variables import CAPTURE_CONFLICT


def map_of(lines: str, **files: str) -> MapTable:
    return map_tables(config_of(f"http {{ map $http_upgrade $out {{ {lines} }} }}", **files))["out"]


def geo_of(lines: str, head: str = "$out") -> GeoTable:
    return geo_tables(config_of(f"http {{ geo {head} {{ {lines} }} }}"))["out"]


def split_of(lines: str) -> SplitClients:
    return split_tables(config_of(f"http {{ split_clients $remote_addr $out {{ {lines} }} }}"))["out"]


@pytest.mark.parametrize(
    ("lines", "value", "expected"),
    [
        ("default upgrade; '' close;", "", "close"),
        ("default upgrade; '' close;", "websocket", "upgrade"),
        ("websocket upgrade;", "WebSocket", "upgrade"),
        ("WebSocket upgrade;", "websocket", "upgrade"),
        ("websocket upgrade;", "h2c", None),
        ('"default" x;', "anything", "x"),
        (r"\default x; default y;", "default", "x"),
        (r"\~a x;", "~a", "x"),
        ("~^web x; websocket y;", "websocket", "y"),
        ("~^web x; ~^web y;", "website", "x"),
        ("~^WEB x; default y;", "web", "y"),
        ("~*^WEB x; default y;", "web", "x"),
        ('"~^$" x; default y;', "", "y"),
        ("a.b x;", "a.b.", None),
        ("hostnames; a.b x;", "a.b.", "x"),
        ("hostnames; *.b x; .c.b y; a.* z;", "q.b", "x"),
        ("hostnames; *.b x; .c.b y; a.* z;", "c.b", "y"),
        ("hostnames; *.b x; .c.b y; a.* z;", "a.q", "z"),
        ("hostnames; *.b x; a.* z;", "b", None),
        ("*.b x;", "a.b", None),
        ("*.b x; hostnames;", "a.b", None),
    ],
)
def test_a_map_gives_what_nginx_gives(lines: str, value: str, expected: str | None) -> None:
    assert map_of(lines).lookup(value).value == expected


def test_the_deciding_line_and_its_captures_are_told() -> None:
    hit = map_of(r"a 1; ~^(?<name>\w+)-(\d+)$ $name/$2;").lookup("ws-7")
    assert hit.value == "$name/$2"
    assert hit.captures is not None
    assert hit.captures.groups == ("ws-7", "ws", "7")
    assert hit.origin is not None
    assert hit.origin.name == r"~^(?<name>\w+)-(\d+)$"
    assert map_of("a 1;").lookup("b") == Hit(None)


def test_a_map_knows_its_head_and_its_words() -> None:
    table = map_tables(config_of("http { map $a$b $Out { volatile; hostnames; x y; } }"))["out"]
    assert (table.source, table.variable, table.volatile, table.hostnames) == ("$a$b", "out", True, True)
    assert [line.name for line in table.lines] == ["volatile", "hostnames", "x"]


def test_of_two_maps_for_one_variable_the_last_counts() -> None:
    tables = map_tables(config_of("http { map $a $out { default 1; } map $b $OUT { default 2; } }"))
    assert list(tables) == ["out"]
    assert tables["out"].lookup("").value == "2"


def test_an_include_in_a_map_is_part_of_it() -> None:
    assert map_of("include more.map; default y;", **{"more.map": "a x;"}).lookup("a").value == "x"


def test_a_missing_include_leaves_all_but_exact_keys_undecided() -> None:
    table = map_of("include gone.map; a x; default y;")
    assert table.lookup("a").value == "x"
    with pytest.raises(Undecided, match="could not be read"):
        table.lookup("b")


def test_a_pattern_that_nginx_refuses_is_undecided() -> None:
    with pytest.raises(Undecided, match="missing closing parenthesis"):
        map_of('"~(" x;').lookup("a")


@pytest.mark.parametrize(
    ("lines", "address", "expected"),
    [
        ("default d; 127.0.0.0/8 loop; 127.0.0.1 me;", "127.0.0.1", "me"),
        ("default d; 127.0.0.0/8 loop; 127.0.0.1 me;", "127.0.0.2", "loop"),
        ("default d; 127.0.0.0/8 loop;", "10.0.0.1", "d"),
        ("127.0.0.0/8 loop;", "10.0.0.1", ""),
        ("10.0.0.0/8 a; 10.0.0.0/8 b;", "10.0.0.1", "b"),
        ("10.0.0.0/8 a; 10.1.0.0/16 b; delete 10.1.0.0/16;", "10.1.0.1", "a"),
        ("10.0.0.0/8 a;", "::ffff:10.0.0.1", "a"),
        ("2001:db8::/32 six; default d;", "2001:db8::1", "six"),
        ("255.255.255.255 none; default d;", "not an address", "none"),
        ("ranges; 10.0.0.0-10.0.0.9 a; 10.0.0.5-10.0.0.6 b; default d;", "10.0.0.5", "b"),
        ("ranges; 10.0.0.0-10.0.0.9 a; 10.0.0.5-10.0.0.6 b; default d;", "10.0.0.7", "a"),
        ("ranges; 10.0.0.0-10.2.255.255 a; default d;", "10.1.7.7", "a"),
        ("ranges; 10.0.0.0-10.0.0.9 a; default d;", "10.0.0.10", "d"),
        ("ranges; 10.0.0.0-10.0.0.9 a; delete 10.0.0.0-10.0.0.9;", "10.0.0.1", ""),
        ("default $text;", "10.0.0.1", "$text"),
    ],
)
def test_geo_gives_the_value_of_the_narrowest_network(lines: str, address: str, expected: str) -> None:
    assert geo_of(lines).lookup(address) == expected


def test_geo_knows_its_source_and_its_proxies() -> None:
    table = geo_of("proxy 10.0.0.0/8; proxy_recursive; default 1;", "$Arg_ip $out")
    assert (table.source, table.proxies, table.proxy_recursive) == ("arg_ip", ("10.0.0.0/8",), True)
    assert geo_of("default 1;").source == ""


def test_a_missing_include_leaves_geo_undecided() -> None:
    with pytest.raises(Undecided):
        geo_of("include gone; default 1;").lookup("10.0.0.1")


def test_split_clients_fills_the_parts_in_order() -> None:
    table = split_of("50% a; 25.5% b; * rest;")
    values = [table.lookup(f"10.0.{i // 256}.{i % 256}") for i in range(4000)]
    shares = {name: values.count(name) / len(values) for name in ("a", "b", "rest")}
    assert shares == pytest.approx({"a": 0.5, "b": 0.255, "rest": 0.245}, abs=0.03)
    assert "" in {split_of("50% a;").lookup(str(i)) for i in range(100)}


@pytest.mark.parametrize(("text", "hashed"), [("", 0), ("a", 0x92685F5E), ("abcd", 0x26873021)])
def test_murmur_hash_has_the_published_values(text: str, hashed: int) -> None:
    assert murmur_hash2(text) == hashed


KEYS = (
    *(
        "a",
        "b",
        "A.B",
        "*.b",
        ".b",
        "a.*",
        "~^a",
        "~*B$",
        "~(b+)",
        "''",
        r"\default",
        r"\~a",
        "default",
        "a.b",
        "x.a.b",
    ),
    *("*.a.b", "a*", "..", "*", "~^$", ".c.b", "b."),
)
INVALID_HOSTNAMES = frozenset({"..", "*", "a*"})
WORDS = ("a", "b", ".", "A", "B", "x", "c", "~", "default")
NETWORKS = (
    *("127.0.0.0/8", "10.0.0.0/16", "10.1.0.0/24", "10.1.1.1", "10.0.0.1/32", "2001:db8::/64", "2001:db8::1", "::/0"),
    *("0.0.0.0/0", "255.255.255.255", "10.0.1.0/23", "::ffff:10.0.0.1", "10.0.0.1/8"),
)
RANGES = (
    *("127.0.0.0-127.0.0.255", "10.0.0.0-10.2.255.255", "10.1.0.0-10.1.0.10", "10.0.1.1-10.0.1.1"),
    "127.0.0.10-127.0.0.20",
)
ADDRESSES = (
    *("::1", "::ffff:10.0.0.1", "2001:db8::1", "2001:db8::2", "x", "", "1.2.3", "010.0.0.1", "255.255.255.255"),
    *("10.0.0.1", "10.0.1.1", "10.1.0.1", "10.1.0.11", "10.1.1.1", "10.2.0.1", "127.0.0.1", "127.0.0.10", "127.0.0.21"),
)


def random_map(rng: random.Random, number: int) -> str:
    """A map of ``$arg_v`` without keys that conflict."""
    hostnames = rng.random() < 0.5
    lines: list[str] = []
    taken: set[str] = set()
    for key in rng.sample(KEYS, rng.randrange(1, 9)):
        plain = key.lower().removeprefix("*").removeprefix(".") if hostnames else key.lower()
        if plain not in taken and not (hostnames and key in INVALID_HOSTNAMES):
            taken.add(plain)
            lines.append(f"{key} {len(lines)}x$1;")
    if hostnames:
        lines.insert(rng.randrange(2), "hostnames;")
    return f"map $arg_v $m{number} {{ {' '.join(lines)} }}\n"


def random_geo(rng: random.Random, number: int) -> str:
    ranges = rng.random() < 0.4
    keys = [key for key in (RANGES if ranges else NETWORKS) if rng.random() < 0.5]
    lines = ["ranges;"] if ranges else []
    lines += ["default d$1;"] if rng.random() < 0.5 else []
    lines += [f"{key} {at};" for at, key in enumerate(keys)]
    lines += [f"delete {rng.choice(keys)};"] if keys and rng.random() < 0.3 else []
    return f"geo $arg_i $g{number} {{ {' '.join(lines)} }}\n"


def random_split(rng: random.Random, number: int) -> str:
    parts = [f"{rng.randrange(1, 4000) / 100:.2f}% p{at};" for at in range(rng.randrange(1, 3))]
    rest = rng.choice(("* rest;", ""))
    return f"split_clients $arg_v $s{number} {{ {' '.join(parts)} {rest} }}\n"


def shown(hit: Hit) -> str:
    first = hit.captures.groups[1:2] if hit.captures else ()
    return (hit.value or "").replace("$1", (first[0] if first else None) or "")


def test_a_real_nginx_gives_the_same_values(binary: NginxBinary) -> None:
    rng, count = random.Random(11), 40
    geo = binary.build.has_module("http_geo")
    values = f"$mN{MARK}$gN{MARK}$sN" if geo else "$mN"
    tables = [random_map(rng, n) + (random_geo(rng, n) + random_split(rng, n) if geo else "") for n in range(count)]
    places = "".join(f'location = /{n} {{ return 200 "{values.replace("N", str(n))}"; }}\n' for n in range(count))
    head = "map_hash_bucket_size 128; variables_hash_max_size 4096;\n"
    with serving(binary, f"{head}{''.join(tables)} server {{ listen 127.0.0.1:PORT; {places} }}") as (config, port):
        maps, geos, splits = map_tables(config), geo_tables(config), split_tables(config)
        for number in range(count):
            for _ in range(8):
                value, address = "".join(rng.choices(WORDS, k=rng.randrange(6))), rng.choice(ADDRESSES)
                request = Request("GET", f"/{number}?v={value}&i={address}", headers=(("Host", "a"),))
                expected = [shown(maps[f"m{number}"].lookup(value))]
                if geo:
                    expected += [geos[f"g{number}"].lookup(address), splits[f"s{number}"].lookup(value)]
                assert ask(port, request).body.split(MARK) == expected, (tables[number], value, address)


def sent_by(location: str) -> Forwarded:
    """What a location forwards, beside a map of what only run time knows."""
    tables = 'map $request_id $found { ~^(.)(?<second>.) ""; } map $request_id $plain { a b; }'
    config = config_of(f"http {{ {tables} server {{ listen 80; {location} }} }}")
    request = Request("GET", "/one", "HTTP/1.1", (("Host", "x"),))
    forwarded = trace(config, Arrival(request), Build((1, 22, 1))).outcome.forwarded
    assert forwarded is not None
    return forwarded


@pytest.mark.parametrize(
    ("fields", "fates"),
    [
        ("proxy_set_header A $plain; proxy_set_header B $1;", {"A": "unknown", "B": "set"}),
        ("proxy_set_header A $found; proxy_set_header B $1;", {"A": "unknown", "B": "unknown"}),
        ("proxy_set_header A $found; proxy_set_header B $second;", {"A": "unknown", "B": "unknown"}),
        ("proxy_set_header A $found; proxy_set_header B $host;", {"A": "unknown", "B": "set"}),
    ],
)
def test_a_map_that_only_run_time_decides_may_leave_captures(fields: str, fates: dict[str, str]) -> None:
    forwarded = sent_by(f"location ~ ^/(one) {{ {fields} proxy_pass http://127.0.0.1:1; }}")
    assert {field.name: field.fate for field in forwarded.headers if field.name in fates} == fates
    assert forwarded.request is None


def test_captures_that_are_used_before_such_a_map_conflict_with_it() -> None:
    fields = "proxy_set_header B $1; proxy_set_header A $found;"
    forwarded = sent_by(f"location ~ ^/(one) {{ {fields} proxy_pass http://127.0.0.1:1; }}")
    assert CAPTURE_CONFLICT in forwarded.unknown
