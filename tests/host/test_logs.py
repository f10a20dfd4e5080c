"""Logs around a diagnosis: found through the configuration, rotated, compressed, unreadable."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from ws101.host.logs import TAIL, Log, Logs, choose, named_logs, read_tail
from ws101.logs import COMBINED
from ws101.nginx.config import Config, MemoryFiles

REFUSED = (
    "2026/01/31 12:00:00 [error] 1#1: *1 connect() failed (111: Connection refused) while connecting to upstream, "
    'client: 1, server: x, request: "GET /ws HTTP/1.1", upstream: "http://127.0.0.1:3000/ws"\n'
)
LIMITED = (
    '2026/01/31 12:00:01 [error] 1#1: *2 limiting requests, excess: 0.9 by zone "z", request: "GET /ws HTTP/1.1"\n'
)


def config(text: str) -> Config:
    return Config(MemoryFiles({"/etc/nginx/nginx.conf": text.encode()}), "/etc/nginx/nginx.conf")


def logs_in(text: str, **options: str) -> tuple[Log, ...]:
    found = config(text)
    (server,) = found.servers
    (location,) = found.locations(server)
    return named_logs(found, location, **options)


def test_the_logs_of_the_location_count() -> None:
    text = (
        "error_log /var/log/all.log; http { log_format t '$status' ' $request_time'; access_log /var/log/a.log t; "
        "server { error_log logs/ws.log info; location /ws { access_log logs/ws-access.log; } } }"
    )
    assert logs_in(text, prefix="/opt/nginx") == (
        Log("/opt/nginx/logs/ws.log"),
        Log("/opt/nginx/logs/ws-access.log", COMBINED),
    )
    assert logs_in(text.replace("access_log logs/ws-access.log;", "")) == (
        Log("/etc/nginx/logs/ws.log"),
        Log("/var/log/a.log", "$status $request_time"),
    )


def test_what_is_no_file_is_left_out() -> None:
    text = "error_log syslog:server=10.0.0.1; http { server { location /ws { access_log /var/log/$host.log; } } }"
    assert logs_in(text) == ()
    assert logs_in("error_log stderr; http { server { location / { access_log off; } } }") == ()


def test_without_a_directive_it_is_the_one_that_was_compiled_in() -> None:
    text = "http { server { location / { access_log off; } } }"
    assert logs_in(text, default="/var/log/nginx/error.log") == (Log("/var/log/nginx/error.log"),)


def marked(path: Path, form: str = "") -> Logs:
    logs = Logs.of([Log(str(path), form)])
    logs.mark(None)
    return logs


def test_what_is_added_is_fresh_and_what_was_there_is_not(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    path.write_text(REFUSED)
    logs = marked(path)
    with path.open("a") as file:
        file.write(LIMITED)
    assert [(clue.rule, clue.fresh) for clue in logs.clues("/ws", None)] == [
        ("rate-limit", True),
        ("upstream-unreachable", False),
    ]


def test_a_cause_that_is_told_again_is_fresh(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    path.write_text(REFUSED)
    logs = marked(path)
    with path.open("a") as file:
        file.write(REFUSED)
    assert [(clue.rule, clue.fresh) for clue in logs.clues("/ws", None)] == [("upstream-unreachable", True)]


def test_a_log_that_is_rotated_meanwhile_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    path.write_text(REFUSED * 10)
    logs = marked(path)
    path.rename(tmp_path / "error.log.1")
    path.write_text(LIMITED)
    assert [clue.rule for clue in logs.clues("/ws", None) if clue.fresh] == ["rate-limit"]


@pytest.mark.parametrize("name", ["error.log.1", "error.log-1", "error.log.1.gz"])
def test_a_young_log_is_continued_in_the_rotated_one(tmp_path: Path, name: str) -> None:
    path = tmp_path / "error.log"
    path.write_text("")
    older = tmp_path / name
    older.write_bytes(gzip.compress(REFUSED.encode()) if name.endswith(".gz") else REFUSED.encode())
    assert [clue.rule for clue in marked(path).clues("/ws", None)] == ["upstream-unreachable"]


def test_a_compressed_bomb_and_a_broken_archive_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    path.write_text("")
    (tmp_path / "error.log.1.gz").write_bytes(gzip.compress(b"\n" * 80_000_000, 1))
    assert len(read_tail(str(path), 0)) <= TAIL
    (tmp_path / "error.log.1.gz").write_bytes(b"\x1f\x8b not gzip at all")
    assert read_tail(str(path), 0) == ""


def test_only_the_tail_of_a_large_log_is_read_and_it_begins_with_a_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    path.write_text(REFUSED * 3000)
    tail = read_tail(str(path), path.stat().st_size)
    assert len(tail) <= TAIL
    assert tail.startswith("2026/01/31")
    assert tail.endswith(REFUSED)


def test_a_log_that_is_not_there_tells_nothing(tmp_path: Path) -> None:
    logs = marked(tmp_path / "error.log")
    assert (logs.clues("/ws", None), logs.doubts()) == ((), ())


def test_a_pipe_or_a_folder_in_a_logs_place_is_left_alone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        assert marked(path).clues("/ws", None) == ()


def test_a_log_that_cannot_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "error.log"
    path.write_text(REFUSED)
    logs = marked(path)
    opened = Path.open

    def refuse(self: Path, *args: object, **options: object) -> object:
        if self == path:
            raise PermissionError(13, "Permission denied")
        return opened(self, *args, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", refuse)
    assert logs.clues("/ws", None) == ()
    assert [doubt.reason for doubt in logs.doubts()] == [f"what {path} says: it cannot be read (Permission denied)"]


def test_of_several_formats_the_one_that_fits_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text("101 60.01 /ws\n" * 3)
    logs = Logs.of([Log(str(path), COMBINED, ("$request_time $status", "$status $request_time $request_uri"))])
    logs.mark(None)
    assert [clue.rule for clue in logs.clues("/ws", 60.0)] == ["read-timeout"]


def test_an_access_log_tells_of_tunnels_cut_at_the_timeout_and_dropped_together(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    form = "$time_iso8601 $status $request_time $request_uri"
    cut = "".join(f"2026-01-31T12:0{n}:00+00:00 101 60.0{n} /ws\n" for n in range(1, 4))
    dropped = "".join(f"2026-01-31T13:00:00+00:00 101 {n}.5 /ws\n" for n in range(1, 5))
    path.write_text(cut + "a broken line\n" + dropped)
    clues = {clue.rule: clue.line for clue in marked(path, form).clues("/ws", 60.0)}
    assert clues == {
        "read-timeout": "3 tunnels ended 60.03 s after they began, with status 101",
        "reload-drops-connections": "4 tunnels of different age ended at 2026-01-31T13:00:00+00:00",
    }


def test_of_logs_that_are_always_written_together_the_one_with_times_is_kept() -> None:
    plain_log, timed_log = Log("/a", COMBINED), Log("/b", "$status $request_time")
    chosen = choose([(plain_log, timed_log), (timed_log,)])
    assert chosen.logs == (timed_log,)
    assert chosen.copies == (("/a", "/b"),)
    assert chosen.overlapping == ()


def test_a_log_that_takes_only_some_lines_stands_for_no_other() -> None:
    every, some = Log("/a", COMBINED), Log("/b", "$status $request_time", partial=True)
    assert choose([(every, some)]).logs == (every,)
    assert choose([(some, Log("/c", COMBINED, partial=True))]).overlapping == (("/b", "/c"),)


def test_an_error_log_and_an_access_log_are_no_copies_of_each_other() -> None:
    logs = (Log("/error"), Log("/a", COMBINED))
    assert choose([logs]).logs == logs
    assert choose([logs]).overlapping == ()


def test_the_conditions_of_logs_are_read() -> None:
    text = "http { error_log /e1; error_log /e2 info; access_log /a; access_log /b combined if=$x; }"
    config = Config(MemoryFiles({"nginx.conf": text.encode()}), "nginx.conf")
    assert {log.path: log.partial for log in named_logs(config, None)} == {
        "/e1": True, "/e2": False, "/a": False, "/b": True,
    }  # fmt: skip
    assert [log.path for log in choose([named_logs(config, None)]).logs] == ["/e2", "/a"]
