"""What each rule tells apart, beyond its page's examples."""

from __future__ import annotations

import pytest

from tests.rules.real import BUILDS, check_text, config_of, fix_text
from ws101.check import CheckReport, check
from ws101.findings import Safety
from ws101.fix import fix
from ws101.nginx.build import Build
from ws101.rules import Options

URL = "ws://example.com/ws"
MAP = "map $http_upgrade $connection_upgrade { default upgrade; '' close; }"
PASS = "proxy_pass http://127.0.0.1:3000;"
V11 = "proxy_http_version 1.1;"
UP = "proxy_set_header Upgrade $http_upgrade;"
CO = "proxy_set_header Connection $connection_upgrade;"
LONG = "proxy_read_timeout 1h;"
FULL = f"{V11} {UP} {CO} {LONG}"
GROUP = "upstream app { server 127.0.0.1:3000; server 127.0.0.1:3001; }"


def site(body: str, http: str = MAP, main: str = "") -> str:
    return f"{main}events {{}}\nhttp {{ {http}\nserver {{ listen 80; server_name example.com;\n{body}\n}} }}\n"


def rules(report: CheckReport) -> list[str]:
    return [finding.rule for finding in report.findings]


def rules_of(body: str, *urls: str, http: str = MAP, main: str = "") -> list[str]:
    return rules(check_text(site(body, http, main), *urls))


def test_a_map_defined_twice_counts_as_its_last_definition() -> None:
    twice = f"{MAP} map $http_host $connection_upgrade {{ default close; }}"
    report = check_text(site(f"location /ws {{ {PASS} {FULL} }}", twice))
    assert rules(report) == ["map-misdefined"]
    label = report.findings[0].labels[0].span
    assert report.config.sources["nginx.conf"].text[label.start :].startswith("map $http_host")


def test_a_set_that_overrides_a_maps_variable_is_named() -> None:
    body = f"location /ws {{ set $c close; {PASS} {V11} {UP} proxy_set_header Connection $c; {LONG} }}"
    report = check_text(site(body))
    assert rules(report) == ["map-misdefined"]
    assert "close" in report.findings[0].message


def test_two_different_upgrade_fields_keep_the_one_that_passes_the_clients() -> None:
    fixed = fix_text(site(f"location /ws {{ {PASS} {V11}\nproxy_set_header Upgrade websocket;\n{UP}\n{CO} {LONG} }}"))
    assert "proxy_set_header Upgrade websocket" not in fixed.texts["nginx.conf"]
    assert UP in fixed.texts["nginx.conf"]


def test_hiding_another_field_is_nobodys_business() -> None:
    assert rules_of(f"proxy_hide_header X-Powered-By; location /ws {{ {PASS} {FULL} }}") == []


def test_a_field_that_is_hidden_and_passed_again_is_shown() -> None:
    assert rules_of(f"proxy_hide_header upgrade; location /ws {{ {PASS} {FULL} proxy_pass_header UPGRADE; }}") == []


def test_showing_a_hidden_field_in_a_shared_location_is_unsafe() -> None:
    report = check_text(site(f"proxy_hide_header Upgrade; location / {{ {PASS} {FULL} }}"))
    assert [(f.rule, f.fix.safety if f.fix else None) for f in report.findings] == [
        ("proxy-hide-upgrade-header", Safety.UNSAFE)
    ]


def test_another_protocol_where_only_the_name_hints_is_noted_and_shown_as_what_it_is() -> None:
    report = check_text(site("location /ws { uwsgi_pass 127.0.0.1:3000; } location /api { grpc_pass grpc://[::1]:1; }"))
    assert [(f.rule, f.level.value) for f in report.findings] == [("wrong-proxy-module", "note")]
    assert [row.upstream for row in report.routes] == ["uwsgi://127.0.0.1:3000", "grpc://[::1]:1"]


