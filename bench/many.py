"""Handshakes a second and memory a connection: ``ws101 probe --many`` beside ``websockets``, in the same run.

    python -m bench.many [--number 3000] [--idle 5000] [--rounds 5]

Each client runs in a process of its own against the same server, which answers with as little work as Python allows.
Goals: twice the handshakes a second of ``websockets``, and at most 6 KiB a connection.  ``ws`` for Node and picows are
measured where they are installed below .cache (see bench/peers.py), and said to be missing where not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import select
import shutil
import socket
import statistics
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect

from bench.peers import NODE
from ws101.host.dial import Network
from ws101.host.many import hold_many, open_files
from ws101.probes.crowding import Plan
from ws101.probes.endpoint import parse_ws_url
from ws101.probes.handshake import ORDINARY, accept_for

FASTER, KIB = 2.0, 6.0

_WS = """
const WebSocket = require('ws'), [, port, number, idle] = process.argv;
const url = `ws://127.0.0.1:${port}/`, held = [];
const status = () => require('fs').readFileSync('/proc/self/status', 'utf8');
const kib = () => +/VmRSS:\\s+(\\d+)/.exec(status())[1];
const open = () => new Promise((done, no) => { const s = new WebSocket(url, {perMessageDeflate: false});
  s.on('open', () => done(s)); s.on('error', no); });
async function pool(n, keep) { let left = n; await Promise.all(Array.from({length: 50}, async () => {
  while (left-- > 0) { const s = await open(); keep ? held.push(s) : s.close(); } })); }
(async () => { await pool(200, false); const before = kib(); await pool(+idle, true); const after = kib();
  const begin = process.hrtime.bigint(); await pool(+number, false);
  const rate = number / (Number(process.hrtime.bigint() - begin) / 1e9);
  console.log(JSON.stringify({rate, kib: (after - before) / idle})); process.exit(0); })();
"""


def serve() -> None:
    """Answer every handshake, and read whatever follows; one epoll loop."""
    open_files(15000)
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    listener.setblocking(False)
    print(listener.getsockname()[1], flush=True)
    poll, peers = select.epoll(), {}
    poll.register(listener, select.EPOLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == listener.fileno():
                try:
                    while True:
                        sock, _ = listener.accept()
                        sock.setblocking(False)
                        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        peers[sock.fileno()] = sock
                        poll.register(sock, select.EPOLLIN)
                except BlockingIOError:
                    continue
            _answer(poll, peers, fd)


def _answer(poll: select.epoll, peers: dict[int, socket.socket], fd: int) -> None:
    if fd not in peers:
        return
    try:
        data = peers[fd].recv(4096)
    except OSError:
        data = b""
    if data.startswith(b"GET"):
        at = data.lower().index(b"sec-websocket-key: ") + 19
        key = accept_for(data[at : at + 24].decode())
        head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        peers[fd].send(f"{head}{key}\r\n\r\n".encode())
    elif not data or data[0] == 0x88:
        poll.unregister(fd)
        peers.pop(fd).close()


def _kib() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return float(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure_ours(port: int, number: int, idle: int) -> dict[str, float]:
    """Our rate and memory."""
    endpoint = parse_ws_url(f"ws://127.0.0.1:{port}/")
    address = ("127.0.0.1", port)
    open_files(idle)
    hold_many(endpoint, ORDINARY, Network(), address, Plan(200, 0, 0))
    before, after = _kib(), 0.0

    def look() -> str:
        nonlocal after
        after = _kib()
        return "held"

    found = hold_many(endpoint, ORDINARY, Network(), address, Plan(idle, 0, 0), meanwhile=look)
    assert found.held == idle, found
    found = hold_many(endpoint, ORDINARY, Network(), address, Plan(number, 0, 0))
    assert found.opened == number, found
    return {"rate": found.rate, "kib": (after - before) / idle}


async def measure_websockets(port: int, number: int, idle: int) -> dict[str, float]:
    """The rate and memory of ``websockets`` without compression and pings."""
    open_files(idle)
    held: list[Any] = []
    options: dict[str, Any] = {"compression": None, "ping_interval": None, "proxy": None, "close_timeout": 0.1}

    async def work(numbers: Any) -> None:
        for _ in numbers:
            sock = await connect(f"ws://127.0.0.1:{port}/", **options)
            held.append(sock)

    async def pool(count: int) -> float:
        numbers, begin = iter(range(count)), time.monotonic()
        await asyncio.gather(*(work(numbers) for _ in range(50)))
        return time.monotonic() - begin

    async def leave() -> None:
        for sock in held:
            sock.transport.abort()
        held.clear()
        await asyncio.sleep(0.2)

    await pool(200)
    await leave()
    before = _kib()
    await pool(idle)
    after = _kib()
    await leave()
    took = await pool(number)
    await leave()
    return {"rate": number / took, "kib": (after - before) / idle}


def node_ws() -> list[str] | None:
    """The command that measures ``ws``; None if it is not installed below .cache."""
    node = shutil.which("node")
    if node is None or not (NODE / "node_modules" / "ws").exists():
        return None
    return [node, "-e", _WS]


def one(client: str, port: int, number: int, idle: int) -> dict[str, float]:
    """One client in a process of its own."""
    command = [sys.executable, "-m", "bench.many", "--client", client, "--port", str(port)]
    command += ["--number", str(number), "--idle", str(idle)]
    if client == "ws":
        found = node_ws()
        assert found is not None
        command = [*found, str(port), str(number), str(idle)]
        env = {**os.environ, "NODE_PATH": str(NODE / "node_modules")}
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120, env=env)
    else:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def compare(number: int, idle: int, rounds: int) -> bool:
    """Measure all in turn; whether both goals are met."""
    clients = ["ws101", "websockets", *(["ws"] if node_ws() else [])]
    if "ws" not in clients:
        print("NOT MEASURED: ws (npm install --prefix .cache/bench-node ws)")
    if find_spec("picows") is None:
        print("NOT MEASURED: picows is not installed")
    server = subprocess.Popen([sys.executable, "-m", "bench.many", "--serve"], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        port = int(server.stdout.readline())
        turns = [{client: one(client, port, number, idle) for client in clients} for _ in range(rounds)]
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
    rate = {client: statistics.median(turn[client]["rate"] for turn in turns) for client in clients}
    kib = {client: statistics.median(turn[client]["kib"] for turn in turns) for client in clients}
    print(f"{number} handshakes, 50 at once; {idle} idle tunnels; medians of {rounds}")
    for client in clients:
        print(f"{client:<12} {rate[client]:8.0f} handshakes/s  {kib[client]:6.1f} KiB a connection")
    ratio = statistics.median(turn["ws101"]["rate"] / turn["websockets"]["rate"] for turn in turns)
    print(f"ratio {ratio:.2f} (goal: at least {FASTER:g}); {kib['ws101']:.1f} KiB (goal: at most {KIB:g})")
    return ratio >= FASTER and kib["ws101"] <= KIB


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--number", type=int, default=3000)
    parser.add_argument("--idle", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--client", choices=("ws101", "websockets"))
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    if options.serve:
        serve()
    if options.client == "ws101":
        print(json.dumps(measure_ours(options.port, options.number, options.idle)))
        return 0
    if options.client == "websockets":
        print(json.dumps(asyncio.run(measure_websockets(options.port, options.number, options.idle))))
        return 0
    return 0 if compare(options.number, options.idle, options.rounds) else 1


if __name__ == "__main__":
    raise SystemExit(main())
