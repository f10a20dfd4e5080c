"""Disk against running, on a real nginx: what was changed since it was loaded, and what a reload was refused for."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ws101.host.binary import NginxBinary
from ws101.host.files import DiskFiles, name_of
from ws101.host.loaded import running
from ws101.host.process import Master, master_of, oldest_worker_started, serving
from ws101.host.sealing import survey
from ws101.lab.nginx import Nginx, until, wrap
from ws101.lab.ports import free_ports
from ws101.manifest import Running

SITE = "# a site\n"


@pytest.fixture
def nginx(binary: NginxBinary) -> Iterator[Nginx]:
    """A running nginx with a site under a wildcard and a password file."""
    (port,) = free_ports(1)
    server = (
        f"server {{ listen 127.0.0.1:{port}; auth_basic x; auth_basic_user_file passwords; }} include sites/*.conf;"
    )
    files = {"sites/a.conf": SITE, "passwords": "me:x\n"}
    with Nginx(wrap(server, binary=binary, workers=2), binary=binary, files=files) as running_nginx:
        assert running_nginx.pid is not None
        until(lambda: oldest_worker_started(running_nginx.pid) is not None, "worker")
        time.sleep(0.03)  # a start is known to 10 ms, and file times lag behind by some
        yield running_nginx


def look(nginx: Nginx) -> Running:
    files = DiskFiles()
    master = master_of(nginx.pid)
    assert master is not None
    return running(master, survey(files, name_of(nginx.conf_path)), files)


def stale(nginx: Nginx) -> list[tuple[str, str]]:
    return [(item.name, item.what) for item in look(nginx).stale]


def test_a_running_nginx_that_has_loaded_everything(nginx: Nginx, binary: NginxBinary) -> None:
    found = look(nginx)
    assert found.stale == ()
    assert found.refused == ""
    assert found.unknown == ()
    assert found.pid == nginx.pid
    assert found.program == str(Path(binary.path).resolve())
    assert found.version == binary.build.number
    assert not found.replaced
    assert found.started is not None
    assert abs(found.started - time.time()) < 10


def test_a_changed_file_is_not_loaded_until_nginx_is_reloaded(nginx: Nginx) -> None:
    (nginx.dir / "sites" / "a.conf").write_text("# another\n")
    assert stale(nginx) == [("sites/a.conf", "its content was changed")]
    assert all(0 < item.after < 10 for item in look(nginx).stale)
    nginx.reload()
    nginx.wait_reloaded()
    assert stale(nginx) == []


def test_a_file_moved_into_place_with_its_old_time_is_seen(nginx: Nginx) -> None:
    site = nginx.dir / "sites" / "a.conf"
    other = nginx.dir / "other"
    other.write_text("# another\n")
    os.utime(other, (1, 1))
    site.unlink()
    other.rename(site)
    names = [name for name, _ in stale(nginx)]
    assert names == ["sites/a.conf", "sites"]
    assert stale(nginx)[0][1].startswith("it was touched")


def test_a_name_that_came_or_went_under_a_wildcard_is_seen_at_its_folder(nginx: Nginx) -> None:
    (nginx.dir / "sites" / "a.conf").unlink()
    assert stale(nginx) == [("sites", "a name in this folder came, went or was changed")]


def test_a_link_that_leads_elsewhere_now_is_seen(nginx: Nginx) -> None:
    (nginx.dir / "real.conf").write_text(SITE)
    os.utime(nginx.dir / "real.conf", (1, 1))
    link = nginx.dir / "sites" / "z.conf"
    link.symlink_to("../real.conf")
    assert {name for name, _ in stale(nginx)} == {"sites/z.conf", "sites"}


def test_a_password_file_is_read_for_each_request_and_so_never_stale(nginx: Nginx) -> None:
    (nginx.dir / "passwords").write_text("you:y\n")
    assert stale(nginx) == []


def test_a_crashed_worker_is_replaced_by_one_with_the_old_configuration(nginx: Nginx) -> None:
    (nginx.dir / "sites" / "a.conf").write_text("# another\n")
    time.sleep(0.03)
    os.kill(serving(nginx.pid)[0], 9)
    until(lambda: len(serving(nginx.pid)) == 2, "new worker")
    assert [name for name, _ in stale(nginx)] == ["sites/a.conf"]


def test_a_refused_reload_is_reported_until_one_works(nginx: Nginx) -> None:
    site = nginx.dir / "sites" / "a.conf"
    site.write_text("nonsense on;\n")
    nginx.hang_up()
    until(lambda: look(nginx).refused != "", "refusal")
    assert look(nginx).refused == f'unknown directive "nonsense" in {site}:1'
    site.write_text(SITE)
    nginx.reload()
    nginx.wait_reloaded()
    assert look(nginx).refused == ""
    assert look(nginx).stale == ()


def test_without_lines_about_workers_the_times_in_the_log_decide(nginx: Nginx) -> None:
    log = nginx.dir / "error.log"
    kept = [line for line in log.read_text().splitlines() if "start worker process" not in line]
    old = f"2020/01/01 00:00:00 [emerg] {nginx.pid}#{nginx.pid}: an old story"
    now = time.strftime("%Y/%m/%d %H:%M:%S")
    other = f"{now} [emerg] 1#1: somebody else's"
    log.write_text("\n".join([*kept, old, other, ""]))
    assert look(nginx).refused == ""
    with log.open("a") as file:
        file.write(f"{now} [emerg] {nginx.pid}#{nginx.pid}: the new story\n9999/99/99 99:99:99 [emerg] 1#1: x\n")
    assert look(nginx).refused == "the new story"


def test_a_program_that_was_replaced_is_told_from_the_one_that_runs(binary: NginxBinary, tmp_path: Path) -> None:
    program = tmp_path / "nginx"
    shutil.copy(binary.path, program)
    (port,) = free_ports(1)
    conf = wrap(f"server {{ listen 127.0.0.1:{port}; }}", binary=binary)
    with Nginx(conf, binary=str(program)) as nginx:
        assert not look(nginx).replaced
        (tmp_path / "new").write_text("#!/bin/sh\n")
        (tmp_path / "new").rename(program)
        found = look(nginx)
        assert found.replaced
        assert found.version == binary.build.number
        assert found.program == str(program)


def test_what_cannot_be_seen_is_unknown_and_never_fine(tmp_path: Path) -> None:
    (tmp_path / "nginx.conf").write_text("events {}\n")
    files = DiskFiles()
    nobody = Master(2**22 + 1, 1, 0.0, os.geteuid(), "nginx: master process nginx")
    found = running(nobody, survey(files, name_of(tmp_path / "nginx.conf")), files)
    assert found.started is None
    assert [text.split(",")[0] for text in found.unknown] == [
        "no worker that serves can be seen",
        "its error log is no file that can be seen",
    ]
