"""Symlinks that are made, changed and removed: whole at every moment, put back, and never followed."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from ws101.errors import ApplyError
from ws101.host import writing
from ws101.host.journal import Journal, digest
from ws101.host.links import Content, Link, link_at
from ws101.host.resolving import place
from ws101.host.writing import Pending, commit, discard, prepare, put_back

OLD, NEW = Link("../available/old"), Link("../available/new")
CHANGES = [(None, NEW), (OLD, None), (OLD, NEW), (b"a file\n", NEW), (OLD, b"a file\n")]
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


def put(path: Path, content: Content) -> None:
    path.unlink(missing_ok=True)
    if isinstance(content, Link):
        path.symlink_to(content.target)
    elif content is not None:
        path.write_bytes(content)


def found(path: Path) -> Content:
    return link_at(str(path)) or (path.read_bytes() if path.exists() else None)


def ready(path: Path, old: Content, new: Content) -> Pending:
    return prepare(str(path), new, expected=old, tag="ws101-test")


def no_exchange(at: int, one: bytes, other: bytes) -> None:
    raise OSError(22, "no exchange here")


@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize(("old", "new"), CHANGES)
def test_every_change_is_made_and_put_back(
    tmp_path: Path, old: Content, new: Content, exchange: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchange:
        monkeypatch.setattr(writing, "_exchange", no_exchange)
    path = tmp_path / "site"
    put(path, old)
    pending = ready(path, old, new)
    assert found(path) == old
    commit(pending)
    assert found(path) == new
    assert put_back(pending)
    assert found(path) == old
    assert not put_back(pending)
    assert [item.name for item in tmp_path.iterdir()] == ([] if old is None else ["site"])


@pytest.mark.parametrize(("old", "new"), CHANGES)
def test_it_is_put_back_from_what_was_written_down_alone(tmp_path: Path, old: Content, new: Content) -> None:
    path, journal = tmp_path / "site", Journal.create(tmp_path / "state", "1")
    put(path, old)
    pending = ready(path, old, new)
    journal.keep("0.old", old)
    journal.keep("0.new", new)
    commit(pending)
    discard(pending)
    again = Journal(journal.folder)
    assert (again.kept("0.old"), again.kept("0.new")) == (old, new)
    assert put_back(Pending(pending.path, pending.real, pending.sibling, again.kept("0.old"), again.kept("0.new")))
    assert found(path) == old


@pytest.mark.parametrize("theirs", [None, Link("elsewhere"), b"their file\n"])
@pytest.mark.parametrize(("old", "new"), [(OLD, None), (OLD, NEW)])
def test_what_somebody_else_put_there_is_kept(tmp_path: Path, old: Content, new: Content, theirs: Content) -> None:
    path = tmp_path / "site"
    put(path, theirs)
    with pytest.raises(ApplyError, match=r"someone else|gone"):
        ready(path, old, new)
    put(path, old)
    pending = ready(path, old, new)
    put(path, theirs)
    with pytest.raises((ApplyError, FileNotFoundError)):
        commit(pending)
    assert found(path) == theirs
    discard(pending)
    put(path, new)
    pending = Pending(pending.path, pending.real, pending.sibling, old, new)
    put(path, theirs)
    if theirs != new:
        with pytest.raises(ApplyError, match="someone else"):
            put_back(pending)
    assert found(path) in (theirs, old)


def test_a_name_that_is_taken_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "site"
    pending = ready(path, None, NEW)
    put(path, b"theirs\n")
    with pytest.raises(ApplyError, match="exists already"):
        commit(pending)
    assert found(path) == b"theirs\n"


def test_what_a_symlink_leads_to_is_never_touched(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "site"
    victim.write_bytes(b"precious\n")
    put(path, Link("victim"))
    pending = ready(path, Link("victim"), None)
    commit(pending)
    discard(pending)
    assert victim.read_bytes() == b"precious\n"
    put(path, Link("victim"))
    commit(ready(path, Link("victim"), b"a file\n"))
    assert victim.read_bytes() == b"precious\n"


@root_only
def test_a_symlink_planted_in_a_folder_open_to_everyone_is_not_removed_or_changed(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o1777)
    path = folder / "site"
    put(path, OLD)
    os.lchown(path, 1234, 1234)
    for new in (None, NEW, b"a file\n"):
        with pytest.raises(ApplyError, match="everyone may write to"):
            ready(path, OLD, new)
    assert found(path) == OLD


def test_a_folder_that_turns_into_a_symlink_meanwhile_is_not_followed(tmp_path: Path) -> None:
    folder, victim = tmp_path / "sites", tmp_path / "victim"
    for item in (folder, victim):
        item.mkdir()
        put(item / "site", OLD)
    pending = ready(folder / "site", OLD, None)
    folder.rename(tmp_path / "moved")
    folder.symlink_to(victim)
    with pytest.raises(OSError, match=r"Not a directory|symbolic"):
        commit(pending)
    assert found(victim / "site") == OLD


@pytest.mark.parametrize("target", ["a\nb", "$(touch x); `id`", "-rf", "\x1b]0;x\x07", "ä", "*"])
def test_hostile_targets_are_only_text(tmp_path: Path, target: str) -> None:
    path, journal = tmp_path / "site", Journal.create(tmp_path / "state", "1")
    link = Link(target)
    commit(ready(path, None, link))
    assert link_at(str(path)) == link
    journal.keep("0.new", link)
    assert journal.kept("0.new") == link


def test_a_symlink_and_a_file_that_holds_its_text_are_told_apart() -> None:
    assert digest(Link("x")) != digest(b"x")
    assert digest(None) is None


def test_place_follows_the_folders_alone(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "alias").symlink_to("real")
    put(tmp_path / "real/site", OLD)
    assert place(f"{tmp_path}/alias/site") == os.path.realpath(tmp_path / "real") + "/site"
    with contextlib.chdir(tmp_path):
        assert place("alias/site").endswith("/real/site")


def test_only_what_is_a_symlink_is_one(tmp_path: Path) -> None:
    put(tmp_path / "file", b"x")
    assert link_at(f"{tmp_path}/file") is None
    assert link_at(f"{tmp_path}/nothing") is None
    assert link_at(f"{tmp_path}/file/below") is None
