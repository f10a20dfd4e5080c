"""The rules together: intents, order, versions, suppressions and the table of routes."""

from __future__ import annotations

import pytest

from tests.rules.real import AMBIENT, BUILDS, check_text, config_of
from ws101.check import SUPPRESSION, CheckReport, check, version_condition
from ws101.errors import UsageError
from ws101.findings import Level
from ws101.fix import with_edits
from ws101.nginx.build import Build
from ws101.nginx.config import Config, MemoryFiles
from ws101.rules import RULES, Options

URL = "ws://example.com/ws"
MAP = "map $http_upgrade $connection_upgrade { default upgrade; '' close; }"
PASS = "proxy_pass http://127.0.0.1:3000;"
V11 = "proxy_http_version 1.1;"
UP = "proxy_set_header Upgrade $http_upgrade;"
CO = "proxy_set_header Connection $connection_upgrade;"
LONG = "proxy_read_timeout 1h;"
OLD, NEW = BUILDS[0], BUILDS[-1]


def site(body: str, http: str = MAP) -> str:
    return f"events {{}}\nhttp {{ {http}\nserver {{ listen 80; server_name example.com;\n{body}\n}} }}\n"


def names(report: CheckReport) -> list[tuple[str, str]]:
    return [(finding.rule, finding.level.value) for finding in report.findings]


def line_of(report: CheckReport, number: int = 0) -> int:
    span = report.findings[number].span
    return report.config.sources[span.path].line(span.start)


def test_a_told_location_without_the_fields_is_an_error_at_the_location() -> None:
    report = check_text(site(f"location /ws {{\n{PASS}\n{LONG} }}"), URL)
    assert names(report) == [("upgrade-not-forwarded", "error")]
    assert line_of(report) == 4
    assert report.has_errors


def test_a_comment_tells_as_well_as_a_url() -> None:
    report = check_text(site(f"location /app {{ # ws101: websocket\n{PASS} {LONG} }}"))
    assert names(report) == [("upgrade-not-forwarded", "error")]


def test_a_comment_above_a_location_speaks_of_it() -> None:
    report = check_text(site(f"# ws101: websocket\nlocation /app {{\n{PASS} {LONG} }}\nlocation /b {{ {PASS} }}"))
    assert [(row.location, row.websocket) for row in report.routes] == [("/app", "intended"), ("/b", "none")]


def test_a_hint_gives_a_warning() -> None:
    report = check_text(site(f"location /socket.io/ {{ {PASS} {LONG} }}"))
    assert names(report) == [("upgrade-not-forwarded", "warning")]
    assert report.routes[0].websocket == "possible"


@pytest.mark.parametrize("name", ["/news", "/", "/wsx", "/shows", "= /news.html", "~ ^/news"])
def test_other_names_hint_at_nothing(name: str) -> None:
    report = check_text(site(f"location {name} {{ {PASS} }}"))
    assert report.findings == ()
    assert [(row.websocket, row.tunnel) for row in report.routes] == [("none", False)]


def test_the_default_timeout_of_a_location_that_is_not_meant_for_websockets_is_no_finding() -> None:
    assert (
        check_text(site(f"location /api {{ {PASS} }} location /ws {{ {PASS} {V11} {UP} {CO} {LONG} }}")).findings == ()
    )


def test_several_faults_are_all_reported_and_what_bites_first_comes_first() -> None:
    report = check_text(site(f'location /ws {{ {PASS} proxy_set_header Connection ""; {UP} }}'))
    assert [finding.rule for finding in report.findings] == [
        "missing-http-version",
        "connection-cleared",
        "read-timeout",
    ]


def test_every_fault_of_a_redirected_location_shows_in_the_same_run() -> None:
    report = check_text(site(f"location /ws/ {{ {PASS} }}"), URL)
    assert [f.rule for f in report.findings] == ["location-slash-redirect", "upgrade-not-forwarded", "read-timeout"]


