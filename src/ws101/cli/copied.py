"""A change made elsewhere: a copy of the configuration's folder, and what differs in it."""

from __future__ import annotations

import errno
import os
import posixpath

from ws101.cli.changing import Change
from ws101.cli.inputs import Loaded
from ws101.cli.machine import on_this_machine
from ws101.errors import InputError, UsageError
from ws101.host.files import DiskFiles, name_of, os_path
from ws101.host.writing import holds
from ws101.nginx.config import Config
from ws101.text import printable

__all__ = ["Copy", "change_from", "running_main"]

_MAX_LINKS = 40


class Copy(DiskFiles):
    """A copy of a folder, read as if it lay where it belongs.

    A symlink in it that names a file of the original folder means the copy's file, so ``sites-enabled`` works in it.
    One that leads out of both is refused: it could have root read what its maker may not.  One that appears after it
    was looked at is not followed.

    Args:
        original: The folder that the copy is of.
        folder: The copy.
        disk: Everything else.
    """

    def __init__(self, original: str, folder: str, disk: DiskFiles) -> None:
        super().__init__([*disk.roots, (original, folder)])
        self._original = original.rstrip("/") + "/"
        self._folder = folder.rstrip("/") + "/"

    def disk_name(self, path: str) -> str:
        """Where a name of the original lies, symlinks on the way followed within the copy.

        Raises:
            InputError: A symlink leads out of the copy and the original, or in a circle.
        """
        for _ in range(_MAX_LINKS):
            here = super().disk_name(path)
            if not here.startswith(self._folder):
                return here
            linked = self._next(here[len(self._folder) :].split("/"))
            if linked is None:
                return here
            path = linked
        raise InputError("its symbolic links form a loop", where=printable(path))

    def read(self, path: str) -> bytes:
        """As `DiskFiles.read`; what lies in the copy is read without following any symlink."""
        here = self.disk_name(path)
        if not here.startswith(self._folder):
            return super().read(path)
        data = holds(here)
        if data is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return data

    def _next(self, parts: list[str]) -> str | None:
        """The name that the first symlink among these parts of a path makes of it; None if there is none."""
        done = self._folder.rstrip("/")
        for number, part in enumerate(parts):
            inside = f"{done}/{part}"
            target = _target(inside)
            if target is not None:
                wanted = posixpath.normpath(posixpath.join(done, target, *parts[number + 1 :]))
                for base in (self._folder, self._original):
                    if wanted.startswith(base):
                        return self._original + wanted[len(base) :]
                raise InputError(
                    f"a symlink leads out of the folder, to {printable(target)}",
                    where=printable(inside),
                    help="put the file itself there",
                )
            done = inside
        return None


def _target(path: str) -> str | None:
    try:
        return name_of(os.readlink(os_path(path)))  # noqa: PTH115 (bytes)
    except OSError:
        return None


def running_main() -> str:
    """The main file of the one nginx that runs here.

    Raises:
        UsageError: If none runs, or several with different main files.
    """
    found = sorted({item.conf for item in on_this_machine() if item.master is not None})
    if len(found) != 1:
        what = "no nginx runs here" if not found else f"several run here: {', '.join(map(printable, found))}"
        raise UsageError(f"{what}, so which configuration is meant?", help="name its main file with --to")
    return found[0]


def change_from(loaded: Loaded, folder: str) -> Change:
    """The change that makes a configuration what it is in a copy of its folder.

    Args:
        loaded: The configuration as it is.
        folder: The copy.

    Raises:
        InputError: If it is no such copy, something in it leads out of it, or a symlink would have to be removed.
    """
    if loaded.disk is None:
        raise InputError("this configuration was not read from files", where=loaded.subject.given)
    main = loaded.config.path
    original, copy = posixpath.dirname(main), name_of(os.path.realpath(folder))
    if copy == original or not os.path.isfile(os_path(f"{copy}/{posixpath.basename(main)}")):  # noqa: PTH113 (bytes)
        what = "is the configuration itself" if copy == original else f"has no {posixpath.basename(main)}"
        raise InputError(
            f"the folder {what}", where=printable(copy), help=f"give a whole copy of {printable(original)}, changed"
        )
    files = Copy(original, copy, loaded.disk)
    after = Config(files, main, inside=original)
    names = sorted({*loaded.config.sources, *after.sources})
    edits = {name: _edit(name, loaded, after, files) for name in names if name.startswith(original.rstrip("/") + "/")}
    changed = {name: edit for name, edit in edits.items() if edit[0] != edit[1]}
    for name, (_, new) in changed.items():
        if new is None and _target(loaded.disk.disk_name(name)) is not None:
            raise InputError(
                "it is a symlink that the copy does not have; removing it would remove the file it leads to",
                where=printable(name),
                help="remove the symlink by hand (it counts at the next reload), then apply the rest",
            )
    return Change(loaded, after, loaded.disk, changed, f"apply {copy}", own=False)


def _edit(name: str, loaded: Loaded, after: Config, files: Copy) -> tuple[bytes | None, bytes | None]:
    """The bytes before and afterwards of a file that either of them loads."""
    assert loaded.disk is not None
    old = loaded.config.sources.get(name)
    new = after.sources.get(name)
    return (
        old.data if old is not None else _read(loaded.disk, name),
        new.data if new is not None else _read(files, name),
    )


def _read(files: DiskFiles, name: str) -> bytes | None:
    try:
        return files.read(name)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"cannot read it: {error.strerror}", where=printable(name)) from error
