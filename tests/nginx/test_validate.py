"""validate says what nginx refuses in a whole configuration: the words, the line, the order, and what is unknown."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.nginx_oracle import nginx_t
from ws101.check import check
from ws101.host.binary import NginxBinary
from ws101.nginx.build import Build
from ws101.nginx.config import Config, MemoryFiles
from ws101.nginx.validate import Refusal, validate

PLAIN = Build((1, 22, 1), ("--with-http_ssl_module",), "binary")
"""A build whose modules are known: nginx's own."""

SERVER = "events {{}}\nhttp {{ server {{ listen 127.0.0.1:18080;\n{}\n}} }}\n"
LOCATION = "events {{}}\nhttp {{ server {{ listen 127.0.0.1:18080; location /a {{\n{}\n}} }} }}\n"
HTTP = "events {{}}\nhttp {{\n{}\n}}\n"
MAIN = "{}\n"

URI = (
    '"proxy_pass" cannot have URI part in location given by regular expression, or inside named location, or inside '
    '"if" statement, or inside "limit_except" block'
)

CASES: list[tuple[str, str, str | None]] = [
    (SERVER, 'add_header X a"b"c;', None),
    (SERVER, 'add_header X "a"b;', 'unexpected "b"'),
    (SERVER, "add_header X a}b;", None),
    (SERVER, ";", 'unexpected ";"'),
    (SERVER, "foo;", 'unknown directive "foo"'),
    (SERVER, "Server;", 'unknown directive "Server"'),
    (SERVER, "proxy_pass http://a;", '"proxy_pass" directive is not allowed here'),
    (LOCATION, "if ($uri) { proxy_set_header a b; }", '"proxy_set_header" directive is not allowed here'),
    (SERVER, "proxy_set_header a;", 'invalid number of arguments in "proxy_set_header" directive'),
    (SERVER, "location / ;", 'directive "location" has no opening "{"'),
    (SERVER, "root x { }", 'directive "root" is not terminated by ";"'),
    (SERVER, "proxy_http_version 2.0;", 'invalid value "2.0"'),
    (SERVER, "proxy_http_version 1.1; proxy_http_version 1.1;", '"proxy_http_version" directive is duplicate'),
    (SERVER, "proxy_read_timeout 1h30m;", None),
    (SERVER, "proxy_read_timeout 30m1h;", '"proxy_read_timeout" directive invalid value'),
    (SERVER, "proxy_buffer_size x;", '"proxy_buffer_size" directive invalid value'),
    (SERVER, "keepalive_requests x;", '"keepalive_requests" directive invalid number'),
    (SERVER, "tcp_nodelay maybe;", 'invalid value "maybe" in "tcp_nodelay" directive, it must be "on" or "off"'),
    (SERVER, "tcp_nodelay on; tcp_nodelay maybe;", '"tcp_nodelay" directive is duplicate'),
    (SERVER, "satisfy both;", 'invalid value "both"'),
    (SERVER, "root a; alias b;", '"alias" directive is not allowed here'),
    (LOCATION, "root a; alias b;", '"alias" directive is duplicate, "root" directive was specified earlier'),
    (LOCATION, "root $document_root;", 'the $document_root variable cannot be used in the "root" directive'),
    (SERVER, "location @a { alias b; }", 'the "alias" directive cannot be used inside the named location'),
    (SERVER, "listen 127.0.0.1:18080;", "a duplicate listen 127.0.0.1:18080"),
    (
        HTTP,
        "server { listen 81 default_server; } server { listen 81 default; }",
        "a duplicate default server for 0.0.0.0:81",
    ),
    (SERVER, "listen 70000;", 'invalid port in "70000" of the "listen" directive'),
    (SERVER, "listen 81 fast;", 'invalid parameter "fast"'),
    (SERVER, "server_name *x;", 'server name "*x" is invalid'),
    (SERVER, "location =x /a {}", 'invalid location modifier "=x"'),
    (SERVER, "location /a {} location /a {}", 'duplicate location "/a"'),
    (SERVER, "location /a {} location = /a {}", None),
    (SERVER, "location ^~ /a {} location /a {}", 'duplicate location "/a"'),
    (SERVER, "location ~ a {} location ~ a {}", None),
    (LOCATION, "location /b {}", 'location "/b" is outside location "/a"'),
    (SERVER, "location = /a { location /a/b {} }", 'location "/a/b" cannot be inside the exact location "/a"'),
    (SERVER, "location @a { location /b {} }", 'location "/b" cannot be inside the named location "@a"'),
    (LOCATION, "location @b {}", 'named location "@b" can be on the server level only'),
    (HTTP, "upstream u { server 127.0.0.1; } upstream U { server 127.0.0.1; }", 'duplicate upstream "U"'),
    (HTTP, "upstream u { }", "no servers are inside upstream"),
    (HTTP, "upstream u { server 127.0.0.1:1 backup; }", 'no servers in upstream "u"'),
    (HTTP, "upstream u { server 127.0.0.1:0; }", 'invalid port in upstream "127.0.0.1:0"'),
    (HTTP, "upstream u { server 127.0.0.1 weight=x; }", 'invalid parameter "weight=x"'),
    (
        HTTP,
        "upstream u { ip_hash; server 127.0.0.1; server 127.0.0.2 backup; }",
        'balancing method does not support parameter "backup"',
    ),
    (
        HTTP,
        "upstream u { server 127.0.0.1; } server { location / { proxy_pass http://u:80; } }",
        'upstream "u" may not have port 80',
    ),
    (LOCATION, "proxy_pass 127.0.0.1;", "invalid URL prefix"),
    (LOCATION, "proxy_pass ws://127.0.0.1;", "invalid URL prefix"),
    (SERVER, "location ~ a { proxy_pass http://127.0.0.1/x; }", URI),
    (LOCATION, "if ($uri) { proxy_pass http://127.0.0.1/; }", URI),
    (SERVER, "location @a { proxy_pass http://127.0.0.1/; }", URI),
    (LOCATION, "limit_except GET { proxy_pass http://127.0.0.1/; }", URI),
    (SERVER, "add_header X $;", "invalid variable name"),
    (SERVER, 'add_header X "${host";', 'the closing bracket in "host" variable is missing'),
    (SERVER, "add_header X $nosuch;", 'unknown "nosuch" variable'),
    (SERVER, "proxy_set_header X $nosuch;", 'unknown "nosuch" variable'),
    (HTTP, "proxy_set_header X $nosuch;", None),
    (HTTP, "proxy_set_header X $nosuch; server { listen 127.0.0.1:18080; }", 'unknown "nosuch" variable'),
    (HTTP, "proxy_set_header X $nosuch; server { listen 127.0.0.1:18080; proxy_set_header a b; }", None),
    (SERVER, "set $nosuch 1; add_header X $nosuch;", None),
    (SERVER, "location ~ (?<nosuch>.) { add_header X $nosuch; }", None),
    (SERVER, "set $uri 1;", 'the duplicate "uri" variable'),
    (SERVER, "set uri 1;", 'invalid variable name "uri"'),
    (SERVER, "map $uri $a {}", '"map" directive is not allowed here'),
    (HTTP, "map $uri $a { a b c; }", "invalid number of the map parameters"),
    (HTTP, "map $uri $a { a b; A c; }", 'conflicting parameter "a"'),
    (HTTP, "map $uri $a { default b; default c; }", "duplicate default map parameter"),
    (HTTP, "map $uri $a { hostnames; a.*.b c; }", 'invalid hostname or wildcard "a.*.b"'),
    (SERVER, "if ($host == a) {}", 'unexpected "==" in condition'),
    (SERVER, "if ($host && a) {}", 'unexpected "&&" in condition'),
    (SERVER, "if ($host a) {}", 'invalid condition "$host"'),
    (SERVER, "if $host {}", 'invalid condition "$host"'),
    (SERVER, 'if ($host = "a") {}', None),
    (SERVER, "if (-f $uri) {}", None),
    (SERVER, "if (-q $uri) {}", 'invalid condition "-q"'),
    (SERVER, "return x;", 'invalid return code "x"'),
    (SERVER, "return 1000;", 'invalid return code "1000"'),
    (SERVER, "return https://a;", None),
    (SERVER, "rewrite a b c;", 'invalid parameter "c"'),
    (SERVER, 'rewrite a "";', "empty replacement"),
    (SERVER, "error_page 200 /x;", 'value "200" must be between 300 and 599'),
    (SERVER, "error_page x /x;", 'invalid value "x"'),
    (SERVER, "try_files $uri =x;", 'invalid code "=x"'),
    (SERVER, "add_header a b c;", 'invalid parameter "c"'),
    (HTTP, "log_format a b; log_format a b;", 'duplicate "log_format" name "a"'),
    (HTTP, "access_log x.log nosuch;", 'unknown log format "nosuch"'),
    (HTTP, "limit_req_zone $uri zone=a:1m rate=x;", 'invalid rate "rate=x"'),
    (SERVER, "limit_req burst=5;", '"limit_req" must have "zone" parameter'),
    (SERVER, "allow 1.2.3;", 'invalid parameter "1.2.3"'),
    (SERVER, "limit_except GET {}", '"limit_except" directive is not allowed here'),
    (LOCATION, "limit_except FETCH { deny all; }", 'invalid method "FETCH"'),
    (SERVER, "proxy_buffers 1 4k;", 'there must be at least 2 "proxy_buffers"'),
    (
        SERVER,
        "proxy_buffer_size 64k;",
        '"proxy_busy_buffers_size" must be less than the size of all "proxy_buffers" minus one buffer',
    ),
    (SERVER, "proxy_cache nosuch;", '"proxy_cache" zone "nosuch" is unknown'),
    (MAIN, "http { }", 'no "events" section in configuration'),
    (MAIN, "events { } events { }", '"events" directive is duplicate'),
    (MAIN, "events { worker_connections x; }", 'invalid number "x"'),
    (MAIN, "events { } http { ", 'unexpected end of file, expecting "}"'),
    (MAIN, "events { }\n#" + "x" * 4999, 'too long parameter "#xxxxxxxxx..." started'),
    (MAIN, "events { }\nmore_set_headers a;", 'unknown directive "more_set_headers"'),
]


