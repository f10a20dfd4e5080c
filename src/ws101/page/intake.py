"""What somebody drops on the page: files, a folder, archives, an ``nginx -T`` dump; with limits, and nothing trusted.

Names are latin-1 text, one character a byte, as everywhere; ``/`` parts folders, and a name never leaves the drop.
"""

from __future__ import annotations

import io
import posixpath
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping

from ws101.errors import InputError
from ws101.lazy import dataclass
from ws101.syntax import looks_like_dump, parse, parse_dump
from ws101.text import Source, printable

__all__ = [
    "FOLDER",
    "MAX_FILE",
    "MAX_FILES",
    "MAX_TOTAL",
    "Dropped",
    "Mounted",
    "Refused",
    "is_binary",
    "mains",
    "mounted",
    "unpack",
]

MAX_FILE = 16 * 1024 * 1024
"""The largest file that is taken, in bytes."""

MAX_TOTAL = 32 * 1024 * 1024
"""How many bytes are taken in all, unpacked."""

MAX_FILES = 5000
"""How many files are taken."""

FOLDER = "/etc/nginx"
"""Where the main file's folder is taken to stand on the server, if nobody says."""

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_CHUNK = 1 << 16
_HEAD = 8192
_SHOWN = 200
_BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError)
"""What ``zipfile`` raises on archives that are damaged, encrypted or packed in a way it does not know."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that was not taken, and why, one clause."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Dropped:
    """What was taken.

    Args:
        files: The bytes of each file by name; in a dump the names are absolute.
        refused: What was not taken.
        is_dump: Whether it is the output of ``nginx -T``, so that the first file is the main one.
    """

    files: Mapping[str, bytes]
    refused: tuple[Refused, ...] = ()
    is_dump: bool = False


@dataclass(frozen=True, slots=True)
class Mounted:
    """Files where they stand on the server.

    Args:
        files: Their bytes, by absolute name.
        main: The main file.
        names: The name in the drop of each.
    """

    files: Mapping[str, bytes]
    main: str
    names: Mapping[str, str]


def unpack(given: Iterable[tuple[str, bytes]]) -> Dropped:
    """Take what was dropped: archives are opened (not those inside them), a dump alone is taken apart.

    Args:
        given: Name and bytes of each file; in a folder the name is its path from the folder's own name on.

    Raises:
        InputError: There is nothing in it, or it is larger than what is taken.
    """
    taker = _Taker()
    for name, data in given:
        taker.take(name, data)
    files = taker.files
    if len(files) == 1:
        (only,) = files.values()
        if looks_like_dump(only) and not is_binary(only):
            return Dropped({source.path: source.data for source in parse_dump(only)}, tuple(taker.refused), True)
    if not files:
        why = f": {taker.refused[0].why}" if taker.refused else ""
        where = printable(taker.refused[0].name, limit=_SHOWN) if taker.refused else ""
        raise InputError(f"there is no file in it{why}", where=where, help="drop nginx.conf, or its whole folder")
    return Dropped(files, tuple(taker.refused))


class _Taker:
    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.refused: list[Refused] = []
        self.total = 0

    def take(self, name: str, data: bytes) -> None:
        """Take a file, or what is in it if it is an archive."""
        if data.startswith(_ZIP):
            self._open(name, data)
        else:
            self._add(name, data)

    def _add(self, name: str, data: bytes) -> None:
        why = _bad_name(name)
        clean = posixpath.normpath(name)
        if not why and clean in self.files:
            why = "another file has the same name"
        if not why and len(data) > MAX_FILE:
            why = f"it is larger than {_megabytes(MAX_FILE)}"
        if why:
            self.refused.append(Refused(name, why))
            return
        self.total += len(data)
        if self.total > MAX_TOTAL:
            raise _too_large(name)
        if len(self.files) >= MAX_FILES:
            raise InputError(f"there are more than {MAX_FILES} files", help="drop the configuration's folder alone")
        self.files[clean] = data

    def _open(self, name: str, data: bytes) -> None:
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                self._unpack(name, archive)
        except _BROKEN_ZIP as error:
            self.refused.append(Refused(name, f"the archive cannot be read: {error}"))

    def _unpack(self, name: str, archive: zipfile.ZipFile) -> None:
        members = [member for member in archive.infolist() if not member.is_dir()]
        if len(members) > MAX_FILES:
            raise InputError(f"there are more than {MAX_FILES} files in it", where=printable(name, limit=_SHOWN))
        if sum(member.file_size for member in members) > MAX_TOTAL:
            raise _too_large(name)
        for member in members:
            inner = member.filename.encode("utf-8", "replace").decode("latin-1")
            why = _bad_member(member)
            if why:
                self.refused.append(Refused(inner, why))
                continue
            try:
                content = b"".join(self._parts(archive, member, name))
            except _BROKEN_ZIP as error:
                self.refused.append(Refused(inner, f"it cannot be unpacked: {error}"))
                continue
            if content.startswith(_ZIP):
                self.refused.append(Refused(inner, "an archive inside an archive is not opened"))
            else:
                self._add(inner, content)

    def _parts(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> Iterator[bytes]:
        """The bytes of a member; what it really holds counts, whatever it declares."""
        size = 0
        with archive.open(member) as source:
            while part := source.read(_CHUNK):
                size += len(part)
                if size > MAX_FILE or self.total + size > MAX_TOTAL:
                    raise _too_large(name)
                yield part


def _bad_name(name: str) -> str:
    """Why a name is not taken; empty if it is."""
    if not name or "\0" in name:
        return "it has no name that a file can have"
    if name.startswith("/") or "\\" in name:
        return "its name does not stay in the folder"
    return "its name leads out of the folder" if ".." in name.split("/") else ""


def _bad_member(member: zipfile.ZipInfo) -> str:
    if member.flag_bits & 1:
        return "it is encrypted"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "it is a symbolic link; make the archive with the files themselves (zip -r does, without -y)"
    if member.file_size > MAX_FILE:
        return f"it is larger than {_megabytes(MAX_FILE)}"
    return ""


def _too_large(name: str) -> InputError:
    return InputError(
        f"this is more than is taken: {_megabytes(MAX_TOTAL)} in all, unpacked",
        where=printable(name, limit=_SHOWN),
        help="drop the configuration's folder alone, or nginx.conf",
    )


def _megabytes(size: int) -> str:
    return f"{size // 2**20} MB"


def is_binary(data: bytes) -> bool:
    """Whether it is no text: a NUL byte near its start."""
    return b"\0" in data[:_HEAD]


def mains(files: Mapping[str, bytes]) -> tuple[str, ...]:
    """The files that can be the main one, the likeliest first.

    An nginx.conf near the top goes before others; a text with ``http`` or ``events`` in it before other texts.
    """
    texts = [name for name, data in files.items() if not is_binary(data)]
    return tuple(sorted(texts, key=lambda name: (_rank(name, files[name]), name.count("/"), name)))


def _rank(name: str, data: bytes) -> int:
    leaf = posixpath.basename(name)
    if leaf == "nginx.conf":
        return 0
    if leaf.endswith(".conf") and (b"http" in data or b"events" in data) and _has_top(name, data, ("http", "events")):
        return 1
    return 2 if leaf.endswith(".conf") and b"server" in data else 3


def _has_top(name: str, data: bytes, names: tuple[str, ...]) -> bool:
    return any(d.name in names and d.block is not None for d in parse(Source.from_bytes(name, data)).directives)


def mounted(files: Mapping[str, bytes], main: str, folder: str = FOLDER) -> Mounted:
    """The files under the names they have on the server.

    Args:
        files: What was dropped.
        main: The main file, by its name in the drop.
        folder: Where its folder stands on the server.

    Raises:
        InputError: There is no such file, or the folder is no absolute path.
    """
    if main not in files:
        raise InputError("there is no such file", where=printable(main, limit=_SHOWN), help="choose the main file")
    if main.startswith("/"):  # a dump says itself where its files stand
        return Mounted(files, main, {name: name for name in files})
    if not folder.startswith("/") or "\0" in folder:
        raise InputError("the folder on the server is no absolute path", help=f"for example {FOLDER}")
    here = "/" + posixpath.dirname(main)
    inside = f"{here.rstrip('/')}/"
    order = sorted(files, key=lambda name: f"/{name}".startswith(inside))  # those beside the main file have precedence
    names = {_placed(name, here, folder): name for name in order}
    return Mounted({place: files[name] for place, name in names.items()}, _placed(main, here, folder), names)


def _placed(name: str, here: str, folder: str) -> str:
    relative = posixpath.relpath(f"/{name}", here)
    return "/" + posixpath.normpath(posixpath.join(folder, relative)).lstrip("/")
