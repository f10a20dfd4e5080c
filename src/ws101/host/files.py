"""Files on the disk, read the way nginx reads them: ``DiskFiles``.

Names are configuration text: latin-1, one character is one byte of the name, so that any name round-trips
(``name_of`` and ``os_path`` convert from and to what the operating system takes).  With roots, a name of another
machine (``/etc/nginx/nginx.conf``) is mapped onto a copy (``./nginx/nginx.conf``) before the disk is touched.

``glob`` follows glob(3) as nginx calls it (nginx: src/os/unix/ngx_files.c:ngx_open_glob, flags 0, locale C): byte
order, no leading dot for ``*``, ``?`` and brackets, backslash escapes, and no match is an empty answer.
"""

# ruff: noqa: PTH112, PTH116, PTH208
# (names are bytes here, which pathlib does not take)
from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator

from ws101.errors import UsageError
from ws101.lazy import lazy_pattern

__all__ = [
    "MAX_BYTES",
    "DiskFiles",
    "glob_literal",
    "glob_match",
    "name_of",
    "os_path",
    "parse_root",
    "read_fd",
    "read_regular",
]

MAX_BYTES = 256 * 1024 * 1024
"""The largest file that is read; no nginx configuration comes near it, and a mistaken path must not fill memory."""

_CLASSES = {
    "alpha": "A-Za-z",
    "digit": "0-9",
    "alnum": "0-9A-Za-z",
    "upper": "A-Z",
    "lower": "a-z",
    "space": "\t-\r ",
    "blank": "\t ",
    "punct": "!-/:-@\\[-`{-~",
    "xdigit": "0-9A-Fa-f",
    "cntrl": "\0-\x1f\x7f",
    "print": " -~",
    "graph": "!-~",
}
"""The character classes of POSIX brackets in the C locale."""

_BRACKET = lazy_pattern(r"\[([!^]?)(\]?(?:\[:[a-z]+:\]|\\.|[^\]\\])*)\]", re.DOTALL)
_BRACKET_PART = lazy_pattern(r"\[:([a-z]+):\]|\\(.)|(.)", re.DOTALL)

_KINDS = (
    (stat.S_ISDIR, "it is a folder, not a file"),
    (stat.S_ISFIFO, "it is a named pipe, not a file"),
    (stat.S_ISSOCK, "it is a socket, not a file"),
    (stat.S_ISCHR, "it is a device, not a file"),
    (stat.S_ISBLK, "it is a device, not a file"),
)


class DiskFiles:
    """The disk behind the model's ``Files`` protocol.

    Args:
        roots: Pairs of a name prefix and the folder that holds the copy; the longest prefix of whole segments wins.
    """

    def __init__(self, roots: Iterable[tuple[str, str]] = ()) -> None:
        pairs = ((_trimmed(prefix), _trimmed(folder)) for prefix, folder in roots)
        self.roots = tuple(sorted(pairs, key=lambda pair: len(pair[0]), reverse=True))

    def disk_name(self, path: str) -> str:
        """Where ``path`` lies on this disk; the name itself where no root maps it."""
        for prefix, folder in self.roots:
            if path == prefix or path.startswith(prefix.rstrip("/") + "/"):
                return folder.rstrip("/") + "/" + path[len(prefix) :].lstrip("/") if path != prefix else folder
        return path

    def read(self, path: str) -> bytes:
        """The bytes of a regular file.

        Raises:
            OSError: No such file, no permission, not a regular file, or larger than ``MAX_BYTES``.
        """
        return read_regular(self.disk_name(path))

    def exists(self, path: str) -> bool:
        """Whether something by that name can be found; a dangling symlink does not exist."""
        return _stat(self.disk_name(path)) is not None

    def is_dir(self, path: str) -> bool:
        """Whether the name is a folder, symlinks followed."""
        found = _stat(self.disk_name(path))
        return found is not None and stat.S_ISDIR(found.st_mode)

    def glob(self, pattern: str) -> tuple[str, ...]:
        """The names that match, in byte order; empty if none does."""
        absolute = pattern.startswith("/")
        parts = [part for part in pattern.split("/") if part]
        return tuple(sorted(self._expand("/" if absolute else "", parts)))

    def _expand(self, base: str, parts: list[str]) -> Iterator[str]:
        if not parts:
            yield base
            return
        part, rest = parts[0], parts[1:]
        for name in self._entries(base, part):
            path = base + name
            if not rest and self._is_there(path):
                yield path
            elif rest and self.is_dir(path):
                yield from self._expand(path + "/", rest)

    def _entries(self, base: str, part: str) -> Iterable[str]:
        if not _is_pattern(part):
            return (_unescaped(part),)
        try:
            names = os.listdir(os_path(self.disk_name(base.rstrip("/") or "/") if base else "."))
        except OSError:
            return ()
        matches = re.compile(_translate(part), re.DOTALL).fullmatch
        return [name for raw in (b".", b"..", *names) if matches(name := raw.decode("latin-1"))]

    def _is_there(self, path: str) -> bool:
        return os.path.lexists(os_path(self.disk_name(path)))