def test_uwsgi_may_carry_a_tunnel_and_only_gets_a_warning() -> None:
    report = check_text(site("location /ws { uwsgi_pass 127.0.0.1:3000; }"), URL)
    assert [(f.rule, f.level.value) for f in report.findings] == [("wrong-proxy-module", "warning")]


def test_another_protocol_where_nobody_wants_websockets_is_fine() -> None:
    assert rules_of(f"location ~ php {{ fastcgi_pass 127.0.0.1:9000; }} location /ws {{ {PASS} {FULL} }}") == []


def test_a_resolver_of_the_server_serves_a_variable() -> None:
    body = f"resolver 127.0.0.53; location /ws {{ set $b app.internal; proxy_pass http://$b; {FULL} }}"
    assert rules_of(body) == []


@pytest.mark.parametrize("tail", ["$request_uri", "/chat$is_args$args", "/chat?$args", ""])
def test_a_variable_proxy_pass_that_keeps_the_query_is_fine(tail: str) -> None:
    assert rules_of(f"location /ws {{ set $b 127.0.0.1:3000; proxy_pass http://$b{tail}; {FULL} }}") == []


def test_the_literal_connection_is_fine_where_websockets_are_alone() -> None:
    literal = f'{PASS} {V11} {UP} proxy_set_header Connection "upgrade"; {LONG}'
    assert rules_of(f"location /ws {{ {literal} }}") == []
    assert rules_of(f"location / {{ {literal} }}") == ["connection-always-upgrade"]
    assert rules_of(f"location /socket.io/ {{ {literal} }}") == ["connection-always-upgrade"]


def test_in_the_quick_style_the_literal_connection_is_not_edited() -> None:
    text = site(f'location / {{ {PASS} {V11} {UP} proxy_set_header Connection "upgrade"; {LONG} }}')
    assert fix_text(text, style="quick", unsafe=True).texts == {}


@pytest.mark.parametrize(
    "group",
    [
        "upstream app { ip_hash; server 127.0.0.1:3000; server 127.0.0.1:3001; }",
        "upstream app { hash $remote_addr; server 127.0.0.1:3000; server 127.0.0.1:3001; }",
        "upstream app { server 127.0.0.1:3000; server 127.0.0.1:3001 backup; }",
        "upstream app { server 127.0.0.1:3000; server 127.0.0.1:3001 down; }",
        "upstream app { server localhost:3000; }",
    ],
)
def test_a_group_that_keeps_clients_or_has_one_server_is_fine(group: str) -> None:
    assert rules_of(f"location /socket.io/ {{ proxy_pass http://app; {FULL} }}", http=f"{MAP} {group}") in (
        [],
        ["localhost-ipv6"],
    )


def test_a_group_behind_a_plain_websocket_needs_no_sticky_sessions() -> None:
    assert rules_of(f"location /ws {{ proxy_pass http://app; {FULL} }}", http=f"{MAP} {GROUP}") == []


def test_one_note_for_a_map_that_closes_kept_connections() -> None:
    kept = "upstream app { server 127.0.0.1:3000; keepalive 4; }"
    body = f"location /ws {{ proxy_pass http://app; {FULL} }} location /hub {{ proxy_pass http://app; {FULL} }}"
    report = check_text(site(body, f"{MAP} {kept}"))
    assert [(f.rule, f.level.value) for f in report.findings] == [("map-close-defeats-keepalive", "note")]
    assert len(report.entries[0].places) == 2


def test_kept_connections_are_the_default_since_1_29_7() -> None:
    text = site(f"location /ws {{ proxy_pass http://app; {FULL} }}", f"{MAP} upstream app {{ server 127.0.0.1:3000; }}")
    assert rules(check_text(text, build=BUILDS[0])) == []
    assert rules(check_text(text, build=BUILDS[-1])) == ["map-close-defeats-keepalive"]


def test_a_shutdown_timeout_without_websockets_is_fine() -> None:
    assert rules_of(f"location / {{ {PASS} }}", main="worker_shutdown_timeout 5s;\n") == []


