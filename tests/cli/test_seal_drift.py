"""``seal``, ``drift`` and ``diff`` from the outside: what they print, write and return, and what they leave alone."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.guarding import DIFF, DRIFT, SEAL, ws101
from tests.cli.support import SITE, environment, fingerprint, mismatches
from ws101.host.binary import NginxBinary
from ws101.lab.nginx import Nginx, until, wrap
from ws101.lab.ports import free_ports

GOOD = """\
server {
    listen 127.0.0.1:8080;
    server_name example.com;
    location /ws {
        proxy_pass http://127.0.0.1:3000;
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
    }
}
"""
LOST = GOOD.replace("        proxy_set_header Upgrade $http_upgrade;\n", "")
FIXED = ("--nginx-version", "1.26.3")


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A configuration of a main file and a site."""
    folder = tmp_path / "nginx"
    (folder / "sites").mkdir(parents=True)
    (folder / "nginx.conf").write_text("events {}\nhttp { include sites/*.conf; }\n")
    (folder / "sites" / "a.conf").write_text(GOOD)
    return folder


@pytest.fixture
def manifest(conf: Path, tmp_path: Path) -> Path:
    """The manifest of it."""
    path = tmp_path / "m"
    assert ws101("seal", str(conf), "-o", str(path)).code == 0
    return path


# ---- seal


def test_seal_writes_a_manifest_that_sha256sum_accepts(conf: Path, manifest: Path) -> None:
    done = ws101("seal", str(conf), "-o", str(manifest))
    assert (done.code, done.out) == (0, f"sealed: 2 files of {conf}/nginx.conf in {manifest}\n")
    checked = subprocess.run(["sha256sum", "-c", "--strict", str(manifest)], cwd=conf, capture_output=True, check=True)
    assert checked.stdout == b"nginx.conf: OK\nsites/a.conf: OK\n"


def test_without_a_name_the_manifest_is_printed(conf: Path, manifest: Path) -> None:
    assert ws101("seal", str(conf)).out == manifest.read_text()


def test_seal_as_json(conf: Path, tmp_path: Path) -> None:
    done = ws101("seal", str(conf), "-o", str(tmp_path / "m"), "--format", "json")
    assert mismatches(done.json, SEAL) == []
    assert [item["name"] for item in done.json["files"]] == ["nginx.conf", "sites/a.conf"]
    bare = ws101("seal", str(conf), "--content-only", "--format", "json").json
    assert mismatches(bare, SEAL) == []
    assert {(item["mode"], item["owner"]) for item in bare["files"]} == {(None, None)}


def test_nothing_is_written_if_a_file_is_missing(conf: Path, tmp_path: Path) -> None:
    (conf / "sites" / "a.conf").write_text("include gone.conf;\n")
    target = tmp_path / "m"
    done = ws101("seal", str(conf), "-o", str(target))
    assert (done.code, done.out) == (2, "")
    assert "No such file" in done.err
    assert str(conf / "gone.conf") in done.err
    assert not target.exists()


@pytest.mark.parametrize("old", [b"events {}\n", b"5f  nginx.conf\n", b"\0\xff"])
def test_what_is_no_manifest_is_never_overwritten(conf: Path, tmp_path: Path, old: bytes) -> None:
    target = tmp_path / "m"
    target.write_bytes(old)
    done = ws101("seal", str(conf), "-o", str(target))
    assert done.code == 2
    assert "is no manifest" in done.err
    assert target.read_bytes() == old
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_manifest_or_an_empty_file_is_replaced_whole_and_keeps_its_mode(conf: Path, manifest: Path) -> None:
    manifest.chmod(0o600)
    before = manifest.read_bytes()
    (conf / "sites" / "b.conf").write_text("# b\n")
    assert ws101("seal", str(conf), "-o", str(manifest)).code == 0
    assert manifest.read_bytes() != before
    assert manifest.stat().st_mode & 0o777 == 0o600
    manifest.write_bytes(b"")
    assert ws101("seal", str(conf), "-o", str(manifest)).code == 0
    assert manifest.stat().st_size > 0


def test_a_pipe_or_folder_as_the_target_is_refused_at_once(conf: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "nginx"):
        done = ws101("seal", str(conf), "-o", str(tmp_path / name))
        assert done.code == 2
        assert "not a file" in done.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can plant a link of someone else")
def test_a_link_that_someone_planted_in_a_folder_open_to_everyone_is_not_followed(conf: Path, tmp_path: Path) -> None:
    public = tmp_path / "public"
    public.mkdir()
    public.chmod(0o1777)
    (public / "m").symlink_to(tmp_path / "victim")
    os.chown(public / "m", 65534, 65534, follow_symlinks=False)
    done = ws101("seal", str(conf), "-o", str(public / "m"))
    assert done.code == 2
    assert "symlink" in done.err
    assert not (tmp_path / "victim").exists()


