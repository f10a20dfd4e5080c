"""Disk against running: whether the nginx that runs a configuration has loaded what is on the disk now.

A file changed after the oldest worker that serves had started has not been loaded: workers are forked after the
configuration was read, and one that crashed is replaced by another with the old configuration.  The change time counts
beside the modification time, because a file that is moved or copied into place may bring an old one along.  A folder
counts where an include with a wildcard looks into it: a name came, went or changed.
"""

# ruff: noqa: PTH116
# (names are bytes here, which pathlib does not take)
from __future__ import annotations

import os
import posixpath
import re
import time
from collections.abc import Iterator
from pathlib import Path

from ws101.errors import NginxError
from ws101.host.binary import read_binary
from ws101.host.files import DiskFiles, os_path
from ws101.host.process import Master, error_log_of, oldest_worker_started, serving, started
from ws101.host.sealing import Survey
from ws101.lazy import lazy_pattern
from ws101.manifest import Running, Stale

__all__ = ["running"]

_RESOLUTION = 0.01
"""Seconds to which the start of a process is known; what changed within them counts as loaded."""

_TAIL = 1 << 20
_EMERG = lazy_pattern(r"(?m)^(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) \[emerg\] (\d+)#\d+: ([^\n]*)")


def running(master: Master, found: Survey, files: DiskFiles) -> Running:
    """What a master runs, against what is on the disk.

    Args:
        master: The master that runs the configuration.
        found: What is on the disk.
        files: The disk.
    """
    since = oldest_worker_started(master.pid)
    program, version, replaced = _program(master)
    unknown = [] if since is not None else ["no worker that serves can be seen, so what is loaded is unknown"]
    log = error_log_of(master)
    refused = ""
    if log is None:
        unknown.append("its error log is no file that can be seen, so whether a reload was refused is unknown")
    elif since is not None:
        try:
            refused = _refused(log, master.pid, since)
        except OSError as error:
            unknown.append(f"{log} cannot be read ({error.strerror}), so whether a reload was refused is unknown")
    stale = tuple(_stale(found, files, since)) if since is not None else ()
    return Running(master.pid, program, version, replaced, since, stale, refused, tuple(unknown))


def _program(master: Master) -> tuple[str, str, bool]:
    """Name and version of the program that runs, and whether the file of that name is another one."""
    link = f"/proc/{master.pid}/exe"
    try:
        mine, now = os.stat(link), os.stat(master.exe or "")
        replaced = (mine.st_dev, mine.st_ino) != (now.st_dev, now.st_ino)
    except OSError:
        replaced = master.exe is not None
    try:
        version = read_binary(link).build.number if master.trusted and master.exe is not None else ""
    except NginxError:
        version = ""
    return master.exe or "", version, replaced


def _stale(found: Survey, files: DiskFiles, since: float) -> Iterator[Stale]:
    folder = found.manifest.folder
    for entry in found.manifest.entries:
        if entry.name not in found.live:
            yield from _changed(entry.name, files.disk_name(posixpath.join(folder, entry.name)), since, _OF_FILE)
    inside = folder.rstrip("/") + "/"
    for path in found.folders:
        yield from _changed(path.removeprefix(inside) or ".", files.disk_name(path), since, _OF_FOLDER)


_OF_FILE = ("its content was changed", "it was touched: moved here, or its mode or owner was changed")
_OF_FOLDER = ("a name in this folder came, went or was changed", "")


def _changed(name: str, path: str, since: float, words: tuple[str, str]) -> Iterator[Stale]:
    try:
        status = os.stat(os_path(path))
        link = os.lstat(os_path(path))
    except OSError:
        return
    written = max(status.st_mtime, 0.0 if link == status else link.st_mtime)
    touched = max(status.st_ctime, link.st_ctime)
    if written > since + _RESOLUTION:
        yield Stale(name, words[0], written - since)
    elif words[1] and touched > since + _RESOLUTION:
        yield Stale(name, words[1], touched - since)


def _refused(log: str, master: int, since: float) -> str:
    """The master's last complaint since the workers that serve were started; they would be newer had a reload worked.

    The log has seconds only, so where it tells of the start of such a worker, that line decides what came later.
    """
    text = _tail(log)
    pids = [pid for pid in serving(master) if (at := started(pid)) is not None and at <= since + _RESOLUTION]
    begun = [match.end() for pid in pids for match in re.finditer(rf"start worker process {pid}$", text, re.MULTILINE)]
    later = [match for match in _EMERG.finditer(text, max(begun, default=0)) if int(match[2]) == master]
    if not begun:
        later = [match for match in later if _moment(match[1]) >= int(since)]
    return later[-1][3] if later else ""


def _moment(stamp: str) -> float:
    """nginx writes local time (nginx: src/core/ngx_times.c:ngx_time_update)."""
    try:
        return time.mktime(time.strptime(stamp, "%Y/%m/%d %H:%M:%S"))
    except (ValueError, OverflowError):
        return 0.0


def _tail(log: str) -> str:
    with Path(log).open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
        return file.read(_TAIL).decode("latin-1")