def test_the_order_of_the_rules_does_not_matter() -> None:
    text = site(f'location /ws {{ {PASS} proxy_set_header Connection ""; }} location /hub {{ {PASS} {UP} }}')
    config = config_of({"nginx.conf": text})
    forward = check(config, (OLD,))
    backward = check(config, (OLD,), rules=tuple(reversed(RULES)))
    assert forward.findings == backward.findings
    assert len(forward.findings) > 3


def test_a_lost_field_is_reported_at_the_directive_that_reset_the_list() -> None:
    body = f"{V11} {UP} {CO} {LONG}\nlocation /ws {{\n{PASS}\nproxy_set_header X-A b;\nproxy_set_header X-B c; }}"
    report = check_text(site(body))
    assert names(report) == [("header-inheritance-reset", "error")]
    assert line_of(report) == 7


def test_a_field_lost_to_an_include_is_reported_there_with_the_include_as_a_label() -> None:
    files = {
        "nginx.conf": site(f"{V11} {UP} {CO} {LONG}\nlocation /ws {{\ninclude proxy_params;\n{PASS} }}"),
        "proxy_params": "proxy_set_header Host $host;\n",
    }
    report = check(config_of(files), (OLD,))
    assert names(report) == [("header-inheritance-reset", "error")]
    finding = report.findings[0]
    assert (finding.span.path, finding.span.start) == ("proxy_params", 0)
    assert any(label.span.path == "nginx.conf" and "include" in label.message for label in finding.labels)


def test_a_list_reset_in_the_server_is_reported_in_the_server() -> None:
    http = f"{MAP} {V11} {UP} {CO} {LONG}"
    report = check_text(site(f"\nproxy_set_header X-A b;\nlocation /ws {{ {PASS} }}", http))
    assert names(report) == [("header-inheritance-reset", "error")]
    assert line_of(report) == 5


def test_one_field_lost_and_the_other_restated_is_still_a_reset() -> None:
    report = check_text(site(f"{V11} {UP} {CO} {LONG} location /ws {{ {PASS} {UP} }}"))
    assert names(report) == [("header-inheritance-reset", "error")]
    assert "does not forward Connection" in report.findings[0].message


def test_a_location_that_resets_the_list_is_not_meant_if_another_is_by_name() -> None:
    body = f"{V11} {UP} {CO} {LONG} location / {{ {PASS} proxy_set_header X-A b; }} location /ws {{ {PASS} }}"
    report = check_text(site(body))
    assert report.findings == ()
    assert [row.websocket for row in report.routes] == ["none", "intended"]


def test_fields_of_the_server_that_reach_nobody_are_meant_for_all() -> None:
    report = check_text(site(f"{V11} {UP} {CO} {LONG} location /app {{ {PASS} proxy_set_header X-A b; }}"))
    assert names(report) == [("header-inheritance-reset", "error")]


def test_fields_above_the_location_that_answers_are_in_the_wrong_location() -> None:
    report = check_text(
        site(f"location / {{ {PASS} {V11} {UP} {CO} {LONG} }} location /socket.io/ {{ {PASS} {LONG} }}")
    )
    assert names(report) == [("headers-in-wrong-location", "error")]
    assert report.findings[0].labels[0].message == "the fields are set here"


def test_a_working_websocket_beside_a_forgotten_one_is_no_wrong_location() -> None:
    report = check_text(
        site(f"location /hub {{ {PASS} {V11} {UP} {CO} {LONG} }} location /ws {{ {PASS} {LONG} }}"), URL
    )
    assert names(report) == [("upgrade-not-forwarded", "error")]


@pytest.mark.parametrize(
    ("build", "expected"),
    [(OLD, [("missing-http-version", "error")]), (NEW, [])],
    ids=["before 1.29.7", "since 1.29.7"],
)
def test_the_missing_version_counts_only_where_the_default_is_1_0(
    build: Build, expected: list[tuple[str, str]]
) -> None:
    assert names(check_text(site(f"location /ws {{ {PASS} {UP} {CO} {LONG} }}"), build=build)) == expected


