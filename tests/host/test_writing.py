"""A file is whole at every moment, keeps what belongs to it, and is never taken from under somebody else."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ws101.errors import ApplyError
from ws101.host import writing
from ws101.host.writing import Pending, commit, discard, prepare, put_back, resolve, write_atomic

OLD, NEW = b"old bytes\n", b"the new bytes, longer\n"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: mounts, other owners and inode flags")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "nginx.conf"
    path.write_bytes(OLD)
    return path


def siblings(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


@contextlib.contextmanager
def mounted(*arguments: str) -> Iterator[None]:
    """A mount for the time of a test."""
    subprocess.run(["mount", *arguments], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", arguments[-1]], check=True, capture_output=True)


def pending_of(path: Path, old: bytes | None = OLD, new: bytes | None = NEW) -> Pending:
    return prepare(str(path), new, expected=old, tag="ws101-test-1")


def test_a_file_is_replaced_whole_and_nothing_is_left_behind(file: Path) -> None:
    inode = file.stat().st_ino
    write_atomic(str(file), NEW, expected=OLD)
    assert file.read_bytes() == NEW
    assert file.stat().st_ino != inode
    assert siblings(file.parent) == []


def test_a_file_is_created_only_where_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "new.conf"
    write_atomic(str(path), NEW, expected=None)
    assert path.read_bytes() == NEW
    with pytest.raises(ApplyError, match="exists already"):
        write_atomic(str(path), OLD, expected=None)
    assert path.read_bytes() == NEW
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_file_is_removed_only_if_it_is_the_one_that_was_meant(file: Path) -> None:
    with pytest.raises(ApplyError, match="changed by someone else"):
        write_atomic(str(file), None, expected=b"something else")
    assert file.read_bytes() == OLD
    write_atomic(str(file), None, expected=OLD)
    assert not file.exists()
    assert siblings(file.parent) == []


@pytest.mark.parametrize("expected", [b"something else", None])
def test_a_file_that_is_not_what_was_read_is_refused(file: Path, expected: bytes | None) -> None:
    with pytest.raises(ApplyError, match=r"changed by someone else|exists already"):
        write_atomic(str(file), NEW, expected=expected)
    assert file.read_bytes() == OLD
    assert siblings(file.parent) == []


def test_a_file_that_is_gone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ApplyError, match="it is gone"):
        write_atomic(str(tmp_path / "none"), NEW, expected=OLD)
    with pytest.raises(ApplyError, match="is gone"):
        write_atomic(str(tmp_path / "no-folder" / "x"), NEW, expected=None)


@pytest.mark.parametrize("exchange", [True, False])
def test_an_edit_between_the_check_and_the_swap_is_never_lost(
    file: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    if not exchange:
        monkeypatch.setattr(writing, "_exchange", no_exchange)
    pending = pending_of(file)
    theirs = file.with_name("theirs")
    theirs.write_bytes(b"an editor saved this\n")
    theirs.replace(file)
    with pytest.raises(ApplyError, match="changed by someone else"):
        commit(pending)
    discard(pending)
    assert file.read_bytes() == b"an editor saved this\n"
    assert siblings(file.parent) == []


def no_exchange(at: int, one: bytes, other: bytes) -> None:
    raise OSError(errno.EINVAL, "this file system cannot swap names")


def test_it_works_where_the_file_system_cannot_swap_names(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_exchange", no_exchange)
    pending = pending_of(file)
    commit(pending)
    assert file.read_bytes() == NEW
    assert put_back(pending)
    assert file.read_bytes() == OLD
    assert siblings(file.parent) == []


def test_a_file_created_by_someone_else_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "new.conf"
    pending = pending_of(path, None)
    path.write_bytes(b"theirs")
    with pytest.raises(ApplyError, match="exists already"):
        commit(pending)
    assert path.read_bytes() == b"theirs"


def test_put_back_returns_the_very_file(file: Path) -> None:
    before = file.stat()
    pending = pending_of(file)
    commit(pending)
    assert put_back(pending)
    after = file.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert file.read_bytes() == OLD
    assert siblings(file.parent) == []
    assert not put_back(pending)


def test_put_back_works_from_the_bytes_alone(file: Path) -> None:
    file.chmod(0o640)
    pending = pending_of(file)
    commit(pending)
    discard(pending)
    assert put_back(pending)
    assert file.read_bytes() == OLD
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


@pytest.mark.parametrize(("old", "new"), [(None, NEW), (OLD, None)])
def test_put_back_undoes_creating_and_removing(file: Path, old: bytes | None, new: bytes | None) -> None:
    if old is None:
        file.unlink()
    pending = pending_of(file, old, new)
    commit(pending)
    assert put_back(pending)
    assert (file.read_bytes() if file.exists() else None) == old
    assert siblings(file.parent) == []


def test_put_back_keeps_what_somebody_else_wrote_since(file: Path) -> None:
    pending = pending_of(file)
    commit(pending)
    file.write_bytes(b"theirs")
    with pytest.raises(ApplyError, match="changed by someone else"):
        put_back(pending)
    assert file.read_bytes() == b"theirs"


def test_mode_and_times_of_access_rights_are_kept(file: Path) -> None:
    file.chmod(0o2640)
    write_atomic(str(file), NEW, expected=OLD)
    assert stat.S_IMODE(file.stat().st_mode) == 0o2640


@needs_root
def test_owner_and_extended_attributes_are_kept(file: Path) -> None:
    os.chown(file, 1234, 2345)
    os.setxattr(file, "user.note", b"kept")
    acl = bytes.fromhex("0200000001000600ffffffff020004000b00000004000400ffffffff10000400ffffffff20000000ffffffff")
    os.setxattr(file, "system.posix_acl_access", acl)
    before = {name: os.getxattr(file, name) for name in os.listxattr(file)}
    write_atomic(str(file), NEW, expected=OLD)
    found = file.stat()
    assert (found.st_uid, found.st_gid) == (1234, 2345)
    assert {name: os.getxattr(file, name) for name in os.listxattr(file)} == before
    assert "system.posix_acl_access" in before


def test_an_attribute_that_cannot_be_kept_stops_the_change(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no")

    os.setxattr(file, "user.note", b"kept")
    monkeypatch.setattr(os, "setxattr", refuse)
    with pytest.raises(ApplyError, match=r"user\.note could not be kept"):
        write_atomic(str(file), NEW, expected=OLD)
    assert file.read_bytes() == OLD
    assert siblings(file.parent) == []


def test_a_symlink_is_written_through(tmp_path: Path, file: Path) -> None:
    enabled = tmp_path / "sites-enabled"
    enabled.mkdir()
    (enabled / "site").symlink_to("../link")
    (tmp_path / "link").symlink_to(file)
    write_atomic(str(enabled / "site"), NEW, expected=OLD)
    assert (enabled / "site").is_symlink()
    assert file.read_bytes() == NEW
    assert siblings(enabled) == siblings(tmp_path) == []


def test_resolve_agrees_with_the_operating_system(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "up").symlink_to("a/b/..")
    (tmp_path / "a" / "abs").symlink_to(tmp_path / "a" / "b")
    for name in ("up/abs/../x", "./a//b/../../up/b", "none", "up/../a/abs/none"):
        assert resolve(f"{tmp_path}/{name}") == os.path.realpath(f"{tmp_path}/{name}")


def test_a_symlink_loop_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    with pytest.raises(ApplyError, match="symlink"):
        resolve(str(tmp_path / "one"))


@needs_root
def test_a_symlink_planted_in_a_folder_open_to_everyone_is_refused(tmp_path: Path, file: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o1777)
    link = folder / "site.conf"
    link.symlink_to(file)
    write_atomic(str(link), NEW, expected=OLD)
    os.lchown(link, 1234, 1234)
    with pytest.raises(ApplyError, match="everyone may write to"):
        write_atomic(str(link), OLD, expected=NEW)
    assert file.read_bytes() == NEW


def test_a_folder_that_turns_into_a_symlink_meanwhile_is_not_followed(tmp_path: Path) -> None:
    folder, victim = tmp_path / "conf", tmp_path / "victim"
    for path in (folder, victim):
        path.mkdir()
        (path / "x.conf").write_bytes(OLD)
    pending = pending_of(folder / "x.conf")
    folder.rename(tmp_path / "moved")
    folder.symlink_to(victim)
    with pytest.raises(OSError, match=r"Not a directory|symbolic"):
        commit(pending)
    assert (victim / "x.conf").read_bytes() == OLD


def test_a_file_that_turns_into_a_symlink_meanwhile_is_not_followed(tmp_path: Path, file: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(OLD)
    pending = pending_of(file)
    file.unlink()
    file.symlink_to(victim)
    with pytest.raises((OSError, ApplyError)):
        commit(pending)
    assert victim.read_bytes() == OLD


def test_a_pipe_or_folder_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, said in (("pipe", "named pipe"), (".", "folder")):
        with pytest.raises(ApplyError, match=said):
            write_atomic(str(tmp_path / name), NEW, expected=OLD)


def test_a_read_only_file_is_refused_even_to_root(file: Path) -> None:
    file.chmod(0o444)
    with pytest.raises(ApplyError, match=r"read-only \(mode 0444\)"):
        write_atomic(str(file), NEW, expected=OLD)
    assert file.read_bytes() == OLD


def test_hard_links_are_kept_by_writing_in_place(file: Path) -> None:
    other = file.with_name("other")
    os.link(file, other)
    pending = pending_of(file)
    assert "hard links" in pending.in_place
    commit(pending)
    assert other.read_bytes() == NEW
    assert put_back(pending)
    assert other.read_bytes() == file.read_bytes() == OLD


def test_a_half_written_file_is_put_back_if_that_is_expected(file: Path) -> None:
    os.link(file, file.with_name("other"))
    pending = pending_of(file)
    file.write_bytes(NEW[:7] + OLD[7:])
    with pytest.raises(ApplyError):
        put_back(pending)
    assert put_back(pending, torn=True)
    assert file.read_bytes() == OLD


@needs_root
def test_a_bind_mounted_file_is_written_in_place(tmp_path: Path, file: Path) -> None:
    target = tmp_path / "mounted file.conf"
    target.touch()
    with mounted("--bind", str(file), str(target)):
        pending = pending_of(target)
        assert "mount point" in pending.in_place
        commit(pending)
        assert file.read_bytes() == target.read_bytes() == NEW
        assert put_back(pending)
        assert file.read_bytes() == target.read_bytes() == OLD
    assert siblings(tmp_path) == []


@needs_root
def test_a_read_only_mount_is_refused(tmp_path: Path, file: Path) -> None:
    target = tmp_path / "ro"
    target.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=64k", "ws101-test", str(target)):
        shutil.copy(file, target)
        subprocess.run(["mount", "-o", "remount,ro", str(target)], check=True)
        with pytest.raises(ApplyError, match="read-only"):
            write_atomic(str(target / "nginx.conf"), NEW, expected=OLD)
        assert (target / "nginx.conf").read_bytes() == OLD


@needs_root
@pytest.mark.parametrize("hard_linked", [False, True])
def test_a_full_disk_changes_nothing(tmp_path: Path, file: Path, hard_linked: bool) -> None:
    target = tmp_path / "small"
    target.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=64k", "ws101-test", str(target)):
        path = target / "nginx.conf"
        shutil.copy(file, path)
        if hard_linked:
            os.link(path, target / "other")
        with pytest.raises(ApplyError, match="disk is full"):
            write_atomic(str(path), b"x" * 100_000, expected=OLD)
        assert path.read_bytes() == OLD
        assert siblings(target) == []


@needs_root
def test_swapping_and_putting_back_need_no_space(tmp_path: Path, file: Path) -> None:
    target = tmp_path / "small"
    target.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=64k", "ws101-test", str(target)):
        path = target / "nginx.conf"
        shutil.copy(file, path)
        pending = pending_of(path)
        with contextlib.suppress(OSError), target.joinpath("filler").open("wb") as filler:
            filler.write(b"x" * 1_000_000)
        commit(pending)
        assert path.read_bytes() == NEW
        assert put_back(pending)
        assert path.read_bytes() == OLD


@needs_root
@pytest.mark.parametrize(("letter", "word"), [("i", "immutable"), ("a", "append-only")])
def test_inode_flags_are_named(file: Path, letter: str, word: str) -> None:
    if subprocess.run(["chattr", f"+{letter}", str(file)], check=False, capture_output=True).returncode != 0:
        pytest.skip("this file system has no inode flags")
    try:
        with pytest.raises(ApplyError, match=word):
            write_atomic(str(file), NEW, expected=OLD)
        assert file.read_bytes() == OLD
    finally:
        subprocess.run(["chattr", f"-{letter}", str(file)], check=True)


@needs_root
def test_without_permission_nothing_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "x.conf").write_bytes(OLD)
    outcome = as_user(1234, str(folder / "x.conf"), [tmp_path, *tmp_path.parents])
    assert "no permission" in outcome
    assert (folder / "x.conf").read_bytes() == OLD


def as_user(uid: int, path: str, open_up: list[Path]) -> str:
    """What ``write_atomic`` says in a process of another user."""
    modes = [(folder, folder.stat().st_mode) for folder in open_up if folder != Path("/") and folder.owner() == "root"]
    reader, writer = os.pipe()
    for folder, mode in modes:
        folder.chmod(mode | 0o011)
    child = os.fork()
    if child == 0:
        os.setgid(uid)
        os.setuid(uid)
        try:
            write_atomic(path, NEW, expected=OLD)
            said = "written"
        except BaseException as error:
            said = str(error)
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    for folder, mode in modes:
        folder.chmod(stat.S_IMODE(mode))
    with os.fdopen(reader) as pipe:
        return pipe.read()


def test_hostile_names_are_only_names(tmp_path: Path) -> None:
    for name in ("new\nline.conf", "-rf", "$(reboot)", "x" * 250, "a\\b*[c]?.conf", "é"):
        path = tmp_path / name
        path.write_bytes(OLD)
        write_atomic(os.fsencode(path).decode("latin-1"), NEW, expected=OLD)
        assert path.read_bytes() == NEW
    assert siblings(tmp_path) == []


@pytest.mark.parametrize("kind", ["replace", "create", "remove", "in place", "no exchange"])
def test_wherever_it_is_interrupted_it_can_be_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Every system call that changes something fails once, as if the process had ended there."""
    done = False
    at = 0
    while not done:
        folder = tmp_path / str(at)
        folder.mkdir()
        path = folder / "x.conf"
        old, new = (None if kind == "create" else OLD), (None if kind == "remove" else NEW)
        if old is not None:
            path.write_bytes(old)
        if kind == "in place":
            os.link(path, folder / "other")
        done = interrupted_at(at, path, old, new, monkeypatch, exchange=kind != "no exchange")
        now = path.read_bytes() if path.exists() else None
        assert now in {old, new} or kind == "in place"
        expected = Pending(
            str(path), str(path), f"{folder}/.x.conf.ws101-test-1", old, new, kind * (kind == "in place")
        )
        put_back(expected, torn=kind == "in place")
        assert (path.read_bytes() if path.exists() else None) == old
        assert siblings(folder) == []
        at += 1
    assert at > 2