def test_a_password_where_websockets_pass_is_a_warning() -> None:
    assert rules_of(f'location /ws {{ auth_basic "x"; auth_basic_user_file h; {PASS} {FULL} }}') == ["auth-basic"]
    assert rules_of(f'auth_basic "x"; location /ws {{ auth_basic off; {PASS} {FULL} }}') == []


def test_an_allow_list_is_no_denial() -> None:
    assert rules_of(f"location /ws {{ allow 10.0.0.0/8; deny all; {PASS} {FULL} }}") == []
    assert rules_of(f"location /ws {{ deny 10.0.0.0/8; {PASS} {FULL} }}") == []


def test_a_told_path_without_a_backend_is_named() -> None:
    report = check_text(site(f"location / {{ try_files $uri /index.html; }} location /api {{ {PASS} }}"), URL)
    assert rules(report) == ["no-websocket-location-spa-fallback"]


def test_a_redirect_to_https_counts_for_ws_urls_alone() -> None:
    assert rules_of("return 301 https://$host$request_uri;", URL) == ["http-to-https-redirect"]


def test_what_does_not_parse_is_reported_and_the_rest_is_still_checked() -> None:
    report = check_text(f"events {{}}\nhttp {{ server {{ listen 80; location /ws {{ {PASS} {LONG} }} }}\n", URL)
    assert rules(report) == ["config-syntax-error", "upgrade-not-forwarded"]


def test_a_cleared_key_in_an_outer_block_is_found_at_its_line() -> None:
    body = f'{V11} {UP} {CO} proxy_set_header Sec-WebSocket-Key ""; {LONG}\nlocation /ws {{ {PASS} }}'
    report = check_text(site(body))
    assert rules(report) == ["handshake-fields-dropped"]


def test_a_body_for_everybody_is_no_handshake() -> None:
    assert rules_of(f"location /ws {{ {PASS} {FULL} proxy_set_body x; }}") == ["handshake-request-changed"]


def test_a_regex_that_forwards_upgrades_too_shadows_nothing() -> None:
    body = f"location /ws/ {{ {PASS} {FULL} }} location ~ json$ {{ {PASS} {FULL} }}"
    assert rules_of(body, "ws://example.com/ws/x.json") == []


def utf8(text: str) -> str:
    return text.encode("utf-8").decode("latin-1")


def test_a_no_break_space_before_a_directive_is_found_and_mended() -> None:
    text = utf8(site(f"location /ws {{\n\u00a0{PASS}\n{FULL} }}"))
    report = check_text(text, URL)
    assert "invisible-characters" in rules(report)
    assert fix_text(text, URL).texts["nginx.conf"] == text.replace(utf8("\u00a0"), " ")


def test_a_byte_order_mark_is_found_and_mended() -> None:
    text = utf8("\ufeff" + site(f"location /ws {{ {PASS} {FULL} }}"))
    assert rules(check_text(text)) == ["invisible-characters"]
    assert fix_text(text).texts["nginx.conf"] == text[3:]


def test_typographic_quotes_in_a_text_for_people_are_fine() -> None:
    assert (
        rules_of(utf8(f"location / {{ return 200 'he said \u201chi\u201d'; }} location /ws {{ {PASS} {FULL} }}")) == []
    )


def test_an_auth_location_without_the_fields_is_fine() -> None:
    body = f"location /ws {{ auth_request /auth; {PASS} {FULL} }} location = /auth {{ {PASS} }}"
    assert rules_of(body) == []


def test_modsecurity_beside_a_websocket_is_fine() -> None:
    assert rules_of(f"modsecurity on; location /ws {{ modsecurity off; {PASS} {FULL} }}") == []


def test_what_nginx_refuses_beyond_syntax_is_reported_too() -> None:
    report = check_text(site(f"proxy_set_header X; location /ws {{ {PASS} {FULL} }}"))
    assert rules(report) == ["config-syntax-error"]
    assert "invalid number of arguments" in report.findings[0].message


WS = f"location /ws {{ {PASS} {FULL} }}"


