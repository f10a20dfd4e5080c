"""directives.py says what nginx -t says of a single directive, and its values are nginx's."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.nginx_oracle import nginx_t, nginx_t_all
from ws101.host.binary import NginxBinary
from ws101.nginx import directives
from ws101.nginx.build import Build
from ws101.nginx.directives import (
    Verdict,
    duplicates,
    inner_context,
    is_known,
    may_repeat,
    parse_flag,
    parse_size,
    parse_time,
    rows,
    third_party,
    variable_known,
    verdict,
    verdicts,
)
from ws101.syntax import Directive, parse
from ws101.text import Source

OLD, NEW = Build((1, 22, 1)), Build((1, 31, 3))


def one(text: str) -> Directive:
    """The only directive of a text."""
    (directive,) = parse(Source("x", text)).directives
    return directive


def message(text: str, context: str, build: Build | None = None) -> str | None:
    """nginx's message for one directive in a context, if it is certain."""
    found = verdict(one(text), context, build)
    return found.message if found and found.certain else None


@pytest.mark.parametrize(
    ("text", "context", "expected"),
    [
        ("proxy_pass http://a;", "location", None),
        ("proxy_pass http://a;", "server", '"proxy_pass" directive is not allowed here'),
        ("proxy_set_header a b;", "if-in-location", '"proxy_set_header" directive is not allowed here'),
        ("proxy_set_header a;", "server", 'invalid number of arguments in "proxy_set_header" directive'),
        ("proxy_set_header a b c;", "server", 'invalid number of arguments in "proxy_set_header" directive'),
        ("map $a $b {}", "server", '"map" directive is not allowed here'),
        ("location / ;", "server", 'directive "location" has no opening "{"'),
        ("listen 80 {}", "server", 'directive "listen" is not terminated by ";"'),
        ("listen 80 {}", "http", '"listen" directive is not allowed here'),
        ("server a {}", "http", 'invalid number of arguments in "server" directive'),
        ("server a;", "upstream", None),
        ("server {}", "upstream", 'directive "server" is not terminated by ";"'),
        ("server a;", "http", 'directive "server" has no opening "{"'),
        ("include a b;", "upstream", 'invalid number of arguments in "include" directive'),
        ("include a;", "if-in-server", None),
        ("proxy_buffering ON;", "http", None),
        (
            "proxy_buffering yes;",
            "http",
            'invalid value "yes" in "proxy_buffering" directive, it must be "on" or "off"',
        ),
        ("a b {}", "types", 'unexpected "{"'),
        ("a b c;", "map", "invalid number of the map parameters"),
        ("volatile;", "map", None),
        ("nonsense 1;", "vod_upstream", None),
    ],
)
def test_a_directive_gets_nginx_s_message_in_every_version(text: str, context: str, expected: str | None) -> None:
    for build in (None, OLD, NEW):
        assert message(text, context, build) == expected


def test_what_only_some_versions_know_depends_on_the_version() -> None:
    assert message("http2 on;", "server") is None, "an unknown version is only refused what all refuse"
    assert message("http2 on;", "server", OLD) == 'unknown directive "http2"'
    assert message("http2 on;", "server", NEW) is None
    assert message("keepalive 4 local;", "upstream", OLD) == 'invalid number of arguments in "keepalive" directive'
    assert message("keepalive 4 local;", "upstream", NEW) is None
    assert message("http2 on;", "location") == '"http2" directive is not allowed here'
    assert message("http2 on;", "server", Build((1, 99, 0))) is None, "newer than the tables: read as the newest"


def test_a_backported_directive_is_not_certainly_unknown() -> None:
    assert verdict(one("max_headers 1;"), "http", OLD) == Verdict('unknown directive "max_headers"', certain=False)


def test_an_unlisted_directive_is_unknown_until_the_binary_decides() -> None:
    plain = Build((1, 22, 1), ("--with-http_ssl_module",), "binary")
    grown = Build((1, 22, 1), ("--add-module=x",), "binary")
    unlisted = one("frobnicate 1;")
    assert verdict(unlisted, "http", None) == Verdict('unknown directive "frobnicate"', certain=False)
    assert verdict(unlisted, "http", grown, ()) == Verdict('unknown directive "frobnicate"', certain=False)
    assert verdict(unlisted, "http", plain, ()) == Verdict('unknown directive "frobnicate"', certain=True)
    assert verdict(one("a\0b 1;"), "http", plain, ()) == Verdict('unknown directive "a"')
    assert verdict(unlisted, "http", plain, None) == Verdict('unknown directive "frobnicate"', certain=False)


