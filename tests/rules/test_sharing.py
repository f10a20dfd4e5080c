"""Routes that are written alike share one answer, and it is the one each of them would get by itself."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rules.real import BUILDS, config_of
from ws101.nginx.config import Config, Route
from ws101.nginx.trace import answer
from ws101.rules.base.context import Context, Shared
from ws101.rules.base.options import Options
from ws101.rules.base.sharing import signature
from ws101.rules.base.urls import handshake_request

LINES = (
    "proxy_http_version 1.1;",
    "proxy_set_header Upgrade $http_upgrade;",
    "proxy_set_header Connection $connection_upgrade;",
    "proxy_set_header Connection $named;",
    "proxy_set_header Connection $proxy_host;",
    "proxy_set_header X-Name $server_name;",
    "if ($server_port = 81) { return 403; }",
    "rewrite ^/(.*)$ /other/$1 last;",
    "try_files /none @last;",
    "deny all;",
    "return 204;",
    "set $named upgrade;",
)
HEADS = ("/", "/ws", "= /ws", "/ws/", "~ ^/(live)", "@last", "/other/")
PASSES = ("http://a", "http://b", "http://b/", "https://a", "http://$server_name", "http://upgrade")
MAPS = (
    "map $http_upgrade $connection_upgrade { default upgrade; '' close; }\n",
    "map $server_name $connection_upgrade { a upgrade; default close; }\n",
)


def subset() -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(LINES), max_size=4, unique=True).map(" ".join)


@st.composite
def servers(draw: st.DrawFn, name: str, port: int, bodies: list[str]) -> str:
    heads = draw(st.lists(st.sampled_from(HEADS), min_size=1, max_size=3, unique=True))
    text = f"listen {port}; server_name {name}; {draw(st.sampled_from(bodies))}"
    for head in heads:
        body, target = draw(st.sampled_from(bodies)), draw(st.sampled_from(PASSES))
        text += f" location {head} {{ {body} proxy_pass {target}; }}"
    return f"server {{ {text} }}\n"


@st.composite
def configurations(draw: st.DrawFn) -> Config:
    bodies = draw(st.lists(subset(), min_size=1, max_size=2))
    text = "".join(draw(servers(name, port, bodies)) for name, port in (("a", 80), ("b", 81), ("c", 82)))
    upstreams = "upstream a { server 127.0.0.1:1; }\nupstream b { server 127.0.0.1:2; keepalive 2; }\n"
    return config_of({"nginx.conf": f"events {{}}\nhttp {{\n{draw(st.sampled_from(MAPS))}{upstreams}{text}}}\n"})


def by_itself(route: Route) -> tuple[bool | None, str | None]:
    found = answer(route, handshake_request(), BUILDS[0])
    forwarded = found.outcome.forwarded
    if forwarded is None:
        return (None if found.outcome.kind == "unknown" else False), None
    return forwarded.tunnel, forwarded.upstream.url if forwarded.upstream is not None else None


@settings(max_examples=150, deadline=None)
@given(configurations())
def test_a_shared_answer_is_the_one_each_route_would_get(config: Config) -> None:
    context = Context(Shared(config, (BUILDS[0],), Options()), BUILDS[0])
    for route in context.shared.proxied:
        found = context.answer(route)
        assert (found.tunnel, found.upstream) == by_itself(route)


def routes_of(text: str) -> tuple[Route, ...]:
    config = config_of({"nginx.conf": f"events {{}}\nhttp {{ {text} }}\n"})
    return Shared(config, (BUILDS[0],), Options()).proxied


def test_names_addresses_and_backends_make_no_difference() -> None:
    one, other = routes_of(
        "server { listen 80; server_name a; root /a; location /ws { proxy_pass http://127.0.0.1:1; } }"
        "server { listen 81; server_name b; root /b; location /ws { proxy_pass http://127.0.0.1:2; } }"
    )
    assert signature(one)[0] == signature(other)[0] is not None
    assert (signature(one)[1], signature(other)[1]) == ("http://127.0.0.1:1", "http://127.0.0.1:2")


@pytest.mark.parametrize(
    "text",
    [
        "server { location /ws { proxy_pass http://$host; } }",
        "server { location / { location /ws { proxy_pass http://127.0.0.1:1; } } }",
        "server { location /ws { if ($http_upgrade) { proxy_pass http://127.0.0.1:1; } } }",
        "server { location /ws { proxy_pass http://127.0.0.1:1; proxy_set_header Connection $server_name; } }",
        "server { set $c $server_port; location /ws { proxy_pass http://127.0.0.1:1; } }",
        "map $server_name $c { a b; } server { location /ws { proxy_pass http://127.0.0.1:1; } }",
    ],
)
def test_what_may_differ_between_servers_is_not_shared(text: str) -> None:
    assert [signature(route)[0] for route in routes_of(text)] == [None]
