"""Every cause that only a live site shows, staged with real parts.  Each function builds one broken site."""

from __future__ import annotations

import contextlib
import socket
import time

from tests.live.applications import NODE_WS, SOCKET_IO
from tests.live.staging import GOOD, Parts, Site, accept, answering, plain, stage
from ws101.http1 import Request
from ws101.lab.backends import EchoApp, Recorder, default_answer
from ws101.lab.nginx import until
from ws101.lab.wire import is_opening_handshake

ORIGIN = "https://pages.example"


# below HTTP


@stage("client-wrong-public-port", "the client's URL names a port where nothing listens; nginx has another one")
def wrong_port(parts: Parts) -> Site:
    good = parts.through(parts.app())
    return Site(f"ws://127.0.0.1:{parts.port()}/ws", conf=good.conf)


@stage("client-wrong-public-port", "the host has no address", confidence="likely")
def no_such_name(parts: Parts) -> Site:
    return Site("ws://nobody.invalid/ws")


@stage("tls-certificate-untrusted", "a self-signed certificate")
def self_signed(parts: Parts) -> Site:
    return parts.through(parts.app(), listen=" ssl", more=parts.tls())


@stage("tls-certificate-untrusted", "a certificate that has expired, its issuer known")
def expired(parts: Parts) -> Site:
    return parts.through(parts.app(), listen=" ssl", more=parts.tls(days=-1, signed=True))


@stage("tls-certificate-untrusted", "a certificate for another name, its issuer known")
def other_name(parts: Parts) -> Site:
    return parts.through(parts.app(), listen=" ssl", more=parts.tls("other.example", signed=True))


@stage("tls-not-configured", "wss:// to a listener without ssl")
def no_tls(parts: Parts) -> Site:
    site = parts.through(parts.app())
    return Site(site.url.replace("ws://", "wss://"), conf=site.conf)


@stage("plain-http-to-https-port", "ws:// to a listener with ssl")
def plain_to_tls(parts: Parts) -> Site:
    site = parts.through(parts.app(), listen=" ssl", more=parts.tls())
    return Site(site.url.replace("wss://", "ws://"), conf=site.conf)


@stage("plain-http-to-https-port", "ws:// to a listener with ssl, without a configuration")
def plain_to_tls_remote(parts: Parts) -> Site:
    site = parts.through(parts.app(), listen=" ssl", more=parts.tls())
    return Site(site.url.replace("wss://", "ws://"))


@stage("http2-without-rfc8441", "a listener with http2 and without TLS, nginx 1.22 takes HTTP/2 alone")
def http2_alone(parts: Parts) -> Site:
    return parts.through(parts.app(), listen=" http2", binary=parts.binary((1, 22), (1, 25, 1)))


@stage("proxy-protocol-mismatch", "listen ... proxy_protocol, and a client that does not send it")
def proxy_protocol(parts: Parts) -> Site:
    return parts.through(parts.app(), listen=" proxy_protocol")


@stage("proxy-protocol-mismatch", "the same without a configuration")
def proxy_protocol_remote(parts: Parts) -> Site:
    return Site(parts.through(parts.app(), listen=" proxy_protocol").url)


@stage("proxy-protocol-mismatch", "a load balancer sends the PROXY protocol to a listener that does not expect it")
def proxy_protocol_unwanted(parts: Parts) -> Site:
    port = parts.port()
    text = f"server {{ listen 127.0.0.2:{port}; location /ws {{ proxy_pass http://{parts.app()}; {GOOD} }} }}"
    own = parts.nginx(text)
    parts.balancer(port, ("127.0.0.2", port), b"PROXY TCP4 127.0.0.1 127.0.0.1 65000 80\r\n")
    return Site(f"ws://shop.example:{port}/ws", ("--resolve", f"shop.example:{port}:127.0.0.1"), own.conf_path)


