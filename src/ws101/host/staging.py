"""A configuration as it would be after a change, for ``nginx -t`` to read while the files themselves are untouched.

Changed files are written to siblings with dot names, and so is every file that includes one of them, with the
``include`` rewritten to name the siblings: a glob becomes the list of what it would match.  The main file is always
such a sibling: in its own folder, because relative paths start there, and with another ``pid``, because ``nginx -t``
creates the pid file if there is none.  Rewriting stays on the line, so the line numbers in nginx's messages hold.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
from collections.abc import Iterable, Mapping

from ws101.errors import ApplyError
from ws101.host.files import DiskFiles, glob_literal, glob_match, os_path, read_regular
from ws101.host.links import Content, Link, link_at
from ws101.host.resolving import place, refused, resolve
from ws101.host.writing import mode_of
from ws101.lazy import dataclass
from ws101.syntax import Directive, parse
from ws101.text import Edit, Source, apply

__all__ = ["PID_FILE", "Overlay", "Stage", "loaded_files"]

Overlay = Mapping[str, Content]
"""What stands in, by file name, for what is on the disk; None for a file, or a symlink, that is to be removed."""

PID_FILE = "/dev/null"
"""Opened by ``nginx -t``, which writes nothing to it (nginx: src/core/nginx.c:ngx_create_pidfile); a file would be left
behind by a test that outlives us.
"""

_MAGIC = frozenset("*?[")
_MAX_LINKS = 40


@dataclass(slots=True)
class _Includes:
    """The includes of one file: what the directives say, as found in these bytes."""

    data: bytes
    source: Source
    directives: tuple[Directive, ...]
    pids: tuple[Directive, ...]


class Stage:
    """Where a configuration is put together for a test.

    Args:
        files: The disk, with its roots.
        main: The main file's absolute name, as nginx knows it.
        tag: Part of every sibling's name; must be new for these folders.
    """

    def __init__(self, files: DiskFiles, main: str, tag: str) -> None:
        self.files = files
        self.main = main
        self.tag = tag
        self.written: dict[str, str] = {}
        self._mode = mode_of(files.disk_name(main))
        self._count = 0
        self._known: dict[str, _Includes] = {}
        self._overlay: Overlay = {}
        self._reals: dict[str, Content] = {}
        self._done: dict[tuple[str, bool], str] = {}
        self._has_pid = False

    def write(self, overlay: Overlay) -> str:
        """Write the siblings for one test.

        Args:
            overlay: The files that differ from the disk, by their names as nginx knows them.

        Returns:
            The name of the staged main file, for ``nginx -t -c``.

        Raises:
            ApplyError: A sibling cannot be written.
        """
        self._overlay = overlay
        self._reals = {self._real(name, data): data for name, data in overlay.items()}
        self._done = {}
        self._has_pid = False
        return self._stage(self.main, top=True)

    def original(self, text: str) -> str:
        """nginx's message with the files' own names in place of the siblings'."""
        for staged in sorted(self.written, key=len, reverse=True):
            text = text.replace(staged, self.written[staged])
        return text

    def remove(self) -> None:
        """Remove every sibling of every test."""
        for name in self.written:
            with contextlib.suppress(OSError):
                os.unlink(os_path(self.files.disk_name(name)))  # noqa: PTH108
        self.written.clear()

    def _stage(self, name: str, *, top: bool) -> str:
        """The name under which a file is to be included: its own, or that of a sibling."""
        key = (name, top)
        if key not in self._done:
            self._done[key] = name  # what includes itself is left for nginx to refuse
            data = self._read(name)
            if data is not None:
                self._done[key] = self._rewritten(name, data, top)
            elif self._is_ours(name):
                self._done[key] = self._missing(name)
        return self._done[key]

    def _real(self, name: str, data: Content) -> str:
        """Where a change takes place: under the name itself if it is about a symlink, else where the name leads."""
        disk = self.files.disk_name(name)
        itself = isinstance(data, Link) or (data is None and link_at(disk) is not None)
        return place(disk) if itself else resolve(disk)

    def _read(self, name: str) -> bytes | None:
        try:
            return self._follow(self.files.disk_name(name))[0]
        except (OSError, ApplyError):
            return None  # nginx itself shall say what it thinks of that

    def _follow(self, disk: str) -> tuple[bytes | None, bool]:
        """The bytes that a name leads to once the change is made, and whether the change had a part in that."""
        ours = False
        for _ in range(_MAX_LINKS):
            real = place(disk)
            ours = ours or real in self._reals
            found = self._reals[real] if real in self._reals else link_at(real)
            if not isinstance(found, Link):
                return (found if real in self._reals else _on_disk(real)), ours
            target = self.files.disk_name(found.target) if found.target.startswith("/") else found.target
            disk = posixpath.join(posixpath.dirname(real), target)
        return None, ours  # a circle

    def _missing(self, name: str) -> str:
        """A name under which there is nothing, for what the change leaves without a file."""
        self._count += 1
        staged = self._sibling(name, f"t{self._count}")
        self.written[staged] = name
        return staged

    def _is_ours(self, name: str) -> bool:
        try:
            return self._follow(self.files.disk_name(name))[1]
        except (OSError, ApplyError):
            return False

    def _rewritten(self, name: str, data: bytes, top: bool) -> str:
        found = self._includes(name, data)
        edits = [edit for include in found.directives if (edit := self._include_edit(include, top)) is not None]
        if top:
            edits += [Edit(pid.head_span, f"pid {PID_FILE}") for pid in found.pids]
            self._has_pid |= bool(found.pids)
        text = apply(found.source.text, edits)
        if name == self.main:
            text = text if self._has_pid else f"pid {PID_FILE}; {text}"
        elif not edits and not self._is_ours(name):
            return name
        return self._write_sibling(name, text.encode("latin-1"))

    def _include_edit(self, include: Directive, top: bool) -> Edit | None:
        names = self._targets(include)
        staged = tuple(self._stage(name, top=top and include.parent is None) for name in names)
        if staged == names and names == self._on_disk(include):
            return None
        if not names:
            return Edit(include.span, "")
        return Edit(include.head_span, "; ".join(f"include {_quoted(glob_literal(name))}" for name in staged))

    def _pattern(self, include: Directive) -> str:
        return posixpath.join(posixpath.dirname(self.main), include.args[0])

    def _on_disk(self, include: Directive) -> tuple[str, ...]:
        pattern = self._pattern(include)
        return self.files.glob(pattern) if _MAGIC & set(pattern) else (pattern,)

    def _targets(self, include: Directive) -> tuple[str, ...]:
        """The files that an include means once the change is made."""
        pattern = self._pattern(include)
        if not _MAGIC & set(pattern):
            return (pattern,)
        made = {name for name, data in self._overlay.items() if data is not None and glob_match(name, pattern)}
        gone = {name for name, data in self._overlay.items() if data is None}
        return tuple(sorted({*self._on_disk(include), *made} - gone))

    def _includes(self, name: str, data: bytes) -> _Includes:
        known = self._known.get(name)
        if known is None or known.data != data:
            source = Source.from_bytes(name, data)
            wanted = b"include" in data or b"pid" in data
            tree = parse(source) if wanted else None
            found = tuple(d for d in tree.walk() if _is_include(d)) if tree else ()
            pids = tuple(d for d in tree.directives if d.name == "pid" and d.args) if tree else ()
            known = self._known[name] = _Includes(data, source, found, pids)
        return known

    def _sibling(self, name: str, suffix: str) -> str:
        folder, base = posixpath.split(name)
        return f"{folder.rstrip('/')}/.{base[:180]}.{self.tag}-{suffix}"

    def _write_sibling(self, name: str, data: bytes) -> str:
        self._count += 1
        staged = self._sibling(name, f"t{self._count}")
        disk, flags = self.files.disk_name(staged), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self.written[staged] = name
        try:
            with os.fdopen(os.open(os_path(disk), flags, 0o600), "wb") as file:
                os.fchmod(file.fileno(), self._mode)
                file.write(data)
        except OSError as error:
            raise refused(error, disk) from error
        return staged


def _on_disk(real: str) -> bytes | None:
    try:
        return read_regular(real)
    except FileNotFoundError:
        return None


def loaded_files(files: DiskFiles, main: str) -> tuple[str, ...]:
    """The names of all files that nginx would read as configuration now, by byte order; those that are missing too."""
    stage = Stage(files, main, "")
    todo, seen = [main], set[str]()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        with contextlib.suppress(OSError):
            todo += _targets_of(stage, name, files.read(name))
    return tuple(sorted(seen))


def _targets_of(stage: Stage, name: str, data: bytes) -> Iterable[str]:
    return (target for include in stage._includes(name, data).directives for target in stage._on_disk(include))


def _is_include(directive: Directive) -> bool:
    return directive.name == "include" and directive.block is None and len(directive.args) == 1


def _quoted(name: str) -> str:
    """A name as one word of a configuration."""
    return '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'