def test_well_known_modules_are_recognised_by_name() -> None:
    names = "more_set_headers access_by_lua_block content_by_lua_file lua_shared_dict js_import echo modsecurity "
    names += "geoip2 brotli_types zone_sync auth_jwt passenger_enabled pagespeed vhost_traffic_status_zone set_md5 "
    names += "nchan_pubsub rtmp"
    for name in names.split():
        assert third_party(name), name
        assert verdict(one(f"{name} x;"), "location", None) is None
        assert verdict(one(f"{name} x;"), "location", OLD) is None
        assert verdict(one(f"{name} x;"), "location", Build((1, 22, 1), (), "binary"), ()) is not None
    assert third_party("proxy_pass") is None
    assert third_party("proxy_psas") is None


def test_a_dynamic_module_counts_if_it_is_loaded() -> None:
    build = Build((1, 22, 1), ("--with-stream=dynamic",), "binary")
    stream = one("stream {}")
    assert verdict(stream, "main", build, ()) == Verdict('unknown directive "stream"')
    assert verdict(stream, "main", build, ("modules/ngx_stream_module.so",)) is None
    assert verdict(stream, "main", build, None) is None


def test_a_module_that_was_left_out_has_no_directives() -> None:
    build = Build((1, 25, 4), ("--without-http_geo_module",), "binary")
    assert verdict(one("geo $a {}"), "http", build, ()) == Verdict('unknown directive "geo"')
    assert verdict(one("geo $a {}"), "stream", build, ()) is not None
    assert verdict(one("http3 on;"), "server", build, ()) == Verdict('unknown directive "http3"')


def test_a_cut_directive_has_no_verdict_of_its_own() -> None:
    assert list(verdicts(parse(Source("x", "nonsense }")).directives[0], "http")) == []
    assert [v.message for v in verdicts(one("listen;"), "http")] == ['"listen" directive is not allowed here']


def test_contexts_inside_blocks() -> None:
    assert inner_context("if", "location") == "if-in-location"
    assert inner_context("server", "stream") == "stream-server"
    assert inner_context("map", "http") == "map"
    assert inner_context("rtmp", "main") == "rtmp"


def test_rows_can_be_asked_for() -> None:
    assert [row.module for row in rows("server", "upstream")] == ["http_upstream"]
    assert [row.args for row in rows("keepalive", version=(1, 29, 7))] == [(1, 2)]
    assert rows("nosuch") == ()
    assert is_known("proxy_pass")
    assert not is_known("Proxy_pass")


def test_the_tables_hold_what_the_code_expects() -> None:
    folder = Path(directives.__file__).parent / "data"
    table = json.loads((folder / "nginx-directives.json").read_text())
    contexts = {context for row in table["directives"] for context in row["contexts"]}
    assert contexts <= directives._CONTEXTS | {"any"}
    assert len(rows("proxy_set_header")) == 1
    for row in json.loads((folder / "nginx-variables.json").read_text())["variables"]:
        assert row["prefix"] == row["name"].endswith("_")


def test_variables_are_known_by_name_family_version_and_module() -> None:
    assert variable_known("http_upgrade") is True
    assert variable_known("http_") is False
    assert variable_known("connection_upgrade") is False
    assert variable_known("request_port") is True
    assert variable_known("request_port", (1, 22, 1)) is False
    assert variable_known("request_port", (1, 31, 3)) is True
    assert variable_known("ssl_protocol", (1, 22, 1), Build((1, 22, 1), ())) is False
    assert variable_known("ssl_protocol", (1, 22, 1), Build((1, 22, 1))) is None


# --- values -----------------------------------------------------------------------------------------------------------