def notes_of(body: str, *urls: str, http: str = MAP, main: str = "", server: str = "") -> list[tuple[str, str]]:
    text = site(body, http, main).replace("listen 80;", server or "listen 80;")
    return [(f.rule, f.level.value) for f in check_text(text, *urls).findings]


@pytest.mark.parametrize("value", ["$host", "$http_host", "app.example.com", "$host:$server_port", "$server_name"])
def test_a_host_that_somebody_chose_is_left_alone(value: str) -> None:
    report = check_text(site(f"location /ws {{ {PASS} {FULL} proxy_set_header Host {value}; }}"), ignore=frozenset())
    assert rules(report) == []


def test_one_note_a_server_says_that_host_is_not_forwarded() -> None:
    report = check_text(site(f"{WS} location /hub {{ {PASS} {FULL} }}"), ignore=frozenset())
    assert [(f.rule, f.level.value) for f in report.findings] == [("host-not-forwarded", "note")]
    assert len(report.entries[0].places) == 2


def test_a_host_set_for_the_whole_server_is_set_where_its_list_is() -> None:
    text = site(f"{UP}\n{CO}\n{V11} {LONG} location /ws {{ {PASS} }}")
    fixed = fix_text(text, unsafe=True, ignore=frozenset(), select=frozenset({"host-not-forwarded"}))
    assert fixed.texts["nginx.conf"].count("Host $host;") == 1
    assert f"{CO}\nproxy_set_header Host $host;" in fixed.texts["nginx.conf"]


def test_the_unsafe_fix_of_a_note_is_applied_only_if_its_rule_is_asked_for() -> None:
    text = site(f"location /ws {{ proxy_pass http://localhost:3000; {FULL} }}")
    held = fix_text(text, unsafe=True)
    assert held.texts == {}
    (finding,) = held.report.findings
    assert finding.fix is not None
    assert finding.fix.reason.endswith("only with --select localhost-ipv6")
    asked = fix_text(text, unsafe=True, select=frozenset({"localhost-ipv6"}))
    assert "http://127.0.0.1:3000;" in asked.texts["nginx.conf"]


def test_a_lost_port_is_a_warning_where_a_told_url_has_one() -> None:
    body = f"location /ws {{ {PASS} {FULL} proxy_set_header Host $host; }}"
    both = "listen 80; listen 8443;"
    assert notes_of(body, server=both) == []
    assert notes_of(body, "ws://example.com:8443/ws", server=both) == [("host-port-lost", "warning")]
    assert notes_of(body.replace("$host;", "$http_host;"), "ws://example.com:8443/ws", server=both) == []


TLS = "listen 443 ssl; ssl_certificate c.pem; ssl_certificate_key k.pem;"


def test_wss_to_a_port_without_tls_is_an_error_and_to_no_port_a_warning() -> None:
    assert notes_of(WS, "wss://example.com/ws", server="listen 443;") == [("tls-not-configured", "error")]
    assert notes_of(WS, "wss://example.com/ws") == [("tls-not-configured", "warning")]
    assert notes_of(WS, "wss://example.com/ws", server=f"{TLS} proxy_set_header X-Forwarded-Proto $scheme;") == [
        ("x-forwarded-proto-missing", "note")
    ]


def test_plain_to_a_port_of_tls_alone_is_an_error() -> None:
    body = f"location /ws {{ {PASS} {FULL} proxy_set_header X-Forwarded-Proto $scheme; }}"
    assert notes_of(body, "ws://example.com:443/ws", server=TLS) == [("plain-http-to-https-port", "error")]
    assert notes_of(body, "wss://example.com/ws", server=TLS) == []


def test_a_port_that_nobody_listens_on_is_named() -> None:
    assert notes_of(WS, "ws://example.com:3000/ws") == [("client-wrong-public-port", "warning")]