@stage("http2-without-rfc8441", "a TLS port whose ALPN offers HTTP/2 alone")
def http2_by_alpn(parts: Parts) -> Site:
    port = parts.port()
    pem, key = parts.certificate("127.0.0.1")
    parts.python(_H2.replace("PEM", str(pem)).replace("KEY", str(key)), port)
    return Site(f"wss://127.0.0.1:{port}/ws", ("--insecure",))


_H2 = """\
import socket, ssl
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("PEM", "KEY")
context.set_alpn_protocols(["h2"])
listener = socket.create_server(("127.0.0.1", PORT))
while True:
    sock, _ = listener.accept()
    try:
        with context.wrap_socket(sock, server_side=True) as tls:
            tls.sendall(b"\\0\\0\\6\\4\\0\\0\\0\\0\\0\\0\\3\\0\\0\\0\\x64")
            tls.recv(4096)
    except OSError:
        sock.close()
"""


@stage("client-certificate", "ssl_verify_client on, and no certificate is shown")
def client_certificate(parts: Parts) -> Site:
    pem, _ = parts.certificate("ca.example")
    site = parts.through(
        parts.app(), listen=" ssl", more=f"{parts.tls()} ssl_verify_client on; ssl_client_certificate {pem};"
    )
    return Site(site.url, ("--insecure",), site.conf)


@stage("mixed-content-ws-on-https", "the browser's line says that the page was loaded over https")
def mixed_content(parts: Parts) -> Site:
    port = parts.port()
    line = (
        f"Mixed Content: The page at '{ORIGIN}/' was loaded over HTTPS, but attempted to connect to the insecure "
        f"WebSocket endpoint 'ws://shop.example:{port}/ws'. This request has been blocked"
    )
    good = parts.through(parts.app())
    real = good.url.rpartition(":")[2].partition("/")[0]
    return Site(line.replace(f":{port}", f":{real}"), ("--resolve", f"shop.example:{real}:127.0.0.1"), good.conf)


# at the gate


@stage("upstream-unreachable", "nothing listens at the backend's address")
def backend_down(parts: Parts) -> Site:
    return parts.through(f"127.0.0.1:{parts.port()}")


@stage("upstream-unreachable", "the backend's Unix socket is not there")
def no_socket(parts: Parts) -> Site:
    return parts.through(f"unix:{parts.folder}/app.sock:")


@stage("selinux-or-socket-permission", "a Unix socket that nginx's user may not write to")
def closed_socket(parts: Parts) -> Site:
    path = parts.folder / "app.sock"
    parts.app(unix=path)
    parts.folder.chmod(0o755)
    path.chmod(0o600)
    return parts.through(f"unix:{path}:", user="nobody nogroup")


@stage("localhost-ipv6", "localhost is ::1 too, the application listens on 127.0.0.1 alone, one try is allowed")
def only_ipv4(parts: Parts) -> Site:
    app = parts.app()
    port = app.rpartition(":")[2]
    upstream = f"upstream app {{ server [::1]:{port}; server 127.0.0.1:{port}; }}"
    return parts.through("app", "proxy_next_upstream off;", http=upstream)


@stage("stale-upstream-dns", "the backend's name got another address after nginx had started")
def stale_name(parts: Parts) -> Site:
    app = parts.app()
    return parts.with_hosts("backend.internal", "127.0.0.9", "127.0.0.1", app.rpartition(":")[2])


@stage("upstream-scheme-mismatch", "proxy_pass https:// to an application that speaks plain HTTP")
def https_to_plain(parts: Parts) -> Site:
    port = parts.port()
    parts.python(ORIGIN_AIOHTTP, port)
    return parts.site(f"proxy_pass https://127.0.0.1:{port}; {GOOD}")


@stage("upstream-scheme-mismatch", "proxy_pass http:// to an application that speaks TLS")
def http_to_tls(parts: Parts) -> Site:
    inner = parts.through(parts.app(), listen=" ssl", more=parts.tls())
    return parts.through(inner.url.removeprefix("wss://").partition("/")[0])


