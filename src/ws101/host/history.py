"""Logs from their first line to their last, rotated and compressed ones too: read in pieces, never kept.

Of an access log only lines with a status that tells are looked at: they are found by the bytes around ``$status`` in
the format, so that the rest passes at the speed of a search for a few words.
"""

from __future__ import annotations

import contextlib
import gzip
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ws101.errors import InputError
from ws101.lazy import dataclass, lazy_pattern
from ws101.logs import COMBINED, Tally, read_access, read_errors

__all__ = ["Scanned", "identity", "rotated", "scan", "within"]

_PIECE = 1 << 20
_LONGEST = 1 << 20
_SAMPLE = 64 * 1024
_NO_ACCESS = "no line of it has the format: give its log_format with --log-format"
_ROTATED = lazy_pattern(r"[.-][0-9][0-9.-]*(?:\.gz)?|\.old|\.gz")


@dataclass(frozen=True, slots=True)
class Scanned:
    """One file.

    Args:
        path: Where it is; ``-`` for standard input.
        kind: ``access``, ``error``, or ``unreadable``.
        size: How many bytes were read, uncompressed.
        problem: What is wrong with it, one clause; empty if nothing.
    """

    path: str
    kind: str
    size: int = 0
    problem: str = ""


def rotated(path: str) -> tuple[str, ...]:
    """A log and those that were rotated away from it, the newest first."""
    here = Path(path)
    try:
        beside = [item for item in here.parent.iterdir() if item.name.startswith(here.name)]
    except OSError:
        return (path,)
    found = [item for item in beside if _ROTATED.fullmatch(item.name[len(here.name) :])]
    found.sort(key=lambda item: item.lstat().st_mtime, reverse=True)
    return (path, *map(str, found))


def within(path: str, limit: int) -> tuple[tuple[str, ...], int]:
    """A log and the newest of those rotated away from it, as many as there is time for, and how many were left out.

    Args:
        path: The log.
        limit: How many bytes in all, those that are compressed counted tenfold; the log itself is always among them.
    """
    kept, used = list[str](), 0
    files = rotated(path)
    for file in files:
        with contextlib.suppress(OSError):
            used += Path(file).stat().st_size * (10 if file.endswith(".gz") else 1)
        if kept and used > limit:
            break
        kept.append(file)
    return tuple(kept), len(files) - len(kept)


def identity(path: str) -> object:
    """What two names of one file have in common; the name itself where it cannot be known."""
    try:
        found = Path(path).stat()
    except OSError:
        return path
    return (found.st_dev, found.st_ino)


def scan(path: str, tally: Tally, *, form: str | None = None, other_forms: tuple[str, ...] = ()) -> Scanned:
    """Read a log into a tally.

    Args:
        path: Its path, or ``-`` for standard input.
        tally: Gets what is told.
        form: The text of an access log's format, None for ``combined``; where the first lines are those of an error
            log, it is one.  Empty for what is known to be an error log.
        other_forms: Further formats that it may have: the one that fits most of its first lines is taken.

    Raises:
        InputError: If it cannot be read at all.
    """
    try:
        with _open(path) as file:
            return _scan(path, file, tally, form, other_forms)
    except (OSError, EOFError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise InputError(f"cannot read the log: {error.strerror}", where=path) from error
        return Scanned(path, "unreadable", 0, "the compressed data is broken")


def _open(path: str) -> BinaryIO:
    if path == "-":
        return sys.stdin.buffer
    if Path(path).is_dir():
        raise InputError("this is a folder", where=path, help="name the log files in it")
    file = Path(path).open("rb")  # noqa: SIM115 - the caller closes it
    start = file.read(2)
    file.seek(0) if file.seekable() else None
    if start != b"\x1f\x8b":
        return file
    file.close()
    return gzip.open(path, "rb")  # type: ignore[return-value]


def _scan(path: str, file: BinaryIO, tally: Tally, form: str | None, other_forms: tuple[str, ...]) -> Scanned:
    size, fitting, seen, kind, rest = 0, 0, 0, "", b""
    problem, strange = "", False
    needles: tuple[bytes, ...] = ()
    while True:
        try:
            data = file.read(_PIECE)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            data, problem = b"", "the compressed data breaks off"
        size += len(data)
        piece = rest + data
        cut = piece.rfind(b"\n") + 1 if data else len(piece)
        piece, rest = piece[:cut], piece[cut:]
        if len(rest) > _LONGEST:  # a line without an end
            rest = rest[:4096]
        if not kind and (piece or not data):
            form = _kind(piece, form, other_forms)
            strange = bool(piece.strip()) and bool(form) and not _fits(piece, form)
            kind, needles = ("access", _needles(form)) if form else ("error", ())
        if piece:
            tally.lines += piece.count(b"\n") or 1
            found = _errors(piece, tally) if kind == "error" else _access(piece, tally, form or COMBINED, needles)
            fitting, seen = fitting + found[0], seen + found[1]
        if not data:
            break
    if not problem and not fitting and (seen or strange):
        problem = _NO_ACCESS if kind == "access" else "no line of it is one of an error log"
    return Scanned(path, kind, size, problem)


def _kind(start: bytes, form: str | None, other_forms: tuple[str, ...] = ()) -> str:
    """The format that a log's first lines have: empty for an error log."""
    sample = start[:_SAMPLE].decode("latin-1")
    if form == "" or next(read_errors(sample), None) is not None:
        return ""
    forms = (form or COMBINED, *other_forms)
    return max(forms, key=lambda one: sum(1 for _ in read_access(sample, one))) if other_forms else forms[0]


def _fits(start: bytes, form: str) -> bool:
    """Whether any of a log's first lines has the format."""
    return next(read_access(start[:_SAMPLE].decode("latin-1"), form), None) is not None


def _needles(form: str) -> tuple[bytes, ...]:
    """The bytes by which a line with a telling status is found; none if the format does not show where it stands."""
    before, found, after = form.partition("$status")
    before, after = before[-1:] or "\n", after[:1] or "\n"
    if not found or "$" in (before, after) or not before.isascii() or before.isalnum():
        return ()
    return tuple(f"{before}{status}{after}".encode("latin-1") for status in Tally.TOLD)


def _access(piece: bytes, tally: Tally, form: str, needles: tuple[bytes, ...]) -> tuple[int, int]:
    text = b"\n".join(_lines_with(b"\n" + piece, needles)) if needles else piece.rstrip(b"\n")
    if not text:
        return 0, 0
    wanted = text.count(b"\n") + 1
    fitting = 0
    for entry in read_access(text.decode("latin-1"), form):
        fitting += 1
        if entry.status in Tally.TOLD:
            tally.add_access(entry)
    tally.unread += wanted - fitting
    return fitting, wanted


def _lines_with(piece: bytes, needles: tuple[bytes, ...]) -> Iterator[bytes]:
    """The lines that hold one of the needles, each once."""
    starts: dict[int, None] = {}
    for needle in needles:
        at = piece.find(needle)
        while at >= 0:
            start = piece.rfind(b"\n", 0, at + 1) + 1
            starts[start] = None
            end = piece.find(b"\n", max(at + 1, start))
            at = piece.find(needle, end) if end >= 0 else -1
    for start in sorted(starts):
        end = piece.find(b"\n", start)
        yield piece[start : end if end >= 0 else len(piece)]


def _errors(piece: bytes, tally: Tally) -> tuple[int, int]:
    fitting = 0
    for line in read_errors(piece.decode("latin-1")):
        fitting += 1
        tally.add_error(line)
    return fitting, piece.count(b"\n") or 1
