"""What works is left alone: no error, no warning, no edit.  Each of these forms is proven to work on a real nginx."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.rules.real import BACKEND, BUILDS, config_of, handshake
from ws101.check import check
from ws101.findings import Level
from ws101.fix import fix
from ws101.host.binary import NginxBinary
from ws101.lab.backends import Recorder
from ws101.lab.nginx import Nginx
from ws101.lab.ports import free_ports
from ws101.rules.base.options import Options

P = f"proxy_pass http://{BACKEND};"
T = "proxy_read_timeout 1h;"
V = "proxy_http_version 1.1;"
U = "proxy_set_header Upgrade $http_upgrade;"
C = "proxy_set_header Connection $connection_upgrade;"
FULL = f"{V} {U} {C} {T}"

SERVERS = {
    "headers in the location": f"location /ws {{ {P} {FULL} }}",
    "headers inherited from the server": f"{FULL} location /ws {{ {P} }}",
    "headers from an include": f"location /ws {{ include upgrade.inc; {P} }}",
    "headers from an include of the server": f"include upgrade.inc; location /ws {{ {P} }}",
    "lower-case header names": (
        f"location /ws {{ {P} {V} proxy_set_header upgrade $http_upgrade; "
        f"proxy_set_header connection $connection_upgrade; {T} }}"
    ),
    "upper-case header names": (
        f"location /ws {{ {P} {V} proxy_set_header UPGRADE $http_upgrade; "
        f"proxy_set_header CONNECTION $connection_upgrade; {T} }}"
    ),
    "a variable's name in another case": (
        f"location /ws {{ {P} {V} proxy_set_header Upgrade $http_Upgrade; "
        f"proxy_set_header Connection $Connection_Upgrade; {T} }}"
    ),
    "braces around the variable": (
        f'location /ws {{ {P} {V} proxy_set_header Upgrade "${{http_upgrade}}"; '
        f'proxy_set_header Connection "${{connection_upgrade}}"; {T} }}'
    ),
    "literal values": (
        f"location = /ws {{ {P} {V} proxy_set_header Upgrade websocket; proxy_set_header Connection upgrade; {T} }}"
    ),
    "a literal Upgrade in another case": (
        f"location = /ws {{ {P} {V} proxy_set_header Upgrade WebSocket; proxy_set_header Connection Upgrade; {T} }}"
    ),
    "Connection with two options": (
        f'location /ws {{ {P} {V} {U} proxy_set_header Connection "upgrade, close"; {T} }}'
    ),
    "the client's own Connection": (
        f"location /ws {{ {P} {V} {U} proxy_set_header Connection $http_connection; {T} }}"
    ),
    "Connection from set": (f"location /ws {{ set $c upgrade; {P} {V} {U} proxy_set_header Connection $c; {T} }}"),
    "set in the server": (f"set $c upgrade; location /ws {{ {P} {V} {U} proxy_set_header Connection $c; {T} }}"),
    "a map under another name": (f"location /ws {{ {P} {V} {U} proxy_set_header Connection $its_own_name; {T} }}"),
    "a map of a map": f"location /ws {{ {P} {V} {U} proxy_set_header Connection $twice; {T} }}",
    "a map that passes websocket alone": (
        f"location /ws {{ {P} {V} proxy_set_header Upgrade $only_websocket; {C} {T} }}"
    ),
    "a named location": f"location /ws {{ try_files /nothing @ws; }} location @ws {{ {P} {FULL} }}",
    "error_page into a named location": (
        f"location /ws {{ error_page 418 = @ws; return 418; }} location @ws {{ {P} {FULL} }}"
    ),
    "literal values where only handshakes are sent": (
        f"location / {{ error_page 418 = @ws; if ($http_upgrade ~* websocket) {{ return 418; }} {P} }} "
        f'location @ws {{ {P} {V} {U} proxy_set_header Connection "upgrade, close"; {T} }}'
    ),
    "an if with its own proxy_pass": (
        f"location /ws {{ {FULL} if ($http_upgrade) {{ {P} }} return 404; }}".replace(" return 404;", f" {P}")
    ),
    "a rewrite to another location": f"location /ws {{ rewrite ^ /inner last; }} location /inner {{ {P} {FULL} }}",
    "a rewrite that stays": f"location /ws {{ rewrite ^/ws(.*)$ /app$1 break; {P} {FULL} }}",
    "a regex location": f"location ~ ^/(ws|chat)$ {{ {P} {FULL} }}",
    "a regex that takes over": f"location /ws {{ return 404; }} location ~ ^/ws {{ {P} {FULL} }}",
    "a prefix that forbids regexes": f"location ^~ /ws {{ {P} {FULL} }} location ~ w {{ return 404; }}",
    "an exact location": f"location = /ws {{ {P} {FULL} }} location / {{ return 404; }}",
    "a nested location": f"location / {{ return 404; location /ws {{ {P} {FULL} }} }}",
    "nested and inherited": f"location /w {{ {FULL} location /ws {{ {P} }} return 404; }}",
    "an upstream block": f"location /ws {{ proxy_pass http://app; {FULL} }}",
    "a proxy_pass with a path": f"location /ws {{ proxy_pass http://{BACKEND}/app; {FULL} }}",
    "a proxy_pass in a variable": f"location /ws {{ set $to {BACKEND}; proxy_pass http://$to; {FULL} }}",
    "a variable and the whole URI": (
        f"location /ws {{ set $to {BACKEND}; proxy_pass http://$to$request_uri; {FULL} }}"
    ),
    "a slash at both ends": f"location /ws/ {{ proxy_pass http://{BACKEND}/; {FULL} }}",
    "proxy buffering": f"proxy_buffering on; gzip on; location /ws {{ {P} {FULL} }}",
    "extensions cleared": f'location /ws {{ {P} {FULL} proxy_set_header Sec-WebSocket-Extensions ""; }}',
    "a mirror": f"location /ws {{ mirror /mirror; {P} {FULL} }} location /mirror {{ internal; return 204; }}",
    "plain requests refused": (f"location /ws {{ if ($http_upgrade != websocket) {{ return 426; }} {P} {FULL} }}"),
    "a location beside it without the fields": f"location / {{ {P} }} location /ws {{ {P} {FULL} }}",
    "a location beside it that resets the list": (
        f"{FULL} location / {{ {P} proxy_set_header X-A b; }} location /ws {{ {P} }}"
    ),
    "keepalive for plain requests beside it": (
        f'location / {{ {P} {V} proxy_set_header Connection ""; }} location /ws {{ {P} {FULL} }}'
    ),
    "news is no hint": f"location /news {{ {P} }} location /ws {{ {P} {FULL} }}",
    "a heartbeat declared": (f"location /ws {{ # ws101: heartbeat 20s\n {P} {V} {U} {C} }}"),
    "a heartbeat declared above": (f"# ws101: heartbeat 20s\n location /ws {{ {P} {V} {U} {C} }}"),
    "all headers restated": (
        f"proxy_set_header Host $host; {U} {C} location /ws {{ {P} {V} {U} {C} {T} proxy_set_header Host $http_host; }}"
    ),
    "quotes everywhere": (
        f"location '/ws' {{ {P} 'proxy_http_version' '1.1'; 'proxy_set_header' 'Upgrade' '$http_upgrade'; "
        f'"proxy_set_header" "Connection" "$connection_upgrade"; {T} }}'
    ),
    "a client body limit": f"client_max_body_size 1k; location /ws {{ {P} {FULL} }}",
    "an add_header": f"add_header X-Frame-Options DENY always; location /ws {{ {P} {FULL} }}",
    "Host as it came": f"location /ws {{ {P} {FULL} proxy_set_header Host $http_host; }}",
    "Host on the usual port": f"location /ws {{ {P} {FULL} proxy_set_header Host $host; }}",
    "a Host of the application's own": f"location /ws {{ {P} {FULL} proxy_set_header Host app.internal; }}",
    "localhost, which is tried twice": f"location /ws {{ proxy_pass http://localhost:3000; {FULL} }}",
    "one server of two is down": f"location /ws {{ proxy_pass http://half; {FULL} }}",
    "a limit with room": f"location /ws {{ limit_req zone=r burst=50 nodelay; limit_conn c 50; {P} {FULL} }}",
    "a limit that is only tried out": f"location /ws {{ limit_req zone=r; limit_req_dry_run on; {P} {FULL} }}",
    "larger buffers": f"large_client_header_buffers 8 32k; location /ws {{ {P} {FULL} }}",
    "a path in front of a path": f"location /ws/ {{ proxy_pass http://{BACKEND}/app/ws/; {FULL} }}",
    "a path kept below a site that keeps it": f"location /a/ {{ {P} }} location /a/ws {{ {P} {FULL} }}",
    "a library at the root and below": (
        f"location /a/socket.io/ {{ {P} {FULL} }} location /socket.io/ {{ {P} {FULL} }} location /ws {{ {P} {FULL} }}"
    ),
    "an add_header of the same name beside the right fields": (
        f"location /ws {{ {P} {FULL} add_header Upgrade $http_upgrade; }}"
    ),
    "underscores and sizes": f"underscores_in_headers off; client_header_buffer_size 4k; location /ws {{ {P} {FULL} }}",
    "a protected page on another backend": (
        f"location /admin {{ deny all; proxy_pass http://127.0.0.1:9; }} location /ws {{ {P} {FULL} }}"
    ),
    "a name for everybody": f"server_name _; location /ws {{ {P} {FULL} }}",
    "the client's address behind a proxy": (
        f"location /ws {{ {P} {FULL} proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; "
        "proxy_set_header X-Forwarded-Proto $scheme; }"
    ),
    "a second try forbidden to one address": f"location /ws {{ proxy_next_upstream off; {P} {FULL} }}",
    "if without a return after it": f"location /ws {{ {FULL} {P} if ($http_upgrade = websocket) {{ {P} }} }}",
}

PATHS = {
    "a slash at both ends": "/ws/",
    "a path in front of a path": "/ws/",
    "a path kept below a site that keeps it": "/a/ws",
}

PREAMBLE = f"""
    map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
    map $http_upgrade $its_own_name {{ websocket Upgrade; default ''; }}
    map $connection_upgrade $twice {{ upgrade upgrade; default ''; }}
    map $http_upgrade $only_websocket {{ ~*^websocket$ websocket; default ''; }}
    upstream app {{ server {BACKEND}; keepalive 8; }}
    upstream half {{ server {BACKEND}; server 127.0.0.1:9 down; }}
    limit_req_zone $binary_remote_addr zone=r:1m rate=5r/s;
    limit_conn_zone $binary_remote_addr zone=c:1m;
