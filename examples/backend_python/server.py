"""A chat behind nginx, in Python with websockets.

PORT       where to listen on 127.0.0.1            HEARTBEAT  seconds between pings; a silent peer is dropped
NAME       what this backend calls itself          HUB        the hub's Unix socket; without one it stands alone
ORIGIN     the site, https://example.com: no other page may connect
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import Request, Response, ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

PORT = int(os.environ.get("PORT", "3001"))
NAME = os.environ.get("NAME", "python")
ORIGIN = os.environ.get("ORIGIN", "")
HUB = os.environ.get("HUB", "")
HEARTBEAT = float(os.environ.get("HEARTBEAT", "20"))

names: dict[ServerConnection, str] = {}  # everybody who is connected
watching: set[ServerConnection] = set()  # who wants the live figures
hub: asyncio.StreamWriter | None = None
received = 0


def admit(connection: ServerConnection, request: Request) -> Response | None:
    """Refuse other paths, and pages of other sites: a browser would send them our user's cookies."""
    if request.path.partition("?")[0] != "/ws":
        return connection.respond(HTTPStatus.NOT_FOUND, "There is nothing here; the chat is at /ws.\n")
    host, origin = request.headers.get("Host"), request.headers.get("Origin")
    site = ORIGIN or f"http://{host}"
    if host != site.partition("://")[2] or origin not in (None, site):
        return connection.respond(HTTPStatus.FORBIDDEN, f"Host {host} and Origin {origin} are not {site}.\n")
    return None


async def talk(connection: ServerConnection) -> None:
    """Serve one client until it leaves."""
    names[connection] = ""
    try:
        await connection.send(json.dumps({"type": "welcome", "backend": NAME, "heartbeat": HEARTBEAT}))
        async for text in connection:
            receive(connection, json.loads(text))
    except (ValueError, AttributeError, TypeError):
        await connection.close(1007, "send JSON objects")
    except ConnectionClosed:  # it went without a word, or was dropped
        pass
    finally:
        names.pop(connection)
        watching.discard(connection)


def receive(connection: ServerConnection, message: dict[str, Any]) -> None:
    """Do what a client asks; what is not understood is passed over, so that older clients keep working."""
    global received
    if message.get("type") == "join":
        names[connection] = str(message["name"])[:40] if "name" in message else ""
    elif message.get("type") == "watch":
        (watching.add if message.get("on") else watching.discard)(connection)
    elif message.get("type") == "chat":
        received += 1
        said = {"name": names[connection], "text": str(message.get("text", ""))[:1000]}
        publish({"type": "chat", **said, "backend": NAME, "at": int(time.time() * 1000)})


def publish(message: dict[str, Any]) -> None:
    """Tell the clients of every backend."""
    line = json.dumps(message)
    if hub is not None:
        hub.write(line.encode() + b"\n")
    else:
        deliver(line)


def deliver(line: str) -> None:
    """Tell our own clients; the figures go only to those who watch them."""
    broadcast(watching if json.loads(line)["type"] == "state" else names, line)


async def listen_to_hub() -> None:
    """Hear what the clients of the other backends say, for ever; if the hub goes away, until it is back."""
    global hub
    while HUB:
        with contextlib.suppress(OSError):
            reader, hub = await asyncio.open_unix_connection(HUB)
            async for line in reader:
                deliver(line.decode())
        hub = None
        await asyncio.sleep(1)


async def main() -> None:
    """Serve, and publish the figures every second."""
    global received
    # The library sends a ping every HEARTBEAT seconds, and closes if no pong has come by the next one.
    pulse: dict[str, Any] = {"ping_interval": HEARTBEAT, "ping_timeout": HEARTBEAT}
    listening = asyncio.create_task(listen_to_hub())
    async with serve(talk, "127.0.0.1", PORT, process_request=admit, max_size=16 * 1024, **pulse):
        while not listening.cancelled():
            await asyncio.sleep(1)
            known = sorted(filter(None, names.values()))[:100]
            publish({"type": "state", "backend": NAME, "connections": len(names), "names": known, "rate": received})
            received = 0


if __name__ == "__main__":
    asyncio.run(main())
