"""What nginx would load now, read from the disk: ``survey`` finds every file, and says digest, size, mode, owner, link.

Each file is read once.  Its text is parsed only where it can name another file, which is what makes ten thousand
sites a matter of a second.  Nothing but regular files is opened: a pipe would block, and opening some devices does
something.
"""

# ruff: noqa: PTH116, PTH118, PTH208
# (names are bytes here, which pathlib does not take)
from __future__ import annotations

import errno
import functools
import grp
import hashlib
import os
import posixpath
import pwd
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field, replace
from typing import NamedTuple

from ws101.errors import InputError
from ws101.host.files import MAX_BYTES, DiskFiles, os_path
from ws101.lazy import dataclass
from ws101.manifest import Change, Entry, Manifest, compare
from ws101.nginx.references import STEMS, reference
from ws101.syntax import Directive, parse
from ws101.text import Source, printable

__all__ = ["MAX_SEALED", "Content", "Survey", "find_drift", "read_content", "seal", "survey"]

MAX_SEALED = 4 * 1024**3
"""The largest file that is read, in bytes; a larger one is a mistake or a trap."""

_CHUNK = 1 << 20
_ENDS = 4096
_MAGIC = frozenset("*?[")
_STEMS = tuple(stem.encode("ascii") for stem in STEMS)
_KINDS = (
    (stat.S_ISDIR, errno.EISDIR, "it is a folder"),
    (stat.S_ISFIFO, errno.EINVAL, "it is a named pipe"),
    (stat.S_ISSOCK, errno.EINVAL, "it is a socket"),
    (stat.S_ISCHR, errno.EINVAL, "it is a device"),
    (stat.S_ISBLK, errno.EINVAL, "it is a device"),
)


@dataclass(slots=True)
class Survey:
    """What nginx would load now.

    Args:
        manifest: The files that could be read.
        failures: Those that could not, by name as in the manifest, and why.
        present: Files that were asked for by name and that nginx would not load.
        folders: The folders that an include with a wildcard looks into, as nginx names them.
        live: Names of files that nginx reads for each request.
    """

    manifest: Manifest
    failures: dict[str, OSError] = field(default_factory=dict)
    present: tuple[Entry, ...] = ()
    folders: tuple[str, ...] = ()
    live: frozenset[str] = frozenset()
    origins: Mapping[str, Origin] = field(default_factory=dict)


class Origin(NamedTuple):
    """The directive that has nginx load a file.

    Args:
        verb: ``included`` or ``named``.
        name: The file that it stands in, as in a manifest.
        source: That file's text.
        start: Where in it.
    """

    verb: str
    name: str
    source: Source
    start: int


def seal(files: DiskFiles, main: str, *, prefix: str | None = None) -> Manifest:
    """The manifest of everything that nginx would load now.

    Args:
        files: The disk, with its roots.
        main: The main file's absolute name, as nginx knows it.
        prefix: nginx's prefix, where relative names of modules and Lua code start; None if unknown.

    Raises:
        InputError: A file is missing or cannot be read.
    """
    found = survey(files, main, prefix=prefix)
    for name, error in found.failures.items():
        where = printable(posixpath.join(found.manifest.folder, name))
        remedy = "run it with the rights to read every file, usually with sudo" if _is_denied(error) else ""
        more = len(found.failures) - 1
        tail = f", and {more} more" if more else ""
        raise InputError(
            f"nothing was sealed: a file cannot be read{tail}: {error.strerror}",
            where=where,
            help=remedy or "every file that the configuration names must be there",
        )
    return found.manifest


def survey(files: DiskFiles, main: str, *, prefix: str | None = None, also: Iterable[str] = ()) -> Survey:
    """Look at everything that nginx would load now.

    Args:
        files: The disk, with its roots.
        main: The main file's absolute name, as nginx knows it.
        prefix: nginx's prefix; None if unknown.
        also: Names, as in a manifest, to be looked at whether nginx would load them or not.
    """
    surveyor = _Surveyor(files, main, prefix)
    surveyor.find()
    return surveyor.result(also)


