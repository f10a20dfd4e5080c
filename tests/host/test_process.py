"""The running nginx: who it is, what it loaded, and whether a reload happened."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ws101.errors import ApplyError, NginxError
from ws101.host import process
from ws101.host.binary import NginxBinary
from ws101.host.process import (
    Compiled,
    LogMark,
    Master,
    compiled,
    error_log_of,
    master_of,
    masters,
    may_signal,
    oldest_worker_started,
    reload_command,
    run_command,
    send_reload,
    serving,
    started,
    wait_reloaded,
)
from ws101.host.workers import children
from ws101.lab.nginx import Nginx, until, wrap
from ws101.lab.ports import free_ports


def titled(arguments: str, **more: object) -> Master:
    return replace(Master(1, 1, 0.0, 0, f"nginx: master process {arguments}"), **more)  # type: ignore[arg-type]


def listening(port: int, binary: NginxBinary | None = None) -> str:
    return wrap(f"server {{ listen 127.0.0.1:{port}; return 204; }}", workers=2, binary=binary)


@pytest.mark.parametrize(
    ("arguments", "letter", "value"),
    [
        ("nginx", "c", None),
        ("/usr/sbin/nginx -g daemon on; master_process on;", "g", "daemon on; master_process on;"),
        ("/usr/sbin/nginx -g daemon on; -c /a/b.conf", "g", "daemon on;"),
        ("nginx -c /etc/my nginx/nginx.conf -p /srv", "c", "/etc/my nginx/nginx.conf"),
        ("nginx -c/attached.conf", "c", "/attached.conf"),
        ("nginx -qc with-q.conf", "c", "with-q.conf"),
        ("nginx -c first -c second", "c", "second"),
        ("nginx -p /srv -e stderr", "e", "stderr"),
        ("nginx -p /srv -e stderr", "p", "/srv"),
    ],
)
def test_what_a_master_was_started_with_is_read_from_its_title(arguments: str, letter: str, value: str | None) -> None:
    assert titled(arguments).option(letter) == value


@pytest.mark.parametrize(
    ("arguments", "cwd", "conf"),
    [
        ("nginx", "/", "/opt/n/conf/x.conf"),
        ("nginx -c y.conf", "/home", "/opt/n/y.conf"),
        ("nginx -c /abs/y.conf", "/home", "/abs/y.conf"),
        ("nginx -p sub/ -c y.conf", "/home", "/home/sub/y.conf"),
        ("nginx -p /srv/", "/home", "/srv/conf/x.conf"),
    ],
)
def test_the_main_file_is_found_as_nginx_finds_it(arguments: str, cwd: str, conf: str) -> None:
    assert titled(arguments, cwd=cwd).conf_path(Compiled("/opt/n", "conf/x.conf")) == conf


def test_the_compiled_paths_are_read_from_the_version_text() -> None:
    text = "configure arguments: --with-cc-opt='-g -O2' --prefix=/usr/share/nginx --conf-path=/etc/nginx/nginx.conf"
    assert compiled(text) == Compiled("/usr/share/nginx", "/etc/nginx/nginx.conf", "logs/error.log")
    assert compiled("nginx version: nginx/1.31.3") == Compiled()


def test_a_running_master_is_found_with_program_folder_and_main_file(binary: NginxBinary) -> None:
    (port,) = free_ports(1)
    with Nginx(listening(port, binary), binary=binary) as nginx:
        found = [master for master in masters() if master.pid == nginx.pid]
        assert len(found) == 1
        master = found[0]
        assert master.exe == str(Path(binary.path).resolve())
        assert master.conf_path(compiled(binary.version_text)) == str(nginx.conf_path)
        assert master.trusted
        assert not master.foreign
        assert may_signal(master)
        assert abs(master.started - time.time()) < 5
        assert error_log_of(master) == str(nginx.dir / "error.log")
    assert master_of(master.pid) is None
    assert not may_signal(master)


def test_a_worker_is_no_master_and_neither_are_we() -> None:
    (port,) = free_ports(1)
    with Nginx(listening(port)) as nginx:
        for pid in (os.getpid(), *(worker.pid for worker in nginx.workers())):
            assert master_of(pid) is None
            assert pid not in {master.pid for master in masters()}


def test_a_stranger_with_the_name_of_a_master_is_not_trusted() -> None:
    assert not titled("nginx", uid=os.geteuid() + 1234).trusted
    assert titled("nginx", uid=os.geteuid()).trusted


def test_the_oldest_serving_worker_tells_what_was_loaded() -> None:
    (port,) = free_ports(1)
    with Nginx(listening(port)) as nginx:
        until(lambda: len(nginx.workers()) == 2, "second worker")
        first = oldest_worker_started(nginx.pid)
        assert first is not None
        nginx.rewrite("touched.conf", "")
        assert (nginx.dir / "touched.conf").stat().st_mtime > first - 0.02
        time.sleep(0.05)
        victim = serving(nginx.pid)[0]
        os.kill(victim, signal.SIGKILL)  # it is replaced by a young worker with the old configuration
        until(lambda: victim not in serving(nginx.pid) and len(serving(nginx.pid)) == 2, "replaced worker")
        assert abs((oldest_worker_started(nginx.pid) or 0) - first) < 0.05
        assert max(started(pid) or 0 for pid in serving(nginx.pid)) > first + 0.03
        old = serving(nginx.pid)
        nginx.reload()
        assert wait_reloaded(nginx.pid, old).done
        assert (oldest_worker_started(nginx.pid) or 0) > first
        master = nginx.pid
    assert oldest_worker_started(master) is None
    assert started(2**22 + 1) is None


def test_a_reload_is_done_when_only_new_workers_serve(binary: NginxBinary) -> None:
    (port,) = free_ports(1)
    with Nginx(listening(port, binary), binary=binary) as nginx, socket.create_connection(("127.0.0.1", port)) as idle:
        until(lambda: len(nginx.workers()) == 2, "second worker")
        idle.sendall(b"GET / HTTP/1.1\r\n")  # half a request holds its worker
        old = serving(nginx.pid)
        master = master_of(nginx.pid)
        assert master is not None
        assert send_reload(master) == f"HUP to the master {nginx.pid}"
        seen = wait_reloaded(nginx.pid, old)
        assert seen.done, seen
        assert set(seen.new).isdisjoint(old)
        assert seen.new
        assert set(seen.leaving) <= set(old)
        assert not set(serving(nginx.pid)) & set(old)


def answer(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return b"".join(iter(lambda: client.recv(4096), b"")).rpartition(b"\r\n\r\n")[2]


def test_a_worker_that_was_forked_just_before_the_reload_does_not_count_as_new(binary: NginxBinary) -> None:
    """It still carries its master's name then, and answers with the old configuration for 100 ms and more."""
    (port,) = free_ports(1)
    text = "server {{ listen 127.0.0.1:{}; return 200 {}; }}".format
    with Nginx(wrap(text(port, 0), binary=binary), binary=binary) as nginx:
        master = master_of(nginx.pid)
        assert master is not None
        for number in range(1, 7):
            nginx.rewrite("nginx.conf", wrap(text(port, number), binary=binary))
            (victim,) = serving(nginx.pid)
            os.kill(victim, signal.SIGKILL)
            until(lambda: set(children(nginx.pid)) - {victim} != set(), "new child")  # noqa: B023
            old = children(nginx.pid)
            send_reload(master)
            seen = wait_reloaded(nginx.pid, old)
            assert seen.done, seen
            assert answer(port) == str(number).encode()