@stage("upstream-slow-504", "the application is frozen (SIGSTOP), proxy_read_timeout 1s", slow=True)
def frozen_backend(parts: Parts) -> Site:
    port = parts.port()
    parts.frozen(parts.python(_SLEEPER, port))
    return parts.through(f"127.0.0.1:{port}", settings=GOOD.replace("1h", "1s"))


@stage("upstream-slow-504", "the application is frozen (SIGSTOP), and nginx waits for it", slow=True)
def frozen_for_long(parts: Parts) -> Site:
    port = parts.port()
    parts.frozen(parts.python(_SLEEPER, port))
    site = parts.through(f"127.0.0.1:{port}")
    return Site(site.url, ("--timeout", "2"), site.conf)


_SLEEPER = """\
import socket, time
s = socket.create_server(("127.0.0.1", PORT))
time.sleep(600)
"""


@stage("upstream-slow-504", "the backend's address swallows what is sent to it, proxy_connect_timeout 1s", slow=True)
def swallowed(parts: Parts) -> Site:
    listener = parts.stack.enter_context(socket.socket())
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    port = listener.getsockname()[1]
    for _ in range(3):
        waiting = parts.stack.enter_context(socket.socket())
        waiting.setblocking(False)
        waiting.connect_ex(("127.0.0.1", port))
    time.sleep(0.2)
    return parts.through(f"127.0.0.1:{port}", "proxy_connect_timeout 1s;")


@stage("rate-limit", "limit_req, used up by a request a moment before")
def limited(parts: Parts) -> Site:
    site = parts.through(
        parts.app(), "limit_req zone=z;", http="limit_req_zone $binary_remote_addr zone=z:1m rate=1r/s;"
    )
    _ask(site)
    return site


@stage("rate-limit", "limit_conn 1, and another tunnel is open")
def one_connection(parts: Parts) -> Site:
    site = parts.through(parts.app(), "limit_conn z 1;", http="limit_conn_zone $binary_remote_addr zone=z:1m;")
    parts.stack.enter_context(_tunnel(site))
    return site


@stage("worker-connections", "as many tunnels are open as worker_connections allow")
def exhausted(parts: Parts) -> Site:
    site = parts.through(parts.app(), events="worker_connections 8;")
    with contextlib.suppress(OSError):
        for _ in range(8):
            parts.stack.enter_context(_tunnel(site))
    return site


@stage("auth-request-inherits-upgrade", "auth_request to a service that stumbles over Upgrade")
def auth_request(parts: Parts) -> Site:
    guard = parts.app(answering(lambda r: "bad" if r.header("Upgrade") else None, 400, "Bad Request"))
    port = parts.port()
    text = (
        f"server {{ listen 127.0.0.1:{port}; {GOOD} location = /auth {{ internal; proxy_pass http://{guard}; }} "
        f"location /ws {{ auth_request /auth; proxy_pass http://{parts.app()}; }} }}"
    )
    return Site(f"ws://127.0.0.1:{port}/ws", conf=parts.nginx(text).conf_path)


@stage("http-to-https-redirect", "a plain server that redirects to https, where the handshake works; from outside")
def to_https(parts: Parts) -> Site:
    good = parts.through(parts.app(), listen=" ssl", more=parts.tls())
    port = good.url.rpartition(":")[2].partition("/")[0]
    plain_site = parts.site(f"return 301 https://127.0.0.1:{port}$request_uri;")
    return Site(plain_site.url)


@stage("location-slash-redirect", "location /ws/ and a client that opens /ws; from outside")
def slash_redirect(parts: Parts) -> Site:
    site = parts.through(parts.app(), path="/ws/")
    return Site(site.url.removesuffix("/"))


@stage("proxy-hide-upgrade-header", "proxy_hide_header Upgrade: 101 for nginx, an error for clients")
def hidden_upgrade(parts: Parts) -> Site:
    return parts.through(parts.app(), "proxy_hide_header Upgrade;")