def find_drift(
    old: Manifest, files: DiskFiles, main: str, *, prefix: str | None = None
) -> tuple[Survey, tuple[Change, ...]]:
    """Compare a manifest with the disk.

    Where an included file or folder cannot be read, a sealed file that is there is taken as still loaded.
    """
    found = survey(files, main, prefix=prefix, also=old.by_name)
    new, present = found.manifest, found.present
    gone = tuple(name for name, error in found.failures.items() if _is_missing(error))
    unreadable = {name: error.strerror or str(error) for name, error in found.failures.items() if name not in gone}
    if unreadable or new.main in gone:
        entries = tuple(sorted((*new.entries, *present), key=lambda entry: entry.name))
        new, present = replace(new, entries=entries), ()
    found.manifest = new
    changes = compare(old, new, present=present, unreadable=unreadable, missing=gone)
    return found, tuple(_with_origin(change, found.origins) for change in changes)


def _with_origin(change: Change, origins: Mapping[str, Origin]) -> Change:
    """An added or a missing file, with the directive that has nginx load it."""
    origin = origins.get(change.name)
    if origin is None or change.kind not in ("added", "missing"):
        return change
    by = f"{origin.name}:{origin.source.line(origin.start)}"
    return replace(change, detail=f"{change.detail}; {origin.verb} by {by}", by=by)


class _Surveyor:
    def __init__(self, files: DiskFiles, main: str, prefix: str | None) -> None:
        self.files = files
        self.main = main
        self.folder = posixpath.dirname(main)
        self.prefix = prefix
        self.entries: dict[str, Entry] = {}
        self.failures: dict[str, OSError] = {}
        self.folders: dict[str, None] = {}
        self.live: set[str] = set()
        self.uncovered: set[str] = set()
        self.origins: dict[str, Origin] = {}
        self.todo = [main]
        self.named: list[str] = []
        self.reader = _Reader(files, self.folder)

    def find(self) -> None:
        """Follow the includes, then look at the files that directives name."""
        seen: set[str] = set()
        while self.todo:
            path = self.todo.pop()
            if path not in seen:
                seen.add(path)
                data = self._look(path, limit=MAX_BYTES)
                if any(stem in data for stem in _STEMS):
                    self._follow(path, data)
        for path in dict.fromkeys(self.named):
            if path not in seen:
                self._look(path, limit=MAX_SEALED)

    def result(self, also: Iterable[str]) -> Survey:
        """Everything, and the files asked for beside it."""
        present = []
        for name in also:
            if name not in self.entries and name not in self.failures:
                try:
                    present.append(self.reader.read(posixpath.join(self.folder, name), MAX_SEALED)[0])
                except OSError as error:
                    if not _is_missing(error):
                        self.failures[name] = error
        entries = tuple(sorted(self.entries.values(), key=lambda entry: entry.name))
        manifest = Manifest(self._name(self.main), entries, self.folder, tuple(sorted(self.uncovered)))
        live = frozenset(self.live)
        return Survey(manifest, self.failures, tuple(present), tuple(self.folders), live, self.origins)

    def _look(self, path: str, *, limit: int) -> bytes:
        name = self._name(path)
        try:
            self.entries[name], data = self.reader.read(path, limit)
        except OSError as error:
            self.failures[name] = error
            return b""
        return data

    def _name(self, path: str) -> str:
        return _relative(path, self.folder)

    def _follow(self, path: str, data: bytes) -> None:
        source = Source.from_bytes(path, data)
        for directive in parse(source).walk():
            if directive.name == "include":
                args = directive.args
                if directive.block is None and len(args) == 1:
                    names = self._included(posixpath.join(self.folder, args[0]))
                    self._found("included", names, path, source, directive)
                    self.todo += names
            else:
                self._refer(path, source, directive)

    def _found(self, verb: str, names: Iterable[str], path: str, source: Source, directive: Directive) -> None:
        origin = Origin(verb, self._name(path), source, directive.start)
        for name in names:
            self.origins.setdefault(self._name(name), origin)

    def _included(self, path: str) -> tuple[str, ...]:
        if not _MAGIC & set(path):
            return (path,)
        for folder in _looked_into(self.files, path):
            self.folders[folder] = None
            try:
                os.listdir(os_path(self.files.disk_name(folder)))
            except OSError as error:
                if not _is_missing(error):
                    self.failures[self._name(folder)] = error
        return self.files.glob(path)

    def _refer(self, path: str, source: Source, directive: Directive) -> None:
        found = reference(directive)
        if found is None:
            return
        base = self.prefix if found.in_prefix else self.folder
        unknown = found.unknown
        if found.name and (found.name.startswith("/") or base is not None):
            self.named.append(full := posixpath.join(base or "", found.name))
            self._found("named", (full,), path, source, directive)
            if found.live:
                self.live.add(self._name(full))
        elif found.name:
            unknown = "nginx's prefix is not known (--prefix)"
        if unknown:
            shown = " ".join((directive.name, *(_without_secret(arg) for arg in directive.args)))
            self.uncovered.add(f"{self._name(path)}: {shown}: {unknown}")


