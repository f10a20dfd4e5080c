"""Fixes together: what they change, what they promise, and what is held back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.rules.real import AMBIENT, BUILDS, check_text, config_of, fix_text
from ws101.check import check
from ws101.findings import Fix, Safety
from ws101.fix import FEW_ROUTES, fix, judged, proven, with_edits
from ws101.nginx.build import Build
from ws101.rules import RULES, Options
from ws101.rules.base.context import Context
from ws101.rules.base.edits import append
from ws101.rules.base.registry import Found
from ws101.rules.base.sameness import same_outcomes
from ws101.text import Edit, Span

URL = "ws://example.com/ws"
MAP = "    map $http_upgrade $connection_upgrade {\n        default upgrade;\n        ''      close;\n    }\n"
PASS = "            proxy_pass http://127.0.0.1:3000;\n"
V11 = "            proxy_http_version 1.1;\n"
UP = "            proxy_set_header Upgrade $http_upgrade;\n"
CO = "            proxy_set_header Connection $connection_upgrade;\n"
LONG = "            proxy_read_timeout 1h;\n"
DAY = "            proxy_read_timeout 86400s;\n"
OLD, NEW = BUILDS[0], BUILDS[-1]


def site(body: str, http: str = "", server: str = "") -> str:
    return f"events {{}}\nhttp {{\n{http}    server {{\n        listen 80;\n{server}{body}    }}\n}}\n"


def location(name: str, body: str) -> str:
    return f"        location {name} {{\n{body}        }}\n"


def test_two_faults_of_one_location_are_both_fixed() -> None:
    bad = site(location("/ws", PASS + UP + '            proxy_set_header Connection "";\n'), MAP)
    fixed = fix_text(bad)
    assert fixed.report.findings == ()
    assert {item.finding.rule for item in fixed.applied} == {
        "connection-cleared",
        "missing-http-version",
        "read-timeout",
    }


def test_the_story_is_fixed_whole() -> None:
    fixed = fix_text(site(location("/ws", PASS)), URL)
    assert fixed.texts == {"nginx.conf": site(location("/ws", PASS + V11 + UP + CO + DAY), MAP)}
    assert not fixed.has_errors


def test_the_map_goes_into_a_folder_that_http_includes() -> None:
    files = {
        "/etc/nginx/nginx.conf": "events {}\nhttp {\n    include conf.d/*.conf;\n    include sites-enabled/*;\n}\n",
        "/etc/nginx/conf.d/a.conf": "gzip on;\n",
        "/etc/nginx/sites-enabled/app": f"server {{\n    listen 80;\n    location /ws {{\n    {PASS}    }}\n}}\n",
    }
    fixed = fix(config_of(files, "/etc/nginx/nginx.conf"), (OLD,), Options(urls=(URL,)))
    assert set(fixed.texts) == {"/etc/nginx/sites-enabled/app", "/etc/nginx/conf.d/websocket_upgrade.conf"}
    assert not fixed.has_errors


def test_a_lost_upgrade_that_was_wrong_is_not_restored_so() -> None:
    wrong = "proxy_set_header Upgrade upgrade;\n"
    reset = location("/ws/", '        proxy_set_header Connection "";\n' + PASS)
    fixed = fix_text(site(V11 + wrong + location("^~ /socket.io/", V11 + wrong + PASS) + reset), URL, unsafe=True)
    assert not fixed.has_errors
    assert "Upgrade upgrade" not in fixed.texts["nginx.conf"].partition("location")[2]


@pytest.mark.parametrize(
    "guard",
    [
        "listen 443 ssl; if ($scheme = http) { return 301 https://a.example; }",
        "if ($host != a.example) { return 404; }",
    ],
)
def test_what_turns_strangers_away_hides_no_change_from_the_proof(guard: str) -> None:
    body = f"{guard} location / {{ {PASS} proxy_set_header X a; }}"
    old = f"events {{}} http {{ server {{ server_name a.example; {body} }} }}"
    configs = config_of({"nginx.conf": old}), config_of({"nginx.conf": old.replace("X a", "X b")})
    assert [found.method for found in same_outcomes(*configs, (OLD,))] == ["GET", "POST"]
    assert same_outcomes(configs[0], configs[0], (OLD,)) == ()


@pytest.mark.parametrize("beside", ["gzip on;\r\n", ""])
def test_a_new_file_has_the_line_ends_of_its_neighbours(beside: str) -> None:
    files = {
        "/etc/nginx/nginx.conf": "events {}\nhttp {\n    include conf.d/*.conf;\n    include sites-enabled/*;\n}\n",
        "/etc/nginx/conf.d/a.conf": beside,
        "/etc/nginx/sites-enabled/app": f"server {{\n    listen 80;\n    location /ws {{\n    {PASS}    }}\n}}\n",
    }
    if not beside:
        files = {name: text.replace("\n", "\r\n") for name, text in files.items()}
    made = fix(config_of(files, "/etc/nginx/nginx.conf"), (OLD,), Options(urls=(URL,)))
    text = made.texts["/etc/nginx/conf.d/websocket_upgrade.conf"]
    assert text.count("\r\n") == text.count("\n") == 4


def test_an_existing_map_is_used_under_whatever_name_it_has() -> None:
    other = "    map $http_upgrade $its_name {\n        default upgrade;\n        '' '';\n    }\n"
    fixed = fix_text(site(location("/ws", PASS + LONG), other), URL)
    assert fixed.texts["nginx.conf"].count("map ") == 1
    assert "Connection $its_name;" in fixed.texts["nginx.conf"]


def test_a_map_that_asks_plain_requests_to_upgrade_is_not_used() -> None:
    other = '    map $http_upgrade $bad {\n        default upgrade;\n        "~^$" close;\n    }\n'
    fixed = fix_text(site(location("/ws", PASS + LONG), other), URL)
    assert "Connection $connection_upgrade;" in fixed.texts["nginx.conf"]


def test_a_name_that_is_taken_is_not_taken_again() -> None:
    other = "    map $http_host $connection_upgrade {\n        default x;\n    }\n"
    fixed = fix_text(site(location("/ws", PASS + LONG), other), URL)
    assert "map $http_upgrade $websocket_connection {" in fixed.texts["nginx.conf"]


def empty_case(build: Build, http: str = "", to: str = "127.0.0.1:3000", builds: tuple[Build, ...] = ()) -> str:
    text = site(location("/ws", f"            proxy_pass http://{to};\n{LONG}"), http)
    fixed = fix(config_of({"nginx.conf": text}), builds or (build,), Options(urls=(URL,)))
    return next(line.split()[1] for line in fixed.texts["nginx.conf"].splitlines() if line.strip().startswith("''"))


def test_the_empty_case_gives_plain_requests_what_they_get_today() -> None:
    kept = "    upstream app {\n        server 127.0.0.1:3000;\n        keepalive 8;\n    }\n"
    block = "    upstream app {\n        server 127.0.0.1:3000;\n    }\n"
    assert empty_case(OLD) == "close;"
    assert empty_case(OLD, block, "app") == "close;"
    assert empty_case(OLD, kept, "app") == "'';"
    assert empty_case(NEW) == "'';"
    assert empty_case(NEW, block, "app") == "'';"
    assert empty_case(OLD, builds=Build.representatives()) == "'';"


def test_the_quick_style_is_safe_only_where_no_plain_request_comes() -> None:
    alone = check_text(site(location("/ws", PASS + LONG)), URL, style="quick")
    shared = check_text(site(location("/", PASS + LONG)), URL, style="quick")
    assert alone.findings[0].fix is not None
    assert alone.findings[0].fix.safety is Safety.SAFE
    assert shared.findings[0].fix is not None
    assert shared.findings[0].fix.safety is Safety.UNSAFE
    assert fix_text(site(location("/", PASS + LONG)), URL, style="quick").texts == {}
    assert fix_text(site(location("/", PASS + LONG)), URL, style="quick", unsafe=True).texts


def test_a_location_that_polls_does_not_serve_websockets_alone() -> None:
    text = site(location("/socket.io/", PASS + V11 + UP + CO), MAP)
    report = check_text(text)
    assert [f.rule for f in report.findings] == ["read-timeout"]
    assert report.findings[0].fix is not None
    assert report.findings[0].fix.safety is Safety.UNSAFE
    assert "heartbeat" in report.findings[0].help


def test_a_location_that_refuses_plain_requests_serves_websockets_alone() -> None:
    guard = "            if ($http_upgrade != websocket) {\n                return 426;\n            }\n"
    report = check_text(site(location("/socket.io/", guard + PASS + V11 + UP + CO), MAP))
    assert report.findings[0].fix is not None
    assert report.findings[0].fix.safety is Safety.SAFE


def test_the_idle_timeout_is_the_one_asked_for_and_says_how_often_to_ping() -> None:
    fixed = fix_text(site(location("/ws", PASS + V11 + UP + CO), MAP), idle_timeout=3600)
    assert "proxy_read_timeout 3600s;" in fixed.texts["nginx.conf"]
    assert "needs a ping at least every 3600 s" in fixed.applied[0].fix.title


def test_inherited_fields_survive_when_a_location_gets_its_first() -> None:
    server = "        proxy_set_header Host $host;\n        proxy_set_header X-Real-IP $remote_addr;\n"
    fixed = fix_text(site(location("/ws", PASS + LONG), "", server), URL)
    text = fixed.texts["nginx.conf"]
    assert text.count("proxy_set_header Host $host;") == 2
    assert text.count("proxy_set_header X-Real-IP $remote_addr;") == 2


def test_restoring_more_than_the_upgrade_is_a_second_fix_and_unsafe() -> None:
    server = "        proxy_set_header Host $host;\n" + UP + CO + V11 + LONG
    report = check_text(site(location("/ws", PASS + "            proxy_set_header X-A b;\n"), MAP, server))
    finding = report.findings[0]
    assert finding.fix is not None
    assert [edit.text.count("proxy_set_header") for edit in finding.fix.edits] == [2]
    assert [other.safety for other in finding.other_fixes] == [Safety.UNSAFE]
    assert "Host" in finding.other_fixes[0].edits[0].text
    assert "Host" in finding.other_fixes[0].reason


def test_lost_lines_that_came_by_an_include_of_their_own_are_restored_by_it() -> None:
    files = {
        "nginx.conf": site(
            location("/ws", PASS + "            proxy_set_header X-A b;\n"),
            MAP,
            "        include upgrade.inc;\n" + V11 + LONG,
        ),
        "upgrade.inc": "proxy_set_header Upgrade $http_upgrade;\nproxy_set_header Connection $connection_upgrade;\n",
    }
    fixed = fix(config_of(files), (OLD,), Options(ignore=AMBIENT))
    assert fixed.texts["nginx.conf"].count("include upgrade.inc;") == 2
    assert fixed.report.findings == ()


def shared_location(second: str) -> dict[str, str]:
    one = "    server {\n        listen 80;\n        include ws.inc;\n    }\n"
    two = f"    server {{\n        listen 81;\n{second}        include ws.inc;\n    }}\n"
    return {
        "nginx.conf": f"events {{}}\nhttp {{\n{MAP}{one}{two}}}\n",
        "ws.inc": "location /ws {\n    proxy_pass http://127.0.0.1:3000;\n    proxy_read_timeout 1h;\n}\n",
    }


def test_a_file_included_twice_is_edited_once_if_both_places_ask() -> None:
    options = Options(urls=(URL, "ws://example.com:81/ws"), ignore=AMBIENT)
    fixed = fix(config_of(shared_location("")), (OLD,), options)
    assert fixed.texts["ws.inc"].count("proxy_http_version") == 1
    assert fixed.report.findings == ()


def test_a_file_included_twice_is_not_edited_if_one_place_alone_asks() -> None:
    config = config_of(shared_location(V11 + UP + CO))
    report = proven(check(config, (OLD,), Options(urls=(URL,))), Options(urls=(URL,)))
    assert report.findings[0].fix is not None
    assert report.findings[0].fix.safety is Safety.UNSAFE
    assert "2 places" in report.findings[0].fix.reason
    assert fix(config, (OLD,), Options(urls=(URL,))).texts == {}


def test_the_order_of_the_rules_does_not_matter_to_the_result() -> None:
    text = site(location("/ws", PASS + UP + '            proxy_set_header Connection "";\n') + location("/hub", PASS))
    config = config_of({"nginx.conf": text})
    forward = fix(config, (OLD,))
    backward = fix(config, (OLD,), rules=tuple(reversed(RULES)))
    assert forward.texts == backward.texts
    assert forward.texts


def test_windows_line_ends_stay() -> None:
    fixed = fix_text(site(location("/ws", PASS)).replace("\n", "\r\n"), URL)
    text = fixed.texts["nginx.conf"]
    assert text.count("\n") == text.count("\r\n")
    assert not fixed.has_errors


def test_a_file_that_is_not_utf8_keeps_its_bytes() -> None:
    text = site("        # caf\xe9 \x85 \xa0\n" + location("/ws", PASS))
    fixed = fix_text(text, URL)
    assert "        # caf\xe9 \x85 \xa0\n" in fixed.texts["nginx.conf"]


def changed(old: str, new: str, *urls: str) -> list[str]:
    found = same_outcomes(
        config_of({"nginx.conf": old}), config_of({"nginx.conf": new}), (OLD,), Options(urls=tuple(urls))
    )
    return [difference.what for difference in found]


def test_the_proof_sees_a_header_field_that_plain_requests_gain() -> None:
    one, two = site(location("/a", PASS)), site(location("/a", PASS + "            proxy_set_header X-A b;\n"))
    assert changed(one, two) == ["the backend gets other header fields: x-a"] * 2


def test_the_proof_sees_a_timeout_but_not_where_websockets_are_alone() -> None:
    assert changed(site(location("/ws", PASS)), site(location("/ws", PASS + DAY)))
    assert changed(site(location("/ws", PASS)), site(location("/ws", PASS + DAY)), URL) == []


def test_the_proof_sees_plain_requests_that_ask_to_upgrade() -> None:
    one = site(location("/", PASS))
    two = site(location("/", PASS + '            proxy_set_header Connection "upgrade";\n'))
    assert len(changed(one, two, URL)) == 2


def test_the_proof_sees_another_target_another_upstream_and_a_lost_location() -> None:
    one = site(location("/a", PASS))
    assert changed(one, site(location("/a", PASS.replace("3000", "3000/x"))))
    assert changed(one, site(location("/a", PASS.replace("3000", "3001"))))
    assert changed(one, site("")) == ["the location is gone"] * 2
    assert changed(one, site(location("/a", "            return 403;\n")))


def test_the_proof_sees_a_new_location_that_takes_requests_away() -> None:
    one = site(location("/", PASS))
    assert changed(one, site(location("/", PASS) + location("= /b", "            return 403;\n")))


def test_the_proof_ignores_the_http_version_and_what_only_handshakes_get() -> None:
    one = site(location("/", PASS))
    assert changed(one, site(location("/", PASS + V11 + UP + CO), MAP)) == []


def test_a_rule_whose_fix_changes_another_request_is_not_believed() -> None:
    text = site(location("/app", PASS))
    config = config_of({"nginx.conf": text})
    at = text.index("proxy_pass")
    edited = with_edits(config, [Edit(Span("nginx.conf", at, at), "proxy_set_header Host x; ")])
    assert [d.what for d in same_outcomes(config, edited, (OLD, NEW))] == [
        "the backend gets other header fields: host"
    ] * 2


def test_check_proves_the_fixes_of_few_routes_and_calls_those_of_many_a_claim() -> None:
    few = check_text(site(location("/ws", PASS + V11 + LONG), MAP), URL)
    (proof,) = judged(few, Options(urls=(URL,))).findings
    assert proof.fix is not None
    assert (proof.fix.safety, proof.fix.reason) == (Safety.SAFE, "")
    many = "".join(location(f"/p{number}", PASS) for number in range(FEW_ROUTES))
    (claim,) = judged(check_text(site(many + location("/ws", PASS + V11 + LONG), MAP), URL), Options()).findings
    assert claim.fix is not None
    assert claim.fix.safety is Safety.SAFE
    assert "ws101 fix proves it" in claim.fix.reason


def test_a_location_that_only_subrequests_ask_for_is_cleared_and_stays_so() -> None:
    server = CO + UP + V11 + LONG
    auth = location("= /auth", "            internal;\n" + PASS)
    fixed = fix_text(site(location("/", "            auth_request /auth;\n" + PASS) + auth, MAP, server))
    assert [item.finding.rule for item in fixed.applied] == ["auth-request-inherits-upgrade"]
    assert fixed.texts["nginx.conf"].count('proxy_set_header Upgrade "";') == 1
    assert fixed.texts["nginx.conf"].count('proxy_set_header Connection "";') == 1
    assert fixed.report.findings == ()


def test_fields_that_an_authentication_location_sets_itself_are_cleared_where_they_stand() -> None:
    auth = location("= /auth", "            internal;\n" + PASS + V11 + UP + CO)
    body = location("/", "            auth_request /auth;\n" + PASS + V11 + UP + CO + LONG) + auth
    text = fix_text(site(body, MAP)).texts["nginx.conf"]
    assert text.count("proxy_set_header Upgrade") == 2
    assert text.count("proxy_set_header Upgrade '';") == 1
    assert text.count("proxy_read_timeout") == 1


def test_fields_that_come_by_an_include_into_an_authentication_location_are_left_to_the_reader() -> None:
    include = "            include proxy.inc;\n"
    auth = location("/auth", "            internal;\n" + PASS + include)
    body = location("/", "            auth_request /auth;\n" + PASS + include) + auth
    files = {"nginx.conf": site(body, MAP), "proxy.inc": V11 + UP + CO + LONG}
    fixed = fix(config_of(files), (OLD,), Options())
    assert dict(fixed.texts) == {}
    (finding,) = (f for f in fixed.report.findings if f.rule == "auth-request-inherits-upgrade")
    assert finding.fix is None
    assert "instead of the include" in finding.help


def test_a_fix_that_leaves_its_fault_is_taken_back_and_not_tried_again() -> None:
    def vain(context: Context) -> Iterator[Found]:
        server = context.config.servers[0]
        assert server.opener is not None
        edit = append(server.opener.directive, ["# mended"])
        yield Found("there is a server", server.opener.span, scopes=(server,), fix=Fix("mend it", (edit,)))

    useless = replace(next(rule for rule in RULES if rule.name == "localhost-ipv6"), function=vain)
    others = tuple(rule for rule in RULES if rule.name != useless.name)
    fixed = fix(
        config_of({"nginx.conf": site(location("/ws", PASS))}), (OLD,), Options(urls=(URL,)), rules=(useless, *others)
    )
    assert fixed.texts == {"nginx.conf": site(location("/ws", PASS + V11 + UP + CO + DAY), MAP)}
    assert [f.fix for f in fixed.report.findings if f.rule == useless.name] == [None]
