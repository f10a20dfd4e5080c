"""More causes that only a live site shows: an application in Go, and another machine whose link is cut."""

from __future__ import annotations

from tests.live.applications import WEBSOCKETS
from tests.live.staging import GOOD, Parts, Site, stage

PORT = 8765

CUTS_ITSELF_OFF = """\
import logging, subprocess, threading
from websockets.sync.server import serve
logging.disable()
def cut():
    subprocess.run(["ip", "link", "set", "LINK", "down"])
def echo(ws):
    timer = threading.Timer(1.0, cut)
    timer.start()
    for message in ws:
        ws.send(message)
    timer.cancel()
with serve(echo, "127.0.0.1", PORT, ping_interval=None) as server:
    server.serve_forever()
"""
"""An application whose machine loses its link a second after a tunnel was opened that stays."""


def cut_off_later(parts: Parts) -> str:
    """The address of an application that vanishes from an open tunnel, without a word."""
    machine = parts.apart()
    parts.python(CUTS_ITSELF_OFF.replace("LINK", machine.link), PORT, at=machine)
    return f"{machine.address}:{PORT}"


@stage("app-origin-allowlist", "gorilla/websocket in Go takes its own host alone as Origin; the page's is another")
def gorilla_origin(parts: Parts) -> Site:
    port = parts.port()
    parts.gorilla(port)
    site = parts.through(f"127.0.0.1:{port}")
    return Site(site.url, ("--origin", "https://pages.example"), site.conf)


@stage("app-origin-allowlist", "the same without a configuration")
def gorilla_origin_remote(parts: Parts) -> Site:
    site = gorilla_origin(parts)
    return Site(site.url, site.args)


@stage("host-not-forwarded", "no Host is set, and gorilla/websocket in Go compares it with Origin")
def gorilla_host(parts: Parts) -> Site:
    port = parts.port()
    parts.gorilla(port)
    return parts.through(f"127.0.0.1:{port}", settings=GOOD.replace("proxy_set_header Host $http_host;", ""))


@stage("upstream-unreachable", "the backend is on another machine, and the link to it is cut", slow=True)
def cut_before(parts: Parts) -> Site:
    machine = parts.apart()
    parts.python(WEBSOCKETS, PORT, at=machine)
    site = parts.through(f"{machine.address}:{PORT}")
    machine.cut()
    return site


@stage(
    "peer-vanished", "a second after the tunnel was opened the link to the backend's machine is cut",
    slow=True, verdict="degraded",
)  # fmt: skip
def cut_while_open(parts: Parts) -> Site:
    site = parts.through(cut_off_later(parts))
    return Site(site.url, ("--heartbeat", "3"), site.conf)