def test_a_client_certificate_that_everybody_needs_is_a_warning() -> None:
    body = f"location /ws {{ {PASS} {FULL} proxy_set_header X-Forwarded-Proto $scheme; }}"
    assert notes_of(body, server=f"{TLS} ssl_verify_client on; ssl_client_certificate ca.pem;") == [
        ("ssl-verify-client", "warning")
    ]
    assert notes_of(body, server=f"{TLS} ssl_verify_client optional; ssl_client_certificate ca.pem;") == []


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("http://127.0.0.1:443", ["upstream-scheme-mismatch"]),
        ("https://127.0.0.1:80", ["upstream-scheme-mismatch"]),
        ("https://127.0.0.1", []),
        ("http://127.0.0.1", []),
        ("http://127.0.0.1:8443", []),
        ("http://app:3000", ["stale-upstream-dns"]),
        ("http://unix:/run/app.sock", []),
        ("http://[::1]:3000", []),
    ],
)
def test_schemes_and_names_of_backends(target: str, expected: list[str]) -> None:
    assert rules_of(f"location /ws {{ proxy_pass {target}; {FULL} }}") == expected


def test_a_name_that_is_looked_up_again_is_fine() -> None:
    group = "resolver 127.0.0.11; upstream app { zone app 64k; server app.internal:3000 resolve; }"
    kept = MAP.replace(" close", " ''")
    text = site(f"location /ws {{ proxy_pass http://app; {FULL} }}", f"{kept} {group}")
    assert rules(check_text(text, build=BUILDS[-1])) == []


def test_localhost_without_a_second_try_is_a_warning() -> None:
    once = "proxy_next_upstream off;"
    assert notes_of(f"location /ws {{ proxy_pass http://localhost:3000; {once} {FULL} }}") == [
        ("localhost-ipv6", "warning")
    ]


@pytest.mark.parametrize(
    ("head", "target", "expected"),
    [
        ("/ws/", "http://127.0.0.1:3000/app/", ["location-slash-redirect"]),
        ("/ws", "http://127.0.0.1:3000/app", []),
        ("= /ws", "http://127.0.0.1:3000/", []),
        ("/", "http://127.0.0.1:3000/app/", []),
        ("/feed/", "http://127.0.0.1:3000/app", ["proxy-pass-trailing-slash"]),
    ],
)
def test_slashes_of_both_sides(head: str, target: str, expected: list[str]) -> None:
    assert rules_of(f"location {head} {{ proxy_pass {target}; {FULL} }}") == expected


def test_an_earlier_server_with_the_same_name_is_named() -> None:
    text = site(WS).replace("server {", "server { listen 80; server_name example.com; return 404; }\nserver {", 1)
    report = check_text(text)
    assert [(f.rule, f.level.value) for f in report.findings] == [("server-name-mismatch", "warning")]


def test_limits_with_room_or_only_tried_out_are_fine() -> None:
    zones = f"{MAP} limit_req_zone $binary_remote_addr zone=r:1m rate=5r/s; limit_conn_zone $server_name zone=c:1m;"
    for line in ("limit_req zone=r burst=20;", "limit_conn c 10;", "limit_req zone=r; limit_req_dry_run on;"):
        assert rules_of(f"location /ws {{ {PASS} {FULL} {line} }}", http=zones) == []
    assert rules_of(f"location /ws {{ {PASS} {FULL} limit_req zone=r; }}", http=zones) == ["rate-limit"]


def test_few_connections_are_a_note_and_very_few_a_warning() -> None:
    for number, expected in (("64", "warning"), ("768", "note")):
        text = site(WS).replace("events {}", f"events {{ worker_connections {number}; }}")
        assert [(f.rule, f.level.value) for f in check_text(text).findings] == [("worker-connections", expected)]
    assert notes_of(WS, main="worker_rlimit_nofile 100;\n") == [("worker-connections", "warning")]


def test_an_inner_server_that_answers_for_itself_is_no_second_fault() -> None:
    inner = f"server {{ listen 127.0.0.1:8080; location /ws {{ {PASS} {UP} }} }}"
    text = site(f"location /ws {{ proxy_pass http://127.0.0.1:8080; {FULL} }}", f"{MAP} {inner}")
    assert "second-proxy-hop" not in rules(check_text(text))