_TIMES = """0|1|60|007|1s|1ms|1m|1h|1d|1w|1M|1y|1h30m|30m1h|1m1h|1.5h|-1|+1|1h1h|1s1ms|1ms1s|1m1ms|1s30|1h30|1ms5
|off|s|ms|m|1x|1S|1H|1Ms|1mS|1w1d1h1m1s1ms|9223372036854775807|9223372036854775|9223372036854776
|92233720368547758079|1y1M|1M1y|106751991167d|106751991168d|1m|s1|1sms|18446744073709551616|1h 30m|1h  30m| 1h|1h |1 h
|1 2|1 2 3|1h 2|1s 2|30 1h|| |1m s|1d 1h 1"""
_SIZES = """0|1|1k|1K|1m|1M|1g|1G|1kk|1.5k|k|m|-1|off|1b|008|8796093022207m|8796093022208m|9007199254740991k|1t|1 k|| 1
|9223372036854775807|9223372036854775808"""
TIMES = _TIMES.replace("\n", "").split("|")
SIZES = _SIZES.replace("\n", "").split("|")

SETTERS = {
    "proxy_read_timeout": lambda text: parse_time(text) is not None,
    "keepalive_time": lambda text: parse_time(text) is not None,
    "client_header_buffer_size": lambda text: parse_size(text) is not None,
    "client_max_body_size": lambda text: parse_size(text, offset=True) is not None,
    "proxy_buffering": lambda text: parse_flag(text) is not None,
}


@pytest.mark.parametrize("name", SETTERS)
def test_values_are_valid_where_nginx_takes_them(binary: NginxBinary, tmp_path: Path, name: str) -> None:
    values = [*TIMES, *SIZES, "ON", "Off", "oN ", "yes"]
    texts = [f'events {{}}\nhttp {{ {name} "{value}"; }}\n' for value in values]
    for value, said in zip(values, nginx_t_all(binary, tmp_path, texts), strict=True):
        accepted = said is None or "invalid value" not in said[0]
        assert accepted == SETTERS[name](value), (value, said)


def test_times_in_seconds_are_valid_where_nginx_takes_them(binary: NginxBinary, tmp_path: Path) -> None:
    # proxy_cache_valid takes seconds.
    cache = f"proxy_cache_path {tmp_path}/cache keys_zone=z:1m;"
    texts = [f'events {{}}\nhttp {{ {cache} server {{ proxy_cache_valid "{time}"; }} }}\n' for time in TIMES]
    for time, said in zip(TIMES, nginx_t_all(binary, tmp_path, texts), strict=True):
        assert (said is None) == (parse_time(time, seconds=True) is not None), (time, said)


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("60", 60_000),
        ("1h30m", 5_400_000),
        ("1h 30m", 5_400_000),
        ("500ms", 500),
        ("1s 500ms", 1_500),
        ("0", 0),
        ("1d", 86_400_000),
    ],
)
def test_times_are_milliseconds(text: str, milliseconds: int) -> None:
    assert parse_time(text) == milliseconds


def test_sizes_and_flags_have_their_values() -> None:
    assert parse_size("8k") == 8192
    assert parse_size("1G", offset=True) == 2**30
    assert parse_size("1G") is None
    assert (parse_flag("On"), parse_flag("off"), parse_flag("1")) == (True, False, None)
    assert parse_time("1y", seconds=True) == 31_536_000_000


@given(st.text("0123456789smhdwMy .", max_size=12))
def test_any_text_has_a_time_or_none(text: str) -> None:
    for seconds in (False, True):
        value = parse_time(text, seconds=seconds)
        assert value is None or value >= 0


# --- duplicates -------------------------------------------------------------------------------------------------------

TWICE = """main|pid x;
main|user root;
main|worker_processes 1;
events|worker_connections 9;
events|use epoll;
http|sendfile on;
http|proxy_http_version 1.1;
http|proxy_read_timeout 1s;
http|proxy_set_header a b;
http|proxy_hide_header a;
http|add_header a b;
http|error_page 404 /a;
http|gzip_types text/a;
http|client_max_body_size 1m;
http|limit_req_status 503;
http|access_log off;
http|ssl_protocols TLSv1.2;
http|proxy_cache_valid 1m;
http|map_hash_max_size 64;
server|server_name a;
server|root /a;
server|index a;
server|try_files /a /b;
location|proxy_pass http://127.0.0.1:1;
location|return 200;
location|rewrite a b;
location|internal;
location|alias /a;
location|set $a b;
if-in-location|return 200;
upstream|server 127.0.0.1; keepalive 4;
upstream|server 127.0.0.1; ip_hash;
upstream|server 127.0.0.1;"""


