"""``SealedFiles``: a configuration as it was when it was sealed, as far as its bytes are still at hand.

A manifest holds no content.  A file that is the same is read from the disk; what has changed or is gone is looked for
in a copy (``--before``) and among what earlier changes kept in the state folder, and taken only if its digest is the
sealed one.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from ws101.host.files import DiskFiles, glob_match
from ws101.host.journal import changes
from ws101.manifest import Change, Entry, Manifest

__all__ = ["SealedFiles", "cut_short"]


class SealedFiles:
    """The files of a manifest behind the model's ``Files`` protocol.

    Args:
        files: The disk.
        folder: The configuration's folder, as nginx knows it.
        old: What was sealed.
        new: What is there now.
        before: A folder that holds a copy of the sealed configuration; empty if there is none.
        state: The state folder of earlier changes; None if there is none.

    Attributes:
        lost: The names of those that were asked for and are not at hand any more.
    """

    def __init__(
        self,
        files: DiskFiles,
        folder: str,
        old: Manifest,
        new: Manifest,
        *,
        before: str = "",
        state: Path | None = None,
    ) -> None:
        self.files = files
        self.folder = folder
        self.sealed = {posixpath.join(folder, entry.name): entry for entry in old.entries}
        self.now = {posixpath.join(folder, entry.name): entry.digest for entry in new.entries}
        self.before = before
        self.state = state
        self.lost: list[str] = []

    def read(self, path: str) -> bytes:
        """The sealed bytes of a file.

        Raises:
            FileNotFoundError: It was not sealed, or its sealed bytes are not at hand any more.
        """
        entry = self.sealed.get(path)
        if entry is None:
            raise FileNotFoundError(errno.ENOENT, "it was not sealed", path)
        data = self.find(entry)
        if data is None:
            self.lost.append(entry.name)
            raise FileNotFoundError(errno.ENOENT, "its sealed content is not at hand", path)
        return data

    def find(self, entry: Entry) -> bytes | None:
        """The bytes of an entry; None if they are not at hand any more."""
        path = posixpath.join(self.folder, entry.name)
        if self.now.get(path) == entry.digest:
            with contextlib.suppress(OSError):
                return self.files.read(path)
        sealed = (data for data in self._candidates(entry) if hashlib.sha256(data).hexdigest() == entry.digest)
        return next(sealed, None)

    def glob(self, pattern: str) -> tuple[str, ...]:
        """The sealed files that match."""
        folder, _, leaf = pattern.rpartition("/")
        inside: dict[str, bool] = {}
        found = []
        for path in self.sealed:
            base, _, name = path.rpartition("/")
            if base not in inside:
                inside[base] = glob_match(base, folder)
            if inside[base] and glob_match(name, leaf):
                found.append(path)
        return tuple(sorted(found))

    def _candidates(self, entry: Entry) -> Iterator[bytes]:
        path = posixpath.join(self.folder, entry.name)
        disks = (self.files, DiskFiles(((self.folder, self.before),))) if self.before else (self.files,)
        for disk in disks:
            with contextlib.suppress(OSError):
                yield disk.read(path)
        with contextlib.suppress(OSError):
            yield from self._kept(entry.digest)

    def _kept(self, digest: str) -> Iterator[bytes]:
        for journal in changes(self.state) if self.state is not None else ():
            for number, record in enumerate(journal.files):
                for known, kind in ((record.old, "old"), (record.new, "new")):
                    data = journal.kept(f"{number}.{kind}") if known == digest else None
                    if isinstance(data, bytes):
                        yield data


def cut_short(found: Iterable[Change], sealed: SealedFiles) -> tuple[Change, ...]:
    """The changes, with every file that became shorter compared with its sealed bytes where these are at hand."""
    return tuple(_cut_short(change, sealed) for change in found)


def _cut_short(change: Change, sealed: SealedFiles) -> Change:
    old, new = change.old, change.new
    if change.kind not in ("content", "truncated") or old is None or new is None:
        return change
    if old.size is None or new.size is None or new.size >= old.size:
        return change
    before = sealed.find(old)
    try:
        after = sealed.files.read(posixpath.join(sealed.folder, new.name))
    except OSError:
        return change
    if before is None:
        return change
    if before.startswith(after):
        return replace(change, kind="truncated", detail=f"only the first {new.size} of {old.size} bytes are left")
    return replace(change, kind="content")