def test_a_told_host_in_a_file_beside_the_loaded_ones_is_named() -> None:
    available = {"sites-available/app": f"server {{ listen 80; server_name app.test; {WS} }}"}
    files = {"nginx.conf": f"events {{}}\nhttp {{ {MAP}\nserver {{ listen 80; return 404; }}\n}}\n", **available}
    told = check(config_of(files), (BUILDS[0],), Options(urls=("ws://app.test/ws",)))
    assert rules(told) == ["config-not-included"]
    assert "sites-available/app" in told.findings[0].message
    assert check(config_of(files), (BUILDS[0],), Options()).findings == ()


@pytest.mark.parametrize("name", ["a.conf.bak", "a.conf~", ".a.conf.swp", "a.disabled"])
def test_a_file_that_is_meant_to_be_off_is_left_alone(name: str) -> None:
    files = {
        "nginx.conf": f"events {{}}\nhttp {{ {MAP}\ninclude conf.d/*.conf; }}\n",
        f"conf.d/{name}": f"server {{ listen 80; {WS} }}",
        "conf.d/b.conf": "server { listen 80; return 404; }",
    }
    assert check(config_of(files), (BUILDS[0],), Options()).findings == ()


def test_a_told_path_in_a_shared_location_may_get_one_of_its_own() -> None:
    body = f"location / {{ {PASS} {V11} {UP} {CO} proxy_set_header X-A b; }}"
    (finding,) = check_text(site(body), URL).findings
    assert finding.rule == "read-timeout"
    (other,) = finding.other_fixes
    assert other.safety is Safety.UNSAFE
    (edit,) = other.edits
    assert "location = /ws {" in edit.text
    assert "proxy_read_timeout 86400s;" in edit.text
    assert "proxy_set_header X-A b;" in edit.text


def test_an_add_header_beside_the_right_fields_is_fine() -> None:
    assert rules_of(f"location /ws {{ {PASS} {FULL} add_header Upgrade $http_upgrade; }}") == []


def test_a_location_that_clears_upgrade_itself_is_not_meant_by_the_servers_fields() -> None:
    cleared = f'proxy_set_header Upgrade ""; proxy_set_header Connection ""; {PASS}'
    assert rules_of(f"{FULL} location / {{ {PASS} }} location /api/ {{ {cleared} }}") == []


@pytest.mark.parametrize(
    ("body", "advice"),
    [
        (f"location /ws {{ {PASS}\nproxy_http_version 1.1\n{UP} {CO} {LONG} }}", "end line 5 with a semicolon"),
        (f"{MAP} location /ws {{ {PASS} {FULL} }}", "move it to where it may stand (http, stream)"),
        (f"location /ws {{ {PASS} {FULL}\nlocation / {{ {PASS} }}", "close the location above it"),
        (f"location /ws {{ {PASS} {FULL} }} }}", "mend it"),
    ],
)
def test_what_nginx_refuses_is_answered_with_what_to_mend(body: str, advice: str) -> None:
    report = check_text(site(body, http=""))
    helps = [finding.help for finding in report.findings if finding.rule == "config-syntax-error"]
    assert [text for text in helps if text.startswith(advice) and text.endswith(", then nginx -t")]


def test_a_map_that_set_overrides_is_replaced_by_another() -> None:
    body = f"set $connection_upgrade close; location /ws {{ {PASS} {FULL} }}"
    fixed = fix_text(site(body))
    assert "Connection $websocket_connection;" in fixed.texts["nginx.conf"]
    assert fixed.report.findings == ()
    labels = [label.message for label in fixed.before.findings[0].labels]
    assert labels == ["the map gives a value", "set gives it another", "WebSockets pass here"]