@pytest.mark.parametrize("new", [NEW, OLD + NEW * 100, b"#\n"], ids=["other", "longer", "shorter"])
def test_in_place_the_file_is_whole_after_every_call_to_the_system(
    file: Path, monkeypatch: pytest.MonkeyPatch, new: bytes
) -> None:
    seen: list[bytes] = []

    def watched(name: str) -> None:
        real = getattr(os, name)

        def call(*args: object) -> object:
            done = real(*args)
            seen.append(file.read_bytes())
            return done

        monkeypatch.setattr(os, name, call)

    os.link(file, file.with_name("other"))
    for name in ("pwrite", "ftruncate", "fsync"):
        watched(name)
    write_atomic(str(file), new, expected=OLD)
    assert len(seen) == 4  # fsync of the file, and of its folder
    assert {data.rstrip(b"\n") for data in seen} == {new.rstrip(b"\n")}
    assert file.read_bytes() == new
    assert file.with_name("other").read_bytes() == new


class Killed(BaseException):
    """The process ends here."""


CALLS = ("open", "pwrite", "fsync", "link", "unlink", "rename", "fchown", "fchmod", "ftruncate")


def interrupted_at(
    count: int, path: Path, old: bytes | None, new: bytes | None, patch: pytest.MonkeyPatch, *, exchange: bool
) -> bool:
    """Prepare and commit, but end before the ``count``-th changing call; whether the end was reached."""
    left = count
    dead = False

    def counting(name: str, real: object) -> object:
        def call(*args: object, **more: object) -> object:
            nonlocal left, dead
            if dead:
                raise Killed
            if name == "open" and isinstance(args[1], int) and not args[1] & os.O_CREAT:
                return real(*args, **more)  # type: ignore[operator]
            left -= 1
            if left < 0:
                dead = True
                raise Killed
            return real(*args, **more)  # type: ignore[operator]

        return call

    with patch.context() as inside:
        for name in CALLS:
            inside.setattr(os, name, counting(name, getattr(os, name)))
        inside.setattr(writing, "_exchange", counting("x", writing._exchange if exchange else no_exchange))
        inside.setattr(writing, "discard", lambda _: None)
        try:
            commit(pending_of(path, old, new))
        except Killed:
            return False
    return True