def test_an_old_worker_without_a_name_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    nameless, old, new = "nginx: master process nginx", "nginx: worker process", "nginx: worker process"
    states = iter(
        [
            [(11, nameless)],
            [(11, nameless), (12, nameless)],
            [(11, nameless), (12, new)],
            [(11, old), (12, new)],
            [(11, f"{old} is shutting down"), (12, new)],
        ]
    )
    table: list[tuple[int, str]] = []

    def step(_: float) -> None:
        table[:] = next(states)

    step(0)
    monkeypatch.setattr("ws101.host.workers._children_in_proc", lambda pid: iter([*table] if pid == 1 else ()))
    monkeypatch.setattr("ws101.host.process.master_of", lambda _: titled(""))
    monkeypatch.setattr("ws101.host.process.time.sleep", step)
    seen = wait_reloaded(1, children(1))
    assert seen.done
    assert seen.new == (12,)
    assert seen.leaving == (11,)
    assert next(states, None) is None


def test_a_refused_reload_is_seen_in_the_error_log(binary: NginxBinary) -> None:
    (port,) = free_ports(1)
    with Nginx(listening(port, binary), binary=binary) as nginx:
        until(lambda: len(nginx.workers()) == 2, "second worker")
        master, old = master_of(nginx.pid), serving(nginx.pid)
        assert master is not None
        mark = LogMark.at_end(error_log_of(master) or "")
        nginx.rewrite("nginx.conf", "nonsense;")
        send_reload(master)
        seen = wait_reloaded(nginx.pid, old, log=mark)
        assert not seen.done
        assert seen.refused
        assert seen.reason.startswith('unknown directive "nonsense" in')
        assert seen.seconds < 4
        assert serving(nginx.pid) == old