@pytest.mark.parametrize(
    "door",
    [
        "location / { try_files $uri @ws; }",
        "location / { error_page 418 = @ws; if ($http_upgrade) { return 418; } return 418; }",
        "location / { error_page 418 = @ws; if ($http_upgrade) { return 418; } try_files $uri @ws; }",
    ],
)
def test_a_named_location_that_plain_requests_may_reach_is_not_for_handshakes_alone(door: str) -> None:
    body = f"{door} location @ws {{ {PASS} {V11} {UP} proxy_set_header Connection upgrade; {LONG} }}"
    assert "connection-always-upgrade" in rules_of(body)


def test_a_regex_for_files_that_takes_a_path_below_the_websockets_location_is_named() -> None:
    body = f"location /ws/ {{ {PASS} {FULL} }} location ~ \\.json$ {{ root /srv; }}"
    url = "ws://example.com/ws/data.json"
    report = check_text(site(body), url)
    assert rules(report) == ["regex-location-shadows"]
    assert "takes ws://example.com/ws/data.json from location /ws/" in report.findings[0].message
    assert rules_of(body, "ws://example.com/data.json")[0] == "no-websocket-location-spa-fallback"
    fixed = fix(config_of({"nginx.conf": site(body)}), BUILDS[:1], Options(urls=(url,)), unsafe=True)
    assert "location ^~ /ws/" in fixed.texts["nginx.conf"]
    assert not fixed.has_errors


def test_the_port_of_https_without_tls_is_noted_in_a_pasted_server_too() -> None:
    part = f"server {{ listen 443; location /ws {{ {PASS} {FULL} proxy_set_header Host $host; }} }}\n"
    report = check(config_of({"site.conf": part}, "site.conf"), BUILDS[:1], Options())
    assert "tls-not-configured" in rules(report)


CERTIFICATE = "ssl_certificate a.pem; ssl_certificate_key a.key;"


def on_443(listens: str, more: str = "", fields: str = "") -> str:
    return site(f"{more} location /ws {{ {PASS} {FULL} {fields} }}").replace("listen 80;", listens)


def levels(report: CheckReport) -> list[tuple[str, str]]:
    return [(finding.rule, finding.level.value) for finding in report.findings]


@pytest.mark.parametrize("listens", ["listen 443;", "listen [::]:443;", "listen 192.0.2.1:443; listen 443;"])
def test_the_port_of_https_without_tls_is_noted_once(listens: str) -> None:
    assert levels(check_text(on_443(listens))) == [("tls-not-configured", "note")]
    assert levels(check_text(on_443(listens, CERTIFICATE))) == [("tls-not-configured", "warning")]


@pytest.mark.parametrize(
    "text",
    [
        on_443("listen 443 ssl;", CERTIFICATE),
        on_443("listen 443 ssl; listen [::]:443 ssl;", CERTIFICATE),
        on_443("listen 8443;"),
        on_443("listen 443 proxy_protocol;"),
        on_443("listen 127.0.0.1:443;"),
        on_443("listen [::1]:443;"),
        on_443("listen 443;", "set_real_ip_from 192.0.2.0/24;"),
        on_443("listen 443;", fields="proxy_set_header X-Forwarded-Proto $http_x_forwarded_proto;"),
        on_443("listen 443;", fields="proxy_set_header X-Forwarded-Proto https;"),
        on_443("listen 443;", f"ssl on; {CERTIFICATE}"),
        site(f"location /files {{ {PASS} }}").replace("listen 80;", "listen 443;"),
    ],
)
def test_where_tls_is_there_or_ends_in_front_nothing_is_noted(text: str) -> None:
    assert "tls-not-configured" not in rules(check_text(text))


def test_tls_that_ends_in_front_and_is_told_so_is_no_note() -> None:
    assert rules(check_text(on_443("listen 443;"), "ws://example.com:443/ws")) == []


def test_the_port_of_https_that_speaks_http2_alone_is_said_once_with_both_remedies() -> None:
    report = check_text(on_443("listen 443 http2;"))
    assert levels(report) == [("http2-without-rfc8441", "error")]
    assert "add ssl" in report.findings[0].help


ANOTHER = "; or tell --nginx-version, if another nginx reads these files"