def test_an_unknown_version_names_the_condition_and_is_never_fine() -> None:
    config = config_of({"nginx.conf": site(f"location /ws {{ {PASS} {UP} {CO} {LONG} }}")})
    report = check(config, Build.representatives(), Options(ignore=AMBIENT))
    assert names(report) == [("missing-http-version", "error")]
    assert report.findings[0].message.endswith("(with nginx before 1.29.7)")
    assert report.routes[0].tunnel is None
    assert "1.29.7 or later" in report.unknown[0].reason


def test_with_an_unknown_version_a_fault_of_every_version_is_one_finding() -> None:
    config = config_of({"nginx.conf": site(f"location /ws {{ {PASS} {V11} {UP} {LONG} }}")})
    report = check(config, Build.representatives(), Options(ignore=AMBIENT))
    assert names(report) == [("missing-connection-header", "error")]
    assert "nginx before" not in report.findings[0].message
    assert report.routes[0].tunnel is False


def test_version_conditions_are_said_in_words() -> None:
    builds = [Build(v) for v in ((1, 22, 1), (1, 25, 1), (1, 29, 7), (1, 31, 0))]
    assert version_condition(builds, builds) == ""
    assert version_condition(builds[:2], builds) == "with nginx before 1.29.7"
    assert version_condition(builds[2:], builds) == "with nginx 1.29.7 or later"
    assert version_condition(builds[1:3], builds) == "with nginx from 1.25.1 to before 1.31.0"
    assert version_condition([builds[0], builds[3]], builds) == "with nginx before 1.25.1 and 1.31.0 or later"


@pytest.mark.parametrize(
    "comment",
    [
        "location /ws { # ws101: ignore[read-timeout] it pings",
        "location /ws {\n# ws101: ignore[read-timeout] it pings\n",
    ],
)
def test_a_suppression_with_a_reason_silences_its_rule(comment: str) -> None:
    report = check_text(site(f"{comment}\n{PASS} {V11} {UP} {CO} }}"))
    assert report.findings == ()
    assert [entry.finding.rule for entry in report.suppressed] == ["read-timeout"]


def test_a_suppression_without_a_reason_silences_nothing_and_is_a_finding() -> None:
    report = check_text(site(f"location /ws {{ # ws101: ignore[read-timeout]\n{PASS} {V11} {UP} {CO} }}"))
    assert names(report) == [("read-timeout", "warning"), (SUPPRESSION, "warning")]


def test_an_unused_suppression_is_a_finding() -> None:
    report = check_text(
        site(f"location /ws {{ # ws101: ignore[connection-cleared] why\n{PASS} {V11} {UP} {CO} {LONG} }}")
    )
    assert names(report) == [(SUPPRESSION, "warning")]
    assert "connection-cleared" in report.findings[0].message


def test_a_suppression_of_a_rule_that_was_not_asked_for_is_not_unused() -> None:
    text = site(f"location /ws {{ # ws101: ignore[read-timeout] it pings\n{PASS} {V11} {UP} {CO} {LONG} }}")
    assert check_text(text, ignore=AMBIENT | {"read-timeout"}).findings == ()


def test_an_unknown_remark_is_a_finding() -> None:
    assert names(check_text(site("# ws101: websockets\n"))) == [(SUPPRESSION, "warning")]


@pytest.mark.parametrize(
    ("heartbeat", "timeout", "expected"),
    [("20s", "60s", []), ("90s", "60s", ["read-timeout"]), ("90s", "2m", []), ("500", "300s", ["read-timeout"])],
)
def test_a_declared_heartbeat_decides_whether_the_timeout_is_short(
    heartbeat: str, timeout: str, expected: list[str]
) -> None:
    body = f"location /ws {{ # ws101: heartbeat {heartbeat}\n{PASS} {V11} {UP} {CO} proxy_read_timeout {timeout}; }}"
    assert [f.rule for f in check_text(site(body)).findings] == expected


def test_a_measured_heartbeat_counts_for_every_route() -> None:
    text = site(f"location /ws {{ {PASS} {V11} {UP} {CO} }}")
    assert check_text(text, heartbeat=20.0).findings == ()
    assert names(check_text(text, heartbeat=70.0)) == [("read-timeout", "warning")]