def test_hostile_names_reach_the_terminal_escaped(conf: Path, manifest: Path) -> None:
    (conf / "sites" / "x\x1b[2J\ny.conf").write_text("# x\n")
    done = ws101("drift", str(manifest))
    assert done.code == 1
    assert "\x1b" not in done.out
    assert "sites/x\\x1b[2J\\x0ay.conf" in done.out


# ---- drift


def test_nothing_has_changed(manifest: Path, conf: Path) -> None:
    done = ws101("drift", str(manifest))
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("clean: nothing has changed since the seal (2 files)")
    assert "no nginx of this machine runs this configuration" in done.out
    assert mismatches(ws101("drift", str(manifest), "--format", "json").json, DRIFT) == []


def test_drift_is_exit_code_1_and_names_what_differs(conf: Path, manifest: Path) -> None:
    (conf / "sites" / "a.conf").write_bytes(GOOD.replace("\n", "\r\n").encode())
    (conf / "sites" / "b.conf").write_text("# b\n")
    (conf / "nginx.conf").chmod(0o600)
    done = ws101("drift", str(manifest), "--format", "json")
    assert done.code == 1
    assert mismatches(done.json, DRIFT) == []
    assert done.json["class"] == "drift"
    assert [(item["kind"], item["name"]) for item in done.json["changes"]] == [
        ("mode", "nginx.conf"),
        ("line-ends", "sites/a.conf"),
        ("added", "sites/b.conf"),
    ]
    assert done.json["meaning"]["reason"].startswith("the sealed content of sites/a.conf is not at hand")


def test_with_a_copy_drift_says_what_it_means_for_websockets(conf: Path, manifest: Path, tmp_path: Path) -> None:
    shutil.copytree(conf, tmp_path / "before")
    (conf / "sites" / "a.conf").write_text(LOST)
    done = ws101("drift", str(manifest), "--before", str(tmp_path / "before"), *FIXED)
    assert done.code == 1
    assert "a WebSocket handshake that arrived does not arrive any more" in done.out
    report = ws101("drift", str(manifest), "--before", str(tmp_path / "before"), *FIXED, "--format", "json").json
    assert mismatches(report, DRIFT) == []
    assert [(r["location"], r["websocket"]) for r in report["meaning"]["routes"]] == [("location /ws", "broken")]


def test_a_copy_that_is_not_what_was_sealed_is_not_believed(conf: Path, manifest: Path, tmp_path: Path) -> None:
    shutil.copytree(conf, tmp_path / "before")
    (tmp_path / "before" / "sites" / "a.conf").write_text("# something else\n")
    (conf / "sites" / "a.conf").write_text(LOST)
    done = ws101("drift", str(manifest), "--before", str(tmp_path / "before"))
    assert done.code == 1
    assert "is unknown" in done.out


def test_a_file_cut_short_is_proven_by_the_copy_and_nginx_would_refuse_it(
    conf: Path, manifest: Path, tmp_path: Path
) -> None:
    shutil.copytree(conf, tmp_path / "before")
    (conf / "sites" / "a.conf").write_text(GOOD[: GOOD.index("proxy_http")])
    report = ws101("drift", str(manifest), "--before", str(tmp_path / "before"), "--format", "json").json
    (change,) = report["changes"]
    assert change["kind"] == "truncated"
    assert change["message"].startswith("only the first ")
    assert report["meaning"]["class"] == "refused"
    assert "unexpected end of file" in report["meaning"]["problems"][0]["message"]