def _without_secret(arg: str) -> str:
    return "data:..." if arg.startswith("data:") else arg


def _looked_into(files: DiskFiles, pattern: str) -> Iterator[str]:
    """The folders whose entries a pattern is compared with."""
    parts = pattern.split("/")
    for at, part in enumerate(parts):
        if _MAGIC & set(part):
            base = "/".join(parts[:at]) or "/"
            yield from (f for f in (files.glob(base) if _MAGIC & set(base) else (base,)) if files.is_dir(f))


def _relative(path: str, folder: str) -> str:
    inside = folder.rstrip("/") + "/"
    return path[len(inside) :] if path.startswith(inside) and len(path) > len(inside) else path


class Content(NamedTuple):
    """What was read of a file.

    Args:
        digest: SHA-256, in hexadecimal.
        size: Bytes.
        unix: SHA-256 with every CR LF as LF; empty if there is none.
        unfinished: Whether it is text that ends without a line end.
        trouble: What looks damaged, one clause.
        data: The bytes; empty if there are more than were to be kept.
        found: What the system says of the file.
    """

    digest: str
    size: int
    unix: str
    unfinished: bool
    trouble: str
    data: bytes
    found: os.stat_result


class _Reader:
    """Reads files and says what a manifest holds about them."""

    def __init__(self, files: DiskFiles, folder: str) -> None:
        self.files = files
        self.folder = folder
        self._reals: dict[bytes, bytes] = {}
        self._here = self._real(os_path(files.disk_name(folder)))

    def read(self, path: str, limit: int) -> tuple[Entry, bytes]:
        """The entry of a file, and its bytes if they were to be kept.

        Raises:
            OSError: As `read_content`.
        """
        raw = os_path(self.files.disk_name(path))
        if b"\0" in raw:
            raise OSError(errno.EINVAL, "the name holds a NUL byte", path)
        is_link = stat.S_ISLNK(os.lstat(raw).st_mode)
        content = read_content(raw, limit=limit, keep=MAX_BYTES if limit == MAX_BYTES else 0)
        name, found = _relative(path, self.folder), content.found
        owner = f"{_user(found.st_uid)}:{_group(found.st_gid)}"
        target = self._target(raw, name, is_link=is_link)
        mode = stat.S_IMODE(found.st_mode)
        text, ends = content, (mode, owner, target)
        return Entry(name, text.digest, text.size, text.unix, *ends, text.unfinished, text.trouble), text.data

    def _target(self, raw: bytes, name: str, *, is_link: bool) -> str:
        """What a name leads to; empty if no symbolic link is on its way, that of the configuration's folder aside."""
        folder, leaf = os.path.split(raw)
        real = os.path.realpath(raw) if is_link else os.path.join(self._real(folder), leaf)
        said = os.path.join(b"/" if name.startswith("/") else self._here, os_path(name))
        if said == real or os.path.normpath(said) == os.path.normpath(real):
            return ""
        return _relative(os.path.normpath(real).decode("latin-1"), self._here.decode("latin-1"))

    def _real(self, folder: bytes) -> bytes:
        if folder not in self._reals:
            self._reals[folder] = os.path.realpath(folder)
        return self._reals[folder]