@stage("backend-handshake-invalid", "an application that computes a wrong Sec-WebSocket-Accept")
def wrong_accept(parts: Parts) -> Site:
    head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    app = parts.stack.enter_context(Recorder(f"{head}Sec-WebSocket-Accept: AAAA\r\n\r\n".encode()))
    return parts.through(app.address)


# on the way through


@stage("backend-exact-connection-match", "an application that wants Connection to be exactly Upgrade")
def exact_match(parts: Parts) -> Site:
    app = parts.app(
        answering(lambda r: None if r.header("Connection") == "Upgrade" else "no upgrade", 400, "Bad Request")
    )
    return parts.through(app)


@stage("backend-exact-connection-match", "the same, asked by Firefox", verdict="broken")
def exact_match_firefox(parts: Parts) -> Site:
    app = parts.app(
        answering(lambda r: None if r.header("Connection") == "Upgrade" else "no upgrade", 400, "Bad Request")
    )
    return Site(f"ws://{app}/ws")


@stage("host-not-forwarded", "no Host is set, and the application compares it with Origin")
def host_lost(parts: Parts) -> Site:
    app = parts.app(answering(_origin_is_host))
    site = parts.through(app, settings=GOOD.replace("proxy_set_header Host $http_host;", ""))
    return Site(site.url, ("--origin", site.url.replace("ws://", "http://").removesuffix("/ws")), site.conf)


@stage("host-port-lost", "Host $host drops the port, and the application compares it with Origin")
def port_lost(parts: Parts) -> Site:
    app = parts.app(answering(_origin_is_host))
    site = parts.through(app, settings=GOOD.replace("$http_host", "$host"))
    return Site(site.url, ("--origin", site.url.replace("ws://", "http://").removesuffix("/ws")), site.conf)


@stage("host-port-lost", "the same, and the client says no Origin: found as a browser would send it")
def port_lost_for_browsers(parts: Parts) -> Site:
    app = parts.app(answering(_origin_is_host))
    return parts.through(app, settings=GOOD.replace("$http_host", "$host"))


@stage("host-not-forwarded", "no configuration: --direct tells that the backend's own Host is refused")
def host_lost_remote(parts: Parts) -> Site:
    app = parts.app(answering(_origin_is_host))
    site = parts.through(app, settings=GOOD.replace("proxy_set_header Host $http_host;", ""))
    origin = site.url.replace("ws://", "http://").removesuffix("/ws")
    return Site(site.url, ("--origin", origin, "--direct", f"ws://{app}/ws"))


def _origin_is_host(request: Request) -> str | None:
    origin = request.header("Origin")
    return (
        None if origin is None or origin.partition("://")[2] == request.header("Host") else "request origin not allowed"
    )


@stage("trusted-proxies-400", "an application that refuses X-Forwarded-For from a proxy it does not know")
def stranger(parts: Parts) -> Site:
    app = parts.app(answering(lambda r: "bad request" if r.header("X-Forwarded-For") else None, 400, "Bad Request"))
    return parts.through(app, "proxy_set_header X-Forwarded-For $remote_addr;")


@stage("trusted-proxies-400", "the same without a configuration, with --direct")
def stranger_remote(parts: Parts) -> Site:
    app = parts.app(answering(lambda r: "bad request" if r.header("X-Forwarded-For") else None, 400, "Bad Request"))
    site = parts.through(app, "proxy_set_header X-Forwarded-For $remote_addr;")
    return Site(site.url, ("--direct", f"ws://{app}/ws"))


@stage("proxy-pass-trailing-slash", "location /ws and proxy_pass with / : the backend is asked for /")
def slash(parts: Parts) -> Site:
    app = parts.app(answering(lambda r: None if r.target == "/ws" else "not here", 404, "Not Found"))
    return parts.site(f"proxy_pass http://{app}/; {GOOD}")