def test_only_selected_rules_run() -> None:
    text = site(f"location /ws {{ {PASS} }}")
    assert [f.rule for f in check_text(text, URL, select=frozenset({"read-timeout"})).findings] == ["read-timeout"]


def test_the_table_shows_every_proxied_route() -> None:
    body = (
        f"location / {{ {PASS} }} location = /ws {{ {PASS} {V11} {UP} {CO} {LONG} }} "
        f"location ~ \\.php$ {{ fastcgi_pass 127.0.0.1:9000; }} location /static {{ root /x; }} "
        f"location /a {{ if ($arg_x) {{ {PASS} }} }}"
    )
    rows = check_text(site(body)).routes
    assert [(row.location, row.tunnel) for row in rows] == [
        ("/", False),
        ("= /ws", True),
        ("~ \\.php$", False),
        ("/a if ($arg_x)", False),
    ]
    assert rows[0].listen == ("*:80",)
    assert rows[0].server_names == ("example.com",)
    assert rows[0].upstream == "http://127.0.0.1:3000"
    assert (rows[0].file, rows[0].line) == ("nginx.conf", 4)


def through(report: CheckReport) -> list[bool | None]:
    return [row.through for row in report.routes]


def test_a_handshake_that_arrives_whose_101_no_browser_takes_does_not_get_through() -> None:
    report = check_text(site(f"location /ws {{ proxy_hide_header Upgrade; {PASS} {V11} {UP} {CO} {LONG} }}"))
    assert names(report) == [("proxy-hide-upgrade-header", "error")]
    assert [(row.tunnel, row.through) for row in report.routes] == [(True, False)]


def test_what_is_only_a_warning_lets_a_websocket_through() -> None:
    report = check_text(site(f"location /ws {{ {PASS} {V11} {UP} {CO} }}"))
    assert (names(report), through(report)) == ([("read-timeout", "warning")], [True])


def test_a_suppressed_error_does_not_count_for_the_table() -> None:
    hide = "# ws101: ignore[proxy-hide-upgrade-header] the client does not look\nproxy_hide_header Upgrade;"
    report = check_text(site(f"location /ws {{\n{hide}\n{PASS} {V11} {UP} {CO} {LONG} }}"))
    assert (names(report), through(report)) == ([], [True])


def checked(text: str, *builds: Build, **options: object) -> CheckReport:
    return check(config_of({"nginx.conf": text}), builds, Options(**{"ignore": AMBIENT, **options}))  # type: ignore[arg-type]


def h2_site(listens: str) -> str:
    return site(f"location /ws {{ {PASS} {V11} {UP} {CO} {LONG} }}").replace("listen 80;", listens)


def test_a_listener_of_http2_alone_lets_nothing_through() -> None:
    report = checked(h2_site("listen 80 http2;"), OLD)
    assert (names(report), through(report)) == ([("http2-without-rfc8441", "error")], [False])


def test_with_another_listener_it_depends_on_the_way_in() -> None:
    report = checked(h2_site("listen 80 http2; listen 8080;"), OLD)
    assert through(report) == [None]
    assert [item.reason for item in report.unknown] == [
        "whether a WebSocket gets through /ws depends on the way that it takes (http2-without-rfc8441)"
    ]


def test_an_error_of_some_versions_says_for_which_in_the_table() -> None:
    report = checked(h2_site("listen 80 http2;"), *Build.representatives())
    assert through(report) == [None]
    (doubt,) = report.unknown
    assert "depends on nginx's version: it does not with nginx before 1.25.1 (http2-without-rfc8441)" in doubt.reason


def test_a_told_url_that_does_not_get_there_decides_the_table_unless_another_does() -> None:
    text = site(f"location /ws/ {{ {PASS} {V11} {UP} {CO} {LONG} }}")
    assert through(check_text(text, URL)) == [False]
    assert through(check_text(text, URL, f"{URL}/")) == [None]
    assert through(check_text(text, f"{URL}/")) == [True]


