"""The reference deployment's folder: who has it, what runs in it, and tidying up after one that was killed.

A lock that the kernel gives back when its holder ends says whether a deployment stands; the record beside it says which
processes belong to it, each with its start, so that no other process is ever taken for one of them.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from ws101.errors import InputError, UsageError
from ws101.host.process import started
from ws101.lazy import dataclass

__all__ = ["Child", "Folder", "Record", "default_folder"]

_LOCK, _RECORD, _FAULT = ".ws101-lab", "lab.json", "fault"
"""The lock also marks a folder as ours: nothing is ever removed from one without it."""


def default_folder() -> Path:
    """``$XDG_STATE_HOME/ws101/lab``, else ``~/.local/state/ws101/lab``."""
    return Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser().absolute() / "ws101" / "lab"


@dataclass(frozen=True, slots=True)
class Child:
    """A process of the deployment.

    Args:
        name: What it is.
        pid: Its process id.
        began: When it started, in seconds since the epoch; with ``pid`` it names the process for good.
        port: Where it listens; 0 if on no port.
    """

    name: str
    pid: int
    began: float
    port: int = 0

    @classmethod
    def of(cls, name: str, pid: int, port: int = 0) -> Child:
        """The child that runs now with an id."""
        return cls(name, pid, started(pid) or 0.0, port)

    @property
    def runs(self) -> bool:
        """Whether this very process still runs."""
        began = started(self.pid)
        return began is not None and abs(began - self.began) < 2.0 and not _is_dead(self.pid)  # clocks are set


@dataclass(frozen=True, slots=True)
class Record:
    """What runs in the folder.

    Args:
        keeper: The process that keeps everything running: ``lab up``.
        nginx: nginx's master.
        binary: nginx's program.
        port: Where nginx listens.
        heartbeat: Seconds between the servers' pings.
        hub: The hub.
        chat: The backends behind ``/ws``.
        polling: Those behind ``/socket.io/``.
        missing: Backends that were left out, and why.
        ready: Whether everything stands.
    """

    keeper: Child
    nginx: Child | None = None
    binary: str = ""
    port: int = 0
    heartbeat: float = 20.0
    hub: Child | None = None
    chat: tuple[Child, ...] = ()
    polling: tuple[Child, ...] = ()
    missing: tuple[tuple[str, str], ...] = ()
    ready: bool = False

    @property
    def children(self) -> tuple[Child, ...]:
        """Every process that the keeper started, nginx first."""
        first = tuple(child for child in (self.nginx, self.hub) if child is not None)
        return (*first, *self.chat, *self.polling)


class Folder:
    """A folder for one deployment.

    Args:
        path: The folder; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    @property
    def nginx(self) -> Path:
        """nginx's own folder: its prefix."""
        return self.path / "nginx"

    @property
    def state(self) -> Path:
        """Where changes made by ``lab fix`` are remembered, apart from the user's own."""
        return self.path / "state"

    @property
    def fault(self) -> str:
        """The name of the fault that was staged last, and not mended since; empty for none."""
        try:
            return (self.path / _FAULT).read_text().strip()
        except OSError:
            return ""

    @fault.setter
    def fault(self, name: str) -> None:
        (self.path / _FAULT).write_text(name)

    def taken(self) -> bool:
        """Whether a deployment stands in it, or is just coming or going."""
        try:
            handle = os.open(self.path / _LOCK, os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def read(self) -> Record | None:
        """The record; None if there is none, or none that can be read."""
        try:
            return _record(json.loads((self.path / _RECORD).read_text())) if self._is_mine() else None
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def standing(self) -> Record:
        """The record of a deployment that stands.

        Raises:
            UsageError: None stands here.
        """
        record = self.read() if self.taken() else None
        if record is None or not record.ready or record.nginx is None or not record.keeper.runs:
            raise UsageError("the lab is not up", where=str(self.path), help="in another terminal: ws101 lab up")
        return record

    def write(self, record: Record) -> None:
        """Keep a record, whole or not at all."""
        fresh = self.path / f"{_RECORD}.new"
        fresh.write_text(json.dumps(asdict(record)))
        fresh.replace(self.path / _RECORD)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Have the folder for oneself: what a killed deployment left is tidied up first; in the end it is removed.

        Raises:
            UsageError: Another deployment stands in it.
            InputError: The folder cannot be made, or holds something else.
        """
        handle = self._lock()
        try:
            self.tidy()
            yield
        finally:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(handle)

    def _lock(self) -> int:
        """The lock of the folder that has this name now: between opening and locking it may have been removed."""
        while True:
            self._make()
            handle = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(handle).st_ino == (self.path / _LOCK).stat().st_ino:
                    return handle
            except BlockingIOError:
                os.close(handle)
                raise self._busy() from None
            except FileNotFoundError:
                pass
            os.close(handle)

    def _make(self) -> None:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = {entry.name for entry in self.path.iterdir()}
            mine = self._is_mine()
        except OSError as error:
            raise InputError(
                f"the lab's folder cannot be made: {error.strerror}", where=str(self.path), help="name another: --dir"
            ) from error
        if not mine or (found and _LOCK not in found):
            what = "this folder holds something else" if mine else "this folder belongs to another user"
            raise InputError(what, where=str(self.path), help="name an empty folder, or one that is not there: --dir")

    def _is_mine(self) -> bool:
        return self.path.stat().st_uid == os.geteuid()

    def _is_ours(self) -> bool:
        """Whether a deployment of this user's has been here."""
        try:
            return self._is_mine() and (self.path / _LOCK).is_file()
        except OSError:
            return False

    def _busy(self) -> UsageError:
        record = self.read()
        if record is None or not record.ready:
            return UsageError("the lab is just starting or stopping", where=str(self.path), help="try again")
        where = f"https://localhost:{record.port}/"
        return UsageError(f"the lab is already up: {where}", where=str(self.path), help="ws101 lab down stops it")

    def tidy(self) -> tuple[str, ...]:
        """End what a killed deployment left running, and remove its files; whoever calls holds the lock, or knows that
        nobody does.

        Returns:
            The names of the processes that were ended.
        """
        record = self.read()
        left = tuple(child for child in record.children if child.runs) if record is not None else ()
        _end(left)
        for entry in self.path.iterdir() if self.path.is_dir() else ():
            if entry.name == _LOCK:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink()
        return tuple(child.name for child in left)

    def stop(self, timeout: float = 20.0) -> tuple[str, ...] | None:
        """End the deployment that stands here, or what a killed one left.

        Args:
            timeout: Seconds until it counts as hung and is killed.

        Returns:
            The names of processes that a killed deployment had left; None if there was nothing at all.
        """
        if not self._is_ours():
            return None
        record = self.read()
        if record is not None and self.taken():
            _end((record.keeper,), timeout)
        left = self.tidy()
        shutil.rmtree(self.path, ignore_errors=True)
        return left


def _is_dead(pid: int) -> bool:
    """Whether a process has ended and only waits for its parent to hear of it (proc(5), stat: field 3)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="latin-1").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state in {"Z", "X"}


def _record(facts: dict[str, object]) -> Record:
    def child(given: object) -> Child | None:
        return Child(**given) if isinstance(given, dict) else None

    def children(given: object) -> tuple[Child, ...]:
        return tuple(Child(**one) for one in given) if isinstance(given, list) else ()

    keeper = child(facts["keeper"])
    if keeper is None:
        raise ValueError("no keeper")
    rest = {name: facts[name] for name in ("binary", "port", "heartbeat", "ready")}
    missing = facts["missing"]
    return Record(
        keeper,
        child(facts["nginx"]),
        hub=child(facts["hub"]),
        chat=children(facts["chat"]),
        polling=children(facts["polling"]),
        missing=tuple((str(name), str(why)) for name, why in missing) if isinstance(missing, list) else (),
        **rest,  # type: ignore[arg-type]
    )


def _end(children: tuple[Child, ...], timeout: float = 5.0) -> None:
    """TERM, and KILL for those that are still there afterwards."""
    for kind, patience in ((signal.SIGTERM, timeout), (signal.SIGKILL, 5.0)):
        for child in children:
            if child.runs:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.pid, kind)
        deadline = time.monotonic() + patience
        while any(child.runs for child in children) and time.monotonic() < deadline:
            time.sleep(0.02)
