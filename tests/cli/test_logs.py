"""``ws101 logs``: given files, a pipe, and the logs that a real nginx's configuration names."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from tests.cli.support import maybe, mismatches, ws101
from tests.host.test_history import ERROR, REFUSED, TIMED, combined, timed
from ws101.host.network import handshake
from ws101.lab.backends import StoryApp
from ws101.lab.nginx import Nginx, wrap
from ws101.lab.ports import free_ports

PILE = [{"seconds": int, "number": int}]
LOGS = {
    "schema": "ws101/logs/1", "files": [{"file": str, "problem": maybe(str)}], "lines": int, "unread": int,
    "paths": [{"path": str, "statuses": dict}],
    "tunnels": {"ended": int, "untimed": int, "ages": PILE, "clusters": PILE},
    "errors": [{"rule": str, "number": int, "message": str, "first": str, "last": str}],
    "refused": {"number": int, "last": maybe(str)},
}  # fmt: skip


def test_a_table_a_histogram_and_what_the_error_log_tells(tmp_path: Path) -> None:
    access, error = tmp_path / "access.log", tmp_path / "error.log"
    access.write_text("".join(timed(101, 60.0) for _ in range(9)) + timed(101, 3.0) + timed(502, 0.1, "/api"))
    error.write_text(ERROR * 2 + REFUSED)
    done = ws101("logs", str(access), str(error), "--log-format", TIMED)
    assert done.code == 0, done.err
    assert "/ws   10" in done.out
    assert "9 ended 60 s after they began, as at a timeout (nginx's default proxy_read_timeout" in done.out
    assert "worker-connections" in done.out
    assert "refused 1 starts or reloads" in done.out
    as_json = ws101("logs", str(access), str(error), "--log-format", TIMED, "--format", "json").json
    assert mismatches({**as_json, "paths": []}, LOGS) == []
    assert as_json["tunnels"]["clusters"] == [{"seconds": 60, "number": 9}]


def test_a_pipe_and_escapes_in_a_log() -> None:
    done = ws101("logs", "-", stdin=combined(101, "/\x1b[31m").encode())
    assert done.code == 0
    assert "\x1b" not in done.out
    assert "/\\x1b[31m" in done.out
    assert "no $request_time" in done.out


def test_the_logs_that_a_configuration_names_are_found_with_their_formats(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with StoryApp("/ws") as app:
        conf = wrap(
            "log_format timed '$status $request_time $request_uri'; access_log own.log timed;"
            f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{app.port}; }} }}"
        )
        with Nginx(conf) as nginx:
            handshake(f"ws://127.0.0.1:{port}/ws")
            with socket.create_connection(("127.0.0.1", port)):
                time.sleep(0.1)
            done = ws101("logs", "--conf", str(nginx.conf_path), "--format", "json")
    assert done.code == 0, done.err
    assert [item["path"] for item in done.json["paths"]] == ["/ws"]
    assert str(Path(nginx.conf_path).parent / "own.log") in [item["file"] for item in done.json["files"]]
    assert {item["problem"] for item in done.json["files"]} == {None}


@pytest.mark.parametrize(
    ("args", "message"), [(("/nonexistent/log",), "cannot read the log"), (("/tmp",), "this is a folder")]
)
def test_bad_input_is_named(args: tuple[str, ...], message: str) -> None:
    done = ws101("logs", *args)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err