def config_of(text: str, **others: str) -> Config:
    files = {"/c/nginx.conf": text, **{f"/c/{name}.conf": body for name, body in others.items()}}
    data = {path: body.encode("latin-1") for path, body in files.items()}
    return Config(MemoryFiles(data), "/c/nginx.conf", context="main", complete=True)


def first(text: str, build: Build = PLAIN, **others: str) -> Refusal | None:
    return next((one for one in validate(config_of(text, **others), (build,)) if one.certain), None)


@pytest.mark.parametrize(("template", "text", "message"), CASES)
def test_the_first_verdict_is_nginx_s(template: str, text: str, message: str | None) -> None:
    found = first(template.format(text))
    assert (found.message if found else None) == message


def test_the_cases_are_what_the_real_nginx_says(binary: NginxBinary, tmp_path: Path) -> None:
    wrong = []
    for at, (template, text, _) in enumerate(CASES):
        whole = template.format(text)
        if "more_set_headers" in text or len(text) > 4000:
            continue
        said = nginx_t(binary, tmp_path / str(at), whole)
        found = first(whole, binary.build)
        ours = (found.message, found.line) if found else None
        if said != ours:
            wrong.append((text, said, ours))
    assert not wrong


LISTENS = ("quic", "quic reuseport", "multipath", "quic ssl", "quic proxy_protocol", "deferred", "fastopen=3", "http3")