def read_content(path: bytes, *, limit: int = MAX_SEALED, keep: int = 0) -> Content:
    """Read a regular file once.

    Args:
        path: Its name on this disk.
        limit: The largest size, in bytes.
        keep: Up to which size its bytes are kept.

    Raises:
        OSError: It is missing, cannot be read, is no regular file, is larger than ``limit``, or is being written to.
    """
    _require_regular(os.stat(path), path, limit)
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        before = os.fstat(fd)
        _require_regular(before, path, limit)
        read = _read_whole if before.st_size <= max(keep, _CHUNK) else _read_parts
        digest, size, unix, first, last, data = read(fd, before.st_size)
        after = os.fstat(fd)
    finally:
        os.close(fd)
    if (after.st_mtime_ns, after.st_size) != (before.st_mtime_ns, before.st_size) or size != after.st_size:
        raise OSError(errno.EBUSY, "it was changed while it was read", os.fsdecode(path))
    unfinished = bool(last) and not last.endswith(b"\n") and b"\0" not in first + last
    return Content(digest, size, unix, unfinished, _trouble(last), data, after)


_Read = tuple[str, int, str, bytes, bytes, bytes]
"""Digest, size, digest with LF, first bytes, last bytes, all bytes if they are kept."""


def _read_whole(fd: int, size: int) -> _Read:
    data = os.read(fd, size + 1)
    while len(data) < size and (more := os.read(fd, size + 1 - len(data))):
        data += more
    digest = hashlib.sha256(data).hexdigest()
    unix = hashlib.sha256(data.replace(b"\r\n", b"\n")).hexdigest() if b"\r\n" in data else ""
    return digest, len(data), unix, data[:_ENDS], data[-_ENDS:], data


def _read_parts(fd: int, size: int) -> _Read:
    """The same in constant memory; a second pass only where there is a CR LF."""
    digest, total, last, crlf = hashlib.sha256(), 0, b"", False
    first = b""
    for part in _parts(fd, size):
        digest.update(part)
        crlf = crlf or b"\r\n" in part or (last[-1:] == b"\r" and part[:1] == b"\n")
        first = first if len(first) >= _ENDS else first + part
        last, total = (last + part)[-_ENDS:], total + len(part)
    unix = _unix_digest(fd, size) if crlf else ""
    return digest.hexdigest(), total, unix, first[:_ENDS], last, b""


def _parts(fd: int, size: int) -> Iterator[bytes]:
    at = 0
    while at <= size and (part := os.pread(fd, _CHUNK, at)):
        yield part
        at += len(part)


def _unix_digest(fd: int, size: int) -> str:
    digest, held = hashlib.sha256(), b""
    for part in _parts(fd, size):
        text = (held + part).replace(b"\r\n", b"\n")
        held = b"\r" if text.endswith(b"\r") else b""
        digest.update(text[: len(text) - len(held)])
    digest.update(held)
    return digest.hexdigest()


def _trouble(last: bytes) -> str:
    """What looks damaged in a file that ends so."""
    if not last:
        return "it is empty"
    if last.endswith(b"\0" * min(len(last), 512)):
        return "it ends in NUL bytes, as after a crash of the machine"
    return ""


def _require_regular(found: os.stat_result, path: bytes, limit: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        number, kind = next(((n, w) for test, n, w in _KINDS if test(found.st_mode)), (errno.EINVAL, "it is no file"))
        raise OSError(number, f"{kind}, not a file" if kind != "it is no file" else kind, os.fsdecode(path))
    if found.st_size > limit:
        raise OSError(errno.EFBIG, f"it is larger than {limit} bytes", os.fsdecode(path))


def _is_missing(error: OSError) -> bool:
    return error.errno in (errno.ENOENT, errno.ENOTDIR)


def _is_denied(error: OSError) -> bool:
    return error.errno in (errno.EACCES, errno.EPERM)


@functools.cache
def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


@functools.cache
def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
