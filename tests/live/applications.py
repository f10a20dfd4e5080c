"""Real applications before which a proxy can go wrong: what each is made of, and the few lines that make it one.

``make live`` fetches their libraries into .cache, each set in a folder of its own, because several versions of one
library are among them; nothing of it gets into the requirements.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(__file__).resolve().parents[2] / ".cache"
NODE = CACHE / "node"
PYTHON = CACHE / "python"
GO_SOURCE = Path(__file__).with_name("gorilla.go")
GO = CACHE / "go" / f"gorilla-{hashlib.sha256(GO_SOURCE.read_bytes()).hexdigest()[:12]}"
GO_ENVIRONMENT = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": "", "CGO_ENABLED": "0"}

NODE_PACKAGES = ("ws@8.23.0", "socket.io@4.8.4", "express@5.2.1")
PYTHON_PACKAGES: dict[str, tuple[str, ...]] = {
    "websockets-16": ("websockets==16.1.1",),
    "websockets-13": ("websockets==13.1",),
    "websockets-12": ("websockets==12.0",),
    "websockets-10": ("websockets==10.4",),
    "wsproto": ("uvicorn==0.54.0", "wsproto==1.3.2"),
    "tornado": ("tornado==6.6.1",),
    "hypercorn": ("hypercorn==0.18.0", "wsproto==1.3.2"),
    "channels": ("channels==4.3.2", "daphne==4.2.3", "django==5.2.19"),
    "python-socketio": ("python-socketio==5.18.1", "aiohttp==3.14.5"),
    "picows": ("picows==2.3.1",),
}
"""By folder; the Python that runs the tests needs no more than its own requirements."""


@dataclass(frozen=True)
class Backend:
    """An application of the matrix.

    Args:
        language: ``python``, ``node`` or ``go``.
        script: Its text; PORT stands for its port.
        needs: The folder of PYTHON_PACKAGES that it imports from; empty for none.
        target: Where its WebSocket is.
    """

    language: str
    script: str
    needs: str = ""
    target: str = "/ws"


def fetch_parts() -> list[str]:
    """Fetch and build what is not there yet; what is missing afterwards, one line each."""
    return [*_fetch_node(), *_fetch_python(), *_build_go()]


def _fetch_node() -> list[str]:
    npm = shutil.which("npm")
    if npm is None:
        return ["Node: npm is not installed (apt-get install npm)"]
    NODE.mkdir(parents=True, exist_ok=True)
    command = [npm, "install", "--prefix", str(NODE), "--no-audit", "--no-fund", "--silent", *NODE_PACKAGES]
    done = subprocess.run(command, check=False)
    return [] if done.returncode == 0 else [f"Node: npm install ended with {done.returncode}"]


def _fetch_python() -> list[str]:
    missing = []
    for name, packages in PYTHON_PACKAGES.items():
        folder, mark = PYTHON / name, PYTHON / name / ".packages"
        if mark.exists() and mark.read_text() == " ".join(packages):
            continue
        shutil.rmtree(folder, ignore_errors=True)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]
        done = subprocess.run([*command, str(folder), *packages], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            mark.write_text(" ".join(packages))
        else:
            missing.append(f"Python, {name}: {(done.stderr.strip() or 'pip failed').splitlines()[-1]}")
    return missing


def _build_go() -> list[str]:
    go = shutil.which("go")
    if GO.exists():
        return []
    if go is None:
        return ["Go: go is not installed (apt-get install golang-go golang-github-gorilla-websocket-dev)"]
    GO.parent.mkdir(parents=True, exist_ok=True)
    command = [go, "build", "-o", str(GO), str(GO_SOURCE)]
    done = subprocess.run(
        command, env={**os.environ, **GO_ENVIRONMENT}, capture_output=True, text=True, check=False, cwd=GO.parent
    )
    if done.returncode == 0:
        return []
    return [f"Go: {done.stderr.strip()} (apt-get install golang-github-gorilla-websocket-dev)"]


ASGI = """\
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 404, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"Not Found"})
    elif scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
"""

UVICORN = (
    ASGI
    + """\
import uvicorn
uvicorn.run(app, host="127.0.0.1", port=PORT, ws="WS", lifespan="off", log_level="critical")
"""
)

HYPERCORN = (
    ASGI
    + """\
import asyncio
from hypercorn.asyncio import serve
from hypercorn.config import Config
config = Config()
config.bind = ["127.0.0.1:PORT"]
config.accesslog = config.errorlog = None
asyncio.run(serve(app, config))
"""
)

DAPHNE = (
    ASGI
    + """\
from daphne.server import Server
Server(app, endpoints=["tcp:port=PORT:interface=127.0.0.1"], signal_handlers=False).run()
"""
)

CHANNELS = """\
import django
from django.conf import settings
settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="none")
django.setup()
from channels.generic.websocket import WebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from daphne.server import Server
from django.core.asgi import get_asgi_application
from django.urls import path
urlpatterns = []
class Echo(WebsocketConsumer):
    def receive(self, text_data=None, bytes_data=None):
        self.send(text_data=text_data, bytes_data=bytes_data)
