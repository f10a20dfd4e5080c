"""What a change did so far, written down before it is done: the state folder, its lock, and one journal a change.

::

    STATE/lock                          held while a change is made
    STATE/changes/ID/journal.jsonl      one line a step, on the disk before the step is taken
    STATE/changes/ID/0.old 0.new ...    the bytes of every file concerned, before and after; of a symlink
                                        0.old.link, which holds where it points

The last ``KEEP`` finished changes stay.

A journal whose last word is missing belongs to a change that was interrupted.  Backups lie here and nowhere else, so no
``include`` can ever load one, and the folder is readable by its owner alone, because configuration may hold secrets.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from ws101.errors import ApplyError
from ws101.host.files import name_of, os_path
from ws101.host.links import Content, Link
from ws101.host.state import CLOSED, state_folder
from ws101.lazy import dataclass

__all__ = [
    "CLOSED",
    "KEEP",
    "Change",
    "FileRecord",
    "Journal",
    "changes",
    "digest",
    "is_locked",
    "lock",
    "new_id",
    "prune",
    "state_folder",
]

KEEP = 50
"""How many finished changes are remembered, and can be taken back."""

_LINK = ".link"
_POLL = 0.05
_OWN_STATE = "name a folder of your own with WS101_STATE, or take the others' rights away: chmod go-w"


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file that a change concerns.

    Args:
        path: Its name as the caller knows it.
        real: The name with symlinks followed.
        sibling: The dot name beside it that holds the other version while the change is made.
        old: SHA-256 of its bytes before, None if there was no such file (see ``digest`` for symlinks).
        new: SHA-256 of its bytes afterwards, None if it was removed.
        in_place: Why it is written in place; empty if it is swapped whole.
        rights: Mode, user and group before; None where there was no file.
    """

    path: str
    real: str
    sibling: str
    old: str | None
    new: str | None
    in_place: str = ""
    rights: tuple[int, int, int] | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A change as its journal tells it.

    Args:
        id: Sorts by time.
        at: When it began, in seconds since the epoch.
        title: What it was, for people.
        state: ``applied``, ``rolled back``, ``not started``, ``undone`` or ``interrupted``.
        proof: Why it was kept or rolled back.
        files: The files concerned.
        undoes: The change that this one took back; empty for any other.
    """

    id: str
    at: float
    title: str
    state: str
    proof: str
    files: tuple[FileRecord, ...]
    undoes: str = ""

    @property
    def paths(self) -> tuple[str, ...]:
        """The files' names as the caller knows them."""
        return tuple(file.path for file in self.files)


class Journal:
    """The journal of one change.

    Args:
        folder: ``STATE/changes/ID``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.entries: list[dict[str, object]] = []
        self._path = folder / "journal.jsonl"
        with contextlib.suppress(FileNotFoundError):
            self.entries = [*_entries(self._path.read_bytes())]

    @classmethod
    def create(cls, state: Path, change: str) -> Journal:
        """Begin a journal; the folder is on the disk when this returns.

        Raises:
            ApplyError: The state folder cannot be written.
        """
        folder = state / "changes" / change
        try:
            folder.mkdir(parents=True, mode=0o700)
            for parent in (folder.parent, state):
                _sync(parent)
        except OSError as error:
            raise _no_state(error, state) from error
        return cls(folder)

    @property
    def id(self) -> str:
        """The change's id."""
        return self.folder.name

    @property
    def closed(self) -> bool:
        """Whether the change came to its end, one way or the other."""
        return any(entry.get("step") in CLOSED for entry in self.entries)

    def has(self, step: str) -> bool:
        """Whether a step was begun."""
        return any(entry.get("step") == step for entry in self.entries)

    def first(self, step: str) -> dict[str, object]:
        """The facts of a step's first entry; empty if there is none."""
        return next((entry for entry in self.entries if entry.get("step") == step), {})

    def append(self, step: str, **facts: object) -> None:
        """Write down a step; it is on the disk when this returns.

        Raises:
            ApplyError: It could not be written.
        """
        entry = {"step": step, "at": time.time(), **facts}
        line = json.dumps(entry).encode("ascii") + b"\n"
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                size = os.fstat(fd).st_size
                if size and os.pread(fd, 1, size - 1) != b"\n":  # a line torn by an earlier end
                    line = b"\n" + line
                os.write(fd, line)
                os.fsync(fd)
            finally:
                os.close(fd)
            if not self.entries:
                _sync(self.folder)
        except OSError as error:
            raise _no_state(error, self.folder) from error
        self.entries.append(entry)

    def keep(self, name: str, data: Content) -> None:
        """Keep the bytes of a file, or a symlink, under a name; it is on the disk when this returns.

        Raises:
            ApplyError: It could not be written.
        """
        if data is None:
            return
        if isinstance(data, Link):
            name, data = name + _LINK, os_path(data.target)
        try:
            fd = os.open(
                self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
            )
            with os.fdopen(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(fd)
            _sync(self.folder)
        except OSError as error:
            raise _no_state(error, self.folder) from error

    def kept(self, name: str) -> Content:
        """What was kept under a name, None if nothing was."""
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / name).read_bytes()
        with contextlib.suppress(FileNotFoundError):
            return Link(name_of((self.folder / (name + _LINK)).read_bytes()))
        return None

    def forget(self) -> None:
        """Remove the journal and what was kept; the journal goes last, so that an end in between leaves it finished."""
        for path in sorted(self.folder.glob("*"), key=lambda path: path == self._path):
            with contextlib.suppress(OSError):
                path.unlink()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def files(self) -> tuple[FileRecord, ...]:
        """The files concerned."""
        records = cast("list[dict[str, Any]]", self.first("prepared").get("files", []))
        return tuple(FileRecord(**{**row, "rights": tuple(row.get("rights") or ()) or None}) for row in records)

    @property
    def change(self) -> Change:
        """What the journal tells."""
        begin, end = self.first("begin"), next((e for e in self.entries if e.get("step") in CLOSED), {})
        state = "undone" if self.has("undone") else str(end.get("step", "interrupted"))
        return Change(
            self.id,
            cast("float", begin.get("at", 0.0)),
            str(begin.get("title", "")),
            state,
            str(end.get("reason", "")),
            self.files,
            str(begin.get("undoes", "")),
        )


