"""What a change of a configuration means: complete, and never fine where it is not known."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ws101.changes import KINDS, Comparison, RouteChange, compare_configs
from ws101.changes.pairing import keyed_routes, pair_servers, same_text
from ws101.nginx.build import Build
from ws101.nginx.config import Config, MemoryFiles

BUILD = (Build((1, 22, 1)),)
EVERY = Build.representatives()

SITE = """\
events {}
http {
    map $http_upgrade $connection_upgrade { default upgrade; '' close; }
    upstream app { server 127.0.0.1:3000; server 127.0.0.1:3001 backup; }
    server {
        listen 80;
        server_name example.com *.example.org;
        root /srv/www;
        location / { proxy_pass http://app; }
        location /ws {
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_read_timeout 1h;
        }
        location = /exact { return 204; }
        location ~ ^/api/v[0-9]+/ { proxy_pass http://app; if ($request_method = DELETE) { return 405; } }
        location ~* \\.css$ { expires 7d; }
        location @named { proxy_pass http://app; }
    }
    server { listen 8080; server_name old.example.com; return 301 https://example.com$request_uri; }
}
"""


def config(text: str, **files: str) -> Config:
    found = {"/etc/nginx/nginx.conf": text, **{f"/etc/nginx/{name}": body for name, body in files.items()}}
    return Config(MemoryFiles({path: body.encode("latin-1") for path, body in found.items()}), "/etc/nginx/nginx.conf")


def compared(old: str, new: str, builds: tuple[Build, ...] = BUILD) -> Comparison:
    return compare_configs(config(old), config(new), builds)


def swapped(*pairs: tuple[str, str], builds: tuple[Build, ...] = BUILD) -> Comparison:
    text = SITE
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return compared(SITE, text, builds)


def by_location(item: Comparison) -> dict[str, RouteChange]:
    return {route.location: route for route in item.routes}


def clauses(route: RouteChange) -> dict[str, tuple[str, ...]]:
    return {request.kind: request.differences for request in route.requests}


LOCATIONS = [
    "location /",
    "location /ws",
    "location = /exact",
    "location ~ ^/api/v[0-9]+/",
    "location ~ ^/api/v[0-9]+/ / if ($request_method = DELETE)",
    "location ~* \\.css$",
    "location @named",
    "server",
]


def test_the_table_holds_every_route_and_a_configuration_is_the_same_as_itself() -> None:
    found = compared(SITE, SITE, EVERY)
    assert (found.class_, found.exit_code) == ("same", 0)
    assert [route.location for route in found.routes] == LOCATIONS
    assert {route.change for route in found.routes} == {"same"}
    assert found.touched == ()
    assert found.routes[-1].server_names == ("old.example.com",)


def test_comments_layout_and_includes_do_not_count() -> None:
    other = SITE.replace("    ", "\t").replace(";", ";  # why\n").replace("{ return", "{\n return")
    assert compared(SITE, other).class_ == "same"
    body = "location / { return 204; }\n"
    one = config(f"events {{}}\nhttp {{ server {{ {body} }} }}\n")
    split = config(
        "events {}\nhttp { include sites/*.conf; }\n", **{"sites/a.conf": "server { include b; }", "b": body}
    )
    assert compare_configs(one, split, BUILD).class_ == "same"


def test_a_lost_upgrade_is_named_for_what_it_breaks() -> None:
    found = swapped(("proxy_set_header Upgrade $http_upgrade;", ""))
    assert (found.class_, found.exit_code) == ("changed", 1)
    (route,) = found.touched
    assert (route.location, route.change, route.websocket) == ("location /ws", "changed", "broken")
    assert clauses(route) == {
        "handshake": (
            "Upgrade is no longer sent (was websocket)",
            "a WebSocket handshake no longer arrives as a valid one",
        )
    }
    assert route.old is not None
    assert route.old.where == "/etc/nginx/nginx.conf:10"


def test_a_repaired_route_is_called_so() -> None:
    text = SITE.replace("proxy_set_header Upgrade $http_upgrade;", "")
    (route,) = compared(text, SITE).touched
    assert route.websocket == "repaired"


def test_a_change_that_matters_on_some_versions_alone_names_them() -> None:
    found = swapped(("proxy_http_version 1.1;", ""), builds=EVERY)
    (route,) = found.touched
    assert route.websocket == "broken"
    assert {build.version < (1, 29, 7) for request in route.requests for build in request.builds} == {True}


@pytest.mark.parametrize(
    ("old", "new", "location", "kinds", "clause"),
    [
        ("proxy_read_timeout 1h", "proxy_read_timeout 1m", "location /ws", KINDS, "proxy_read_timeout 1h becomes 1m"),
        ("return 204", "return 403", "location = /exact", KINDS, "returned 204 becomes returned 403"),
        ("proxy_pass http://app; }\n        location /ws", "return 200 x; }\n        location /ws", "location /", KINDS,
         "proxied to http://app (127.0.0.1:3000, 127.0.0.1:3001) becomes returned 200"),
        ("https://example.com$request", "http://example.com$request", "server", KINDS,
         "the redirect to https://example.com/ becomes one to http://example.com/"),
        ("127.0.0.1:3001 backup", "127.0.0.1:3002", "location @named", KINDS,
         "it goes to http://app (127.0.0.1:3000, 127.0.0.1:3002) instead of http://app (127.0.0.1:3000, "),
        ("'' close", "'' ''", "location /ws", ("GET", "POST"), "Connection is no longer sent (was close)"),
        ("listen 8080", "listen 8081", "server", KINDS, "redirected 301 becomes closed"),
    ],
)  # fmt: skip
def test_each_kind_of_change_is_said_in_a_clause(
    old: str, new: str, location: str, kinds: tuple[str, ...], clause: str
) -> None:
    route = by_location(swapped((old, new)))[location]
    assert route.change == "changed"
    found = clauses(route)
    assert set(found) == set(kinds)
    assert all(any(one.startswith(clause) for one in said) for said in found.values())


def test_the_values_of_secrets_are_never_shown() -> None:
    old = SITE.replace("proxy_read_timeout 1h;", "proxy_set_header Authorization 'Basic one';")
    new = SITE.replace("proxy_read_timeout 1h;", "proxy_set_header Authorization 'Basic two';")
    (route,) = compared(old, new).touched
    assert "Authorization: *** becomes ***" in clauses(route)["GET"]


def test_added_and_removed_locations_are_compared_with_what_answers_without_them() -> None:
    found = swapped(("location = /exact { return 204; }", "location /new { return 410; }"))
    routes = by_location(found)
    assert (routes["location /new"].change, routes["location = /exact"].change) == ("added", "removed")
    assert routes["location /new"].old is None
    assert routes["location = /exact"].new is None
    assert "becomes returned 410" in clauses(routes["location /new"])["GET"][0]
    assert "returned 204 becomes proxied" in clauses(routes["location = /exact"])["GET"][0]
    assert routes["location /"].change == "same"


def test_a_location_that_shadows_another_is_noticed_at_both() -> None:
    found = swapped(("location = /exact", "location = /ws { return 410; }\n        location = /exact"))
    routes = by_location(found)
    assert routes["location = /ws"].change == "added"
    assert routes["location /ws"].websocket == "broken"
    assert "proxied to" in clauses(routes["location /ws"])["handshake"][0]


def test_a_new_server_that_takes_the_hosts_of_an_untouched_one_is_noticed() -> None:
    new = "server { listen 80; server_name example.com; return 403; }\n    server {\n        listen 80;"
    found = swapped(("server {\n        listen 80;", new))
    untouched = [route for route in found.routes if route.location == "location /ws"]
    assert [(route.change, route.websocket) for route in untouched] == [("changed", "broken")]


def test_what_no_outcome_shows_is_listed_all_the_same() -> None:
    found = swapped(("root /srv/www", "root /srv/other"))
    assert (found.class_, found.exit_code) == ("settings", 1)
    touched = {route.location: route for route in found.touched}
    assert len(touched) == len(LOCATIONS) - 1
    assert touched["location /"].settings == ("root /srv/www becomes root /srv/other",)
    assert {route.change for route in found.touched} == {"settings"}
    for old, new in (("expires 7d", "expires 8d"), ("server_name example.com", "server_name example.net example.com")):
        assert swapped((old, new)).class_ == "settings"


def test_a_setting_that_only_moves_to_another_level_is_the_same() -> None:
    old = SITE.replace("listen 8080;", "root /srv/www; listen 8080;")
    new = SITE.replace("root /srv/www;", "").replace("http {", "http { root /srv/www;")
    assert compared(old, new).class_ == "same"


def test_lua_and_other_blocks_in_a_route_count() -> None:
    old = SITE.replace("return 204;", "content_by_lua_block { ngx.say('a') }")
    new = SITE.replace("return 204;", "content_by_lua_block { ngx.say('b') }")
    found = compared(old, new)
    assert found.class_ != "same"
    assert [route.location for route in found.touched] == ["location = /exact"]


@pytest.mark.parametrize(
    ("old", "new", "clause"),
    [
        ("events {}", "events { worker_connections 9; }", "events says something else"),
        ("events {}", "worker_processes 4; events {}", "worker_processes 4 is new"),
        ("http {", "http { limit_req_zone $a zone=b:1m rate=1r/s;", "limit_req_zone $a zone=b:1m rate=1r/s is new"),
        ("default upgrade;", "default upgrade; x y;", "map $http_upgrade $connection_upgrade says something else"),
    ],
)
def test_what_differs_outside_the_servers_is_listed(old: str, new: str, clause: str) -> None:
    found = swapped((old, new))
    assert clause in found.around
    assert found.exit_code == 1


def test_what_only_run_time_knows_is_unknown_and_not_the_same() -> None:
    old = SITE.replace("return 204;", "content_by_lua_block { ngx.exit(204) }")
    found = compared(old, old.replace("'' close", "'' \"\""))
    route = by_location(found)["location = /exact"]
    assert (route.change, route.websocket) == ("unknown", "same")
    assert route.requests[0].differences == ()
    assert "content_by_lua_block" in route.requests[0].unknown[0].reason
    only = "events {}\nhttp { server { location / { content_by_lua_block { ngx.exit(204) } } } #\n}\n"
    found = compared(only, only.replace("#", "server { listen 81; }"))
    assert found.class_ == "changed"
    found = compared(only, only.replace("http {", "http { log_format x y;"))
    assert (found.class_, found.exit_code) == ("unknown", 2)


def test_a_file_that_cannot_be_read_makes_its_server_unknown() -> None:
    text = "events {}\nhttp { server { include gone.conf; location / { return 204; } } }\n"
    found = compared(text, text)
    assert (found.class_, found.exit_code) == ("unknown", 2)
    reasons = [unknown.reason for unknown in by_location(found)["location /"].requests[0].unknown]
    assert any(reason.startswith('"gone.conf" could not be read') for reason in reasons)


def test_a_configuration_that_nginx_would_refuse_is_called_so_first() -> None:
    found = compared(SITE, SITE[:-3])
    assert (found.class_, found.exit_code) == ("refused", 1)
    assert "unexpected end of file" in found.problems[0].message
    assert compared(SITE[:-3], SITE).class_ != "refused"


def test_servers_are_paired_by_address_and_name_then_by_what_is_left_of_them() -> None:
    first, second, third = (
        f"server {{ listen {n}; {name} }}" for n, name in ((1, "server_name a;"), (2, "server_name b c;"), (3, ""))
    )
    old = config(f"events {{}} http {{ {first} {second} {third} }}")
    moved, renamed = first.replace("1", "9"), second.replace("b c", "c d")
    new = config(f"events {{}} http {{ {renamed} {third} {moved} }}")
    pairs = pair_servers(old, new)
    assert [(one.all("listen")[0].args[0] if one else None) for one, _ in pairs] == ["2", "3", "1"]
    twins = config("events {} http { server { listen 1; return 200; } server { listen 1; return 201; } }")
    assert [one is other for one, other in pair_servers(twins, twins)] == [True, True]


def test_deeply_nested_blocks_are_compared_without_recursion() -> None:
    depth = 3000
    text = f"events {{}}\nhttp {{ include x; server {{ {'location / { ' * depth} return 204; {'}' * depth} }} }}\n"
    one, other = (config(text, x="# x\n") for _ in range(2))
    assert same_text(one.servers[0], other.servers[0])


PARTS = st.lists(
    st.sampled_from(
        [
            "location /a { proxy_pass http://127.0.0.1:1; }",
            "location /a { proxy_pass http://127.0.0.1:2; }",
            "location /b { return 204; }",
            "location = /b { return 205; }",
            "location ~ ^/c { proxy_pass http://127.0.0.1:3; }",
            "location / { proxy_pass http://$host; }",
            "proxy_set_header Upgrade $http_upgrade;",
            "root /x;",
            "return 301 /y;",
        ]
    ),
    max_size=5,
    unique=True,
)


@settings(max_examples=40)
@given(PARTS, PARTS)
def test_every_route_of_both_is_in_the_table_once_and_sameness_has_no_direction(old: list[str], new: list[str]) -> None:
    one, other = (config(f"events {{}}\nhttp {{ server {{ {' '.join(parts)} }} }}\n") for parts in (old, new))
    there, back = compare_configs(one, other, BUILD), compare_configs(other, one, BUILD)
    for item, before, after in ((there, one, other), (back, other, one)):
        listed = [route.location for route in item.routes]
        for config_ in (before, after):
            wanted = [route for server in config_.servers for route in keyed_routes(server).values()]
            assert len(listed) >= len(wanted)
        assert len({(route.location, id(route.old), id(route.new)) for route in item.routes}) == len(listed)
    assert (there.class_ == "same") == (back.class_ == "same")
    if old == new:
        assert there.class_ == "same"


@settings(max_examples=40)
@given(PARTS)
def test_layout_never_makes_a_difference(parts: list[str]) -> None:
    text = f"events {{}}\nhttp {{ server {{ {' '.join(parts)} }} }}\n"
    assert compare_configs(config(text), config(text.replace(" }", "\n}")), EVERY).class_ == "same"