"""
INCLUDE = f"{V}\n{U}\n{C}\n{T}\n"

WHOLE = {
    "headers inherited from http": f"http {{ {PREAMBLE} {FULL} server {{ listen 80; location /ws {{ {P} }} }} }}",
    "Windows line ends": f"http {{\r\n{PREAMBLE}\r\nserver {{ listen 80;\r\nlocation /ws {{ {P}\r\n{FULL} }} }} }}\r\n",
    "the map after its use": f"http {{ server {{ listen 80; location /ws {{ {P} {FULL} }} }} {PREAMBLE} }}",
    "two servers, the headers in one": (
        f"http {{ {PREAMBLE} server {{ listen 80; location /ws {{ {P} {FULL} }} }} "
        f"server {{ listen 80; server_name other.test; location / {{ {P} }} }} }}"
    ),
}


def whole(body: str) -> dict[str, str]:
    text = f"events {{}}\nhttp {{ {PREAMBLE} server {{ listen 80; {body} }} }}\n"
    return {"nginx.conf": text, "upgrade.inc": INCLUDE}


ALL = {
    **{name: whole(body) for name, body in SERVERS.items()},
    **{n: {"nginx.conf": f"events {{}}\n{t}"} for n, t in WHOLE.items()},
}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("told", [True, False], ids=["told", "untold"])
def test_a_working_form_gets_no_finding_and_no_edit(name: str, told: bool) -> None:
    options = Options(urls=(f"ws://example.com{PATHS.get(name, '/ws')}",) if told else ())
    for build in (BUILDS[0], BUILDS[-1]):
        config = config_of(ALL[name])
        assert config.problems == ()
        report = check(config, (build,), options)
        assert [(f.rule, f.message) for f in report.findings if f.level is not Level.NOTE] == []
        assert dict(fix(config, (build,), options).texts) == {}


@pytest.fixture(scope="module")
def backend() -> Iterator[Recorder]:
    with Recorder() as recorder:
        yield recorder


def test_every_form_works_on_a_real_nginx(binary: NginxBinary, backend: Recorder) -> None:
    ports = free_ports(len(SERVERS))
    servers = "".join(
        f"server {{ listen 127.0.0.1:{port}; {body} }}\n" for port, body in zip(ports, SERVERS.values(), strict=True)
    )
    temp = "client_body_temp_path t1; proxy_temp_path t2; access_log off;"
    text = f"events {{}}\nhttp {{ {temp} {PREAMBLE} {servers} }}\n".replace(BACKEND, backend.address)
    text = text.replace("localhost:3000", f"localhost:{backend.address.rpartition(':')[2]}")
    if not binary.build.has_module("http_mirror"):
        text = text.replace("mirror /mirror;", "")
    with Nginx({"nginx.conf": text, "upgrade.inc": INCLUDE}, binary=binary):
        for port, name in zip(ports, SERVERS, strict=True):
            assert (name, handshake(port, f"ws://example.com{PATHS.get(name, '/ws')}")) == (name, (101, True))


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_configuration_works_on_a_real_nginx(name: str, binary: NginxBinary, backend: Recorder) -> None:
    (port,) = free_ports(1)
    text = ALL[name]["nginx.conf"].replace("listen 80", f"listen 127.0.0.1:{port}").replace(BACKEND, backend.address)
    with Nginx(text, binary=binary):
        assert handshake(port) == (101, True)
