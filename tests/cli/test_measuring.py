"""Measurements in the tunnel, on a real nginx: the figures, the exit codes, and the words."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.support import PROBE, mismatches, ws101
from ws101.lab.backends import EchoApp
from ws101.lab.nginx import Nginx, wrap
from ws101.lab.ports import free_ports

TUNNEL = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    (port,) = free_ports(1)
    with EchoApp() as quiet, EchoApp(ping_interval=0.2, ping_timeout=0.3) as lively:
        locations = (
            f"location / {{ proxy_pass http://{quiet.address}; {TUNNEL} proxy_read_timeout 1s; }}"
            f"location /lively {{ proxy_pass http://{lively.address}; {TUNNEL} }}"
        )
        with Nginx(wrap(f"server {{ listen 127.0.0.1:{port}; {locations} }}")):
            yield port


@pytest.mark.parametrize(
    ("option", "name", "figures"),
    [("--echo", "echoed", True), ("--ping", "pongs", 3), ("--close", "close_code", 1000), ("--large", "size", 1048576)],
)
def test_a_measurement_passes_and_gives_its_figures(port: int, option: str, name: str, figures: object) -> None:
    done = ws101("probe", f"ws://127.0.0.1:{port}/", option, "--format", "json")
    assert done.code == 0, done.out
    assert mismatches(done.json, PROBE) == []
    assert (done.json["probe"], done.json["details"][name]) == (option.removeprefix("--"), figures)


def test_a_silent_tunnel_is_cut_to_the_tenth_of_a_second_and_named(port: int) -> None:
    done = ws101("probe", f"ws://127.0.0.1:{port}/", "--idle", "3", "--format", "json")
    assert (done.code, done.json["class"], done.json["details"]["ended"]) == (1, "cut", "fin")
    assert done.json["details"]["silent"] == pytest.approx(1.0, abs=0.35)
    assert "without a close frame" in done.json["message"]


def test_a_ping_of_ours_keeps_it_open(port: int) -> None:
    done = ws101("probe", f"ws://127.0.0.1:{port}/", "--idle", "2.5", "--ping-every", "0.4", "--format", "json")
    assert (done.code, done.json["details"]["ended"]) == (0, "open")


def test_the_servers_heartbeat_is_measured_and_that_it_drops_the_dead(port: int) -> None:
    done = ws101("probe", f"ws://127.0.0.1:{port}/lively", "--heartbeat", "2", "--format", "json")
    assert done.code == 0, done.json["message"]
    figures = done.json["details"]
    assert (figures["kind"], figures["answers_pings"], figures["close_code"]) == ("ping", True, 1011)
    assert figures["interval"] == pytest.approx(0.2, abs=0.15)
    assert figures["pruned_after"] < 1.5


def test_a_server_without_a_heartbeat_is_said_so(port: int) -> None:
    done = ws101("probe", f"ws://127.0.0.1:{port}/", "--heartbeat", "0.5")
    assert done.code == 1
    assert "the server sent no heartbeat within 0.5 s" in done.out
    assert any(line.split() == ["kind", "none"] for line in done.out.splitlines())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--idle", "--echo"), "--echo and --idle exclude each other"),
        (("--ping-every", "1"), "--ping-every goes with --idle"),
    ],
)
def test_one_probe_is_one_connection(options: tuple[str, ...], words: str) -> None:
    done = ws101("probe", "ws://127.0.0.1:9/", *options)
    assert done.code == 2
    assert words in done.err


def test_nothing_is_measured_where_no_tunnel_opens(port: int) -> None:
    (closed,) = free_ports(1)
    done = ws101("probe", f"ws://127.0.0.1:{closed}/", "--ping", "--format", "json")
    assert (done.code, done.json["class"]) == (2, "refused")
