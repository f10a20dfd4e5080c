"""A change made elsewhere: a copy of the configuration's folder, and what differs in it.

A symlink is a change of its own: one that the copy has is made, with what it leads to; one that it lacks is removed,
and what that led to stays.  A plain file of the copy in a symlink's place changes the file behind the symlink, because
many ways of copying follow symlinks.
"""

from __future__ import annotations

import errno
import os
import posixpath
from collections.abc import Mapping

from ws101.cli.changing import Change
from ws101.cli.inputs import Loaded
from ws101.cli.machine import on_this_machine
from ws101.errors import InputError, UsageError
from ws101.host.files import DiskFiles, name_of, os_path
from ws101.host.links import Content, Link, link_at
from ws101.host.resolving import resolve
from ws101.host.writing import holds
from ws101.nginx.config import Config
from ws101.text import Source, printable

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

    def link(self, path: str) -> str | None:
        """What a symlink of the copy means: a name of the original; None if there is no symlink under that name.

        Raises:
            InputError: As `disk_name`.
        """
        here = self._itself(path)
        parts = here[len(self._folder) :].split("/")
        return self._next(parts) if here.startswith(self._folder) else None

    def target(self, path: str) -> str:
        """What is written in a symlink of the copy; empty if there is none."""
        return _target(self._itself(path)) or ""

    def _itself(self, path: str) -> str:
        """Where a name lies, the last part not followed."""
        folder, name = posixpath.split(path)
        return f"{self.disk_name(folder).rstrip('/')}/{name}"

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
        InputError: If it is no such copy, or something in it leads out of it.
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
    inside = original.rstrip("/") + "/"
    edits = _Edits(loaded, after, files)
    for name in sorted({*loaded.config.sources, *after.sources}):
        if name.startswith(inside):
            edits.add(name)
    return Change(loaded, after, loaded.disk, edits.found, f"apply {copy}", own=False)


class _Edits:
    """The differences, by name; a file that has several names counts once."""

    def __init__(self, loaded: Loaded, after: Config, files: Copy) -> None:
        assert loaded.disk is not None
        self.found: dict[str, tuple[Content, Content]] = {}
        self._disk = loaded.disk
        self._old = loaded.config.sources
        self._new = after.sources
        self._files = files
        self._seen: set[str] = set()

    def add(self, name: str) -> None:
        """Compare what is under a name; where it is a symlink of the copy, what that leads to as well."""
        if name in self.found:
            return
        disk = self._disk.disk_name(name)
        here, wanted = link_at(disk), self._files.link(name)
        new = self._bytes(self._files, name, self._new)
        if wanted is not None and new is None:
            raise InputError(
                f"a symlink of the copy leads to {printable(wanted)}, which the copy does not have",
                where=printable(name),
                help="put the file into the copy, or remove the symlink from it",
            )
        if wanted is not None and not (here and resolve(disk) == resolve(self._disk.disk_name(wanted))):
            old = here if here is not None else self._bytes(self._disk, name, self._old)
            self.found[name] = (old, Link(self._text(name, wanted)))
            self.add(wanted)
        elif new is None and here is not None:
            self.found[name] = (here, None)
        else:
            self._add_bytes(name, resolve(disk), new)

    def _add_bytes(self, name: str, real: str, new: bytes | None) -> None:
        old = self._bytes(self._disk, name, self._old)
        if old != new and real not in self._seen:
            self.found[name] = (old, new)
        self._seen.add(real)

    def _text(self, name: str, wanted: str) -> str:
        """What to write into a symlink: what the copy's says, where it leads to the same from its place here."""
        folder = posixpath.dirname(name)
        said = self._files.target(name)
        disk = self._disk.disk_name(folder)
        straight = resolve(disk) == posixpath.normpath(disk)
        same = posixpath.normpath(posixpath.join(folder, said)) == wanted
        return said if same and (straight or said.startswith("/")) else wanted

    def _bytes(self, files: DiskFiles, name: str, sources: Mapping[str, Source]) -> bytes | None:
        return sources[name].data if name in sources else _read(files, name)


def _read(files: DiskFiles, name: str) -> bytes | None:
    try:
        return files.read(name)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"cannot read it: {error.strerror}", where=printable(name)) from error