def test_what_fix_apply_kept_is_old_content_too(conf: Path, manifest: Path, tmp_path: Path) -> None:
    change = tmp_path / "state" / "changes" / "20260101T000000-000000-aaaa"
    change.mkdir(parents=True)
    record = {"path": "x", "real": "x", "sibling": "y", "old": hashlib.sha256(GOOD.encode()).hexdigest(), "new": None}
    steps = [{"step": "begin", "at": 1.0, "title": "t"}, {"step": "prepared", "files": [record]}]
    (change / "journal.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    (change / "0.old").write_text(GOOD)
    (conf / "sites" / "a.conf").write_text(LOST)
    done = ws101("drift", str(manifest), *FIXED, WS101_STATE=str(tmp_path / "state"))
    assert "a WebSocket handshake that arrived does not arrive any more" in done.out


def test_two_manifests_are_compared(conf: Path, manifest: Path, tmp_path: Path) -> None:
    (conf / "sites" / "b.conf").write_text("# b\n")
    other = tmp_path / "other"
    assert ws101("seal", str(conf), "-o", str(other)).code == 0
    assert ws101("drift", str(manifest), str(manifest)).code == 0
    done = ws101("drift", str(manifest), str(other), "--format", "json")
    assert done.code == 1
    assert mismatches(done.json, DRIFT) == []
    assert [(item["kind"], item["name"]) for item in done.json["changes"]] == [("added", "sites/b.conf")]
    assert done.json["running"] is None
    assert "hold digests, not content" in done.json["meaning"]["reason"]
    said = " ".join(ws101("drift", str(manifest), str(other)).out.split())
    assert "hold digests, not content; compare the folders themselves" in said
    assert "hold digests" not in ws101("drift", str(manifest), str(manifest)).out


def test_a_content_only_manifest_needs_to_be_told_where_the_configuration_lies(conf: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    assert ws101("seal", str(conf), "--content-only", "-o", str(bare)).code == 0
    done = ws101("drift", str(bare))
    assert (done.code, done.out) == (2, "")
    assert "name it" in done.err
    assert ws101("drift", str(bare), str(conf)).code == 0
    (conf / "nginx.conf").chmod(0o600)
    assert ws101("drift", str(bare), str(conf)).code == 0


def test_a_manifest_from_standard_input(conf: Path, manifest: Path) -> None:
    assert ws101("drift", "-", stdin=manifest.read_bytes()).code == 0
    done = ws101("drift", "-", stdin=b"nonsense")
    assert (done.code, done.out) == (2, "")
    assert "this is not a manifest" in done.err


@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "conf"])
def test_a_manifest_that_cannot_be_used_is_exit_code_2(conf: Path, manifest: Path, damage: str) -> None:
    path = str(manifest)
    if damage == "gone":
        manifest.unlink()
    elif damage == "empty":
        manifest.write_bytes(b"")
    elif damage == "cut":
        manifest.write_bytes(manifest.read_bytes()[:-80])
    else:
        path = str(conf / "nginx.conf")
    done = ws101("drift", path)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ")


def test_what_cannot_be_read_is_exit_code_2_unless_something_else_has_changed(conf: Path, manifest: Path) -> None:
    site = conf / "sites" / "a.conf"
    site.unlink()
    os.mkfifo(site)
    done = ws101("drift", str(manifest), "--format", "json")
    assert (done.code, done.json["class"]) == (2, "unchecked")
    assert mismatches(done.json, DRIFT) == []
    (conf / "sites" / "b.conf").write_text("# b\n")
    done = ws101("drift", str(manifest), "--format", "json")
    assert (done.code, done.json["class"]) == (1, "drift")


def test_seal_and_drift_change_nothing_but_the_manifest(conf: Path, manifest: Path, tmp_path: Path) -> None:
    (conf / "sites" / "b.conf").write_text("# b\n")
    before, times = fingerprint(tmp_path), {p: p.stat().st_mtime_ns for p in conf.rglob("*")}
    assert ws101("drift", str(manifest)).code == 1
    assert ws101("seal", str(conf)).code == 0
    assert ws101("diff", str(conf), str(conf)).code == 0
    assert fingerprint(tmp_path) == before
    assert {p: p.stat().st_mtime_ns for p in conf.rglob("*")} == times