@contextlib.contextmanager
def lock(state: Path, conf_folder: str = "", *, wait: float = 10.0) -> Iterator[None]:
    """Hold the lock of the state folder, and that of the configuration's folder against runs with another state folder.

    Args:
        state: The state folder, made if there is none.
        conf_folder: The folder of the main configuration file.
        wait: Seconds to wait for another run.

    Raises:
        ApplyError: Another run still holds it, or the state folder cannot be written.
    """
    with contextlib.ExitStack() as held:
        try:
            state.mkdir(parents=True, mode=0o700, exist_ok=True)
            _check_owner(state)
            own = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise _no_state(error, state) from error
        held.callback(os.close, own)
        deadline = time.monotonic() + wait
        _acquire(own, deadline, lambda: os.pread(own, 20, 0).decode("ascii", "replace").strip())
        with contextlib.suppress(OSError):  # the name is only for those who wait
            os.truncate(own, 0)
            os.pwrite(own, str(os.getpid()).encode("ascii"), 0)
        if conf_folder:
            with contextlib.suppress(OSError):  # what cannot be locked (some network file systems) is not
                folder = os.open(os_path(conf_folder), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                held.callback(os.close, folder)
                _acquire(folder, deadline, lambda: "")
        yield


def _check_owner(state: Path) -> None:
    """Refuse a state folder that somebody else could have filled: its journals name files and commands.

    Raises:
        ApplyError: It is such a folder.
    """
    found = state.stat()
    if found.st_uid not in (0, os.geteuid()):
        raise ApplyError(f"the state folder belongs to user {found.st_uid}", where=str(state), help=_OWN_STATE)
    if found.st_mode & 0o022:
        raise ApplyError("the state folder can be written by others", where=str(state), help=_OWN_STATE)


def _acquire(fd: int, deadline: float, holder: Callable[[], str]) -> None:
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() < deadline:
                time.sleep(_POLL)
                continue
        who = holder()
        raise ApplyError(
            "another run is changing this configuration" + (f" (process {who})" if who else ""),
            help="wait until it is done and try again",
        )


def changes(state: Path) -> tuple[Journal, ...]:
    """Every journal of a state folder, oldest first."""
    try:
        folders = sorted(path for path in (state / "changes").iterdir() if path.is_dir())
    except OSError:
        return ()
    return tuple(journal for journal in map(Journal, folders) if journal.entries)


def is_locked(state: Path) -> bool:
    """Whether a run holds the lock of the state folder right now; false if that cannot be told."""
    try:
        fd = os.open(state / "lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def prune(state: Path, keep: int = KEEP, spare: str = "") -> tuple[str, ...]:
    """Forget the oldest finished changes, with the bytes that were kept of them; for a caller that holds the lock.

    Args:
        state: The state folder.
        keep: How many finished ones stay.  One that is not finished always stays, and counts for nothing.
        spare: The id of one more that stays.

    Returns:
        The ids of those that are gone.
    """
    finished = [journal for journal in changes(state) if journal.closed]
    gone = [journal for journal in finished[: max(0, len(finished) - keep)] if journal.id != spare]
    for journal in gone:
        journal.forget()
    return tuple(journal.id for journal in gone)


def new_id() -> str:
    """An id for a change: sorts by time, and is not the same twice."""
    now = time.time_ns()
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now // 10**9))
    return f"{stamp}-{now // 1000 % 10**6:06d}-{os.urandom(2).hex()}"


def digest(data: Content) -> str | None:
    """SHA-256 in hexadecimal; of a symlink that of where it points, marked as such; None of None."""
    if isinstance(data, Link):
        return f"link {hashlib.sha256(os_path(data.target)).hexdigest()}"
    return None if data is None else hashlib.sha256(data).hexdigest()


def _entries(data: bytes) -> Iterator[dict[str, object]]:
    for line in data.split(b"\n"):
        with contextlib.suppress(ValueError):  # a torn line was never acted upon
            entry = json.loads(line)
            if isinstance(entry, dict):
                yield entry


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _no_state(error: OSError, folder: Path) -> ApplyError:
    return ApplyError(
        f"the state folder cannot be written: {error.strerror}",
        where=str(folder),
        help="name another one with WS101_STATE, or run it as the owner",
    )
