"""Tunnels that ended together: a worker that was told to go, or something else; real ones too."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.live.staging import GOOD, Parts, Site, diagnose
from ws101.cli import main
from ws101.host.logs import Log, Logs
from ws101.host.together import largest_together, moment
from ws101.lab.backends import EchoApp
from ws101.lab.nginx import Nginx, until
from ws101.logs import AccessEntry, read_access

FORM = "$time_iso8601 $status $request_time $remote_addr $http_user_agent"
AT = "2026-01-31T12:00:30+00:00"


def ended(number: int, *, client: str = "", agent: str = "") -> list[AccessEntry]:
    return [AccessEntry(101, 5.0 * n, "/ws", "", AT, client, agent) for n in range(number)]


def notices(*lines: tuple[str, str]) -> str:
    return "".join(f"2026/01/31 {at} [notice] 7#7: {message}\n" for at, message in lines)


STARTED = ("09:00:00", "start worker processes")


def test_one_moment_is_the_same_however_it_is_written() -> None:
    at = moment("2026/01/31 12:00:30")
    assert at is not None
    assert moment(AT) == moment("31/Jan/2026:12:00:30 +0000") == moment(f"{at:.0f}.250") == at


@pytest.mark.parametrize("text", ["", "yesterday", "31/Foo/2026:12:00:30 +0000", "2026-01-31", "12345678901", "-1"])
def test_what_is_no_time_is_none(text: str) -> None:
    assert moment(text) is None


def certain(log: str, limit: float | None, group: list[AccessEntry] | None = None) -> bool | str | None:
    found = largest_together(group or ended(4), [log], limit)
    return found.certain if found else "nothing"


def test_a_worker_that_was_told_to_go_so_long_before_ended_them() -> None:
    log = notices(STARTED, ("12:00:20", "gracefully shutting down"), ("12:00:30", "exiting"))
    assert certain(log, 10.0) is True
    assert certain(log, 60.0) is False


def test_without_notices_the_error_log_does_not_tell() -> None:
    assert certain("2026/01/31 09:00:00 [error] 7#7: no live upstreams\n", 10.0) is None
    assert certain("", 10.0) is None
    young = notices(("12:00:25", "exiting"))
    assert certain(young, 10.0) is None, "it begins after the worker would have been told to go"


def test_a_worker_that_waits_for_its_tunnels_ends_none() -> None:
    assert certain(notices(STARTED, ("12:00:30", "gracefully shutting down")), None) is False


def test_a_client_that_leaves_with_all_it_had_open_is_not_worth_a_word() -> None:
    one = ended(9, client="10.0.0.1", agent="k6/1.1")
    assert certain("", 10.0, one) == "nothing"
    assert certain("", 10.0, [replace(entry, client=f"10.0.0.{n}") for n, entry in enumerate(one)]) is None
    assert certain(notices(("12:00:20", "gracefully shutting down")), 10.0, one) is True
    assert certain("", 10.0, ended(9, client="10.0.0.1")) == "nothing"
    assert certain("", 10.0, ended(9, agent="k6/1.1")) is None, "which clients they were, the log does not tell"


def test_those_that_a_worker_ended_come_before_more_that_it_did_not() -> None:
    other = [replace(entry, ended="2026-01-31T11:00:00+00:00") for entry in ended(9)]
    log = notices(STARTED, ("12:00:20", "gracefully shutting down"))
    found = largest_together([*other, *ended(3)], [log], 10.0)
    assert found is not None
    assert (len(found.entries), found.certain) == (3, True)


def test_the_error_log_of_the_whole_is_read_for_the_workers(tmp_path: Path) -> None:
    access, error = tmp_path / "access.log", tmp_path / "main.log"
    access.write_text("".join(f"{AT} 101 {n}.5 10.0.0.{n} Mozilla\n" for n in range(4)))
    error.write_text(notices(STARTED, ("12:00:20", "gracefully shutting down")))
    logs = Logs(lambda _: (Log(str(access), FORM),), workers=(Log(str(error)),), shutdown=10.0)
    logs.mark(None)
    (clue,) = logs.clues("/ws", None)
    assert (clue.rule, clue.certain, clue.line) == (
        "reload-drops-connections", True, f"4 tunnels of different age ended at {AT}",
    )  # fmt: skip


# real tunnels, on a real nginx


@contextlib.contextmanager
def standing(main_lines: str) -> Iterator[tuple[Parts, Nginx, Site, Path]]:
    """A site with an application, a log with clients and times, and an error log with notices."""
    with Parts() as parts:
        port, backend = parts.port(), parts.port()
        http = (
            f"log_format told '{FORM}'; access_log {parts.folder}/told.log told;"
            f"server {{ listen 127.0.0.1:{port}; location /ws {{ proxy_pass http://127.0.0.1:{backend}; {GOOD} }} }}"
        )
        nginx = parts.nginx(http, main=f"error_log {parts.folder}/main.log notice; {main_lines}")
        site = Site(f"ws://127.0.0.1:{port}/ws", conf=nginx.conf_path)
        yield parts, nginx, site, parts.folder / "told.log"


def application(site: Site) -> EchoApp:
    """The one behind the site."""
    assert site.conf is not None
    found = re.search(r"proxy_pass http://127\.0\.0\.1:(\d+)", site.conf.read_text())
    assert found is not None
    return EchoApp(port=int(found[1]))


def opened(site: Site, stack: contextlib.ExitStack, agent: str) -> None:
    host, _, port = site.url.removeprefix("ws://").removesuffix("/ws").partition(":")
    sock = stack.enter_context(socket.create_connection((host, int(port)), 5))
    sock.sendall(
        f"GET /ws HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: {agent}\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    assert sock.recv(4096).startswith(b"HTTP/1.1 101 ")


def ended_in(log: Path, number: int) -> None:
    until(lambda: log.exists() and log.read_text().count(" 101 ") >= number, "ended tunnels", 10)


def told_of(site: Site) -> list[tuple[str, str]]:
    found = diagnose(site).json["root_causes"]
    return [(one["rule"], one["confidence"]) for one in found if one["rule"].endswith(("-drops", "drops-connections"))]


def test_what_a_probe_of_many_leaves_in_the_log_is_no_reload() -> None:
    with standing("") as (_, _, site, log), application(site):
        assert main(["probe", site.url, "--many", "12", "--rate", "20", "--hold", "0.2"]) == 0
        ended_in(log, 12)
        ages = {entry.seconds for entry in read_access(log.read_text(), FORM)}
        assert len(ages) > 3, "tunnels of different age, as after a reload"
        assert told_of(site) == []


def test_a_reload_with_a_shutdown_timeout_is_proven_by_both_logs() -> None:
    with standing("worker_shutdown_timeout 1s;") as (parts, nginx, site, log), application(site):
        for number in range(4):
            opened(site, parts.stack, f"browser-{number}")
            time.sleep(0.15)
        nginx.reload()
        ended_in(log, 4)
        assert told_of(site) == [("reload-drops-connections", "proven")]


def test_an_application_that_goes_away_is_no_reload() -> None:
    with standing("") as (parts, _, site, log):
        with application(site):
            for number in range(4):
                opened(site, parts.stack, f"browser-{number}")
                time.sleep(0.15)
        ended_in(log, 4)
        with application(site):
            assert told_of(site) == [("backend-restart-drops", "possible")]


def test_an_nginx_that_is_killed_writes_no_line_of_its_tunnels() -> None:
    with standing("") as (parts, nginx, site, log), application(site):
        opened(site, parts.stack, "browser")
        for worker in nginx.workers():
            os.kill(worker.pid, signal.SIGKILL)
        until(lambda: "exited on signal 9" in (parts.folder / "main.log").read_text(), "the end", 10)
        assert not log.exists() or log.read_text() == ""