def test_without_a_reload_the_wait_ends_and_says_what_it_saw() -> None:
    (port,) = free_ports(1)
    with Nginx(listening(port)) as nginx:
        master = nginx.pid
        seen = wait_reloaded(master, serving(master), timeout=0.05)
        assert not seen.done
        assert not seen.refused
        assert seen.reason == "the old workers still serve 0.05 s after the reload"
    assert wait_reloaded(master, ()).reason == f"the nginx master {master} is gone"


def test_a_master_whose_number_went_to_another_process_is_not_signalled() -> None:
    child = subprocess.Popen(["sleep", "60"])
    try:
        with pytest.raises(ApplyError, match="is gone"):
            send_reload(titled("nginx", pid=child.pid, ticks=1))
        time.sleep(0.02)
        assert child.poll() is None
    finally:
        child.kill()
        child.wait()
    with pytest.raises(ApplyError, match="is gone"):
        send_reload(titled("nginx", pid=child.pid, ticks=1))
    with pytest.raises(ApplyError, match="no nginx to reload"):
        send_reload(None)


def test_the_error_log_is_read_from_the_mark_on_and_by_process(tmp_path: Path) -> None:
    log = tmp_path / "error.log"
    line = "2026/11/23 22:00:00 [{}] {}#0: {}\n"
    log.write_text(line.format("emerg", 7, "before"))
    mark = LogMark.at_end(str(log))
    with log.open("a") as file:
        file.write(
            line.format("emerg", 7, "mine") + line.format("emerg", 8, "another's") + line.format("alert", 7, "x")
        )
    assert mark.lines("emerg", (7,)) == ("mine",)
    assert mark.lines("emerg") == ("mine", "another's")
    assert mark.lines("alert", (7,)) == ("x",)
    log.rename(tmp_path / "error.log.1")
    log.write_text(line.format("emerg", 7, "after rotation"))
    assert mark.lines("emerg") == ("after rotation",)
    log.unlink()
    assert mark.lines("emerg") == ()
    os.mkfifo(log)
    assert LogMark.at_end(str(log)).since() == ""


def test_systemd_reloads_only_its_own_nginx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tried with a stand-in for /proc and /run: there is no systemd in the tests."""
    monkeypatch.setattr(process, "_PROC", tmp_path)
    monkeypatch.setattr(process, "_SYSTEMD", tmp_path / "system")
    (tmp_path / "1").mkdir()
    cgroup = tmp_path / "1" / "cgroup"
    cgroup.write_text("0::/system.slice/nginx.service\n")
    assert reload_command(titled("nginx")) == ()
    (tmp_path / "system").mkdir()
    assert reload_command(titled("nginx")) == ("systemctl", "reload", "nginx.service")
    cgroup.write_text("0::/system.slice/system-nginx.slice/nginx@web.service\n")
    assert reload_command(titled("nginx")) == ("systemctl", "reload", "nginx@web.service")
    for other in ("0::/user.slice/session-1.scope\n", "0::/system.slice/my-nginx.service\n"):
        cgroup.write_text(other)
        assert reload_command(titled("nginx")) == ()


def test_a_command_is_run_without_a_shell_and_without_inherited_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NGINX", "5;6;")
    assert run_command(["printf", "%s", "$(id); `id`"]) == "$(id); `id`"
    assert "NGINX=5" not in run_command(["env"])
    assert send_reload(None, ["true"]) == "true"
    with pytest.raises(NginxError, match="ended with 1"):
        run_command(["false"])
    with pytest.raises(NginxError, match="cannot run /nowhere/nginx"):
        run_command(["/nowhere/nginx", "-t"])
