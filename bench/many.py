"""Handshakes a second and memory a connection: ``ws101 probe --many`` beside ``websockets``, in the same run.

    python -m bench.many [--number 3000] [--idle 5000] [--rounds 5]

Each client runs in a process of its own against the same server, which answers with as little work as Python allows.
Goals: twice the handshakes a second of ``websockets``, and at most 6 KiB a connection.  ``ws`` for Node and
picows are measured where they can be installed below .cache (bench/peers.py), and said to be missing where not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import select
import shutil
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect

from bench import peers
from bench.peers import NODE
from bench.report import Goal, Report
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
  const begin = process.hrtime.bigint(), work = process.cpuUsage(); await pool(+number, false);
  const rate = number / (Number(process.hrtime.bigint() - begin) / 1e9), spent = process.cpuUsage(work);
  const thrift = number / ((spent.user + spent.system) / 1e6);
  console.log(JSON.stringify({rate, thrift, kib: (after - before) / idle})); process.exit(0); })();
"""


_PICOWS = """
import asyncio, json, pathlib, resource, sys, time
from picows import WSListener, ws_connect
port, number, idle = map(int, sys.argv[1:])
held = []
def kib():
    lines = pathlib.Path('/proc/self/status').read_text().splitlines()
    return float(next(line for line in lines if line.startswith('VmRSS:')).split()[1])
async def pool(count):
    numbers, begin, spent = iter(range(count)), time.monotonic(), time.process_time()
    async def work():
        for _ in numbers:
            held.append(await ws_connect(WSListener, f'ws://127.0.0.1:{port}/'))
    await asyncio.gather(*(work() for _ in range(50)))
    return time.monotonic() - begin, time.process_time() - spent
async def leave():
    for transport, _ in held:
        transport.disconnect()
    held.clear()
    await asyncio.sleep(0.2)
async def main():
    await pool(200)
    await leave()
    before = kib()
    await pool(idle)
    after = kib()
    await leave()
    took, spent = await pool(number)
    print(json.dumps({'rate': number / took, 'thrift': number / spent, 'kib': (after - before) / idle}))
    await leave()
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
asyncio.run(main())
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
    spent = time.process_time()
    found = hold_many(endpoint, ORDINARY, Network(), address, Plan(number, 0, 0))
    spent = time.process_time() - spent  # with the closing of all, which the others are spared
    assert found.opened == number, found
    return {"rate": found.rate, "thrift": number / spent, "kib": (after - before) / idle}


async def measure_websockets(port: int, number: int, idle: int) -> dict[str, float]:
    """The rate and memory of ``websockets`` without compression and pings."""
    open_files(idle)
    held: list[Any] = []
    options: dict[str, Any] = {"compression": None, "ping_interval": None, "proxy": None, "close_timeout": 0.1}

    async def work(numbers: Any) -> None:
        for _ in numbers:
            sock = await connect(f"ws://127.0.0.1:{port}/", **options)
            held.append(sock)

    async def pool(count: int) -> tuple[float, float]:
        numbers, begin, spent = iter(range(count)), time.monotonic(), time.process_time()
        await asyncio.gather(*(work(numbers) for _ in range(50)))
        return time.monotonic() - begin, time.process_time() - spent

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
    took, spent = await pool(number)
    await leave()
    return {"rate": number / took, "thrift": number / spent, "kib": (after - before) / idle}


def node_ws() -> list[str] | None:
    """The command that measures ``ws``; None if it is not installed below .cache."""
    node = shutil.which("node")
    if node is None or not (NODE / "node_modules" / "ws").exists():
        return None
    return [node, "-e", _WS]


def clients() -> dict[str, list[str]]:
    """The clients that can be measured, each with the start of its command."""
    found = {name: [sys.executable, "-m", "bench.many", "--client", name] for name in ("ws101", "websockets")}
    node, python = node_ws(), peers.python_peers()
    if node is not None:
        found["ws"] = node
    if python is not None and peers.has(python, "picows"):
        found["picows"] = [str(python), "-c", _PICOWS]
    return found


def one(command: list[str], port: int, number: int, idle: int) -> dict[str, float]:
    """One client in a process of its own."""
    env = {**os.environ, "NODE_PATH": str(NODE / "node_modules")}
    words = [*command, str(port), str(number), str(idle)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120, env=env)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def measure(report: Report, number: int, idle: int, rounds: int) -> None:
    """Measure all in turn, and add figures and goals to a report."""
    commands = clients()
    for name in ("ws", "picows"):
        if name not in commands:
            report.note(f"NOT MEASURED: {name} is not there")
    server = subprocess.Popen([sys.executable, "-m", "bench.many", "--serve"], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        port = int(server.stdout.readline())
        turns = [{name: one(words, port, number, idle) for name, words in commands.items()} for _ in range(rounds)]
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
    for name in commands:
        rate, thrift, kib = (_middle(turns, name, what) for what in ("rate", "thrift", "kib"))
        figures = f"{rate:,.0f} a second, {thrift:,.0f} a second of processor time, {kib:.1f} KiB a connection"
        report.figure("handshakes", f"{number}, {idle} idle", name, figures)
    for name in [name for name in commands if name != "ws101"]:
        ratio = statistics.median(turn["ws101"]["rate"] / turn[name]["rate"] for turn in turns)
        limit = FASTER if name == "websockets" else None
        report.goals.append(Goal(f"many: handshakes a second, ws101 / {name}", ratio, limit, least=True))
        ratio = statistics.median(turn["ws101"]["thrift"] / turn[name]["thrift"] for turn in turns)
        what = f"many: handshakes a second of processor time, ws101 / {name}"
        report.goals.append(Goal(what, ratio, limit, least=True))
    report.goals.append(Goal("many: KiB a connection", _middle(turns, "ws101", "kib"), KIB))


def _middle(turns: list[dict[str, dict[str, float]]], name: str, what: str) -> float:
    return statistics.median(turn[name][what] for turn in turns)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--number", type=int, default=3000)
    parser.add_argument("--idle", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--client", choices=("ws101", "websockets"))
    parser.add_argument("given", type=int, nargs="*", help="for --client: port, number, idle")
    options = parser.parse_args()
    if options.serve:
        serve()
    if options.client == "ws101":
        print(json.dumps(measure_ours(*options.given)))
        return 0
    if options.client == "websockets":
        print(json.dumps(asyncio.run(measure_websockets(*options.given))))
        return 0
    report = Report(platform.python_version(), platform.machine())
    measure(report, options.number, options.idle, options.rounds)
    return report.ending()


if __name__ == "__main__":
    raise SystemExit(main())