@stage("path-prefix-not-stripped", "the application is mounted at /ws, published at /app/ws")
def prefix(parts: Parts) -> Site:
    app = parts.app(answering(lambda r: None if r.target == "/ws" else "not here", 404, "Not Found"))
    site = parts.site(f"proxy_pass http://{app}; {GOOD}", path="/app/")
    return Site(site.url.removesuffix("/app/") + "/app/ws", conf=site.conf)


@stage(
    "upgrade-not-forwarded",
    "from outside, with the backend's address: several replays get the same answer",
    confidence="likely",
)
def spoilt(parts: Parts) -> Site:
    app = parts.story()
    site = parts.site(f"proxy_pass http://{app.address};")
    return Site(site.url, ("--direct", f"ws://{app.address}/ws"))


@stage("upgrade-not-forwarded", "from outside, and nothing is known but the answer", confidence="possible")
def spoilt_unknown(parts: Parts) -> Site:
    return Site(parts.site(f"proxy_pass http://{parts.story().address};").url)


# the application


@stage("app-origin-allowlist", "an application with a list of origins; the page's is not on it")
def origin_list(parts: Parts) -> Site:
    app = parts.app(answering(lambda r: None if r.header("Origin") in (None, "https://good.example") else "forbidden"))
    site = parts.through(app)
    return Site(site.url, ("--origin", ORIGIN), site.conf)


@stage("app-origin-allowlist", "the same without a configuration")
def origin_list_remote(parts: Parts) -> Site:
    site = origin_list(parts)
    return Site(site.url, site.args)


@stage("app-origin-allowlist", "aiohttp refuses every foreign Origin, and a missing one")
def origin_required(parts: Parts) -> Site:
    port = parts.port()
    parts.python(ORIGIN_AIOHTTP, port)
    site = parts.through(f"127.0.0.1:{port}")
    return Site(site.url, (), site.conf)


ORIGIN_AIOHTTP = """\
from aiohttp import web
async def ws(request):
    if request.headers.get("Origin", "").partition("://")[2] != request.headers["Host"]:
        raise web.HTTPForbidden(text="Cross origin websockets not allowed")
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data)
    return socket
app = web.Application()
app.router.add_get("/ws", ws)
web.run_app(app, host="127.0.0.1", port=PORT, print=None)
"""


@stage("backend-not-websocket-capable", "uvicorn without a WebSocket library")
def uvicorn_without_library(parts: Parts) -> Site:
    port = parts.port()
    parts.python(_UVICORN, port)
    return parts.through(f"127.0.0.1:{port}")


_UVICORN = """\
import uvicorn
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 404, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"Not Found"})
uvicorn.run(app, host="127.0.0.1", port=PORT, ws="none", lifespan="off", log_level="critical")
"""


@stage("backend-not-websocket-capable", "a web server that knows no WebSockets has the backend's port")
def not_capable(parts: Parts) -> Site:
    return parts.through(parts.app(plain(404, "Not Found", "nothing here")))


@stage("backend-not-websocket-capable", "one of two servers of the upstream is another application; the first is asked")
def uneven_first(parts: Parts) -> Site:
    servers = f"server {parts.app(plain(404, 'Not Found', 'nothing here'))}; server {parts.app()};"
    return parts.through("app", http=f"upstream app {{ {servers} }}")


@stage(
    "backend-not-websocket-capable",
    "one of two servers of the upstream is another application; the other is asked",
    verdict="degraded",
)
def uneven_second(parts: Parts) -> Site:
    servers = f"server {parts.app()}; server {parts.app(plain(404, 'Not Found', 'nothing here'))};"
    return parts.through("app", http=f"upstream app {{ {servers} }}")


@stage("intermittent", "the same from outside: every other handshake fails", verdict="degraded")
def every_other(parts: Parts) -> Site:
    return Site(uneven_second(parts).url)


@stage("backend-redirect", "the application redirects to a login page")
def login(parts: Parts) -> Site:
    return parts.through(parts.app(plain(302, "Found", "", ("Location", "/login"))))


