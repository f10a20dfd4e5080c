"""``ws101 diagnose --offline``: no connection and no name looked up, but the logs are files and are read."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.cli.support import SITE, ws101
from tests.live.staging import GOOD, Parts
from ws101.cli import main
from ws101.lab.backends import EchoApp

URL = "ws://example.com:8080/ws"
FINE = SITE.replace("proxy_read_timeout 1h;", GOOD)
REFUSED = (
    "2026/01/31 12:00:00 [error] 1#1: *1 connect() failed (111: Connection refused) while connecting to upstream, "
    'client: 10.0.0.1, server: x, request: "GET {} HTTP/1.1", upstream: "http://127.0.0.1:3000/ws"\n'
)
UNREAD = "no nginx of this machine is seen to run this configuration, so those that it names were not read"


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "nginx.conf"
    path.write_text(FINE)
    return path


def test_a_log_that_is_named_is_read_and_what_it_tells_is_a_note(conf: Path, tmp_path: Path) -> None:
    log = tmp_path / "error.log"
    log.write_text(REFUSED.format("/ws"))
    done = ws101(*asked(conf, log))
    assert done.code == 0, done.err
    assert done.out.startswith(f"WORKS  {URL}\n")
    assert "note[upstream-unreachable] possible" in done.out
    assert "the error log tells: nothing listens at the backend's address" in done.out
    assert f"{log}: 2026/01/31 12:00:00 [error]" in " ".join(done.out.split())
    assert "it was so then; without --offline it is tried now" in done.out
    log.write_text(REFUSED.format("/other"))
    assert "upstream-unreachable" not in ws101(*asked(conf, log)).out


def asked(conf: Path, log: Path) -> tuple[str, ...]:
    return ("diagnose", URL, "--conf", str(conf), "--offline", "--error-log", str(log))


def test_an_access_log_tells_how_tunnels_ended(conf: Path, tmp_path: Path) -> None:
    timed = "log_format timed '$status $request_time $request_uri';"
    conf.write_text(FINE.replace("http {", f"http {{ {timed}", 1).replace("proxy_read_timeout 1h;", ""))
    log = tmp_path / "access.log"
    log.write_text("101 60.001 /ws\n" * 3)
    done = ws101("diagnose", URL, "--conf", str(conf), "--offline", "--access-log", str(log))
    assert "3 tunnels ended 60.001 s after they began, with status 101" in " ".join(done.out.split())
    assert done.out.startswith(f"DEGRADED  {URL}\n")


def test_the_logs_of_a_configuration_that_nobody_here_runs_are_not_read_and_that_is_said(
    conf: Path, tmp_path: Path
) -> None:
    log = tmp_path / "error.log"
    log.write_text(REFUSED.format("/ws"))
    conf.write_text(FINE.replace("events {}", f"events {{}} error_log {log};"))
    done = ws101("diagnose", URL, "--conf", str(conf), "--offline")
    assert UNREAD in " ".join(done.out.split())
    assert "--access-log and --error-log name logs" in " ".join(done.out.split())
    assert "the error log tells" not in done.out
    conf.write_text(FINE)
    assert UNREAD not in " ".join(ws101("diagnose", URL, "--conf", str(conf), "--offline").out.split())


def test_the_logs_of_a_running_nginx_are_read() -> None:
    with Parts() as parts, EchoApp() as app:
        site = parts.through(app.address)
        assert site.conf is not None
        with (site.conf.parent / "error.log").open("a") as log:
            log.write(REFUSED.format("/ws"))
        done = ws101("diagnose", site.url, "--conf", str(site.conf), "--offline")
        assert app.connections == 0
    assert "the error log tells: nothing listens at the backend's address" in done.out
    assert UNREAD not in done.out


def test_no_name_is_looked_up(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf.write_text(FINE.replace("127.0.0.1:3000", "backend.example:3000"))
    asked: list[object] = []

    def refuse(host: object, *_: object, flags: int = 0, **__: object) -> object:
        if not flags & socket.AI_NUMERICHOST:
            asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    main(["diagnose", URL, "--conf", str(conf), "--offline"])
    assert asked == []


@pytest.mark.parametrize("more", [("--idle",), ("--heartbeat", "5"), ("--direct", "ws://127.0.0.1:1/")])
def test_what_needs_a_connection_is_refused(conf: Path, more: tuple[str, ...]) -> None:
    done = ws101("diagnose", URL, "--conf", str(conf), "--offline", *more)
    assert done.code == 2
    assert "need a connection, and --offline opens none" in done.err
