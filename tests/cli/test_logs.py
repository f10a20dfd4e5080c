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
    "tunnels": {"ended": int, "untimed": int, "own": int, "ages": PILE, "clusters": PILE},
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
    assert "refused 1 start or reload, last" in done.out
    as_json = ws101("logs", str(access), str(error), "--log-format", TIMED, "--format", "json").json
    assert mismatches({**as_json, "paths": []}, LOGS) == []
    assert as_json["tunnels"]["clusters"] == [{"seconds": 60, "number": 9}]


def test_the_programs_own_tunnels_are_left_out_and_that_is_said(tmp_path: Path) -> None:
    form = TIMED + ' "$http_user_agent"'
    own = "".join(timed(101, 20.0).rstrip("\n") + ' "ws101"\n' for _ in range(30))
    (tmp_path / "access.log").write_text(own)
    done = ws101("logs", str(tmp_path / "access.log"), "--log-format", form)
    assert "No tunnel of a user's ended" in done.out
    assert "30 of ws101 itself, by its User-Agent, tell nothing of users and are left out" in done.out
    assert "as at a timeout" not in done.out
    other = timed(101, 7.0).rstrip("\n") + ' "Mozilla"\n'
    (tmp_path / "access.log").write_text(own + other)
    done = ws101("logs", str(tmp_path / "access.log"), "--log-format", form)
    assert "How long 1 tunnel lived" in done.out
    assert "30 more of ws101 itself" in done.out
    as_json = ws101("logs", str(tmp_path / "access.log"), "--log-format", form, "--format", "json").json
    assert (as_json["tunnels"]["ended"], as_json["tunnels"]["own"]) == (1, 30)


@pytest.mark.parametrize("data", [bytes(range(256)) * 9, combined(200).encode(), combined(101).encode()])
def test_what_has_another_format_is_not_said_to_tell_nothing(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "strange.log").write_bytes(data)
    done = ws101("logs", str(tmp_path / "strange.log"), "--log-format", "$status $request_time")
    assert (done.code, done.out) == (2, "")
    assert "none of the logs can be read: no line of it has the format: give its log_format" in done.err
    (tmp_path / "good.log").write_text("200 0.1\n")
    done = ws101("logs", *(str(tmp_path / name) for name in ("strange.log", "good.log")), "--log-format",
                 "$status $request_time")  # fmt: skip
    assert done.code == 0
    assert "strange.log: no line of it has the format" in " ".join(done.out.split())
    assert "Nothing in them tells of WebSockets." in done.out


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
    folder = Path(nginx.conf_path).parent
    said = {item["file"]: item["problem"] for item in done.json["files"]}
    assert said.pop(str(folder / "own.log")) == f"left out: everything in it stands in {folder / 'access.log'} too"
    assert set(said.values()) == {None}
    assert done.json["paths"][0]["statuses"] == {"400": 1}


def conf_with(tmp_path: Path, http: str, *locations: str) -> Path:
    conf = tmp_path / "nginx.conf"
    body = "".join(f"location /{n} {{ {text} proxy_pass http://127.0.0.1:1; }}" for n, text in enumerate(locations))
    conf.write_text(f"error_log e.log; events {{}} http {{ log_format timed '{TIMED}'; {http} server {{ {body} }} }}")
    (tmp_path / "e.log").write_text(ERROR)
    return conf


def test_a_request_that_stands_in_two_logs_is_counted_once(tmp_path: Path) -> None:
    conf = conf_with(tmp_path, "access_log all.log; access_log slow.log timed;", "", "access_log all.log;")
    (tmp_path / "all.log").write_text(combined(101, "/0") * 3 + combined(101, "/1"))
    (tmp_path / "slow.log").write_text(timed(101, 60.0, "/0") * 3)
    done = ws101("logs", "--conf", str(conf), "--format", "json").json
    assert {item["path"]: item["statuses"] for item in done["paths"]} == {"/0": {"101": 3}, "/1": {"101": 1}}
    assert {item["file"].rpartition("/")[2]: item["problem"] for item in done["files"]} == {
        "e.log": None,
        "all.log": None,
        "slow.log": f"left out: everything in it stands in {tmp_path}/all.log too",
    }


def test_where_it_cannot_be_told_apart_it_is_said(tmp_path: Path) -> None:
    conf = conf_with(tmp_path, "", "access_log a.log; access_log b.log;", "access_log a.log;", "access_log b.log;")
    for name in ("a.log", "b.log"):
        (tmp_path / name).write_text(combined(101))
    done = ws101("logs", "--conf", str(conf))
    assert f"requests that stand in {tmp_path}/b.log too are counted twice" in " ".join(done.out.split())


def test_a_file_with_several_names_is_read_once(tmp_path: Path) -> None:
    log, link, hard = tmp_path / "a.log", tmp_path / "b.log", tmp_path / "c.log"
    log.write_text(combined(101))
    link.symlink_to(log)
    hard.hardlink_to(log)
    done = ws101("logs", str(log), str(link), str(hard), str(log))
    assert "/ws  1 " in done.out
    assert "1 line in 1 log\n" in done.out
    assert " ".join(done.out.split()).count(f"left out: it is {log} under another name") == 2


def test_a_log_that_is_named_has_the_format_that_the_configuration_gives_it(tmp_path: Path) -> None:
    conf = conf_with(tmp_path, "access_log own.log timed;", "")
    (tmp_path / "own.log").write_text(timed(101, 60.0) * 3)
    done = ws101("logs", str(tmp_path / "own.log"), "--conf", str(conf), "--format", "json").json
    assert done["tunnels"]["clusters"] == [{"seconds": 60, "number": 3}]


def test_a_format_that_is_not_known_says_how_to_give_it(tmp_path: Path) -> None:
    (tmp_path / "own.log").write_text(timed(101, 60.0) * 3)
    done = ws101("logs", str(tmp_path / "own.log"))
    assert done.code == 2
    assert "--log-format" in done.err


@pytest.mark.parametrize(
    ("args", "message"), [(("/nonexistent/log",), "cannot read the log"), (("/tmp",), "this is a folder")]
)
def test_bad_input_is_named(args: tuple[str, ...], message: str) -> None:
    done = ws101("logs", *args)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err