routes = URLRouter([path("ws", Echo.as_asgi())])
app = ProtocolTypeRouter({"http": get_asgi_application(), "websocket": routes})
Server(app, endpoints=["tcp:port=PORT:interface=127.0.0.1"], signal_handlers=False).run()
"""

WEBSOCKETS = """\
import logging
from websockets.sync.server import serve
logging.disable()
with serve(lambda ws: [ws.send(m) for m in ws], "127.0.0.1", PORT) as server:
    server.serve_forever()
"""

WEBSOCKETS_ASYNC = """\
import asyncio, logging
import websockets
logging.disable()
async def echo(ws):
    async for message in ws:
        await ws.send(message)
async def main():
    async with websockets.serve(echo, "127.0.0.1", PORT):
        await asyncio.Future()
asyncio.run(main())
"""

AIOHTTP = """\
from aiohttp import web
async def ws(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data)
    return socket
app = web.Application()
app.router.add_get("/ws", ws)
web.run_app(app, host="127.0.0.1", port=PORT, print=None)
"""

TORNADO = """\
import asyncio, logging
import tornado.web, tornado.websocket
logging.disable()
class Echo(tornado.websocket.WebSocketHandler):
    def on_message(self, message):
        self.write_message(message)
async def main():
    tornado.web.Application([("/ws", Echo)]).listen(PORT, "127.0.0.1")
    await asyncio.Event().wait()
asyncio.run(main())
"""

PYTHON_SOCKET_IO = """\
import socketio
from aiohttp import web
server, app = socketio.AsyncServer(async_mode="aiohttp", cors_allowed_origins="*"), web.Application()
server.attach(app)
web.run_app(app, host="127.0.0.1", port=PORT, print=None)
"""

PICOWS = """\
import asyncio, logging
from picows import WSListener, ws_create_server
logging.disable()
class Echo(WSListener):
    def on_ws_frame(self, transport, frame):
        transport.send(frame.msg_type, frame.get_payload_as_bytes())
async def main():
    server = await ws_create_server(lambda request: Echo(), "127.0.0.1", PORT)
    await server.serve_forever()
asyncio.run(main())
"""

NODE_WS = """\
const { WebSocketServer } = require("ws");
new WebSocketServer({ host: "127.0.0.1", port: PORT, path: "/ws" });
"""

EXPRESS = """\
const { WebSocketServer } = require("ws");
const server = require("express")().listen(PORT, "127.0.0.1");
new WebSocketServer({ server });
"""

SOCKET_IO = """\
const http = require("http").createServer();
new (require("socket.io").Server)(http);
http.listen(PORT, "127.0.0.1");
"""

_SOCKET_IO_PATH = "/socket.io/?EIO=4&transport=websocket"

BACKENDS: dict[str, Backend] = {
    "websockets 17": Backend("python", WEBSOCKETS),
    "websockets 16": Backend("python", WEBSOCKETS, "websockets-16"),
    "websockets 13": Backend("python", WEBSOCKETS, "websockets-13"),
    "websockets 12": Backend("python", WEBSOCKETS_ASYNC, "websockets-12"),
    "websockets 10": Backend("python", WEBSOCKETS_ASYNC, "websockets-10"),
    "aiohttp": Backend("python", AIOHTTP),
    "python-socketio": Backend("python", PYTHON_SOCKET_IO, "python-socketio", _SOCKET_IO_PATH),
    "tornado": Backend("python", TORNADO, "tornado"),
    "uvicorn, websockets": Backend("python", UVICORN.replace("WS", "websockets-sansio")),
    "uvicorn, wsproto": Backend("python", UVICORN.replace("WS", "wsproto"), "wsproto"),
    "hypercorn": Backend("python", HYPERCORN, "hypercorn"),
    "daphne": Backend("python", DAPHNE, "channels"),
    "Django channels": Backend("python", CHANNELS, "channels"),
    "picows": Backend("python", PICOWS, "picows"),
    "ws for Node": Backend("node", NODE_WS),
    "Express with ws": Backend("node", EXPRESS),
    "Socket.IO": Backend("node", SOCKET_IO, "", _SOCKET_IO_PATH),
    "gorilla": Backend("go", ""),
}
"""Every application of the matrix, by name."""


_UPGRADE = "proxy_set_header Upgrade $http_upgrade;"
_CONNECTION = "proxy_set_header Connection upgrade;"
_HOST = "proxy_set_header Host $http_host;"
_MODERN = "proxy_http_version 1.1;"

MISTAKES: dict[str, tuple[str, str]] = {
    "nothing is set": ("", "upgrade-not-forwarded"),
    "only HTTP/1.1 is set": (_MODERN, "upgrade-not-forwarded"),
    "Connection is missing": (_MODERN + _UPGRADE, "missing-connection-header"),
    "Upgrade is missing": (_MODERN + _CONNECTION, "missing-upgrade-header"),
    "HTTP/1.0 is spoken": (_UPGRADE + _CONNECTION + _HOST, "missing-http-version"),
}
"""What a location says, and the cause.  Host is said where some backends open the tunnel by luck: what refuses a
browser's Origin would else come first.
"""
