"""The running nginx: its masters in /proc, which configuration they run, and whether a reload really happened.

A master names itself ``nginx: master process`` followed by its command line (nginx: src/os/unix/ngx_process_cycle.c:
ngx_master_process_cycle), so what it was started with can be read without asking it.  Anybody may give a process that
name: ``Master.trusted`` says whether it belongs to root or to us, and only then may its program be run.

A reload is asynchronous: right after the signal the old workers still answer.  ``wait_reloaded`` watches the process
table until new workers of the same master run and every old one is gone or says *shutting down*.  A refused reload
changes nothing there; it only leaves ``[emerg]`` lines of the master in the error log, which ``LogMark`` reads.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
import signal
import stat
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from ws101.errors import ApplyError, NginxError
from ws101.host.ps import Listed, listed
from ws101.host.workers import unnamed, workers
from ws101.lazy import dataclass, lazy_pattern

__all__ = [
    "Compiled",
    "LogMark",
    "Master",
    "Reload",
    "compiled",
    "error_log_of",
    "master_of",
    "masters",
    "may_signal",
    "oldest_worker_started",
    "reload_command",
    "run_command",
    "send_reload",
    "serving",
    "started",
    "wait_reloaded",
]

COMMAND_TIMEOUT = 60.0
"""Seconds that a reload command may take."""

_POLL = 0.005
_PROC = Path("/proc")
_SYSTEMD = Path("/run/systemd/system")
_TITLE = "nginx: master process"
_OPTION = lazy_pattern(r"-([?hvVtTq]*)([pcegs])(.*)", re.DOTALL)
_RETRIED = lazy_pattern(r"\bbind\(\) to \S+ failed \(\d+: Address (?:already )?in use\)")


@dataclass(frozen=True, slots=True)
class Compiled:
    """What a build uses where its command line says nothing, from ``nginx -V``.

    Args:
        prefix: ``--prefix``: where relative paths of the command line start.
        conf_path: ``--conf-path``.
        error_log: ``--error-log-path``.
    """

    prefix: str = "/usr/local/nginx"
    conf_path: str = "conf/nginx.conf"
    error_log: str = "logs/error.log"


@dataclass(frozen=True, slots=True)
class Master:
    """A running master process.

    Args:
        pid: Its process id.
        ticks: Its start, in clock ticks since boot; with ``pid`` it names the process for good.
        started: Its start, in seconds since the epoch.
        uid: The user it runs as.
        title: Its command line as it shows it.
        exe: The program that runs, None if that is hidden from us; it may have been replaced on disk since.
        cwd: Its working directory, None if that is hidden from us.
        foreign: Whether it sees another file system than we do, as in a container.
    """

    pid: int
    ticks: int
    started: float
    uid: int
    title: str
    exe: str | None = None
    cwd: str | None = None
    foreign: bool = False

    @property
    def trusted(self) -> bool:
        """Whether it belongs to root or to us, so that its program may be run."""
        return self.uid in (0, os.geteuid())

    def option(self, letter: str) -> str | None:
        """What it was started with after ``-c``, ``-p``, ``-e`` or ``-g``; the last one counts, as in nginx.

        The title joins its arguments by blanks, so a value reaches to the next word that starts with a dash.
        """
        best: str | None = None
        current = ""
        for word in self.title.removeprefix(_TITLE).split(" "):
            option = _OPTION.fullmatch(word)
            if option:
                current = option[2]
                best = option[3] if current == letter else best
            elif current == letter:
                best = f"{best} {word}" if best else word
        return best or None

    def prefix(self, build: Compiled) -> str:
        """Where relative paths of its command line start."""
        return self._absolute(self.option("p") or build.prefix, self.cwd or "/")

    def conf_path(self, build: Compiled) -> str:
        """Its main configuration file (nginx: src/core/nginx.c:ngx_process_options)."""
        return self._absolute(self.option("c") or build.conf_path, self.prefix(build))

    @staticmethod
    def _absolute(path: str, base: str) -> str:
        return posixpath.normpath(posixpath.join(base, path))


@dataclass(frozen=True, slots=True)
class Reload:
    """What was seen of a reload.

    Args:
        done: Whether only new workers serve.
        reason: Why not; empty if done.
        seconds: How long that took to see.
        new: The workers that serve now.
        leaving: Old workers that still hold connections.
        refused: Whether the master said that it keeps the old configuration.
    """

    done: bool
    reason: str
    seconds: float
    new: tuple[int, ...] = ()
    leaving: tuple[int, ...] = ()
    refused: bool = False


@dataclass(frozen=True, slots=True)
class LogMark:
    """A place in a log file, to read later what was written after it.

    Args:
        path: The file.
        inode: Which file that was; another one means that the log was rotated.
        size: How long it was, in bytes.
    """

    path: str
    inode: int = 0
    size: int = 0

    @classmethod
    def at_end(cls, path: str) -> LogMark:
        """The end of the file as it is now; the start, if it is not there or is no regular file."""
        try:
            found = Path(path).stat()
        except OSError:
            return cls(path)
        return cls(path, found.st_ino, found.st_size) if stat.S_ISREG(found.st_mode) else cls(path)

    def since(self, limit: int = 1 << 20) -> str:
        """What was written since, at most ``limit`` bytes, as latin-1; empty if the file cannot be read."""
        now = LogMark.at_end(self.path)
        if now.inode == 0:
            return ""
        with contextlib.suppress(OSError), Path(self.path).open("rb") as file:
            file.seek(self.size if now.inode == self.inode and now.size >= self.size else 0)
            return file.read(limit).decode("latin-1")
        return ""

    def lines(self, level: str, pids: Iterable[int] = ()) -> tuple[str, ...]:
        """The messages of a level (``emerg``, ``alert``, ...) written since, of any process or of these.

        A line reads ``date time [level] pid#tid: message`` (nginx: src/core/ngx_log.c:ngx_log_error_core).
        """
        wanted = set(pids)
        found = re.findall(rf"(?m)^\S+ \S+ \[{level}\] (\d+)#\d+: ([^\n]*)", self.since())
        return tuple(message for pid, message in found if not wanted or int(pid) in wanted)


def compiled(version_text: str) -> Compiled:
    """Read the paths out of what ``nginx -V`` printed."""
    found = {
        name: re.search(rf"(?:^|\s)'?--{name}=([^\s']*)", version_text)
        for name in ("prefix", "conf-path", "error-log-path")
    }
    plain, texts = Compiled(), {name: match[1] for name, match in found.items() if match}
    return Compiled(
        texts.get("prefix", plain.prefix),
        texts.get("conf-path", plain.conf_path),
        texts.get("error-log-path", plain.error_log),
    )


def masters() -> tuple[Master, ...]:
    """Every running nginx master that can be seen, by process id.

    A worker that was forked a moment ago still carries its master's name: a child of a master counts only if it has
    workers of its own, as after an upgrade of the program.
    """
    if not _has_proc():
        return tuple(_listed_master(process) for process in listed().values() if process.title.startswith(_TITLE))
    found = {int(folder.name): folder for folder in _PROC.glob("[0-9]*")}
    named = {pid: master for pid in sorted(found) if (master := master_of(pid)) is not None}
    return tuple(master for pid, master in named.items() if _stat(pid)[0] not in named or workers(pid))


def master_of(pid: int) -> Master | None:
    """The master process with an id; None if there is no such process, or it is something else."""
    if not _has_proc():
        process = listed().get(pid)
        return _listed_master(process) if process is not None and process.title.startswith(_TITLE) else None
    folder = _PROC / str(pid)
    try:
        title = (folder / "cmdline").read_bytes().partition(b"\0")[0].decode("latin-1")
        uid = folder.stat().st_uid
    except OSError:
        return None
    ticks = _stat(pid)[1]
    if not title.startswith(_TITLE) or not ticks:
        return None
    exe, here, there = _link(folder / "exe"), _link(_PROC / "self/ns/mnt"), _link(folder / "ns/mnt")
    return Master(
        pid,
        ticks,
        _wall_clock(ticks),
        uid,
        title,
        exe.removesuffix(" (deleted)") if exe else None,
        _link(folder / "cwd"),
        there is not None and there != here,
    )


def _has_proc() -> bool:
    return _PROC.joinpath("self").exists()


def _listed_master(process: Listed) -> Master:
    """A master as ps shows it (where there is no /proc): its program is the first word of its command line."""
    program = process.title.removeprefix(_TITLE).split(" ")[1:2]
    exe = program[0] if program and program[0].startswith("/") else None
    return Master(process.pid, process.started, float(process.started), process.uid, process.title, exe)


def started(pid: int) -> float | None:
    """When a process started, in seconds since the epoch, to 10 ms; None if there is no such process."""
    if not _has_proc():
        process = listed().get(pid)
        return float(process.started) if process is not None else None
    ticks = _stat(pid)[1]
    return _wall_clock(ticks) if ticks else None


def serving(master: int) -> tuple[int, ...]:
    """The workers of a master that accept connections."""
    return tuple(worker.pid for worker in workers(master) if not worker.leaving)


def oldest_worker_started(master: int) -> float | None:
    """When the oldest worker that still serves started, in seconds since the epoch.

    A file changed after that moment has not been loaded.  The newest worker is the wrong one to ask: one that crashed
    is replaced by another with the old configuration.
    """
    return min((at for pid in serving(master) if (at := started(pid)) is not None), default=None)


def error_log_of(master: Master) -> str | None:
    """The error log of the running configuration: nginx turns its standard error into it.

    nginx: src/core/ngx_log.c:ngx_log_redirect_stderr.  None if it goes elsewhere, or is hidden from us.
    """
    path = _link(_PROC / str(master.pid) / "fd/2")
    return path if path is not None and LogMark.at_end(path).inode else None


def may_signal(master: Master) -> bool:
    """Whether we have the right to tell this master to reload."""
    try:
        os.kill(master.pid, 0)
    except OSError:
        return False
    return True


def reload_command(master: Master) -> tuple[str, ...]:
    """The command that reloads through systemd, where that runs and has started this master; else none."""
    if not _SYSTEMD.is_dir():
        return ()
    try:
        groups = (_PROC / str(master.pid) / "cgroup").read_text(encoding="latin-1")
    except OSError:
        return ()
    unit = re.search(r"/(nginx(?:@[^/\n]*)?\.service)$", groups, re.MULTILINE)
    return ("systemctl", "reload", unit[1]) if unit else ()


def send_reload(master: Master | None, command: Iterable[str] = ()) -> str:
    """Tell nginx to load its files as they are now; returns at once: see ``wait_reloaded``.

    Args:
        master: Gets a HUP if there is no command.
        command: A program and its arguments to run instead; never through a shell.

    Returns:
        What was done, in words.

    Raises:
        NginxError: The command failed.
        ApplyError: No right to signal the master, or it is gone.
    """
    arguments = [*command]
    if arguments:
        run_command(arguments)
        return " ".join(arguments)
    if master is None:
        raise ApplyError("there is no nginx to reload")
    try:
        _hang_up(master)
    except ProcessLookupError:
        raise ApplyError(f"the nginx master {master.pid} is gone") from None
    except PermissionError:
        raise ApplyError(f"no permission to signal the nginx master {master.pid}", help="run it with sudo") from None
    return f"HUP to the master {master.pid}"


def run_command(arguments: list[str]) -> str:
    """Run a program, not through a shell, and return what it printed.

    Raises:
        NginxError: It cannot be run, failed, or took longer than 60 s; the message holds its words.
    """
    environment = {name: value for name, value in os.environ.items() if name != "NGINX"}  # sockets of a parent nginx
    shown = " ".join(arguments)
    try:
        done = subprocess.run(arguments, capture_output=True, timeout=COMMAND_TIMEOUT, check=False, env=environment)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NginxError(f"cannot run {shown}: {error}") from error
    said = (done.stderr + done.stdout).decode("latin-1")
    if done.returncode != 0:
        raise NginxError(said.strip() or f"{shown} ended with {done.returncode}", where=shown)
    return said


def _hang_up(master: Master) -> None:
    """Send HUP to exactly this process, where the system can tell it from a later one with its number.

    Raises:
        ProcessLookupError: It ended, or its number was given to another process.
    """
    handle = os.pidfd_open(master.pid) if hasattr(os, "pidfd_open") else None
    try:
        now = master_of(master.pid)
        if now is None or now.ticks != master.ticks:
            raise ProcessLookupError
        if handle is None:
            os.kill(master.pid, signal.SIGHUP)
        else:
            signal.pidfd_send_signal(handle, signal.SIGHUP)
    finally:
        if handle is not None:
            os.close(handle)


def wait_reloaded(master: int, old: Iterable[int], *, log: LogMark | None = None, timeout: float = 5.0) -> Reload:
    """Watch until new workers of the same master serve and the old ones are gone or shutting down.

    Args:
        master: The master's process id.
        old: All children that the master had before the reload, from ``children``.
        log: The end of the error log before the reload, to see a refusal at once.
        timeout: Seconds.
    """
    before, begin = frozenset(old), time.monotonic()
    while True:
        found = workers(master)
        new = tuple(worker.pid for worker in found if worker.pid not in before and not worker.leaving)
        left = tuple(worker.pid for worker in found if worker.leaving)
        seconds = time.monotonic() - begin
        stay = {worker.pid for worker in found if not worker.leaving} | {*unnamed(master)}
        if new and not stay & before:
            return Reload(True, "", seconds, new, left)
        refusal = _refusal(log, master)
        if refusal:
            return Reload(False, refusal, seconds, new, left, refused=True)
        if not found and master_of(master) is None:
            return Reload(False, f"the nginx master {master} is gone", seconds)
        if seconds > timeout:
            what = "the old workers still serve" if before & {worker.pid for worker in found} else "no worker serves"
            return Reload(False, f"{what} {timeout:g} s after the reload", seconds, new, left)
        time.sleep(_POLL)


def _refusal(log: LogMark | None, master: int) -> str:
    """Why the master keeps the old configuration; a port that is taken is tried again by nginx for 2.5 s."""
    lines = log.lines("emerg", (master,)) if log is not None else ()
    final = [line for line in lines if not _RETRIED.search(line)]
    taken = [line for line in lines if _RETRIED.search(line)]
    return (taken or final)[0] if final else ""


def _stat(pid: int) -> tuple[int, int]:
    """Parent and start (clock ticks since boot) of a process; zeros if there is none.

    proc(5), stat: fields 4 and 22, counted from the last bracket because the name may hold anything.
    """
    try:
        fields = (_PROC / str(pid) / "stat").read_text(encoding="latin-1").rpartition(")")[2].split()
        return int(fields[1]), int(fields[19])
    except (OSError, IndexError):
        return 0, 0


def _wall_clock(ticks: int) -> float:
    up = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - up


def _link(path: Path) -> str | None:
    try:
        return str(path.readlink())
    except OSError:
        return None