# ---- signatures


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two keys, and the file of who may sign."""
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed")
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ops", "eve"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
        subprocess.run(command, check=True)
    (folder / "allowed").write_text(f"ops@example.com {(folder / 'ops.pub').read_text()}")
    return folder


def test_a_signed_manifest_is_checked(conf: Path, tmp_path: Path, keys: Path) -> None:
    path = str(tmp_path / "signed")
    done = ws101("seal", str(conf), "-o", path, "--sign", str(keys / "ops"), "--format", "json")
    assert done.json["signature"] == f"{path}.sig"
    check = ("--allowed-signers", str(keys / "allowed"), "--identity", "ops@example.com")
    done = ws101("drift", path, *check)
    assert done.code == 0
    assert 'signature: Good "ws101-manifest" signature for ops@example.com' in done.out
    assert ws101("drift", path, *check[:3], "eve@example.com").code == 2
    with Path(path).open("a") as file:
        file.write("# one more line\n")
    done = ws101("drift", path, *check)
    assert (done.code, done.out) == (2, "")
    assert "the signature of the manifest is not good" in done.err
    assert ws101("drift", path).code == 0


def test_a_signature_by_someone_else_or_none_at_all_is_not_good(conf: Path, tmp_path: Path, keys: Path) -> None:
    path = str(tmp_path / "signed")
    check = ("--allowed-signers", str(keys / "allowed"), "--identity", "ops@example.com")
    assert ws101("seal", str(conf), "-o", path, "--sign", str(keys / "eve")).code == 0
    assert ws101("drift", path, *check).code == 2
    Path(f"{path}.sig").unlink()
    done = ws101("drift", path, *check)
    assert done.code == 2
    assert "there is no signature" in done.err
    assert ws101("drift", path, *check[:2]).code == 2


def test_a_key_that_is_not_there_is_exit_code_2(conf: Path, tmp_path: Path, keys: Path) -> None:
    done = ws101("seal", str(conf), "-o", str(tmp_path / "m"), "--sign", str(keys / "none"))
    assert done.code == 2
    assert "could not sign" in done.err
    assert ws101("seal", str(conf), "--sign", str(keys / "ops")).code == 2


# ---- the running nginx


def test_the_running_nginx_is_found_and_compared(binary: NginxBinary, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    text = wrap(f"server {{ listen 127.0.0.1:{port}; }} include sites/*.conf;", binary=binary)
    manifest = str(tmp_path / "m")
    with Nginx(text, binary=binary, files={"sites/a.conf": "# a\n"}) as nginx:
        assert ws101("seal", str(nginx.conf_path), "-o", manifest).code == 0
        done = ws101("drift", manifest, "--format", "json")
        assert mismatches(done.json, DRIFT) == []
        assert (done.code, done.json["class"]) == (0, "clean")
        assert done.json["running"]["pid"] == nginx.pid
        assert done.json["running"]["version"] == binary.build.number
        (nginx.dir / "sites" / "a.conf").write_text("# b\n")
        assert ws101("seal", str(nginx.conf_path), "-o", manifest).code == 0
        done = ws101("drift", manifest, "--format", "json")
        assert mismatches(done.json, DRIFT) == []
        assert (done.code, done.json["class"]) == (1, "stale")
        assert [item["name"] for item in done.json["running"]["stale"]] == ["sites/a.conf"]
        assert ws101("drift", manifest, "--disk-only").code == 0
        (nginx.dir / "sites" / "a.conf").write_text("nonsense on;\n")
        nginx.hang_up()
        until(lambda: "nonsense" in (nginx.dir / "error.log").read_text(), "refusal")
        assert ws101("seal", str(nginx.conf_path), "-o", manifest).code == 0
        done = ws101("drift", manifest)
        assert done.code == 1
        assert done.out.startswith("refused: nginx refused its last reload")
        assert 'unknown directive "nonsense"' in done.out


def test_watch_reports_once_for_each_new_state(conf: Path, manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "ws101", "drift", str(manifest), "--watch", "0.1", "--disk-only"]
    with out.open("wb") as stream:
        child = subprocess.Popen(command, stdout=stream, env=environment())
    try:
        until(lambda: "clean" in out.read_text(), "first report", 20)
        time.sleep(0.5)
        (conf / "sites" / "b.conf").write_text("# b\n")
        until(lambda: "added" in out.read_text(), "second report", 20)
    finally:
        child.send_signal(signal.SIGINT)
        code = child.wait(20)
    assert code == 130
    assert out.read_text().count("clean:") == 1


# ---- diff


def test_diff_says_what_a_change_means(tmp_path: Path) -> None:
    old, new = tmp_path / "old.conf", tmp_path / "new.conf"
    old.write_text(SITE)
    new.write_text(SITE.replace("1h", "1m"))
    done = ws101("diff", str(old), str(new), *FIXED)
    assert (done.code, done.err) == (1, "")
    assert "proxy_read_timeout 1h becomes 1m" in done.out
    assert "2 routes: 1 changed and 1 same" in done.out
    report = ws101("diff", str(old), str(new), *FIXED, "--format", "json")
    assert mismatches(report.json, DIFF) == []
    assert [route["change"] for route in report.json["routes"]] == ["changed", "same"]
    assert [request["kind"] for request in report.json["routes"][0]["requests"]] == ["handshake", "GET", "POST"]


def test_diff_of_the_same_is_exit_code_0_and_of_unreadable_things_2(tmp_path: Path) -> None:
    conf = tmp_path / "nginx.conf"
    conf.write_text(SITE)
    assert ws101("diff", str(conf), str(conf)).code == 0
    assert ws101("diff", str(conf), "-", stdin=SITE.encode()).code == 0
    done = ws101("diff", str(conf), str(tmp_path / "none"))
    assert (done.code, done.out) == (2, "")
