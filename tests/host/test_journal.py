"""The journal: what was begun is on the disk first, and half a line is no line."""

from __future__ import annotations

import os
import stat
import threading
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws101.errors import ApplyError
from ws101.host.journal import (
    KEEP,
    FileRecord,
    Journal,
    changes,
    digest,
    is_locked,
    lock,
    new_id,
    prune,
    state_folder,
)
from ws101.host.recovery import history, interrupted, recover
from ws101.host.state import may_be_unfinished


def journal_with(state: Path, *steps: str) -> Journal:
    journal = Journal.create(state, new_id())
    for step in steps:
        journal.append(step)
    return journal


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    record = FileRecord("/etc/nginx/\xff\n.conf", "/real", "/.sibling", None, digest(b"new"), "it is a mount point")
    journal = Journal.create(tmp_path, "one")
    journal.append("begin", title="map form", undoes="")
    journal.append("prepared", files=[asdict(record)])
    journal.keep("0.new", b"\0new\xff")
    journal.keep("0.old", None)
    journal.append("applied", reason="101")
    (again,) = changes(tmp_path)
    assert again.files == (record,)
    assert (again.kept("0.new"), again.kept("0.old")) == (b"\0new\xff", None)
    assert again.closed
    told = again.change
    assert (told.id, told.title, told.state, told.proof) == ("one", "map form", "applied", "101")
    assert abs(told.at - time.time()) < 5
    again.append("undone", by="two")
    assert changes(tmp_path)[0].change.state == "undone"


def test_backups_are_for_the_owner_alone(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path / "state", "one")
    journal.append("begin")
    journal.keep("0.old", b"secret")
    with lock(tmp_path / "other"):
        pass
    assert stat.S_IMODE((tmp_path / "other").stat().st_mode) == 0o700
    assert stat.S_IMODE(journal.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in journal.folder.iterdir()} == {0o600}


@given(st.integers(0, 400), st.binary(max_size=20))
def test_a_torn_line_is_ignored_and_the_next_one_is_not_lost(
    tmp_path_factory: pytest.TempPathFactory, cut: int, garbage: bytes
) -> None:
    journal = journal_with(tmp_path_factory.mktemp("torn"), "begin", "write", "written")
    path = journal.folder / "journal.jsonl"
    path.write_bytes(path.read_bytes()[:cut] + garbage)
    again = Journal(journal.folder)
    known = [entry["step"] for entry in again.entries]
    again.append("rolled back")
    assert [entry["step"] for entry in Journal(journal.folder).entries] == [*known, "rolled back"]
    assert known == ["begin", "write", "written"][: len(known)]


def test_a_change_without_an_end_is_interrupted(tmp_path: Path) -> None:
    journal_with(tmp_path, "begin", "rolled back")
    open_one = journal_with(tmp_path, "begin", "prepared")
    assert [change.id for change in interrupted(tmp_path)] == [open_one.id]
    assert [change.state for change in history(tmp_path)] == ["rolled back", "interrupted"]
    assert [one.action for one in recover(tmp_path)] == ["cleaned"]
    assert interrupted(tmp_path) == ()
    assert len(history(tmp_path)) == 1


def test_no_state_folder_is_no_history(tmp_path: Path) -> None:
    assert history(tmp_path / "none") == ()
    assert recover(tmp_path / "none") == ()


def test_ids_sort_by_time_and_differ() -> None:
    ids = []
    for _ in range(200):
        ids.append(new_id())
        time.sleep(0.00001)
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


def test_the_state_folder_is_named_or_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WS101_STATE", str(tmp_path / "env"))
    assert state_folder() == tmp_path / "env"
    assert state_folder(tmp_path / "named") == tmp_path / "named"
    monkeypatch.delenv("WS101_STATE")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert state_folder() == Path("/var/lib/ws101")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    assert state_folder() == tmp_path / "xdg" / "ws101"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state_folder() == tmp_path / ".local/state/ws101"


def test_the_lock_is_waited_for_and_then_refused(tmp_path: Path) -> None:
    release = threading.Event()
    held = threading.Event()

    def hold() -> None:
        with lock(tmp_path):
            held.set()
            release.wait(5)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(5)
    with (
        pytest.raises(ApplyError, match=f"another run is changing this configuration \\(process {os.getpid()}\\)"),
        lock(tmp_path, wait=0.06),
    ):
        pass
    threading.Timer(0.1, release.set).start()
    with lock(tmp_path, wait=5):
        holder.join()


def test_a_lock_planted_as_a_symlink_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "lock").symlink_to(victim)
    with pytest.raises(ApplyError, match="state folder cannot be written"), lock(tmp_path / "state"):
        pass
    assert victim.read_text() == "precious"


def test_a_state_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ApplyError, match="state folder cannot be written") as raised, lock(tmp_path / "file" / "x"):
        pass
    assert raised.value.where == str(tmp_path / "file" / "x")
    assert "WS101_STATE" in raised.value.help


def finished(state: Path, count: int, last: str = "applied") -> list[str]:
    ids = []
    for _ in range(count):
        journal = Journal.create(state, new_id())
        journal.append("begin", at=1.0)
        journal.keep("0.old", b"secret")
        journal.append(last)
        ids.append(journal.id)
    return ids


def test_old_changes_are_forgotten_but_never_one_that_is_not_finished(tmp_path: Path) -> None:
    (interrupted,) = finished(tmp_path, 1, "write")
    done = finished(tmp_path, 6)
    assert prune(tmp_path, 4, spare=done[0]) == (done[1],)
    assert [journal.id for journal in changes(tmp_path)] == [interrupted, done[0], *done[2:]]
    assert prune(tmp_path, 4) == (done[0],)
    assert prune(tmp_path, 4) == ()
    assert not (tmp_path / "changes" / done[1]).exists()


def test_by_default_the_last_fifty_stay(tmp_path: Path) -> None:
    done = finished(tmp_path, KEEP + 3)
    assert prune(tmp_path) == tuple(done[:3])


def test_whether_somebody_holds_the_lock_is_told_without_taking_it(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    with lock(tmp_path):
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)
    with lock(tmp_path, wait=0.1):
        pass


@given(st.integers(0, 400), st.sampled_from(["", "applied", "rolled back", "not started"]), st.binary(max_size=20))
def test_a_quick_look_at_the_journals_never_misses_an_interrupted_change(
    tmp_path_factory: pytest.TempPathFactory, cut: int, last: str, garbage: bytes
) -> None:
    state = tmp_path_factory.mktemp("quick")
    journal_with(state, "begin", "write", "applied")
    assert not may_be_unfinished(state)
    journal = journal_with(state, "begin", *([last] if last else []))
    assert may_be_unfinished(state) == (not last)
    path = journal.folder / "journal.jsonl"
    path.write_bytes(path.read_bytes()[:cut] + garbage)
    assert may_be_unfinished(state) or not interrupted(state)


def test_a_title_that_sounds_like_an_end_is_none(tmp_path: Path) -> None:
    journal = journal_with(tmp_path)
    journal.append("begin", title='{"step": "applied"', step_of='\n{"step": "applied"')
    assert may_be_unfinished(tmp_path)