def test_a_second_directive_is_refused_where_nginx_refuses_it(binary: NginxBinary, tmp_path: Path) -> None:
    cases = [line.split("|") for line in TWICE.split("\n")]
    texts = [WRAPPED[context].format(f"{text} {text.split('; ')[-1]}") for context, text in cases]
    for (context, text), said in zip(cases, nginx_t_all(binary, tmp_path, texts), strict=True):
        block = parse(Source("x", f"{text} {text.split('; ')[-1]}")).directives
        found = [verdict.message for _, verdict in duplicates(block, context)]
        assert found == ([said[0]] if said else []), (context, text)


def test_entries_of_a_map_and_unlisted_directives_may_repeat() -> None:
    twice = parse(Source("x", "sendfile on; sendfile on;")).directives
    assert list(duplicates(twice, "map")) == []
    assert [directive.start for directive, _ in duplicates(twice, "http")] == [13]
    assert may_repeat("nosuch")
    assert may_repeat("location")
    assert not may_repeat("proxy_pass")


# --- the whole table against nginx ------------------------------------------------------------------------------------

WRAPPED = {
    "main": "events {{}}\n{}",
    "events": "events {{ {} }}",
    "http": "events {{}} http {{ {} }}",
    "server": "events {{}} http {{ server {{ {} }} }}",
    "location": "events {{}} http {{ server {{ location / {{ {} }} }} }}",
    "if-in-server": "events {{}} http {{ server {{ if ($uri) {{ {} }} }} }}",
    "if-in-location": "events {{}} http {{ server {{ location / {{ if ($uri) {{ {} }} }} }} }}",
    "limit_except": "events {{}} http {{ server {{ location / {{ limit_except GET {{ {} }} }} }} }}",
    "upstream": "events {{}} http {{ upstream u {{ {} }} }}",
    "stream": "events {{}} stream {{ {} }}",
    "stream-server": "events {{}} stream {{ server {{ {} }} }}",
    "stream-upstream": "events {{}} stream {{ upstream u {{ {} }} }}",
}
OURS = re.compile(
    r'unknown directive |".*" directive is not allowed here|directive ".*" is not terminated by|directive ".*" has no '
    r'opening|invalid number of arguments in|.*it must be "on" or "off"'
)


def all_names() -> list[str]:
    """Every directive of the table, and some of no table."""
    return [*sorted(directives._table().found), "nosuch", "Server", "if(", "more_set_headers", "access_by_lua_block"]


def table_cases(build: Build) -> list[tuple[str, str]]:
    """(context, directive) pairs: every name in every context with several numbers of arguments."""
    static_stream = "--with-stream" in (build.arguments or ())
    contexts = [context for context in WRAPPED if static_stream or not context.startswith("stream")]
    tails = [";", " on;", " 1 2;", " 1 2 3 4 5 6 7 8;", " {}", " $a {}", " $a $b {}"]
    return [(context, name + tail) for name in all_names() for context in contexts for tail in tails]


def table_disagreements(binary: NginxBinary, folder: Path, cases: list[tuple[str, str]]) -> list[object]:
    """Where nginx's answer is not what the table says."""
    wrong: list[object] = []
    texts = [WRAPPED[context].format(text) for context, text in cases]
    for (context, text), said in zip(cases, nginx_t_all(binary, folder, texts), strict=True):
        found = verdict(one(text), context, binary.build, ())
        if (found is not None and not found.certain) or (found is None and third_party(one(text).name)):
            continue
        nginx = said[0] if said and OURS.match(said[0]) else None
        if nginx != (found.message if found else None):
            wrong.append((context, text, said, found))
    return wrong


def test_the_tables_agree_with_nginx(binary: NginxBinary, tmp_path: Path) -> None:
    cases = random.Random(101).sample(table_cases(binary.build), 400)
    assert not table_disagreements(binary, tmp_path, cases)


def test_map_and_types_entries_are_refused_as_nginx_refuses_them(binary: NginxBinary, tmp_path: Path) -> None:
    for block in ("map $uri $x", "types"):
        for entry in ("a b;", "a;", "a b c;", "a b {}", "hostnames;", "volatile;", "default 1;", "{}"):
            said = nginx_t(binary, tmp_path, f"events {{}} http {{ {block} {{ {entry} }} }}")
            if entry != "{}":
                found = verdict(one(entry), block.split()[0])
                assert (said[0] if said else None) == (found.message if found else None), (block, entry)