@stage("x-forwarded-proto-missing", "the application redirects to https, because it does not learn of TLS")
def force_ssl(parts: Parts) -> Site:
    def answer(request: Request) -> bytes:
        if request.header("X-Forwarded-Proto") == "https":
            return default_answer(request)
        return plain(301, "Moved Permanently", "", ("Location", f"https://{request.header('Host')}/ws"))

    site = parts.through(parts.app(answer), listen=" ssl", more=parts.tls())
    return Site(site.url, ("--insecure",), site.conf)


@stage("subprotocol-mismatch", "the client offers chat.v2, the application chooses none")
def no_subprotocol(parts: Parts) -> Site:
    site = parts.through(parts.app())
    return Site(site.url, ("--subprotocol", "chat.v2"), site.conf)


@stage("subprotocol-mismatch", "the application refuses an unknown subprotocol with 400")
def refused_subprotocol(parts: Parts) -> Site:
    app = parts.app(answering(lambda r: "bad" if r.header("Sec-WebSocket-Protocol") else None, 400, "Bad Request"))
    site = parts.through(app)
    return Site(site.url, ("--subprotocol", "chat.v2"), site.conf)


@stage("header-too-large", "a cookie larger than large_client_header_buffers")
def large_cookie(parts: Parts) -> Site:
    site = parts.through(parts.app())
    return Site(site.url, ("--header", "Cookie: jwt=" + "x" * 9000), site.conf)


@stage("header-too-large", "a token in the query, too long for a line")
def large_query(parts: Parts) -> Site:
    site = parts.through(parts.app())
    return Site(site.url + "?token=" + "x" * 9000, (), site.conf)


@stage("header-too-large", "Node takes 16 KiB of header fields, and answers 431")
def large_for_node(parts: Parts) -> Site:
    port = parts.port()
    parts.node(NODE_WS, port)
    site = parts.through(f"127.0.0.1:{port}", more="large_client_header_buffers 4 64k;")
    return Site(site.url, ("--header", "Cookie: jwt=" + "x" * 20000), site.conf)


@stage("client-path-mismatch", "ws for Node has its WebSocket at /ws, the client opens /ws/")
def node_path(parts: Parts) -> Site:
    port = parts.port()
    parts.node(NODE_WS, port)
    site = parts.through(f"127.0.0.1:{port}", path="/ws/")
    return Site(site.url, (), site.conf)


@stage("no-sticky-sessions", "two Socket.IO processes behind one upstream, round robin", verdict="degraded")
def two_processes(parts: Parts) -> Site:
    ports = [parts.port(), parts.port()]
    for port in ports:
        parts.node(SOCKET_IO, port)
    servers = " ".join(f"server 127.0.0.1:{port};" for port in ports)
    site = parts.through("app", http=f"upstream app {{ {servers} }}", path="/socket.io/")
    return Site(f"{site.url}?EIO=4&transport=websocket", conf=site.conf)


@stage("auth-basic", "auth_basic covers the WebSocket's path")
def basic(parts: Parts) -> Site:
    return parts.through(
        parts.app(), "auth_basic area; auth_basic_user_file htpasswd;", files={"htpasswd": "a:{PLAIN}b\n"}
    )


@stage("app-authentication", "the application itself asks for a token")
def token(parts: Parts) -> Site:
    app = parts.app(answering(lambda r: None if r.header("Authorization") else "token missing", 401, "Unauthorized"))
    return parts.through(app)


@stage(
    "connection-always-upgrade",
    "Connection upgrade in every request; the application refuses plain ones",
    verdict="degraded",
)
def always_upgrade(parts: Parts) -> Site:
    def answer(request: Request) -> bytes:
        if is_opening_handshake(request):
            return accept(request)
        upgrade = "upgrade" in (request.header("Connection") or "").lower()
        return plain(400, "Bad Request", "Unsupported upgrade request.") if upgrade else plain(200, "OK", "page")

    return parts.through(parts.app(answer))


