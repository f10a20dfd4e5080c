"""Open sockets and steady traffic while fixes are applied, undone and rolled back, and nginx is merely reloaded."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from websockets.utils import accept_key

from ws101.host.binary import NginxBinary
from ws101.lab.nginx import Nginx, wrap
from ws101.lab.ports import free_ports

__all__ = ["Load", "Traffic", "compare"]

SOURCES = Path(__file__).resolve().parents[2] / "src"
PAUSE, FRESH_PAUSE, ECHO_PAUSE = 0.05, 0.01, 2.0
_ANSWER_TIME = 10.0

SITE = """
    upstream app {{ server 127.0.0.1:{backend}; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /page {{ return 200 "a plain page"; }}
        location /ws {{
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
            proxy_read_timeout 1h;
        }}
        location /late {{
            proxy_pass http://app;
            proxy_read_timeout 1h;
        }}
        location /refusing {{
            proxy_pass http://app;
            proxy_read_timeout 1h;
        }}
    }}
"""


@dataclass
class Traffic:
    """What the clients saw during one kind of change.

    Args:
        times: How many changes.
        reloads: How often nginx was reloaded by them.
        fresh: Connections opened for one request.
        failed: Those of them that got no 200.
        reused: Requests on connections that had carried others before.
        closed: Kept connections that were closed while idle, which a client sees before it uses them again.
        resets: Requests on kept connections that got the end of the connection instead of an answer.
        echoes: Messages echoed through open WebSockets.
        cut: WebSockets that were closed.
        each: Resets a reload, change by change.
    """

    times: int = 0
    reloads: int = 0
    fresh: int = 0
    failed: int = 0
    reused: int = 0
    closed: int = 0
    resets: int = 0
    echoes: int = 0
    cut: int = 0
    each: list[float] = field(default_factory=list)


@dataclass
class Load:
    """The clients, and what they saw by kind of change; the first kind is the bare reload.

    Args:
        port: Where nginx listens.
        sockets: How many WebSockets stand open.
        keep: How many keep-alive connections are used again and again.
    """

    port: int
    sockets: int
    keep: int
    phases: dict[str, Traffic] = field(default_factory=dict)
    now: Traffic = field(default_factory=Traffic)
    ending: bool = False

    @property
    def setting(self) -> dict[str, float]:
        """What the clients do, for the page."""
        return {"sockets": self.sockets, "keep": self.keep, "pause": PAUSE * 1000, "rate": round(1 / FRESH_PAUSE)}

    @property
    def lost(self) -> int:
        """Refused connections, cut sockets, and kinds of change with more resets a reload than a bare one."""
        seen = [*self.phases.values()]
        return sum(one.failed + one.cut for one in seen) + sum(_more_resets(one, seen[0]) for one in seen[1:])

    @contextlib.contextmanager
    def phase(self, name: str, reloads: int) -> Iterator[None]:
        """Everything counts for one change of this kind."""
        self.now = now = self.phases.setdefault(name, Traffic())
        now.times += 1
        now.reloads += reloads
        before = now.resets
        yield
        now.each.append((now.resets - before) / reloads)

    async def hold(self, opened: Callable[[], None]) -> None:
        """One WebSocket: opened once, then echoing until the end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(_request("/ws", "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"))
        assert (await _head(reader)).startswith(b"HTTP/1.1 101 ")
        opened()
        await asyncio.sleep(ECHO_PAUSE * (hash(writer) % 100 / 100))
        while not self.ending:
            try:
                writer.write(b"still there?")
                async with asyncio.timeout(_ANSWER_TIME):
                    assert await reader.readexactly(12) == b"still there?"
            except (OSError, EOFError, TimeoutError):
                self.now.cut += 1
                break
            self.now.echoes += 1
            await asyncio.sleep(ECHO_PAUSE)
        writer.close()

    async def reuse(self) -> None:
        """A keep-alive connection: request after request, opened again where it was closed."""
        while not self.ending:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                self.now.failed += 1
                continue
            used = 0
            while self._goes_on(reader) and await self._again(reader, writer, used):
                used += 1
                # all are opened anew at once after a reload, and must not stay in step
                await asyncio.sleep(PAUSE * random.uniform(0.2, 1.8))
            self.now.closed += reader.at_eof()
            writer.close()

    def _goes_on(self, reader: asyncio.StreamReader) -> bool:
        """Whether another request is to be sent; a client that looks sees that the connection was closed."""
        return not self.ending and not reader.at_eof()

    async def _again(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, used: int) -> bool:
        """One request on a connection that has carried some; whether it can carry another."""
        try:
            writer.write(_request("/page"))
            async with asyncio.timeout(_ANSWER_TIME):
                head = await _head(reader)
                await reader.readexactly(12)
        except (OSError, EOFError, TimeoutError):
            self.now.resets += used > 0
            self.now.failed += used == 0
            return False
        self.now.reused += used > 0
        return b"connection: close" not in head.lower()

    async def refresh(self) -> None:
        """New connections at a steady rate, one request each."""
        async with asyncio.TaskGroup() as group:
            while not self.ending:
                group.create_task(self._once())
                await asyncio.sleep(FRESH_PAUSE)

    async def _once(self) -> None:
        now = self.now
        now.fresh += 1
        try:
            async with asyncio.timeout(_ANSWER_TIME):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.write(_request("/page", "Connection: close\r\n"))
                now.failed += not (await reader.read()).startswith(b"HTTP/1.1 200 ")
            writer.close()
        except (OSError, EOFError, TimeoutError):
            now.failed += 1


