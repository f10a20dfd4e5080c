"""What nginx loads, read from the disk: complete, once, and whatever the files are called."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws101.errors import InputError
from ws101.host import sealing
from ws101.host.binary import NginxBinary
from ws101.host.files import DiskFiles, name_of
from ws101.host.sealing import find_drift, read_content, seal, survey
from ws101.manifest import Change, Manifest, format_manifest

SITE = "server { listen 127.0.0.1:8080; location /ws { proxy_pass http://127.0.0.1:3000; } }\n"
AS_ROOT = os.geteuid() == 0


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A configuration of a main file, two sites and a password file."""
    folder = tmp_path / "nginx"
    (folder / "sites").mkdir(parents=True)
    (folder / "nginx.conf").write_text("events {}\nhttp { include sites/*.conf; auth_basic_user_file passwords; }\n")
    (folder / "sites" / "a.conf").write_text(SITE)
    (folder / "sites" / "b.conf").write_text(SITE)
    (folder / "passwords").write_text("me:$apr1$secret\n")
    return folder


def sealed(folder: Path, **more: str) -> Manifest:
    return seal(DiskFiles(), name_of(folder / "nginx.conf"), **more)


def names(manifest: Manifest) -> list[str]:
    return [entry.name for entry in manifest.entries]


def drifted(old: Manifest, folder: Path) -> list[tuple[str, str]]:
    return [(change.kind, change.name) for change in changes(old, folder)]


def changes(old: Manifest, folder: Path) -> tuple[Change, ...]:
    return find_drift(old, DiskFiles(), name_of(folder / "nginx.conf"))[1]


def sha256sum(manifest: Manifest, folder: Path) -> int:
    text = format_manifest(manifest).encode("latin-1")
    command = ["sha256sum", "-c", "--strict", "--warn", "-"]
    return subprocess.run(command, input=text, capture_output=True, cwd=folder, check=False).returncode


def test_everything_that_is_included_or_named_is_sealed_and_sha256sum_agrees(conf: Path) -> None:
    manifest = sealed(conf)
    assert names(manifest) == ["nginx.conf", "passwords", "sites/a.conf", "sites/b.conf"]
    assert manifest.main == "nginx.conf"
    assert manifest.folder == str(conf)
    assert sha256sum(manifest, conf) == 0
    entry = manifest.by_name["passwords"]
    assert entry.size == 16
    assert entry.mode == (conf / "passwords").stat().st_mode & 0o7777
    assert entry.owner.count(":") == 1
    (conf / "sites" / "b.conf").write_text(SITE + "\n")
    assert sha256sum(manifest, conf) == 1


def test_no_content_and_no_secret_gets_into_the_manifest(conf: Path) -> None:
    (conf / "nginx.conf").write_text(
        'events {}\nhttp { ssl_certificate_key "data:SECRET"; auth_basic_user_file passwords; }\n'
    )
    text = format_manifest(sealed(conf).content_only)
    assert "secret" not in text.lower()
    assert "proxy_pass" not in text
    assert "# uncovered nginx.conf: ssl_certificate_key data:...: no file" in text


NAMED = {
    "ssl_certificate": "cert.pem",
    "ssl_certificate_key": "key.pem",
    "ssl_trusted_certificate": "sub/trusted.pem",
    "ssl_client_certificate": "client.pem",
    "ssl_dhparam": "dh.pem",
    "ssl_crl": "crl.pem",
    "ssl_password_file": "words",
    "ssl_session_ticket_key": "ticket",
    "proxy_ssl_certificate": "proxy.pem",
    "proxy_ssl_trusted_certificate": "ca.pem",
    "grpc_ssl_certificate_key": "grpc.pem",
    "auth_basic_user_file": "htpasswd",
    "js_import": "http from app.js",
    "geoip2": "city.mmdb { }",
}