def read_regular(path: str, *, limit: int = MAX_BYTES) -> bytes:
    """Read a regular file whole, never blocking on a pipe and never reading a device.

    Args:
        path: The name on this disk.
        limit: The largest size, in bytes.

    Raises:
        OSError: No such file, no permission, not a regular file, or larger than ``limit``; ``strerror`` says which.
    """
    fd = os.open(_checked(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        return read_fd(fd, path, limit=limit)
    finally:
        os.close(fd)


def read_fd(fd: int, path: str, *, limit: int = MAX_BYTES) -> bytes:
    """As ``read_regular``, from an open file, from its start.

    Raises:
        OSError: Not a regular file, or larger than ``limit``.
    """
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        kind = next((words for test, words in _KINDS if test(found.st_mode)), "it is not a regular file")
        number = errno.EISDIR if stat.S_ISDIR(found.st_mode) else errno.EINVAL
        raise OSError(number, kind, path)
    if found.st_size > limit:
        raise OSError(errno.EFBIG, f"it is larger than {limit} bytes", path)
    parts, at = [], 0
    while part := os.pread(fd, min(limit + 1 - at, 1 << 20), at):
        parts.append(part)
        at += len(part)
    if at > limit:
        raise OSError(errno.EFBIG, f"it is larger than {limit} bytes", path)
    return b"".join(parts)


def parse_root(text: str) -> tuple[str, str]:
    """Read one ``--root /etc/nginx=./nginx``.

    Raises:
        UsageError: No ``=``, a prefix that is not absolute, or a folder that is not there.
    """
    prefix, equals, folder = text.partition("=")
    if not equals or not prefix.startswith("/") or not folder:
        raise UsageError(f"--root {text} is not PREFIX=FOLDER", help="write for example --root /etc/nginx=./nginx")
    if not os.path.isdir(os_path(folder)):
        raise UsageError(f"--root: {folder} is not a folder", where=folder)
    return _trimmed(prefix), _trimmed(folder)


def name_of(path: str | bytes | os.PathLike[str]) -> str:
    """The configuration-text form of a path of the operating system: one character per byte."""
    return os.fsencode(path).decode("latin-1")


def os_path(name: str) -> bytes:
    """The bytes that the operating system takes for a name; the reverse of ``name_of``."""
    try:
        return name.encode("latin-1")
    except UnicodeEncodeError:  # a name that did not come through name_of
        return os.fsencode(name)


def glob_match(name: str, pattern: str) -> bool:
    """Whether glob(3) would list ``name`` for ``pattern`` if it existed; both absolute, or both relative."""
    parts, globs = name.split("/"), pattern.split("/")
    return len(parts) == len(globs) and all(
        re.fullmatch(_translate(glob), part, re.DOTALL) for part, glob in zip(parts, globs, strict=True)
    )


def glob_literal(name: str) -> str:
    """``name`` as an ``include`` argument that means this file alone, whatever characters it holds."""
    return re.sub(r"([*?\[\]\\])", r"\\\1", name) if re.search(r"[*?\[]", name) else name


def _translate(part: str) -> str:
    """One path segment of a glob as a regular expression over latin-1."""
    out, at = [] if part.startswith((".", "\\.")) else [r"(?!\.)"], 0
    while at < len(part):
        bracket = _BRACKET.match(part, at)
        if bracket:
            out.append(_bracket(bracket[1], bracket[2]))
            at = bracket.end()
            continue
        char = part[at]
        if char == "\\" and at + 1 < len(part):
            at += 1
            out.append(re.escape(part[at]))
        else:
            out.append({"*": ".*", "?": "."}.get(char) or re.escape(char))
        at += 1
    return "".join(out)


def _bracket(negated: str, body: str) -> str:
    """The inside of a bracket; a reversed range (``z-a``) matches nothing, as in glob(3)."""
    inside = "".join(map(_bracket_member, _BRACKET_PART.finditer(body)))
    if inside.startswith("-"):
        inside = "\\" + inside
    if inside.endswith("-"):
        inside = inside[:-1] + "\\-"
    try:
        re.compile(f"[{inside}]")
    except re.error:
        return "(?!)"
    return f"[{'^' if negated else ''}{inside}]"


def _bracket_member(part: re.Match[str]) -> str:
    if part[1]:
        return _CLASSES.get(part[1], "")
    return "-" if part[3] == "-" else re.escape(part[2] or part[3])


def _is_pattern(part: str) -> bool:
    return any(char in part for char in "*?[")


def _unescaped(part: str) -> str:
    return re.sub(r"\\(.)", r"\1", part, flags=re.DOTALL)


def _trimmed(path: str) -> str:
    return path.rstrip("/") or "/"


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(os_path(path))
    except (OSError, ValueError):
        return None


def _checked(path: str) -> bytes:
    raw = os_path(path)
    if b"\0" in raw:
        raise OSError(errno.EINVAL, "the name holds a NUL byte", path)
    return raw