def test_a_told_url_that_needs_tls_where_there_is_none_does_not_get_through() -> None:
    text = site(f"location /ws {{ {PASS} {V11} {UP} {CO} {LONG} }}").replace("listen 80;", "listen 80; listen 443;")
    assert through(check_text(text, "wss://example.com/ws")) == [False]
    assert through(check_text(text, "wss://example.com/ws", URL)) == [None]


WORKS = f"{PASS} {V11} {UP} {CO} {LONG}"
CERTBOT = (
    "listen 443 ssl; ssl_certificate a.pem; ssl_certificate_key a.key; "
    'if ($scheme != "https") { return 301 https://$host$request_uri; }'
)


def test_a_server_that_redirects_what_comes_without_tls_is_asked_with_tls() -> None:
    report = check_text(site(f"{CERTBOT} location / {{ {WORKS} proxy_set_header X-Forwarded-Proto $scheme; }}"))
    assert (names(report), through(report)) == ([], [True])
    report = check_text(site(f"{CERTBOT} location / {{ {PASS} {V11} {UP} {LONG} }}"))
    assert (names(report)[0], through(report)) == (("missing-connection-header", "error"), [False])


def test_without_tls_the_same_redirect_takes_everything() -> None:
    redirect = 'if ($scheme != "https") { return 301 https://$host$request_uri; }'
    report = check_text(site(f"{redirect} location / {{ {WORKS} }}"))
    assert [(row.through, row.rules, row.instead) for row in report.routes] == [
        (False, (), "nginx redirects it (301)"),
    ]


@pytest.mark.parametrize(
    ("names_", "condition", "answer"),
    [
        ("vault.example.org", '$host !~ "^vault[.]example[.]org$"', True),
        ("*.example.org vault.example.org", "$http_host != vault.example.org", True),
        ("vault.example.org", "$host = vault.example.org", False),
        ("_", "$host = example.com", False),
    ],
)
def test_a_server_that_looks_at_the_host_is_asked_for_its_name(names_: str, condition: str, answer: bool) -> None:
    text = site(f"if ({condition}) {{ return 404; }} location /ws {{ {WORKS} }}")
    assert through(check_text(text.replace("server_name example.com;", f"server_name {names_};"))) == [answer]


def test_servers_that_are_written_alike_are_told_apart_by_name_and_by_tls() -> None:
    server = "server {{ {} if ($host = a.test) {{ return 404; }} location /ws {{ " + WORKS.replace("{", "{{") + " }} }}"
    servers = "".join(server.format(f"listen 80; server_name {name};") for name in ("a.test", "b.test"))
    report = check_text(f"events {{}} http {{ {MAP} {servers} }}")
    assert through(report) == [False, True]


def test_what_a_finding_says_of_a_refused_line_is_said_once() -> None:
    report = checked(site(f"location /ws {{ {PASS} {V11} {UP}\n{CO} {LONG} }}", ""), OLD)
    assert names(report) == [("map-variable-undefined", "error")]
    assert (report.unknown, report.unsaid, through(report)) == ((), (), [False])


def test_a_variable_that_many_lines_use_is_called_undefined_once() -> None:
    locations = "\n".join(f"location /ws{n} {{ {PASS} {V11} {UP}\n{CO} {LONG} }}" for n in range(9))
    report = checked(site(locations, ""), OLD)
    (finding,) = report.findings
    assert finding.message.endswith("(here and in 8 more places)")
    assert (report.unknown, report.unsaid, set(through(report)), len(report.routes)) == ((), (), {False}, 9)
    assert {row.rules for row in report.routes} == {("map-variable-undefined",)}
    assert checked(with_edits(report.config, finding.fix.edits).sources["nginx.conf"].text, OLD).findings == ()  # type: ignore[union-attr]


def test_what_no_finding_says_of_a_refused_line_is_not_lost() -> None:
    text = site(f"location /ws {{ {PASS} {V11} {UP}\n{CO} {LONG} }}", "")
    report = checked(text, OLD, ignore=AMBIENT | {"map-variable-undefined"})
    assert any('unknown "connection_upgrade" variable' in item.reason for item in report.unknown)