def test_every_kind_of_named_file_is_sealed(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    files = [re.sub(r"http from | \{ \}", "", value) for value in NAMED.values()]
    for file in files:
        (tmp_path / file).write_text(file)
    lines = "\n".join(f"{name} {value}{'' if '}' in value else ';'}" for name, value in NAMED.items())
    (tmp_path / "map.inc").write_text("a b;\n")
    (tmp_path / "nginx.conf").write_text(f"events {{}}\nhttp {{ map $a $b {{ include map.inc; }}\n{lines} }}\n")
    manifest = sealed(tmp_path)
    assert names(manifest) == sorted(["nginx.conf", "map.inc", *files])
    assert sha256sum(manifest, tmp_path) == 0


def test_modules_and_lua_files_start_in_the_prefix(tmp_path: Path) -> None:
    (tmp_path / "nginx.conf").write_text(
        "load_module modules/a.so;\nhttp { content_by_lua_file app.lua; js_path x; }\n"
    )
    assert sealed(tmp_path).uncovered == (
        "nginx.conf: content_by_lua_file app.lua: nginx's prefix is not known (--prefix)",
        "nginx.conf: js_path x: what code loads from there",
        "nginx.conf: load_module modules/a.so: nginx's prefix is not known (--prefix)",
    )
    prefix = tmp_path / "prefix"
    (prefix / "modules").mkdir(parents=True)
    (prefix / "modules" / "a.so").write_bytes(b"\x7fELF\0\r\n")
    (prefix / "app.lua").write_text("x = 1")
    manifest = sealed(tmp_path, prefix=str(prefix))
    assert names(manifest) == ["nginx.conf", "prefix/app.lua", "prefix/modules/a.so"]
    assert "nginx.conf: content_by_lua_file app.lua: the modules that it requires" in manifest.uncovered


def test_names_with_variables_are_listed_as_not_covered(conf: Path) -> None:
    (conf / "sites" / "a.conf").write_text("server { ssl_certificate /etc/ssl/$ssl_server_name.crt; }\n")
    manifest = sealed(conf)
    assert manifest.uncovered == (
        "sites/a.conf: ssl_certificate /etc/ssl/$ssl_server_name.crt: only run time knows the name",
    )


def test_what_is_not_read_by_nginx_is_not_sealed(conf: Path) -> None:
    (conf / "sites" / ".hidden.conf").write_text("x")
    (conf / "sites" / "old.conf.bak").write_text("x")
    http = "access_log logs/a.log; root html; ssl_certificate ''; include sites/*.conf;"
    (conf / "nginx.conf").write_text(f"events {{}}\npid run/nginx.pid;\nhttp {{ {http} }}\n")
    assert names(sealed(conf)) == ["nginx.conf", "sites/a.conf", "sites/b.conf"]


def test_files_outside_the_folder_keep_the_name_that_nginx_has_for_them(conf: Path, tmp_path: Path) -> None:
    (tmp_path / "shared.conf").write_text("# shared\n")
    (conf / "nginx.conf").write_text(f"events {{}}\ninclude ../shared.conf;\ninclude {tmp_path}/shared.conf;\n")
    manifest = sealed(conf)
    assert names(manifest) == sorted(["../shared.conf", f"{tmp_path}/shared.conf", "nginx.conf"])
    assert [entry.target for entry in manifest.entries] == ["", "", ""]
    assert sha256sum(manifest, conf) == 0


def test_the_content_only_manifest_is_the_same_for_a_copy_elsewhere(conf: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", str(conf), str(copy)], check=True)
    (copy / "passwords").chmod(0o600)
    one, other = (format_manifest(sealed(folder).content_only) for folder in (conf, copy))
    assert one == other
    assert format_manifest(sealed(conf)) != format_manifest(sealed(copy))


def test_a_copy_is_sealed_under_the_names_of_the_other_machine(conf: Path) -> None:
    (conf / "nginx.conf").write_text("events {}\nhttp { include /etc/nginx/sites/*.conf; }\n")
    disk = DiskFiles((("/etc/nginx", name_of(conf)),))
    manifest = seal(disk, "/etc/nginx/nginx.conf")
    assert names(manifest) == ["nginx.conf", "sites/a.conf", "sites/b.conf"]
    assert manifest.folder == "/etc/nginx"
    assert {entry.target for entry in manifest.entries} == {""}


@pytest.mark.parametrize("gone", ["passwords", "sites/a.conf", "nginx.conf"])
def test_a_missing_file_is_an_error_and_names_the_file(conf: Path, gone: str) -> None:
    (conf / "nginx.conf").write_text("events {}\ninclude sites/a.conf;\nhttp { auth_basic_user_file passwords; }\n")
    (conf / gone).unlink()
    with pytest.raises(InputError, match="No such file") as caught:
        sealed(conf)
    assert caught.value.where == str(conf / gone)


def trap(path: Path, kind: str) -> None:
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "huge":
        path.touch()
        os.truncate(path, sealing.MAX_SEALED + 1)
    elif kind == "loop":
        path.symlink_to(path)


@pytest.mark.parametrize("kind", ["fifo", "socket", "folder", "device", "huge", "loop"])
@pytest.mark.parametrize("name", ["passwords", "sites/c.conf"])
def test_what_is_no_file_of_sane_size_is_refused_at_once(conf: Path, kind: str, name: str) -> None:
    (conf / name).unlink(missing_ok=True)
    trap(conf / name, kind)
    signal.alarm(20)
    try:
        with pytest.raises(InputError, match=r"not a file|larger than|symbolic links") as caught:
            sealed(conf)
    finally:
        signal.alarm(0)
    assert caught.value.where == str(conf / name)


HOSTILE = [
    "new\nline.conf",
    "esc\x1b[2J.conf",
    "back\\slash.conf",
    "cr\r.conf",
    "blank .conf",
    "\xff\xfe.conf",
    "#x.conf",
]


def test_hostile_names_are_sealed_and_checked_by_sha256sum(conf: Path) -> None:
    for name in HOSTILE:
        (conf / "sites" / os.fsdecode(name.encode("latin-1"))).write_text(SITE)
    manifest = sealed(conf)
    assert {f"sites/{name}" for name in HOSTILE} <= set(names(manifest))
    assert sha256sum(manifest, conf) == 0
    assert drifted(manifest, conf) == []


@given(
    st.lists(st.binary(min_size=1, max_size=12).filter(lambda n: not {0, 47} & set(n) and n[:1] != b"."), max_size=4)
)
def test_any_name_that_a_glob_picks_up_survives_the_round_trip(
    tmp_path_factory: pytest.TempPathFactory, raw: list[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("names")
    (folder / "nginx.conf").write_text("events {}\nhttp { include d/*; }\n")
    (folder / "d").mkdir()
    for name in raw:
        Path(os.fsdecode(os.fsencode(folder / "d") + b"/" + name)).write_bytes(name)
    manifest = sealed(folder)
    assert len(manifest.entries) == 1 + len(set(raw))
    assert sha256sum(manifest, folder) == 0
    assert drifted(manifest, folder) == []


def test_a_name_with_a_nul_byte_is_refused(conf: Path) -> None:
    (conf / "nginx.conf").write_bytes(b"events {}\nhttp { auth_basic_user_file a\0b; }\n")
    with pytest.raises(InputError, match="NUL"):
        sealed(conf)


# ---- drift


def test_nothing_changed_is_no_drift(conf: Path) -> None:
    assert drifted(sealed(conf), conf) == []


def test_added_removed_and_changed_files_are_found(conf: Path) -> None:
    old = sealed(conf)
    (conf / "sites" / "c.conf").write_text(SITE)
    (conf / "sites" / "a.conf").unlink()
    (conf / "sites" / "b.conf").write_text(SITE + "# more\n")
    (conf / "passwords").write_text("")
    assert drifted(old, conf) == [
        ("truncated", "passwords"),
        ("removed", "sites/a.conf"),
        ("content", "sites/b.conf"),
        ("added", "sites/c.conf"),
    ]


def test_what_has_nginx_load_an_added_or_a_missing_file_is_said(conf: Path) -> None:
    old = sealed(conf)
    (conf / "sites" / "c.conf").write_text(SITE)
    main = (conf / "nginx.conf").read_text()
    (conf / "nginx.conf").write_text(main + "# below\ninclude nowhere;\nssl_certificate cert.pem;\n")
    (conf / "cert.pem").write_text("certificate\n")
    below = main.count("\n") + 2
    _, found = find_drift(old, DiskFiles(), str(conf / "nginx.conf"))
    told = {change.name: (change.kind, change.by, change.detail) for change in found if change.by}
    line = 1 + main[: main.index("include sites/")].count("\n")
    assert told == {
        "sites/c.conf": ("added", f"nginx.conf:{line}", f"it was not sealed; included by nginx.conf:{line}"),
        "cert.pem": ("added", f"nginx.conf:{below + 1}", f"it was not sealed; named by nginx.conf:{below + 1}"),
        "nowhere": (
            "missing",
            f"nginx.conf:{below}",
            f"it was not sealed, and nginx would look for it in vain; included by nginx.conf:{below}",
        ),
    }


def test_a_file_that_nothing_includes_any_more_is_told_from_one_that_is_gone(conf: Path) -> None:
    old = sealed(conf)
    (conf / "nginx.conf").write_text("events {}\nhttp { include sites/b.conf; }\n")
    (conf / "passwords").unlink()
    assert drifted(old, conf) == [("content", "nginx.conf"), ("removed", "passwords"), ("unloaded", "sites/a.conf")]


def test_silent_corruption_is_named(conf: Path) -> None:
    old = sealed(conf)
    (conf / "sites" / "a.conf").write_text(SITE.replace("\n", "\r\n"), newline="")
    (conf / "sites" / "b.conf").write_text(SITE[:40])
    found = {change.name: change for change in changes(old, conf)}
    assert found["sites/a.conf"].kind == "line-ends"
    assert found["sites/b.conf"].kind == "truncated"
    assert (
        found["sites/b.conf"].detail
        == f"its content differs, {len(SITE)} bytes became 40, and it breaks off without a line end"
    )
    (conf / "sites" / "b.conf").write_bytes(b"\0" * len(SITE))
    found = {change.name: change for change in changes(old, conf)}
    assert "NUL bytes, as after a crash" in found["sites/b.conf"].detail


def test_modes_and_owners_are_compared(conf: Path) -> None:
    old = sealed(conf)
    (conf / "passwords").chmod(0o604)
    if AS_ROOT:
        os.chown(conf / "sites" / "a.conf", 65534, 65534)
    found = drifted(old, conf)
    assert ("mode", "passwords") in found
    assert (("owner", "sites/a.conf") in found) is AS_ROOT


def test_a_symlink_to_another_file_of_the_same_content_is_seen(conf: Path) -> None:
    (conf / "available").mkdir()
    for name in ("one", "two"):
        (conf / "available" / name).write_text(SITE)
    link = conf / "sites" / "z.conf"
    link.symlink_to("../available/one")
    old = sealed(conf)
    assert old.by_name["sites/z.conf"].target == "available/one"
    link.unlink()
    link.symlink_to("../available/two")
    assert [(c.kind, c.detail) for c in changes(old, conf)] == [
        ("link", "it leads to available/one, and now it leads to available/two")
    ]
    link.unlink()
    link.write_text(SITE)
    assert [c.kind for c in changes(old, conf)] == ["link"]


def test_a_folder_on_the_way_that_is_a_symlink_counts_too(conf: Path, tmp_path: Path) -> None:
    for release in ("r1", "r2"):
        (tmp_path / release).mkdir()
        (tmp_path / release / "a.conf").write_text(SITE)
    current = conf / "current"
    current.symlink_to(tmp_path / "r1")
    (conf / "nginx.conf").write_text("events {}\nhttp { include current/*.conf; }\n")
    old = sealed(conf)
    assert old.by_name["current/a.conf"].target == str(tmp_path / "r1" / "a.conf")
    current.unlink()
    current.symlink_to(tmp_path / "r2")
    assert drifted(old, conf) == [("link", "current/a.conf")]


def test_a_configuration_that_is_reached_through_a_symlink_is_the_same(conf: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(conf)
    one, other = sealed(conf), sealed(tmp_path / "link")
    assert one.entries == other.entries
    assert {entry.target for entry in other.entries} == {""}


def test_a_vanished_main_file_is_the_finding_and_not_all_that_hung_on_it(conf: Path) -> None:
    old = sealed(conf)
    (conf / "nginx.conf").unlink()
    assert drifted(old, conf) == [("removed", "nginx.conf")]


def test_an_include_of_a_file_that_is_not_there_is_found(conf: Path) -> None:
    old = sealed(conf)
    (conf / "sites" / "b.conf").write_text("include nowhere.conf;\n")
    assert drifted(old, conf) == [("missing", "nowhere.conf"), ("content", "sites/b.conf")]


def test_a_pipe_in_place_of_a_file_is_unreadable_and_never_waited_for(conf: Path) -> None:
    old = sealed(conf)
    (conf / "sites" / "a.conf").unlink()
    os.mkfifo(conf / "sites" / "a.conf")
    signal.alarm(20)
    try:
        assert [(c.kind, c.name, c.detail) for c in changes(old, conf)] == [
            ("unreadable", "sites/a.conf", "it is a named pipe, not a file")
        ]
    finally:
        signal.alarm(0)


def as_nobody(work: Callable[[], object]) -> str:
    """What some work gives in a process of another user."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            os.write(write, str(work()).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said


@pytest.mark.skipif(not AS_ROOT, reason="only root can become someone else")
@pytest.mark.parametrize(("closed", "failed"), [("passwords", ["passwords"]), ("sites", ["sites"])])
def test_a_file_or_folder_of_someone_else_is_a_failure_and_never_taken_as_empty(
    conf: Path, closed: str, failed: list[str]
) -> None:
    old = sealed(conf)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        here = Path(folder, "nginx")
        conf.rename(here)
        (here / closed).chmod(0o700 if closed == "sites" else 0o600)
        disk, main = DiskFiles(), name_of(here / "nginx.conf")
        failures = as_nobody(lambda: [(n, e.errno) for n, e in survey(disk, main).failures.items()])
        found = as_nobody(lambda: [(c.kind, c.name) for c in find_drift(old, disk, main)[1] if c.kind != "mode"])
        remedy = as_nobody(lambda: _refusal(disk, main))
    assert failures == str([(name, errno.EACCES) for name in failed])
    sites = [("unreadable", f"sites/{name}.conf") for name in "ab"] if closed == "sites" else []
    assert found == str([*(("unreadable", name) for name in failed), *sites])
    assert "sudo" in remedy


def _refusal(disk: DiskFiles, main: str) -> str:
    try:
        seal(disk, main)
    except InputError as error:
        return error.help
    return "it was sealed"


# ---- reading


def test_large_files_are_read_in_parts_with_the_same_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"a line\r\n" * 700 + b"\r" * 5 + b"\n" + b"end\r"
    path = tmp_path / "big"
    path.write_bytes(data)
    whole = read_content(os.fsencode(path))
    for chunk in (1, 2, 7, 8, 9, 64, 4096):
        monkeypatch.setattr(sealing, "_CHUNK", chunk)
        parts = read_content(os.fsencode(path))
        assert (parts.digest, parts.size, parts.unix) == (whole.digest, whole.size, whole.unix)
        assert parts.data == b""
    assert whole.digest == hashlib.sha256(data).hexdigest()
    assert whole.unix == hashlib.sha256(data.replace(b"\r\n", b"\n")).hexdigest()


@given(st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\r\n", b"\0"]), max_size=30).map(b"".join), st.integers(1, 9))
def test_any_bytes_in_parts_are_any_bytes_whole(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, chunk: int
) -> None:
    path = os.fsencode(tmp_path_factory.getbasetemp() / "parts")
    Path(os.fsdecode(path)).write_bytes(data)
    whole = read_content(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealing, "_CHUNK", chunk)
        parts = read_content(path)
    assert parts[:4] == whole[:4]
    assert whole.data == data


def test_a_file_that_is_being_written_is_not_sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * 100)
    real = os.read

    def read(fd: int, size: int) -> bytes:
        data = real(fd, size)
        path.write_bytes(b"y" * 50)
        return data

    monkeypatch.setattr(os, "read", read)
    with pytest.raises(OSError, match="while it was read"):
        read_content(os.fsencode(path))


# ---- the real nginx


def test_the_files_are_those_that_nginx_itself_opens(binary: NginxBinary, tmp_path: Path) -> None:
    """What ``nginx -T`` dumps is what is sealed, referenced files aside."""
    (tmp_path / "sites").mkdir()
    (tmp_path / "sites" / "a.conf").write_text("# a\n")
    (tmp_path / "sites" / "b.conf").write_text("include nested.inc;\n")
    (tmp_path / "nested.inc").write_text("# nested\n")
    (tmp_path / "mime").write_text("types { text/html html; }\n")
    paths = "".join(f"{kind}_temp_path {kind};" for kind in ("client_body", "proxy"))
    includes = f"include mime; include sites/*.conf; include none/*.conf; include {tmp_path}/[m]ime;"
    (tmp_path / "nginx.conf").write_text(f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{ {paths} {includes} }}\n")
    command = [binary.path, "-T", "-q", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"), "-e", "/dev/null"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    dumped = set(re.findall(r"(?m)^# configuration file (.*):$", done.stdout))
    manifest = seal(DiskFiles(), name_of(tmp_path / "nginx.conf"))
    assert {f"{tmp_path}/{entry.name}" for entry in manifest.entries} == dumped
    assert len(dumped) == 5


def test_the_folders_under_wildcards_are_known(conf: Path) -> None:
    (conf / "deep" / "x").mkdir(parents=True)
    (conf / "nginx.conf").write_text("events {}\nhttp { include sites/*.conf; include deep/*/*.conf; }\n")
    found = survey(DiskFiles(), name_of(conf / "nginx.conf"))
    assert sorted(found.folders) == [f"{conf}/deep", f"{conf}/deep/x", f"{conf}/sites"]
    assert found.live == frozenset()