def _more_resets(one: Traffic, bare: Traffic) -> int:
    """Whether a kind of change resets more a reload than bare reloads do.

    Resets come in bursts, so no formula for independent ones holds: the figures are shuffled, and it is more if fewer
    than one in a hundred shufflings tell them apart as clearly (a permutation test of the means).
    """
    both, size = [*one.each, *bare.each], len(one.each)
    seen, seeded, trials = sum(one.each), random.Random(101), 5000
    as_clear = sum(sum(seeded.sample(both, size)) >= seen for _ in range(trials))
    return int(seen > 0 and as_clear < trials / 100)


def _request(path: str, more: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode()


async def _head(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


async def _backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Echoes through WebSockets; 400 where the upgrade got lost, 403 on /refusing whatever comes."""
    with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
        head = await _head(reader)
        if head.startswith(b"GET /refusing") or b"\r\nupgrade: websocket" not in head.lower():
            status = b"403 Forbidden" if head.startswith(b"GET /refusing") else b"400 Bad Request"
            writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
            writer.write(_accept(head) + b"\r\n")
            while data := await reader.read(4096):
                writer.write(data if data.startswith(b"still") else b"\x88\x02\x03\xe8")
    writer.close()


def _accept(head: bytes) -> bytes:
    key = next(
        (line[19:].strip() for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:")), b""
    )
    return f"Sec-WebSocket-Accept: {accept_key(key.decode())}\r\n".encode() if key else b""


def compare(binary: NginxBinary, *, sockets: int = 1000, keep: int = 40, rounds: int = 10) -> Load:
    """Load one nginx, and change it in every way, round by round."""
    return asyncio.run(_compare(binary, sockets, keep, rounds))


async def _compare(binary: NginxBinary, sockets: int, keep: int, rounds: int) -> Load:
    server = await asyncio.start_server(_backend, "127.0.0.1", 0, backlog=4096)
    (port,) = free_ports(1)
    text = SITE.format(port=port, backend=server.sockets[0].getsockname()[1])
    conf = wrap(text, binary=binary, events="worker_connections 8000;", workers=2, log_level="error")
    with tempfile.TemporaryDirectory() as state, Nginx(conf, binary=binary) as nginx:
        async with server, _clients(Load(port, sockets, keep)) as load:
            for _ in range(rounds):
                for name, reloads, change in _changes(nginx, port, state):
                    with load.phase(name, reloads):
                        await change()
                        await asyncio.sleep(0.5)
    return load


def _changes(nginx: Nginx, port: int, state: str) -> tuple[tuple[str, int, Callable[[], Awaitable[None]]], ...]:
    conf, url = str(nginx.conf_path), f"ws://127.0.0.1:{port}"
    fix = ("fix", conf, "--select", "upgrade-not-forwarded", "--select", "missing-http-version", "--apply", "--url")

    async def reload() -> None:
        await asyncio.to_thread(nginx.reload)
        await asyncio.to_thread(nginx.wait_reloaded)

    return (
        ("a bare `nginx -s reload`", 1, reload),
        ("a fix is applied and proven", 1, lambda: _ws101(state, 0, *fix, f"{url}/late")),
        ("it is taken back", 1, lambda: _ws101(state, 0, "undo")),
        ("a fix is rolled back", 2, lambda: _ws101(state, 1, *fix, f"{url}/refusing", "--require-101")),
    )


async def _ws101(state: str, code: int, *args: str) -> None:
    """Run ws101 in a process of its own; it must end with this exit code."""
    environment = {**os.environ, "WS101_STATE": state, "PYTHONPATH": str(SOURCES)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ws101", *args),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment,
    )
    said, _ = await process.communicate()
    assert process.returncode == code, said.decode()


@contextlib.asynccontextmanager
async def _clients(load: Load) -> AsyncIterator[Load]:
    """All clients at work; when this ends they do."""
    opened = 0

    def count() -> None:
        nonlocal opened
        opened += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(load.sockets):
            group.create_task(load.hold(count))
        deadline = time.monotonic() + 30
        while opened < load.sockets:
            assert time.monotonic() < deadline, f"only {opened} of {load.sockets} WebSockets could be opened"
            await asyncio.sleep(0.05)
        for _ in range(load.keep):
            group.create_task(load.reuse())
        group.create_task(load.refresh())
        try:
            yield load
        finally:
            load.ending = True