def test_parameters_of_listen_are_those_of_the_version_and_its_modules(binary: NginxBinary, tmp_path: Path) -> None:
    for at, parameters in enumerate(LISTENS):
        whole = SERVER.format(f"listen 127.0.0.1:18081 {parameters};")
        found = first(whole, binary.build)
        said = nginx_t(binary, tmp_path / str(at), whole)
        certificate = said is not None and "ssl_certificate" in said[0]
        assert (None if certificate else said) == ((found.message, found.line) if found else None), parameters


def test_files_are_read_in_nginx_s_order() -> None:
    text = "events {}\nhttp {\ninclude a.conf;\nnosuch;\n}\n"
    found = validate(config_of(text, a="server { listen 81; nothing; }\n;\n"), (PLAIN,))
    assert [(one.message, one.file, one.line) for one in found] == [
        ('unknown directive "nothing"', "/c/a.conf", 1),
        ('unexpected ";"', "/c/a.conf", 2),
        ('unknown directive "nosuch"', "/c/nginx.conf", 4),
    ]


def test_a_file_that_is_included_twice_is_read_in_both_places() -> None:
    text = "events {}\nhttp { include a.conf; server { listen 81; location / { include a.conf; } } }\n"
    found = validate(config_of(text, a="client_max_body_size 1m; server_name x;\n"), (PLAIN,))
    assert [one.message for one in found] == ['"server_name" directive is not allowed here']
    text = "events {}\nhttp { include a.conf; include a.conf; }\n"
    found = validate(config_of(text, a="client_max_body_size 1m;\n"), (PLAIN,))
    assert [one.message for one in found] == ['"client_max_body_size" directive is duplicate']


def test_what_only_run_time_tells_at_the_end_of_http_is_told_on_its_last_line() -> None:
    found = first("events {}\nhttp {\n include a.conf;\n}\n", a="server { listen 81; proxy_set_header a $; }")
    assert found is not None
    assert (found.message, found.file, found.line, found.span.path) == (
        *("invalid variable name", "/c/nginx.conf", 4),
        "/c/a.conf",
    )


def test_a_missing_include_makes_what_it_may_set_uncertain() -> None:
    config = Config(
        MemoryFiles({"/c": b"events {}\nhttp { include /else; add_header a $b; server { listen 81; } }"}), "/c"
    )
    found = validate(config, (PLAIN,))
    assert [(one.message, one.certain) for one in found] == [('unknown "b" variable', False)]
    report = check(config, (PLAIN,))
    assert not report.problems
    assert any('unknown "b" variable' in unknown.reason for unknown in report.unknown)


