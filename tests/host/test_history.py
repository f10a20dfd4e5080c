"""Logs read whole: every form, rotated and compressed, broken and endless, and what is counted."""

from __future__ import annotations

import gzip
import os
import tempfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws101.errors import InputError
from ws101.host.history import rotated, scan, within
from ws101.logs import COMBINED, AccessEntry, Tally, read_access

TIMED = '$remote_addr [$time_local] "$request" $status $request_time'
FORMS = (
    COMBINED,
    TIMED,
    "$status $request_time $request_uri",
    "$request_uri|$status|$request_time",
    '{"s":"$status","u":"$request_uri"}',
)
ERROR = "2026/11/23 10:00:00 [alert] 7#7: 40 worker_connections are not enough\n"
REFUSED = '2026/11/23 11:00:00 [emerg] 7#7: unknown directive "x" in /etc/nginx/nginx.conf:3\n'


NO_FORMAT = "no line of it has the format: give its log_format with --log-format"


def combined(status: int, path: str = "/ws") -> str:
    return f'192.0.2.101 - - [23/Nov/2026:10:00:00 +0000] "GET {path} HTTP/1.1" {status} 101 "-" "ua 502 x"\n'


def timed(status: int, seconds: float, path: str = "/ws") -> str:
    return f'192.0.2.1 [23/Nov/2026:10:00:00 +0000] "GET {path} HTTP/1.1" {status} {seconds:.3f}\n'


def counted(tmp_path: Path, text: str | bytes, form: str | None = None) -> Tally:
    path = tmp_path / "log"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("latin-1"))
    tally = Tally()
    scan(str(path), tally, form=form)
    return tally


def test_answers_are_counted_by_path_and_status_and_others_are_passed_over(tmp_path: Path) -> None:
    text = combined(101) + combined(200) + combined(101, "/ws?token=a") + combined(502, "/x") + combined(1010, "/no")
    tally = counted(tmp_path, text)
    assert dict(tally.statuses) == {("/ws", 101): 2, ("/x", 502): 1}
    assert (tally.lines, tally.tunnels, tally.untimed) == (5, 2, 2)


def test_an_error_log_is_known_by_its_lines(tmp_path: Path) -> None:
    tally = counted(tmp_path, ERROR * 3 + REFUSED + "garbage\n")
    count, _, first, last = tally.told["worker-connections"]
    assert (count, first, last) == (3, "2026/11/23 10:00:00", "2026/11/23 10:00:00")
    assert tally.emerg[0] == 1
    assert "unknown directive" in tally.emerg[1]


def test_tunnels_that_end_at_a_timeout_are_a_pile_and_scattered_ones_are_none(tmp_path: Path) -> None:
    piled = "".join(timed(101, 59.9 + number / 50) for number in range(20))
    scattered = "".join(timed(101, 7.0 * number) for number in range(1, 40))
    assert [age for age, _ in counted(tmp_path, piled + scattered, TIMED).clusters()] == [60]
    assert counted(tmp_path, scattered, TIMED).clusters() == ()
    assert counted(tmp_path, "".join(timed(101, 0.2) for _ in range(50)), TIMED).clusters() == ()


def test_rotated_logs_are_found_newest_first_and_compressed_ones_are_read(tmp_path: Path) -> None:
    names = ("access.log", "access.log.1", "access.log.2.gz", "access.log-20261101.gz")
    for age, name in enumerate(names):
        data = combined(101).encode()
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    (tmp_path / "access.log.txt").write_text("not a log")
    found = rotated(str(tmp_path / "access.log"))
    assert [Path(path).name for path in found] == list(names)
    tally = Tally()
    for path in found:
        scan(path, tally)
    assert tally.statuses["/ws", 101] == 4


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (gzip.compress(combined(101).encode() * 1000)[:-20], "the compressed data breaks off"),
        (b"\x1f\x8b garbage", "the compressed data breaks off"),
        (b'1 "GET /" 502 x\n' * 5, NO_FORMAT),
        (b"", ""),
        (b"\0" * 3_000_000, NO_FORMAT),
        (b"\xff\xfe\n" * 100, NO_FORMAT),
        (combined(200).encode() * 100, ""),
    ],
)
def test_broken_logs_have_a_name_and_no_traceback(tmp_path: Path, data: bytes, problem: str) -> None:
    (tmp_path / "log").write_bytes(data)
    assert scan(str(tmp_path / "log"), Tally()).problem == problem


