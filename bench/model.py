"""Predictions a second on a loaded configuration: ``python -m bench.model [--servers 1000]``.

``trace`` starts at the connection and chooses server and location; ``answer`` starts at a route.  Every request is
another one (no two share a host), so nothing is answered from what was remembered.  Goal: 20,000 traces a second.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.measure import GENERATOR
from bench.report import Goal, Report
from ws101.http1 import Request
from ws101.nginx.build import Build
from ws101.nginx.config import Config, MemoryFiles
from ws101.nginx.outcome import Arrival
from ws101.nginx.trace import answer, trace

GOAL = 20_000
HANDSHAKE = (
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
)
PATHS = ("/ws", "/api/x?y=1", "/", "/static/a.css", "/v1/socket")


def measure(report: Report, servers: int, rounds: int) -> None:
    """Measure, and add figures and the goal to a report."""
    config = loaded(servers)
    build = Build((1, 31, 3))
    arrivals = [arrival for server in config.servers for arrival in asked(server.first("server_name"))]
    first = rate(lambda: [trace(config, arrival, build) for arrival in arrivals], len(arrivals), 1)
    again = rate(lambda: [trace(config, arrival, build) for arrival in arrivals], len(arrivals), rounds)
    routes = config.routes()
    request = Request("GET", "/ws", "HTTP/1.1", (("Host", "x.test"), *HANDSHAKE))
    routed = rate(lambda: [answer(route, request, build) for route in routes], len(routes), 1)
    for what, value in (("trace, first", first), ("trace, again", again), ("answer, first", routed)):
        report.figure(what, f"{servers} single", "ws101", f"{value:,.0f} a second of processor time")
    report.goals.append(Goal(f"model, {servers} single: traces a second, once loaded", again, GOAL, least=True))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    report = Report(platform.python_version(), platform.machine())
    measure(report, options.servers, options.rounds)
    return report.ending()


def loaded(servers: int) -> Config:
    """The configuration of ``tools/gen_conf.py`` in one file."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, str(GENERATOR), "--servers", str(servers), "--out", folder], check=True)
        data = Path(folder, "nginx.conf").read_bytes()
    return Config(MemoryFiles({"/c/nginx.conf": data}), "/c/nginx.conf")


def asked(names: object) -> list[Arrival]:
    """A handshake and plain requests for one server."""
    host = getattr(names, "args", ("x.test",))[0]
    return [
        Arrival(Request("GET", path, "HTTP/1.1", (("Host", host), *(HANDSHAKE if path == "/ws" else ()))), 18080)
        for path in PATHS
    ]


def rate(work: Callable[[], object], number: int, rounds: int) -> float:
    """How many a second, in processor time; the best of several rounds, since others disturb."""
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return number / best


if __name__ == "__main__":
    sys.exit(main())