# beyond


def behind_something(port: int, app: str) -> str:
    """nginx as it should be, at an address of its own; what the client reaches is something else on the same port."""
    location = f"location /ws {{ proxy_pass http://{app}; {GOOD} }}"
    return f"server {{ listen 127.0.0.2:{port}; server_name shop.example; {location} }}"


@stage("second-proxy-hop", "the backend is a second server of the same nginx, which forwards no Upgrade")
def second_server(parts: Parts) -> Site:
    port, inner, app = parts.port(), parts.port(), parts.story().address
    text = (
        f"server {{ listen 127.0.0.1:{port}; location /ws {{ proxy_pass http://127.0.0.1:{inner}; {GOOD} }} }}\n"
        f"server {{ listen 127.0.0.1:{inner}; location /ws {{ proxy_pass http://{app}; }} }}"
    )
    return Site(f"ws://127.0.0.1:{port}/ws", conf=parts.nginx(text).conf_path)


@stage("second-proxy-hop", "the backend is another nginx, which forwards no Upgrade", confidence="likely")
def second_nginx(parts: Parts) -> Site:
    inner = parts.site(f"proxy_pass http://{parts.story().address};")
    return parts.through(inner.url.removeprefix("ws://").partition("/")[0])


@stage("outer-lb-no-websocket", "a load balancer (another nginx) in front drops the Upgrade; nginx itself is right")
def load_balancer(parts: Parts) -> Site:
    port = parts.port()
    text = behind_something(port, parts.story().address)
    own = parts.nginx(text)
    onward = f"proxy_pass http://127.0.0.2:{port}; proxy_set_header Host $http_host;"
    parts.nginx(f"server {{ listen 127.0.0.1:{port}; location / {{ {onward} }} }}")
    return Site(f"ws://shop.example:{port}/ws", ("--resolve", f"shop.example:{port}:127.0.0.1"), own.conf_path)


@stage("cdn-or-cache", "what stands in front answers with 403 and the marks of a CDN; nginx itself is right")
def cdn(parts: Parts) -> Site:
    port = parts.port()
    text = behind_something(port, parts.story().address)
    own = parts.nginx(text)
    parts.app(
        plain(403, "Forbidden", "error code: 1020", ("CF-RAY", "8a1b2c3d4e5f-FRA"), ("Server", "cloudflare")), port=port
    )
    return Site(f"ws://shop.example:{port}/ws", ("--resolve", f"shop.example:{port}:127.0.0.1"), own.conf_path)


@stage("cdn-or-cache", "the same without a configuration", confidence="likely")
def cdn_remote(parts: Parts) -> Site:
    page = plain(521, "", "error code: 521", ("CF-RAY", "8a1b2c3d4e5f-FRA"), ("Server", "cloudflare"))
    return Site(f"ws://{parts.app(page)}/ws")


@stage("middlebox-strips-upgrade", "a proxy on the way takes Upgrade out of plain HTTP; over TLS it cannot")
def middlebox(parts: Parts) -> Site:
    plain_port, tls_port, app = parts.port(), parts.port(), parts.story().address
    location = f"location /ws {{ proxy_pass http://{app}; {GOOD} }}"
    tls = parts.tls("shop.example")
    text = (
        f"server {{ listen 127.0.0.2:{plain_port}; server_name shop.example; {location} }}\n"
        f"server {{ listen 127.0.0.2:{tls_port} ssl; server_name shop.example; {tls} {location} }}"
    )
    own = parts.nginx(text)
    parts.nginx(
        f"server {{ listen 127.0.0.1:{plain_port}; location / {{ proxy_pass http://127.0.0.2:{plain_port}; "
        "proxy_set_header Host $http_host; add_header Via '1.1 corporate-proxy' always; } }"
    )
    resolve = ("--resolve", f"shop.example:{plain_port}:127.0.0.1", "--resolve", f"shop.example:{tls_port}:127.0.0.2")
    return Site(f"ws://shop.example:{plain_port}/ws", resolve, own.conf_path)


