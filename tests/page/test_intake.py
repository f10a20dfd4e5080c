from __future__ import annotations

import contextlib
import io
import struct
import zipfile
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws101.errors import InputError
from ws101.page.intake import MAX_FILE, MAX_FILES, MAX_TOTAL, Dropped, is_binary, mains, mounted, unpack

CONF = b"events {}\nhttp {}\n"


def archive(contents: Mapping[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", how) as made:
        for name, data in contents.items():
            made.writestr(zipfile.ZipInfo(name), data, how)
    return out.getvalue()


def reasons(dropped: Dropped) -> dict[str, str]:
    return {item.name: item.why for item in dropped.refused}


def test_files_are_taken_as_they_are() -> None:
    dropped = unpack([("nginx/nginx.conf", CONF), ("nginx/x.conf", b"\xff\x00")])
    assert dropped.files == {"nginx/nginx.conf": CONF, "nginx/x.conf": b"\xff\x00"}
    assert (dropped.refused, dropped.is_dump) == ((), False)


def test_an_archive_is_opened_with_its_folders() -> None:
    dropped = unpack([("etc.zip", archive({"nginx/": b"", "nginx/nginx.conf": CONF, "nginx/conf.d/a.conf": b"#"}))])
    assert dropped.files == {"nginx/nginx.conf": CONF, "nginx/conf.d/a.conf": b"#"}


def test_a_dump_is_taken_apart() -> None:
    dump = b"nginx: ok\n# configuration file /etc/nginx/nginx.conf:\nevents {}\n\n"
    dump += b"# configuration file /etc/nginx/a:\n#\n\n"
    dropped = unpack([("dump.txt", dump)])
    assert dropped.is_dump
    assert dropped.files == {"/etc/nginx/nginx.conf": b"events {}\n", "/etc/nginx/a": b"#\n"}


@pytest.mark.parametrize("name", ["../nginx.conf", "a/../../x", "/etc/passwd", "..\\x", "C:\\x", "a/..", ""], ids=repr)
def test_a_name_that_leads_out_of_the_folder_is_refused(name: str) -> None:
    for drop in ([("ok.conf", CONF), (name, b"x")], [("z.zip", archive({"ok.conf": CONF, name or "..": b"x"}))]):
        dropped = unpack(drop)
        assert dropped.files == {"ok.conf": CONF}
        assert len(dropped.refused) == 1


def test_a_zip_bomb_is_refused_by_what_it_declares() -> None:
    bomb = archive({f"{n}.conf": bytes(MAX_TOTAL // 4 + 1) for n in range(4)})
    assert len(bomb) < MAX_TOTAL // 100
    with pytest.raises(InputError, match="more than is taken: 32 MB in all") as caught:
        unpack([("bomb.zip", bomb)])
    assert caught.value.where == "bomb.zip"


def test_a_zip_bomb_that_lies_about_its_size_is_refused_by_what_it_holds() -> None:
    """The declared sizes are rewritten; whatever the library makes of that, no more than the limit is ever kept."""
    true = struct.pack("<I", MAX_FILE * 3)
    lying = archive({"a.conf": bytes(MAX_FILE * 3)}).replace(true, struct.pack("<I", 10))
    with pytest.raises(InputError, match=r"more than is taken|no file in it: it cannot be unpacked"):
        unpack([("bomb.zip", lying)])


def test_what_several_archives_hold_is_added_up() -> None:
    half = archive({"a.conf": bytes(MAX_FILE), "b.conf": b"x"})
    other = archive({"c.conf": bytes(MAX_FILE)})
    with pytest.raises(InputError, match="more than is taken") as caught:
        unpack([("one.zip", half), ("two.zip", other)])
    assert caught.value.where == "two.zip"


def test_archives_inside_archives_are_not_opened() -> None:
    dropped = unpack([("z.zip", archive({"nginx.conf": CONF, "inner.zip": archive({"x": b"x"})}))])
    assert dropped.files == {"nginx.conf": CONF}
    assert reasons(dropped) == {"inner.zip": "an archive inside an archive is not opened"}


def test_a_symbolic_link_in_an_archive_is_refused_with_advice() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr("nginx.conf", CONF)
        link = zipfile.ZipInfo("sites-enabled/a")
        link.external_attr = 0o120777 << 16
        made.writestr(link, "/etc/passwd")
    dropped = unpack([("z.zip", out.getvalue())])
    assert dropped.files == {"nginx.conf": CONF}
    assert "symbolic link" in reasons(dropped)["sites-enabled/a"]


def test_an_encrypted_member_is_refused() -> None:
    packed = bytearray(archive({"nginx.conf": CONF, "key.pem": b"k"}))
    second = packed.index(b"PK\x01\x02", packed.index(b"PK\x01\x02") + 1)
    packed[second + 8] |= 1
    assert "encrypted" in reasons(unpack([("z.zip", bytes(packed))]))["key.pem"]


def test_a_broken_archive_says_so() -> None:
    with pytest.raises(InputError, match="no file in it: the archive cannot be read"):
        unpack([("z.zip", b"PK\x03\x04" + b"nonsense" * 20)])


def test_limits_on_number_and_size_name_the_remedy() -> None:
    with pytest.raises(InputError, match=f"more than {MAX_FILES} files") as caught:
        unpack((f"{n}.conf", b"") for n in range(MAX_FILES + 1))
    assert caught.value.help
    with pytest.raises(InputError, match="more than is taken"):
        unpack((f"{n}.conf", bytes(MAX_FILE)) for n in range(MAX_TOTAL // MAX_FILE + 1))
    assert "larger than 16 MB" in reasons(unpack([("a", CONF), ("big", bytes(MAX_FILE + 1))]))["big"]


def test_an_archive_of_too_many_members_is_refused() -> None:
    with pytest.raises(InputError, match=f"more than {MAX_FILES} files"):
        unpack([("z.zip", archive(dict.fromkeys(map(str, range(MAX_FILES + 1)), b""), zipfile.ZIP_STORED))])


def test_nothing_at_all_is_said_to_be_nothing() -> None:
    with pytest.raises(InputError, match="there is no file in it"):
        unpack([])


def test_two_files_of_one_name_are_not_mixed_up() -> None:
    dropped = unpack([("a/b", b"1"), ("a//b", b"2")])
    assert dropped.files == {"a/b": b"1"}
    assert reasons(dropped) == {"a//b": "another file has the same name"}


@given(st.lists(st.tuples(st.text("a./\\\0", max_size=8), st.binary(max_size=40)), max_size=5))
def test_no_name_ever_leaves_the_drop(files: list[tuple[str, bytes]]) -> None:
    try:
        taken = unpack(files).files
    except InputError:
        return
    assert all(not name.startswith(("/", "../")) and ".." not in name.split("/") for name in taken)


@given(st.binary(max_size=200), st.integers(0, 3))
def test_whatever_pretends_to_be_an_archive_ends_in_an_answer(noise: bytes, cut: int) -> None:
    packed = archive({"nginx.conf": CONF})
    at = len(packed) * cut // 4
    for data in (b"PK\x03\x04" + noise, packed[:at] + noise + packed[at:], packed[:at] + noise):
        with contextlib.suppress(InputError):
            assert sum(map(len, unpack([("z.zip", data)]).files.values())) <= MAX_TOTAL


def test_the_likeliest_main_file_comes_first() -> None:
    files = {
        "site/conf.d/nginx.conf": CONF,
        "site/nginx.conf": CONF,
        "site/a.conf": b"server { listen 80; }",
        "site/key.der": b"\0\1",
        "README": b"",
    }
    assert mains(files) == ("site/nginx.conf", "site/conf.d/nginx.conf", "site/a.conf", "README")
    assert mains({"mime.types": b"types {}", "main.conf": CONF, "a.conf": b"server {}"})[0] == "main.conf"


def test_files_stand_where_the_server_has_them() -> None:
    here = mounted(
        {"etc/nginx/nginx.conf": b"1", "etc/ssl/a.pem": b"2", "etc/nginx/conf.d/x": b"3"}, "etc/nginx/nginx.conf"
    )
    assert here.main == "/etc/nginx/nginx.conf"
    assert here.files == {"/etc/nginx/nginx.conf": b"1", "/etc/ssl/a.pem": b"2", "/etc/nginx/conf.d/x": b"3"}
    assert here.names["/etc/ssl/a.pem"] == "etc/ssl/a.pem"
    assert mounted({"n.conf": b""}, "n.conf", "/usr/local/nginx/conf/").main == "/usr/local/nginx/conf/n.conf"


def test_a_file_beside_the_main_one_has_precedence_over_one_above() -> None:
    here = mounted({"a/nginx.conf": b"", "a/b/x": b"beside", "b/x": b"above"}, "a/nginx.conf", "/")
    assert here.files["/b/x"] == b"beside"


def test_a_folder_that_is_no_absolute_path_and_a_file_that_is_not_there_are_refused() -> None:
    with pytest.raises(InputError, match="no absolute path"):
        mounted({"n": b""}, "n", "etc")
    with pytest.raises(InputError, match="no such file"):
        mounted({"n": b""}, "m")


def test_binary_is_what_has_a_nul_byte() -> None:
    assert is_binary(b"\x7fELF\0")
    assert not is_binary(b"\xff\xfe text")
