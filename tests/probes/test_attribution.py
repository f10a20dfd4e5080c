from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws101.host.binary import NginxBinary
from ws101.host.network import handshake, plain, run
from ws101.http1 import Response
from ws101.lab.backends import EchoApp, StoryApp
from ws101.lab.nginx import Nginx, wrap
from ws101.lab.ports import free_ports
from ws101.probes.attribution import Answerer, answered_by
from ws101.probes.endpoint import parse_ws_url
from ws101.probes.idle import idle

TUNNEL = """proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;"""


@pytest.fixture
def site(binary: NginxBinary) -> Iterator[str]:
    """A real nginx before real applications; its address."""
    port, closed = free_ports(2)
    with StoryApp() as story, EchoApp() as echo, EchoApp(status=503) as busy:
        tokens_off = "server_tokens off;"
        conf = f"""
        server {{
            listen 127.0.0.1:{port};
            location /ws {{ proxy_pass http://127.0.0.1:{story.port}; }}
            location /echo {{ {TUNNEL} proxy_read_timeout 1s; proxy_pass http://127.0.0.1:{echo.port}/; }}
            location /busy {{ proxy_pass http://127.0.0.1:{busy.port}/; }}
            location /down {{ proxy_pass http://127.0.0.1:{closed}; }}
            location /quiet {{ {tokens_off} return 403; }}
            location /moved {{ return 301 /ws; }}
            location /needs {{ return 426; }}
            location /hidden {{
                {TUNNEL} proxy_hide_header Sec-WebSocket-Accept; proxy_pass http://127.0.0.1:{echo.port}/;
            }}
            location /gone {{ return 444; }}
            location / {{ return 404; }}
        }}
        """
        with Nginx(wrap(conf, binary=binary), binary=binary):
            yield f"ws://127.0.0.1:{port}"


def test_who_answered_is_told_on_a_real_nginx(site: str) -> None:
    expected = {
        "/ws": (400, Answerer.BACKEND, "likely"),
        "/echo": (101, Answerer.BACKEND, "proven"),
        "/busy": (503, Answerer.BACKEND, "likely"),
        "/down": (502, Answerer.NGINX, "proven"),
        "/quiet": (403, Answerer.NGINX, "proven"),
        "/moved": (301, Answerer.NGINX, "proven"),
        "/needs": (426, Answerer.NGINX, "likely"),
        "/nothing": (404, Answerer.NGINX, "proven"),
    }
    found = {}
    for path in expected:
        response = handshake(site + path)[1].response
        assert response is not None
        who = answered_by(response)
        assert who.evidence
        found[path] = (response.status, who.who, who.confidence)
    assert found == expected


def test_nginxs_own_bad_request_is_nginxs(site: str) -> None:
    seen = plain(site + "/ws", (("Host", "bad host"),))
    assert seen.handshake is not None
    assert seen.handshake.status == 400
    assert answered_by(seen.handshake.response).who is Answerer.NGINX


def test_a_connection_closed_without_an_answer_was_answered_by_nobody(site: str) -> None:
    seen, result = handshake(site + "/gone")
    assert seen.class_ == "eof"
    assert answered_by(result.response).who is Answerer.NOBODY


def test_a_hidden_accept_field_is_what_fails_behind_nginx(site: str) -> None:
    assert handshake(site + "/hidden")[0].class_ == "missing-accept"


def test_nginxs_idle_timeout_is_measured_and_pings_of_ours_keep_the_tunnel_alive(site: str) -> None:
    endpoint = parse_ws_url(site + "/echo")
    with ThreadPoolExecutor(2) as pool:
        pinging = pool.submit(run, idle(endpoint, limit=1.6, ping_every=0.4), endpoint)
        silent = pool.submit(run, idle(endpoint, limit=5), endpoint).result()
    assert (silent.class_, silent.detail("ended"), silent.detail("close_code")) == ("cut", "fin", None)
    lasted = silent.detail("lasted")
    assert isinstance(lasted, float)
    assert 0.65 < lasted < 1.4
    assert pinging.result().passed, pinging.result().message


@pytest.mark.parametrize(
    ("response", "who", "confidence"),
    [
        (None, Answerer.NOBODY, "proven"),
        (Response("HTTP/1.1", 426, "Upgrade Required", (), "Upgrade Required"), Answerer.BACKEND, "likely"),
        (Response("HTTP/1.1", 400, "Bad Request", (("Content-Type", "text/plain"),), "no"), Answerer.BACKEND, "likely"),
        (Response("HTTP/1.1", 400, "No Way", (), ""), Answerer.BACKEND, "likely"),
        (Response("HTTP/1.1", 403, "Forbidden", (("CF-Ray", "1"),), "x"), Answerer.OTHER, "possible"),
        (Response("HTTP/1.1", 502, "Bad Gateway", (), "<hr><center>cloudflare</center>"), Answerer.OTHER, "likely"),
        (Response("HTTP/1.1", 200, "OK", (), "<!doctype html>"), Answerer.BACKEND, "likely"),
        (Response("HTTP/1.1", 200, "OK", (("Content-Type", "text/html"),), "hi"), Answerer.BACKEND, "possible"),
        (Response("HTTP/1.1", 404, "Not Found", (), "<hr><center>nginx/1.2.3</center>"), Answerer.NGINX, "likely"),
        (Response("HTTP/1.1", 404, "Not Found", (), "Cannot GET /ws"), Answerer.BACKEND, "likely"),
        (Response("HTTP/1.1", 302, "Found", (("Location", "/login"),), ""), Answerer.BACKEND, "possible"),
    ],
)
def test_the_evidence_decides(response: Response | None, who: Answerer, confidence: str) -> None:
    found = answered_by(response)
    assert (found.who, found.confidence) == (who, confidence), found.evidence


@given(
    st.sampled_from([200, 301, 400, 403, 404, 426, 500, 502, 503]),
    st.sampled_from(["", "no", "<html>hello</html>", '{"a": 1}']),
    st.sampled_from(["text/html", "text/plain", "application/json"]),
)
def test_the_server_field_alone_never_makes_an_answer_nginxs(status: int, body: str, content_type: str) -> None:
    headers = (("Content-Type", content_type), ("Server", "nginx/1.22.1"))
    assert answered_by(Response("HTTP/1.1", status, "Reason", headers, body)).who is not Answerer.NGINX