def test_a_doubt_about_one_line_is_said_once_and_only_where_websockets_are_meant() -> None:
    part = f"server {{ listen 80; location /ws {{ {PASS} {V11} {UP}\n{CO} {LONG} }} }}\n"
    report = check(config_of({"site.conf": part}, "site.conf"), (OLD,), Options(ignore=AMBIENT))
    assert sum("connection_upgrade" in item.reason for item in report.unknown) == 1
    part = f"server {{ listen 80; location /a {{ include a.conf; {PASS} }} }}\n"
    report = check(config_of({"site.conf": part}, "site.conf"), (OLD,), Options(ignore=AMBIENT))
    assert [item.reason[:12] for item in report.unknown] == ["only a part ", '"a.conf" cou']


@pytest.mark.parametrize(
    "body",
    [
        f"location /ws {{\nproxy_pass http://127.0.0.1:3000\n{V11}\n{UP}\n{CO} }}",
        f"root /srv\n{V11}\n{UP}\n{CO}\nlocation /ws {{ {PASS} }}",
    ],
)
def test_of_lines_that_ran_together_nothing_is_told_but_the_missing_semicolon(body: str) -> None:
    report = check_text(site(f"{body}\nlocation /other/ws {{ {PASS} {UP} {CO} {LONG} }}"), URL)
    assert names(report)[0] == ("config-syntax-error", "error")
    assert "with a semicolon" in report.findings[0].help
    rows = {row.location: (row.through, row.rules) for row in report.routes}
    assert rows["/ws"] == (False, ("config-syntax-error",))


def test_a_fault_beside_lines_that_ran_together_is_still_told() -> None:
    broken = f"location /ws {{\nproxy_pass http://127.0.0.1:3000\n{V11}\n{UP}\n{CO} }}"
    report = check_text(site(f"{broken}\nlocation /other/ws {{ {PASS} {UP} {CO} {LONG} }}"))
    assert names(report) == [("config-syntax-error", "error"), ("missing-http-version", "error")]


def test_a_syntax_error_is_said_once() -> None:
    broken = site(f"location /ws {{ {PASS} {V11} {UP} {CO} {LONG} }}") + "}"
    report = checked(broken, OLD)
    assert names(report) == [("config-syntax-error", "error")]
    assert (len(report.problems), report.unsaid) == (1, ())
    assert len(checked(broken, OLD, select=frozenset({"read-timeout"})).unsaid) == 1


def test_what_an_unreadable_include_may_set_is_unknown_and_no_finding() -> None:
    text = site(f"location /ws {{ include missing.inc; {PASS} {LONG} }}")
    config = Config(MemoryFiles({"nginx.conf": text.encode()}), "nginx.conf")
    report = check(config, (OLD,), Options(urls=(URL,)))
    assert report.findings == ()
    assert [row.tunnel for row in report.routes] == [None]
    assert report.unknown


def test_a_variable_of_a_file_that_is_not_there_is_not_called_undefined() -> None:
    text = site(f"location /ws {{ {PASS} {V11} {UP} {CO} {LONG} }}", "include conf.d/map.conf;")
    config = Config(MemoryFiles({"nginx.conf": text.encode()}), "nginx.conf")
    report = check(config, (OLD,))
    assert report.findings == ()
    assert [row.tunnel for row in report.routes] == [None]


def test_a_fragment_does_not_know_what_maps_there_are() -> None:
    config = config_of({"ws.conf": f"server {{ location /ws {{ {PASS} {V11} {UP} {CO} {LONG} }} }}"}, "ws.conf")
    report = check(config, (OLD,), Options(ignore=AMBIENT))
    assert report.findings == ()
    assert report.routes[0].tunnel is None


def test_a_url_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError):
        check_text(site(""), "ftp://example.com/ws")


def test_every_one_of_many_faulty_locations_is_found() -> None:
    body = "".join(
        f"location /n{i} {{ {PASS} {V11} {UP} proxy_set_header Connection x; {LONG} }}\n" for i in range(400)
    )
    report = check_text(site(body))
    assert len(report.findings) == 400
    assert all(finding.level is Level.ERROR for finding in report.findings)