@pytest.mark.parametrize(
    ("line", "build", "advice"),
    [
        ("http2 on;", Build((1, 22, 1)), "nginx has it from 1.25.1 on: leave it out, then nginx -t"),
        (
            "lua_code_cache on;",
            Build((1, 22, 1), ()),
            f"this nginx is without the Lua module: leave it out, then nginx -t{ANOTHER}",
        ),
        (
            "http2 on;",
            Build((1, 22, 1), ()),
            f"nginx has it from 1.25.1 on: leave it out, then nginx -t{ANOTHER}",
        ),
        ("serve_name a;", Build((1, 22, 1), ()), "mend its name, then nginx -t"),
    ],
)
def test_an_unknown_directive_is_told_from_one_of_another_nginx(line: str, build: Build, advice: str) -> None:
    report = check(config_of({"nginx.conf": site(f"{line} location /ws {{ {PASS} {FULL} }}")}), (build,), Options())
    assert [f.help for f in report.findings if f.rule == "config-syntax-error"] == [advice]


def test_the_route_that_loses_a_field_to_a_typographic_quote_names_the_rule() -> None:
    quoted = "proxy_set_header Connection “upgrade”;".encode().decode("latin-1")
    report = check_text(site(f"location /ws {{ {PASS} {V11} {UP}\n{quoted}\n{LONG} }} location /a {{ {PASS} {FULL} }}"))
    assert [row.rules for row in report.routes] == [("invisible-characters",), ()]


def test_a_resolver_that_is_missing_is_told_by_the_configured_name() -> None:
    report = check_text(site(f"location /ws {{ proxy_pass http://$host:3000; {FULL} }}"))
    (finding,) = report.findings
    assert "http://$host:3000" in finding.message
    assert "example.com" not in finding.message


def test_long_times_are_said_in_plain_figures() -> None:
    body = f"location /ws {{ {PASS} {V11} {UP} {CO} proxy_read_timeout 20d; }}"
    assert "after 1728000 s of silence" in check_text(site(body)).findings[0].message


def test_places_beyond_the_first_are_counted() -> None:
    bodies = [" ".join(f"location /ws{n} {{ {PASS} {FULL} }}" for n in range(count)) for count in (1, 2, 3)]
    told = [check(config_of({"nginx.conf": site(body)}), BUILDS[:1], Options()).findings[0].message for body in bodies]
    ends = [message.partition("URL")[2] for message in told]
    assert ends == ["", " (here and in 1 more place)", " (here and in 2 more places)"]


def test_a_host_that_differs_from_place_to_place_is_said_to() -> None:
    locations = " ".join(f"location /ws{n} {{ proxy_pass http://127.0.0.1:300{n}; {FULL} }}" for n in (1, 2))
    (finding,) = check(config_of({"nginx.conf": site(locations)}), BUILDS[:1], Options()).findings
    assert "gets Host: 127.0.0.1:3001 and the like instead" in finding.message


def test_the_names_of_one_upstream_that_are_looked_up_once_are_one_note() -> None:
    group = "upstream app { ip_hash; server app01:3000; server app02:3000; server 127.0.0.1:1; }"
    locations = (
        f"location /ws {{ proxy_pass http://app; {FULL} }} location /chat {{ proxy_pass http://app03:1; {FULL} }}"
    )
    report = check_text(site(locations, http=f"{MAP} {group}"))
    told = [(f.message.partition(" is ")[0], f.message.partition("reload")[2]) for f in report.findings]
    assert told == [("app01", " (here and in 1 more place)"), ("app03", "")]
    assert [label.message for label in report.findings[0].labels] == ["app02 too"]
    assert [row.rules for row in report.routes] == [("stale-upstream-dns",)] * 2


def test_the_hub_of_the_signalr_tutorial_polls() -> None:
    assert rules_of(f"location /chatHub {{ proxy_pass http://app; {FULL} }}", http=f"{MAP} {GROUP}") == [
        "no-sticky-sessions"
    ]
