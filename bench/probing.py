"""``ws101 probe`` beside wscat and ``python -m websockets``: from nothing to the verdict; and the handshake by itself.

    python -m bench.probing [--rounds 9] [--number 500]

All ask the server of ``bench.many``.  A cold start is a whole process, counted in processor time: wscat leaves one
second after its message, so the clock would tell nothing.  The handshake, with every step timed and every byte kept, is
measured beside ``websockets.sync.client.connect``, each in a process of its own, in turn.
Goals: a cold start faster than both, and a handshake no slower than a bare one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from websockets.sync.client import connect

from bench import peers
from bench.measure import Cost, run
from bench.report import Goal, Report
from ws101.host.dial import Network
from ws101.host.network import handshake
from ws101.probes.endpoint import parse_ws_url
from ws101.probes.handshake import ORDINARY

_OPEN = {"wscat"}
"""Clients that go away when standard input ends; the others end then."""


@contextmanager
def answering() -> Iterator[int]:
    """A server that answers every handshake with 101; its port."""
    server = subprocess.Popen([sys.executable, "-m", "bench.many", "--serve"], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        yield int(server.stdout.readline())
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def commands(url: str) -> dict[str, list[str]]:
    """Each client's command line; without those that are not there."""
    found = {
        "ws101 probe": [sys.executable, "-m", "ws101", "probe", url],
        "python -m websockets": [sys.executable, "-m", "websockets", url],
    }
    program = peers.wscat()
    return {**found, "wscat": [str(program), "-c", url, "-x", "hi", "-w", "1"]} if program else found


def cold(name: str, command: list[str]) -> Cost:
    """One whole process."""
    ours, theirs = os.pipe()
    try:
        if name not in _OPEN:
            os.close(theirs)
            theirs = -1
        return run(command, limit=30, stdin=ours)
    finally:
        os.close(ours)
        if theirs >= 0:
            os.close(theirs)


def _handshakes(number: int, open_one: Callable[[], Callable[[], None]]) -> dict[str, float]:
    """Medians of seconds on the clock, and the processor seconds of one, closing not counted."""
    clock, cpu = [], []
    for _ in range(number):
        began, spent = time.perf_counter(), time.process_time()
        close = open_one()
        clock.append(time.perf_counter() - began)
        cpu.append(time.process_time() - spent)
        close()
    return {"clock": statistics.median(clock), "cpu": statistics.median(cpu)}


def ours(port: int, number: int) -> dict[str, float]:
    """Our handshakes."""
    endpoint, network = parse_ws_url(f"ws://127.0.0.1:{port}/"), Network()

    def open_one() -> Callable[[], None]:
        seen, _ = handshake(endpoint, ORDINARY, network)
        assert seen.passed, seen
        return lambda: None

    return _handshakes(number, open_one)


def websockets(port: int, number: int) -> dict[str, float]:
    """Those of ``websockets``, without compression, pings and proxies."""

    def open_one() -> Callable[[], None]:
        sock = connect(f"ws://127.0.0.1:{port}/", compression=None, ping_interval=None, proxy=None, close_timeout=0.1)

        def leave() -> None:
            sock.socket.shutdown(socket.SHUT_RDWR)
            sock.recv_events_thread.join()

        return leave

    return _handshakes(number, open_one)


CLIENTS = {"ws101": ours, "websockets": websockets}
"""What makes handshakes, by name."""


def one(name: str, port: int, number: int) -> dict[str, float]:
    """One client in a process of its own."""
    command = [sys.executable, "-m", "bench.probing", "--client", name, "--port", str(port), "--number", str(number)]
    done = run(command, limit=120)
    if done.code != 0:
        raise RuntimeError(done.output[-500:])
    found: dict[str, float] = json.loads(done.output.splitlines()[-1])
    return found


def measure(report: Report, rounds: int, number: int) -> None:
    """Measure all in turn, and add figures and goals to a report."""
    with answering() as port:
        words = commands(f"ws://127.0.0.1:{port}/")
        if "wscat" not in words:
            report.note("NOT MEASURED: wscat cannot be installed")
        turns = [{name: cold(name, command) for name, command in words.items()} for _ in range(rounds)]
        pairs = [{name: one(name, port, number) for name in CLIENTS} for _ in range(max(5, rounds // 2))]
    best = {name: min((turn[name] for turn in turns), key=lambda cost: cost.cpu) for name in words}
    for name, cost in best.items():
        report.row("to the verdict", "cold start", name, cost.cpu, cost)
        if cost.code != 0:
            report.note(f"FAILED: {name} ended with {cost.code}: {cost.output[-300:]}")
    for name in [name for name in best if name != "ws101 probe"]:
        ratio = best["ws101 probe"].cpu / best[name].cpu
        report.goals.append(Goal(f"probing: cold start to the verdict, ws101 probe / {name}", ratio, 1))
    for name in CLIENTS:
        clock, cpu = (statistics.median(pair[name][what] for pair in pairs) * 1e6 for what in ("clock", "cpu"))
        report.figure("a handshake", "loopback", name, f"{clock:,.0f} µs on the clock, {cpu:,.0f} µs of processor time")
    spent = {name: statistics.median(pair[name]["cpu"] for pair in pairs) for name in CLIENTS}
    ratio = spent["ws101"] / spent["websockets"]
    report.goals.append(Goal("probing: processor time of a handshake, ws101 / websockets", ratio, 1))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--number", type=int, default=500)
    parser.add_argument("--client", choices=tuple(CLIENTS))
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    if options.client:
        print(json.dumps(CLIENTS[options.client](options.port, options.number)))
        return 0
    report = Report(platform.python_version(), platform.machine())
    measure(report, options.rounds, options.number)
    return report.ending()


if __name__ == "__main__":
    raise SystemExit(main())
