"""What each rule tells apart, beyond its page's examples."""

from __future__ import annotations

import pytest

from tests.rules.real import BUILDS, check_text, fix_text
from ws101.check import CheckReport
from ws101.findings import Safety

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
