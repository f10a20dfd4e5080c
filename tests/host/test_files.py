"""The disk as nginx reads it: names, globs, roots and what is refused."""

from __future__ import annotations

import ctypes
import ctypes.util
import locale
import os
import socket
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ws101.errors import UsageError
from ws101.host.files import (
    DiskFiles,
    glob_literal,
    glob_match,
    name_of,
    os_path,
    parse_root,
    read_regular,
)


def fill(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def matches(folder: Path, pattern: str) -> list[str]:
    found = DiskFiles().glob(f"{folder}/{pattern}")
    return [path.removeprefix(f"{folder}/") for path in found]


class _Glob(ctypes.Structure):
    _fields_ = (
        ("pathc", ctypes.c_size_t),
        ("pathv", ctypes.POINTER(ctypes.c_char_p)),
        ("offs", ctypes.c_size_t),
        ("rest", ctypes.c_char * 256),
    )


def libc_glob(pattern: bytes) -> list[bytes]:
    """glob(3) of this machine, flags 0, as nginx calls it."""
    libc, found = ctypes.CDLL(ctypes.util.find_library("c")), _Glob()
    before = locale.setlocale(locale.LC_ALL)
    locale.setlocale(locale.LC_ALL, "C")  # nginx never calls setlocale
    try:
        status = libc.glob(pattern, 0, None, ctypes.byref(found))
    finally:
        locale.setlocale(locale.LC_ALL, before)
    if status != 0:
        return []
    names = [found.pathv[i] or b"" for i in range(found.pathc)]
    libc.globfree(ctypes.byref(found))
    return names


def test_a_glob_skips_hidden_names_and_sorts_by_bytes(tmp_path: Path) -> None:
    fill(tmp_path, "b.conf", "a.conf", "B.conf", ".hidden.conf", "a.conf.bak", "_.conf")
    assert matches(tmp_path, "*.conf") == ["B.conf", "_.conf", "a.conf", "b.conf"]
    assert matches(tmp_path, ".*.conf") == [".hidden.conf"]
    assert matches(tmp_path, "?hidden.conf") == []
    assert matches(tmp_path, "[.]hidden.conf") == []


def test_a_glob_crosses_folders_only_where_it_says_so(tmp_path: Path) -> None:
    fill(tmp_path, "a/x.conf", "b/x.conf", "b/c/x.conf", "x.conf")
    assert matches(tmp_path, "*/x.conf") == ["a/x.conf", "b/x.conf"]
    assert matches(tmp_path, "**/x.conf") == ["a/x.conf", "b/x.conf"]
    assert matches(tmp_path, "none/*.conf") == []


def test_a_glob_without_a_match_is_empty(tmp_path: Path) -> None:
    assert matches(tmp_path, "*.conf") == []
    assert DiskFiles().glob(f"{tmp_path}/nowhere/[a-z]*") == ()


def test_a_glob_lists_a_dangling_symlink_as_glob_does(tmp_path: Path) -> None:
    (tmp_path / "x.conf").symlink_to("nowhere")
    assert matches(tmp_path, "*.conf") == ["x.conf"]
    assert not DiskFiles().exists(f"{tmp_path}/x.conf")


NAMES = ("a", "b", "ab", "a1", "1", "*", "[", "]", "a]", "-", ".a", "é", "a.conf", "b.conf", "[ab]", "^", "a\\")
PIECES = st.sampled_from(
    (
        *("*", "?", "[ab]", "[!a]", "[^a]", "[a-c]", "[c-a]", "[[:digit:]]", "[[:alpha:]1]", "[]a]", "[a-]", "\\*"),
        *("\\a", "[", "]", "a", "b", "-", ".", "1", "é", "a.conf", "^"),
    )
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, min_size=1, max_size=5).map("".join))
def test_a_glob_lists_what_the_c_library_lists(pattern: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            Path(folder, name).touch()
        wanted = libc_glob(os.fsencode(f"{folder}/{pattern}"))
        found = DiskFiles().glob(name_of(f"{folder}/{pattern}"))
        assert [os_path(name) for name in found] == sorted(wanted)


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(codec="latin-1", exclude_characters="/\0"), min_size=1, max_size=8))
def test_a_literal_matches_its_own_name_alone(name: str) -> None:
    pattern = glob_literal("/x/" + name)
    if any(char in name for char in "*?["):
        assert glob_match("/x/" + name, pattern)
        assert not glob_match("/x/" + name + "y", pattern)
    else:
        assert pattern == "/x/" + name


def test_a_root_maps_names_before_the_disk_is_touched(tmp_path: Path) -> None:
    fill(tmp_path, "copy/nginx.conf", "copy/conf.d/a.conf", "snippets/s.conf")
    files = DiskFiles([("/etc/nginx", f"{tmp_path}/copy"), ("/etc/nginx/snippets/", f"{tmp_path}/snippets")])
    assert files.read("/etc/nginx/nginx.conf") == b"copy/nginx.conf"
    assert files.read("/etc/nginx/snippets/s.conf") == b"snippets/s.conf"
    assert files.glob("/etc/nginx/conf.d/*.conf") == ("/etc/nginx/conf.d/a.conf",)
    assert files.is_dir("/etc/nginx")
    assert not files.is_dir("/etc/nginx/nginx.conf")
    assert files.disk_name("/etc/nginx-old/x") == "/etc/nginx-old/x"


def test_a_root_must_be_a_prefix_and_a_folder(tmp_path: Path) -> None:
    assert parse_root(f"/etc/nginx/={tmp_path}/") == ("/etc/nginx", str(tmp_path))
    for wrong in ("/etc/nginx", "etc/nginx=.", "/etc/nginx=", f"/etc/nginx={tmp_path}/none"):
        with pytest.raises(UsageError):
            parse_root(wrong)


def test_any_name_round_trips(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/\xff\xfe new\nline.conf"
    Path(os.fsdecode(raw)).write_bytes(b"x")
    (name,) = DiskFiles().glob(f"{tmp_path}/*.conf")
    assert os_path(name) == raw
    assert name_of(raw) == name
    assert DiskFiles().read(name) == b"x"


def test_what_is_not_a_regular_file_is_refused_with_its_kind(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "sock"))
        for name, said in (
            ("fifo", "a named pipe"),
            (".", "a folder"),
            ("../../../../../../dev/zero", "a device"),
            ("none", "No such file"),
            ("nul\0byte", "NUL byte"),
        ):
            with pytest.raises(OSError, match=said):
                DiskFiles().read(f"{tmp_path}/{name}")
        with pytest.raises(OSError, match="No such device"):
            DiskFiles().read(f"{tmp_path}/sock")


def test_a_symlink_loop_is_an_error_not_a_hang(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        DiskFiles().read(f"{tmp_path}/loop")


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(b"x" * 11)
    assert read_regular(str(path), limit=11) == b"x" * 11
    with pytest.raises(OSError, match="larger than 10 bytes"):
        read_regular(str(path), limit=10)
    os.truncate(path, 300 * 1024 * 1024)
    with pytest.raises(OSError, match="larger than 268435456 bytes"):
        DiskFiles().read(str(path))
