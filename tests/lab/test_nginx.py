from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from ws101.errors import NginxError
from ws101.host.binary import NginxBinary
from ws101.lab.nginx import Nginx, accepts, until, wrap
from ws101.lab.ports import LOOPBACK, free_ports


def body(port: int, path: str = "/") -> str:
    with urllib.request.urlopen(f"http://{LOOPBACK}:{port}{path}", timeout=5) as answer:
        text: bytes = answer.read()
    return text.decode()


def returning(port: int, text: str, binary: NginxBinary, **options: str) -> str:
    server = f"server {{ listen {LOOPBACK}:{port}; return 200 {text}; }}"
    return wrap(server, binary=binary, main=options.get("main", ""))


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for init to take note does not."""
    try:
        os.kill(pid, 0)
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return not Path("/proc/self").exists()


def test_it_serves_as_soon_as_the_block_is_entered_and_not_after_it(binary: NginxBinary) -> None:
    (port,) = free_ports(1)
    with Nginx(returning(port, "hello", binary), binary=binary) as nginx:
        assert body(port) == "hello"
        pids = [nginx.pid, *(worker.pid for worker in nginx.workers())]
        assert len(pids) == 2
        folder = nginx.dir
    assert not any(map(is_alive, pids))
    assert not folder.exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((LOOPBACK, port), timeout=1)


def test_nothing_is_left_running_when_the_block_fails(binary: NginxBinary) -> None:
    pids: list[int] = []

    def fail_inside() -> None:
        (port,) = free_ports(1)
        with Nginx(returning(port, "hello", binary), binary=binary) as nginx:
            pids.extend([nginx.pid, *(worker.pid for worker in nginx.workers())])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_inside()
    assert pids
    assert not any(map(is_alive, pids))


def test_the_access_log_holds_status_times_and_upstream(binary: NginxBinary) -> None:
    (port,) = free_ports(1)
    with Nginx(returning(port, "hello", binary), binary=binary) as nginx:
        body(port, "/page")
        until(lambda: bool(nginx.access_log()), "line in access.log")
        status, _, upstream_status, upstream, logged_port, method, target = nginx.access_log().split()
    assert (status, upstream_status, upstream, logged_port, method, target) == (
        "200",
        "-",
        "-",
        str(port),
        "GET",
        "/page",
    )


def test_the_error_log_of_a_debugging_build_tells_how_a_location_was_found(binary: NginxBinary) -> None:
    (port,) = free_ports(1)
    conf = wrap(
        f"server {{ listen {LOOPBACK}:{port}; location /a {{ return 204; }} }}", binary=binary, log_level="debug"
    )
    with Nginx(conf, binary=binary) as nginx:
        body(port, "/a")
        until(lambda: "test location" in nginx.error_log(), "debug line")


def test_a_configuration_of_several_files_and_other_files_lies_in_the_folder(binary: NginxBinary) -> None:
    (port,) = free_ports(1)
    site = f"server {{ listen {LOOPBACK}:{port}; root pages; }}"
    conf = {"nginx.conf": wrap("include sites/*.conf;", binary=binary), "sites/a.conf": site}
    with Nginx(conf, binary=binary, files={"pages/x.txt": b"\xff text"}) as nginx:
        assert nginx.dir.joinpath("sites/a.conf").read_text() == site
        with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/x.txt", timeout=5) as answer:
            assert answer.read() == b"\xff text"


def test_a_configuration_that_says_nothing_of_daemon_and_pid_runs_too(binary: NginxBinary) -> None:
    (port,) = free_ports(1)
    lines = [
        line
        for line in returning(port, "hello", binary).splitlines()
        if not line.startswith(("daemon", "pid", "user", "master_process"))
    ]
    with Nginx("\n".join(lines), binary=binary) as nginx:
        assert body(port) == "hello"
        assert nginx.command[-2] == "-g"
        assert nginx.test()[0]
        nginx.reload()
        nginx.wait_reloaded()


def test_a_broken_configuration_is_refused_in_nginx_own_words(binary: NginxBinary) -> None:
    with (
        pytest.raises(NginxError, match=r'unknown directive "wrong" in .*nginx\.conf:1') as caught,
        Nginx("wrong;", binary=binary),
    ):
        pass
    assert not Path(caught.value.where).exists()
    assert caught.value.message.count("unknown directive") == 1


def test_a_taken_port_is_named() -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(NginxError, match=rf"bind\(\) to {LOOPBACK}:{port} failed"),
            Nginx(wrap(f"server {{ listen {LOOPBACK}:{port}; }}")),
        ):
            pass


def test_accepts_tells_what_nginx_t_says_and_leaves_nothing_behind(binary: NginxBinary) -> None:
    accepted, output = accepts(wrap("server { listen 127.0.0.1:0; }", binary=binary), binary=binary)
    assert not accepted
    assert "invalid port" in output
    accepted, output = accepts(wrap("", binary=binary), binary=binary)
    assert accepted
    assert "test is successful" in output
    folder = Path(output.split("configuration file ")[-1].split(" test is")[0]).parent
    assert folder.name.startswith("ws101-lab-")
    assert not folder.exists()


def test_a_reload_is_over_when_new_workers_serve_the_new_configuration(binary: NginxBinary) -> None:
    (port,) = free_ports(1)
    with Nginx(returning(port, "old", binary), binary=binary) as nginx:
        master, before = nginx.pid, nginx.workers()
        nginx.rewrite("nginx.conf", returning(port, "new", binary))
        nginx.reload()
        nginx.wait_reloaded()
        assert [body(port) for _ in range(10)] == ["new"] * 10
        assert nginx.pid == master
        assert not {w.pid for w in before} & {w.pid for w in nginx.workers() if not w.leaving}


def test_an_old_worker_with_an_open_connection_is_seen_shutting_down(binary: NginxBinary) -> None:
    port, silent = free_ports(2)
    conf = wrap(
        f"server {{ listen {LOOPBACK}:{port}; location / {{ proxy_pass http://{LOOPBACK}:{silent}; }} }}", binary=binary
    )
    with socket.create_server((LOOPBACK, silent)) as backend, Nginx(conf, binary=binary) as nginx:
        (old,) = nginx.workers()
        with socket.create_connection((LOOPBACK, port), timeout=5) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            held, _ = backend.accept()
            nginx.reload()
            nginx.wait_reloaded()
            states = {worker.pid: worker.leaving for worker in nginx.workers()}
            assert states.pop(old.pid) is True
            assert list(states.values()) == [False]
            held.close()
        until(lambda: old.pid not in {worker.pid for worker in nginx.workers()}, "end of the old worker")


def test_a_refused_reload_raises_and_the_old_configuration_serves_on(binary: NginxBinary) -> None:
    (port,) = free_ports(1)
    with Nginx(returning(port, "old", binary), binary=binary) as nginx:
        before = nginx.workers()
        nginx.rewrite("nginx.conf", returning(port, "new", binary, main="wrong;"))
        with pytest.raises(NginxError, match='unknown directive "wrong"'):
            nginx.reload()
        assert nginx.test()[0] is False
        assert body(port) == "old"
        nginx.hang_up()
        until(lambda: 'unknown directive "wrong"' in nginx.error_log(), "refusal in error.log")
        with pytest.raises(TimeoutError, match=r"no reloaded nginx within 0\.05 s"):
            nginx.wait_reloaded(0.05)
        assert nginx.workers() == before


def test_testing_a_running_configuration_leaves_its_pid_file_alone(binary: NginxBinary) -> None:
    (port,) = free_ports(1)
    with Nginx(returning(port, "hello", binary), binary=binary) as nginx:
        assert nginx.test()[0]
        assert nginx.dir.joinpath("nginx.pid").read_text() == f"{nginx.pid}\n"


def test_a_given_folder_is_used_and_kept(binary: NginxBinary, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with Nginx(returning(port, "hello", binary), binary=binary, directory=tmp_path) as nginx:
        assert nginx.conf_path == tmp_path / "nginx.conf"
    assert nginx.conf_path.exists()
    with pytest.raises(NginxError, match="not running"):
        _ = nginx.pid


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="this system cannot tie a process to its parent")
def test_nginx_ends_with_the_process_that_started_it(binary: NginxBinary, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    tmp_path.joinpath("conf").write_text(returning(port, "hello", binary))
    script = (
        "import pathlib, sys, time; from ws101.lab.nginx import Nginx\n"
        "nginx = Nginx(pathlib.Path(sys.argv[1], 'conf').read_text(), binary=sys.argv[2], directory=sys.argv[1])\n"
        "nginx.start(); print(nginx.pid, *(w.pid for w in nginx.workers()), flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(tmp_path), binary.path]
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | paths) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        parent.send_signal(signal.SIGKILL)
    until(lambda: not any(is_alive(pid) for pid in pids), "end of nginx")


def test_waiting_for_what_never_comes_ends_with_its_name() -> None:
    with pytest.raises(TimeoutError, match=r"no miracle within 0\.01 s"):
        until(lambda: False, "miracle", 0.01)


def test_an_nginx_that_does_not_end_on_term_is_killed_with_its_workers(
    binary: NginxBinary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ws101.lab.nginx.START_TIMEOUT", 0.2)
    (port,) = free_ports(1)
    with Nginx(returning(port, "hello", binary), binary=binary) as nginx:
        pids = [nginx.pid, *(worker.pid for worker in nginx.workers())]
        os.kill(nginx.pid, signal.SIGSTOP)
    until(lambda: not any(is_alive(pid) for pid in pids), "end of nginx")


def test_what_stands_in_events_can_be_chosen(binary: NginxBinary) -> None:
    accepted, output = accepts(wrap("", binary=binary, events="worker_connections x;"), binary=binary)
    assert not accepted
    assert 'invalid number "x"' in output


def test_an_old_worker_that_had_not_named_itself_is_not_taken_for_a_new_one(
    binary: NginxBinary, monkeypatch: pytest.MonkeyPatch
) -> None:
    (port,) = free_ports(1)
    with Nginx(returning(port, "old", binary), binary=binary) as nginx:
        (old,) = nginx.workers()
        with monkeypatch.context() as patched:
            patched.setattr("ws101.lab.nginx.workers", lambda _: ())  # as for some milliseconds after it was forked
            patched.setattr(nginx, "_run", lambda *_: (True, ""))  # a reload that nginx has not begun yet
            nginx.reload()
        with pytest.raises(TimeoutError):
            nginx.wait_reloaded(0.2)
        nginx.reload()
        nginx.wait_reloaded()
        assert old.pid not in {worker.pid for worker in nginx.workers() if not worker.leaving}