@stage("not-reloaded", "the configuration was mended after the workers had started, and never reloaded")
def not_reloaded(parts: Parts) -> Site:
    app = parts.story().address
    site = parts.site(f"proxy_pass http://{app};")
    assert site.conf is not None
    time.sleep(0.05)
    text = site.conf.read_text()
    site.conf.write_text(text.replace(f"proxy_pass http://{app};", f"proxy_pass http://{app}; {GOOD}"))
    return site


# life


@stage("read-timeout", "proxy_read_timeout 2s and a silent application, measured", verdict="degraded", slow=True)
def cut_when_idle(parts: Parts) -> Site:
    app = parts.stack.enter_context(EchoApp())
    site = parts.through(app.address, settings=GOOD.replace("1h", "2s"))
    return Site(site.url, ("--idle", "5"), site.conf)


@stage("read-timeout", "the log of info shows tunnels that were cut", verdict="degraded")
def cut_in_the_log(parts: Parts) -> Site:
    app = parts.stack.enter_context(EchoApp())
    site = parts.through(app.address, settings=GOOD.replace("1h", "300ms"))
    with _tunnel(site):
        time.sleep(0.7)
    return site


@stage("outer-idle-timeout", "what is in front cuts after 1 s, nginx would wait 1 h", verdict="degraded", slow=True)
def cut_in_front(parts: Parts) -> Site:
    port = parts.port()
    app = parts.stack.enter_context(EchoApp()).address
    text = behind_something(port, app)
    own = parts.nginx(text)
    outer = GOOD.replace("1h", "1s")
    parts.nginx(f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.2:{port}; {outer} }} }}")
    args = ("--resolve", f"shop.example:{port}:127.0.0.1", "--idle", "4")
    return Site(f"ws://shop.example:{port}/ws", args, own.conf_path)


@stage("no-heartbeat", "an application that never pings", verdict="degraded", slow=True)
def silent_application(parts: Parts) -> Site:
    app = parts.stack.enter_context(EchoApp())
    site = parts.through(app.address)
    return Site(site.url, ("--heartbeat", "2"), site.conf)


@stage(
    "reload-drops-connections",
    "worker_shutdown_timeout, and an access log where tunnels end together",
    verdict="degraded",
)
def dropped_together(parts: Parts) -> Site:
    app = parts.stack.enter_context(EchoApp())
    port = parts.port()
    text = (
        "log_format timed '$time_iso8601 $status $request_time $request_uri'; access_log timed.log timed;"
        f"server {{ listen 127.0.0.1:{port}; location /ws {{ proxy_pass http://{app.address}; {GOOD} }} }}"
    )
    nginx = parts.nginx(text, main="worker_shutdown_timeout 300ms;")
    site = Site(f"ws://127.0.0.1:{port}/ws", conf=nginx.conf_path)
    for _ in range(4):
        parts.stack.enter_context(_tunnel(site))
        time.sleep(0.15)
    nginx.reload()
    nginx.wait_reloaded()
    log = nginx.dir / "timed.log"
    until(lambda: log.exists() and log.read_text().count(" 101 ") == 4, "dropped tunnels", 5)
    return site


# helpers


def _ask(site: Site) -> None:
    with _tunnel(site):
        pass


def _tunnel(site: Site) -> socket.socket:
    """An open tunnel."""
    host, _, rest = site.url.removeprefix("ws://").partition(":")
    port, _, path = rest.partition("/")
    sock = socket.create_connection((host, int(port)), 5)
    request = (
        f"GET /{path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    with contextlib.ExitStack() as opened:
        opened.enter_context(sock)
        sock.sendall(request.encode())
        answer = sock.recv(4096)
        if not answer.startswith(b"HTTP/1.1 101"):
            raise ConnectionError(answer[:40].decode("latin-1"))
        opened.pop_all()
    return sock