@pytest.mark.parametrize("path", ["snippets/a.conf", "/etc/nginx/snippets/a.conf"])
def test_what_stands_around_a_part_is_not_missed_in_it(path: str) -> None:
    lines = f"include {path}; access_log /x proxy; location / {{ proxy_cache STATIC; proxy_pass http://a; }}"
    config = Config(MemoryFiles({"/c/site": f"server {{ listen 81; {lines} }}".encode()}), "/c/site", inside="/c")
    report = check(config, (PLAIN,))
    assert (report.problems, report.findings) == ((), ())
    assert any(f'"{path}" could not be read' in item.reason for item in report.unknown)
    whole = f"events {{}} http {{ server {{ listen 81; {lines} }} }}".encode()
    config = Config(MemoryFiles({"/c/site": whole}), "/c/site", complete=True)
    assert [problem.message[:7] for problem in check(config, (PLAIN,)).problems] == ["open() "]


@pytest.mark.parametrize("path", ["fastcgi_params", "/etc/letsencrypt/options-ssl-nginx.conf", "mime.types"])
def test_a_usual_file_that_is_not_there_leaves_nothing_open(path: str) -> None:
    body = f"server {{ listen 81; include {path}; location /ws {{ proxy_pass http://127.0.0.1:3000; }} }}"
    for text, problems in ((body, 0), (f"events {{}} http {{ {body} }}", not path.startswith("/"))):
        config = Config(MemoryFiles({"/c/site": text.encode()}), "/c/site", inside="/c")
        report = check(config, (PLAIN,))
        assert [row.tunnel for row in report.routes] == [False]
        assert len(report.problems) == problems
        assert any("taken as the usual file of that name" in item.reason for item in report.unknown)


def test_third_party_directives_are_never_errors_unless_the_build_decides() -> None:
    lines = "more_set_headers a; lua_code_cache on; set_by_lua $x 1; add_header a $x;"
    text = f"events {{}}\nhttp {{ server {{ listen 81; {lines} }} }}\n"
    for build in (Build((1, 22, 1)), *Build.representatives()):
        assert not [one for one in validate(config_of(text), (build,)) if one.certain]
    found = first(text)
    assert found is not None
    assert found.message == 'unknown directive "more_set_headers"'


def test_an_unlisted_directive_is_unknown_where_the_modules_are_not_known() -> None:
    config = config_of("events {}\nhttp { frobnicate on; frobnicate on; }\n")
    report = check(config, (Build((1, 22, 1)),))
    assert not report.problems
    assert [u.reason for u in report.unknown if "frobnicate" in u.reason] == [
        (
            'nginx may refuse this: unknown directive "frobnicate" '
            "(a module or a file that is not known here may know better)"
        )
    ]
    report = check(config, (PLAIN,))
    assert [(problem.message, problem.line) for problem in report.problems] == [
        ('unknown directive "frobnicate"', 2)
    ] * 2


def test_what_only_some_versions_refuse_names_them_and_is_no_problem() -> None:
    config = config_of("events {}\nhttp { server { listen 81; http2 on; } }\n")
    builds = Build.representatives()
    (found,) = [one for one in validate(config, builds) if "http2" in one.message]
    assert {build.version for build in found.builds} == {(1, 22, 1), (1, 23, 0)}
    report = check(config, builds)
    assert not report.problems
    assert report.findings == ()
    assert any("before 1.25.1" in unknown.reason for unknown in report.unknown)


def test_a_problem_of_every_version_is_a_problem() -> None:
    report = check(config_of("events {}\nhttp { server { listen 81; listen 81; } }\n"), Build.representatives())
    assert [problem.message for problem in report.problems] == ["a duplicate listen 0.0.0.0:81"]


def test_a_fragment_is_judged_in_its_context() -> None:
    data = {"/c/site": b"location /a { proxy_pass http://127.0.0.1; }\nlocation /a { }\nlisten 81;\nevents { }\n"}
    config = Config(MemoryFiles(data), "/c/site", context="server")
    found = [one for one in validate(config, (PLAIN,)) if one.certain]
    assert [(one.message, one.line) for one in found] == [
        ('"events" directive is not allowed here', 4),
        ('duplicate location "/a"', 2),
    ]


def test_a_whole_configuration_of_many_servers_is_judged_in_linear_time() -> None:
    one = "server {{ listen 127.0.0.1:81; server_name a{0}; location / {{ proxy_pass http://127.0.0.1:{0}; }} }}\n"
    text = "events {}\nhttp {\n" + "".join(one.format(number + 1) for number in range(3000)) + "}\n"
    assert validate(config_of(text), Build.representatives()) == ()