def test_what_cannot_be_read_is_an_input_error(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError):
            scan(str(path), Tally())


def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("w") as file:
        for number in range(10_000):
            file.write(combined(101, f"/unique/{number}"))
    tally = Tally()
    tracemalloc.start()
    scan(str(path), tally)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert tally.tunnels == 10_000
    assert len(tally.statuses) <= 501
    assert peak < 20_000_000


@given(
    st.sampled_from(FORMS),
    st.lists(st.tuples(st.sampled_from([*Tally.TOLD, 200, 1010]), st.sampled_from(["/ws", "/101", "/a 502"]))),
)
def test_the_quick_search_finds_what_reading_every_line_finds(form: str, lines: list[tuple[int, str]]) -> None:
    values = {"$remote_addr": "192.0.2.101", "$remote_user": "-", "$time_local": "t 502", "$body_bytes_sent": "101"}
    values |= {"$http_referer": "-", "$http_user_agent": " 101 ", "$request_time": "60.001"}
    text = ""
    for status, path in lines:
        line = (
            form.replace("$request_time", "60.001").replace("$request_uri", path).replace("$request", f"GET {path} X")
        )
        for name, value in values.items():
            line = line.replace(name, value)
        text += line.replace("$status", str(status)) + "\n"
    slow = Tally()
    for entry in read_access(text, form):
        if entry.status in Tally.TOLD:
            slow.add_access(entry)
    with tempfile.TemporaryDirectory() as folder:
        quick = counted(Path(folder), text, form)
    assert quick.statuses == slow.statuses
    assert quick.ages == slow.ages


@given(st.binary(max_size=300), st.sampled_from([*FORMS, "", "$status", "x$status$request_time", None]))
def test_whatever_the_bytes_are_it_ends(data: bytes, form: str | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tally = counted(Path(folder), data, form)
    assert tally.tunnels <= data.count(b"101")


def test_an_age_is_counted_by_the_second_and_ends_at_a_day() -> None:
    tally = Tally()
    for seconds in (0.4, 59.9, 60.2, 1e9):
        tally.add_access(AccessEntry(101, seconds, "/ws"))
    assert dict(tally.ages) == {0: 1, 60: 2, 86400: 1}


def test_only_lines_about_the_path_are_counted_if_one_is_given(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(timed(101, 3.0, "/ws?token=a") + timed(101, 3.0, "/wsx") + timed(502, 3.0))
    tally = Tally("/ws?x=1")
    scan(str(tmp_path / "a"), tally, form=TIMED)
    assert dict(tally.statuses) == {("/ws", 101): 1, ("/ws", 502): 1}


def test_of_several_formats_the_one_that_fits_is_taken(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(timed(101, 3.0) * 3)
    tally = Tally()
    scan(str(tmp_path / "a"), tally, form=COMBINED, other_forms=("$status", TIMED))
    assert tally.ages == {3: 3}


def test_no_more_rotated_logs_are_taken_than_there_is_time_for(tmp_path: Path) -> None:
    for age, (name, size) in enumerate((("a", 50), ("a.1", 30), ("a.2.gz", 3), ("a.3", 1))):
        (tmp_path / name).write_bytes(b"x" * size)
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    names = [str(tmp_path / name) for name in ("a", "a.1", "a.2.gz", "a.3")]
    assert within(names[0], 111) == (tuple(names), 0)
    assert within(names[0], 100) == (tuple(names[:2]), 2)
    assert within(names[0], 1) == (tuple(names[:1]), 3)


def test_a_histogram_parts_the_ages_and_leaves_out_empty_ends() -> None:
    tally = Tally()
    for age in (6.0, 60.0, 60.2, 4000.0):
        tally.add_access(AccessEntry(101, age, "/ws"))
    parts = tally.histogram()
    assert parts[0] == (5, 10, 1)
    assert (55, 65, 2) in parts
    assert parts[-1] == (3600, 86400, 1)
    assert (10, 30, 0) in parts
    assert Tally().histogram() == ()
