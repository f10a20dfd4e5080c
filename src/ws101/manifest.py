r"""``Manifest``: what was sealed, as plain text that ``sha256sum -c`` accepts; and the comparison of two of them.

::

    # ws101/manifest/1
    # main nginx.conf
    # size 1234 nginx.conf
    # mode 0644 root:root nginx.conf
    5f2e...c1  nginx.conf

A line of digest and name is ``sha256sum``'s own; names stand relative to the configuration's folder, and a backslash,
line feed or carriage return in one is written as GNU coreutils does (``\`` before the digest).  All else stands in
lines that begin with ``#``, which ``sha256sum -c`` skips, also with ``--strict``.  Every ``#`` line names its file, so
lines may stand in any order: manifests can be merged, sorted or concatenated.

Names and all other text are latin-1: one character is one byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field, replace
from typing import TypeVar

from ws101.errors import InputError
from ws101.lazy import dataclass, lazy_pattern
from ws101.text import printable

__all__ = [
    "HEADER",
    "Change",
    "Drift",
    "Entry",
    "Manifest",
    "Running",
    "Stale",
    "compare",
    "format_manifest",
    "is_manifest",
    "parse_manifest",
]

HEADER = "# ws101/manifest/1"
"""The line by which a manifest is known."""

_NOTE = "# Check it in the folder of the configuration: sha256sum -c MANIFEST, or anywhere: ws101 drift MANIFEST"
_SUM = lazy_pattern(r"(\\?)([0-9a-f]{64}) [ *](.+)", re.DOTALL)
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}
_PLAIN = {value: key for key, value in _ESCAPES.items()} | {"\\t": "\t", "\\s": " "}
_ESCAPE = lazy_pattern(r"\\(?:.|\Z)", re.DOTALL)
_SPECIAL = lazy_pattern(r"[\\\n\r]")
_WORDS = {"size": 1, "unix": 1, "unfinished": 0, "mode": 2, "link": 1}
"""The lines about a file, and how many words stand before its name."""

_VALUES = {"size": re.compile(r"\d{1,15}"), "unix": re.compile(r"[0-9a-f]{64}"), "mode": re.compile(r"[0-7]{4}")}


@dataclass(frozen=True, slots=True)
class Entry:
    r"""One file that nginx loads.

    Args:
        name: Relative to the configuration's folder, or absolute where nginx names it so and it lies elsewhere.
        digest: SHA-256 of its bytes, in hexadecimal.
        size: How many bytes; None where the manifest does not say.
        unix: SHA-256 with every CR LF as LF; empty if there is no CR LF in it.
        mode: Permission bits; None where the manifest does not say.
        owner: ``user:group``; empty where the manifest does not say.
        target: What the name leads to if a symbolic link is on the way; empty if none is.
        unfinished: Whether it is text that ends without a line end.
        trouble: What looks damaged, as seen while reading, one clause; it is not written down.
    """

    name: str
    digest: str
    size: int | None = None
    unix: str = ""
    mode: int | None = None
    owner: str = ""
    target: str = ""
    unfinished: bool = False
    trouble: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything that was sealed.

    Args:
        main: The main file's name, relative to its folder.
        entries: The files, sorted by name.
        folder: The configuration's folder as nginx knows it; empty where the manifest does not say.
        uncovered: What nginx loads beyond these files, as far as the configuration says so: one line each.
    """

    main: str
    entries: tuple[Entry, ...]
    folder: str = ""
    uncovered: tuple[str, ...] = ()

    @property
    def by_name(self) -> dict[str, Entry]:
        """The entries by name."""
        return {entry.name: entry for entry in self.entries}

    @property
    def content_only(self) -> Manifest:
        """The same without what differs between machines: folder, modes, owners, links."""
        bare = (replace(entry, mode=None, owner="", target="") for entry in self.entries)
        return replace(self, entries=tuple(bare), folder="")


@dataclass(frozen=True, slots=True)
class Change:
    """One difference.

    ``kind`` is one of ``added`` (loaded, and not sealed), ``removed`` (sealed, and not there), ``missing`` (neither
    sealed nor there, but named), ``unloaded`` (there, but nothing includes or names it any more), ``content``,
    ``line-ends`` (only CR LF against LF), ``truncated``, ``mode``, ``owner``, ``link``, ``unreadable`` (whether it
    differs could not be seen).

    Args:
        name: The file, as in the manifest.
        kind: What differs.
        detail: One clause, for people.
        old: The entry as sealed; None if it was not.
        new: The entry as it is; None if there is none.
        by: The directive that has nginx load it, ``file:line``, the file named as in the manifest; empty if unknown.
    """

    name: str
    kind: str
    detail: str
    old: Entry | None = field(default=None, repr=False)
    new: Entry | None = field(default=None, repr=False)
    by: str = ""


@dataclass(frozen=True, slots=True)
class Stale:
    """What was changed on the disk after the running nginx had loaded it.

    Args:
        name: The file or folder, as in a manifest.
        what: What was changed, one clause.
        after: How many seconds after the oldest worker that serves had started.
    """

    name: str
    what: str
    after: float


@dataclass(frozen=True, slots=True)
class Running:
    """The nginx that runs this configuration.

    Args:
        pid: The master's process id.
        program: The program that runs; empty if that is hidden from us.
        version: Its version; empty if unknown.
        replaced: Whether another program lies under that name now.
        started: When the oldest worker that serves started, in seconds since the epoch; None if none does.
        stale: What was changed since.
        refused: Why the last reload was refused, in nginx's words; empty if none was.
        unknown: What could not be seen.
    """

    pid: int
    program: str
    version: str
    replaced: bool
    started: float | None
    stale: tuple[Stale, ...] = ()
    refused: str = ""
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Drift:
    """Everything that was found about a manifest.

    Args:
        old: What was sealed.
        new: What is now.
        changes: What differs.
        running: The nginx that runs this configuration; None if none was looked for, or none does.
        not_running: Why there is no ``running``.
    """

    old: Manifest
    new: Manifest
    changes: tuple[Change, ...]
    running: Running | None = None
    not_running: str = ""

    @property
    def class_(self) -> str:
        """The gravest of ``drift`` (the disk is not what was sealed), ``refused`` (the last reload was), ``stale``
        (nginx has not loaded what is on the disk), ``unchecked`` (something could not be seen), ``clean``.
        """
        if any(change.kind != "unreadable" for change in self.changes):
            return "drift"
        if self.running is not None and self.running.refused:
            return "refused"
        if self.running is not None and self.running.stale:
            return "stale"
        blind = self.running is not None and self.running.started is None
        return "unchecked" if self.changes or blind else "clean"

    @property
    def exit_code(self) -> int:
        """0 clean, 1 drift of any kind, 2 something could not be checked and nothing else was found."""
        return {"clean": 0, "unchecked": 2}.get(self.class_, 1)


def format_manifest(manifest: Manifest) -> str:
    """The manifest as text, sorted by the bytes of the names; the same manifest gives the same text."""
    lines = [HEADER, _NOTE]
    if manifest.folder:
        lines.append(f"# folder {_escaped(manifest.folder)}")
    lines.append(f"# main {_escaped(manifest.main)}")
    lines += (f"# uncovered {_escaped(text)}" for text in sorted(set(manifest.uncovered)))
    for entry in sorted(manifest.entries, key=lambda e: e.name):
        lines += _entry_lines(entry)
    return "\n".join(lines) + "\n"


def _entry_lines(entry: Entry) -> Iterator[str]:
    name = _escaped(entry.name)
    if entry.size is not None:
        yield f"# size {entry.size} {name}"
    if entry.unix:
        yield f"# unix {entry.unix} {name}"
    if entry.unfinished:
        yield f"# unfinished {name}"
    if entry.mode is not None:
        yield f"# mode {entry.mode:04o} {_word(entry.owner)} {name}"
    if entry.target:
        yield f"# link {_word(entry.target)} {name}"
    mark = "\\" if name != entry.name else ""
    yield f"{mark}{entry.digest}  {'./' if entry.name == '-' else ''}{name}"  # a bare - is standard input


def _escaped(text: str) -> str:
    return _SPECIAL.sub(lambda found: _ESCAPES[found[0]], text)


def _word(text: str) -> str:
    """A text without blanks in it."""
    return _escaped(text).replace(" ", "\\s").replace("\t", "\\t")


def _unescaped(text: str) -> str:
    """Undo `_escaped` and `_word`.

    Raises:
        ValueError: If a backslash stands before anything that is not escaped so.
    """
    return text if "\\" not in text else _ESCAPE.sub(_plain, text)


def _plain(found: re.Match[str]) -> str:
    if found[0] not in _PLAIN:
        raise ValueError("a backslash that escapes nothing")
    return _PLAIN[found[0]]


def is_manifest(text: str) -> bool:
    """Whether a text says of itself that it is a manifest."""
    return re.search(rf"^{HEADER}\r?$", text, re.MULTILINE) is not None


def parse_manifest(text: str, *, where: str = "") -> Manifest:
    """Read a manifest, its lines in any order.

    Args:
        text: The file, decoded as latin-1.
        where: Its path, for the error.

    Raises:
        InputError: It is no manifest, a line cannot be read, or two lines contradict each other.
    """
    if not is_manifest(text):
        raise InputError("this is not a manifest", where=where, help="make one with ws101 seal CONF -o MANIFEST")
    reader = _Reader()
    for number, line in enumerate(text.split("\n"), 1):
        try:
            reader.read(line.removesuffix("\r"))
        except ValueError as error:
            shown = printable(line, limit=60)
            place = f"{where}:{number}" if where else f"line {number}"
            raise InputError(f"the manifest cannot be read: {error}: {shown}", where=place) from None
    try:
        return reader.manifest()
    except ValueError as error:
        raise InputError(f"the manifest cannot be read: {error}", where=where) from None


class _Reader:
    """The facts of a manifest's lines, joined by file."""

    def __init__(self) -> None:
        self.digests: dict[str, str] = {}
        self.facts: dict[tuple[str, str], tuple[str, ...]] = {}
        self.heads: dict[str, str] = {}
        self.uncovered: list[str] = []

    def read(self, line: str) -> None:
        """Take one line.

        Raises:
            ValueError: It is no line of a manifest, or contradicts another one.
        """
        if line.startswith("#"):
            word, _, rest = line[2:].partition(" ")
            if word in _WORDS:
                self._fact(word, rest)
            elif word in ("main", "folder"):
                _once(self.heads, word, _unescaped(rest))
            elif word == "uncovered":
                self.uncovered.append(_unescaped(rest))
        elif line:
            self._sum(line)

    def _fact(self, word: str, rest: str) -> None:
        *values, name = rest.split(" ", _WORDS[word])
        if len(values) != _WORDS[word] or not name or (word in _VALUES and not _VALUES[word].fullmatch(values[0])):
            raise ValueError("a line that makes no sense")
        _once(self.facts, (word, _unescaped(name)), tuple(map(_unescaped, values)))

    def _sum(self, line: str) -> None:
        found = _SUM.fullmatch(line)
        if found is None:
            raise ValueError("neither a digest with a name nor a line with #")
        name = _unescaped(found[3]) if found[1] else found[3]
        _once(self.digests, "-" if name == "./-" else name, found[2])

    def manifest(self) -> Manifest:
        """All of it.

        Raises:
            ValueError: The main file is missing from it, or a line is about a file without a digest.
        """
        stray = next((name for _, name in self.facts if name not in self.digests), None)
        if stray is not None:
            raise ValueError(f"there is no digest of {printable(stray)}")
        main = self.heads.get("main", "")
        if main not in self.digests:
            raise ValueError("the main file is not in it")
        entries = tuple(self._entry(name) for name in sorted(self.digests))
        return Manifest(main, entries, self.heads.get("folder", ""), tuple(sorted(set(self.uncovered))))

    def _entry(self, name: str) -> Entry:
        size, (unix,), (target,) = (self.facts.get((word, name), ("",)) for word in ("size", "unix", "link"))
        mode, owner = self.facts.get(("mode", name), ("", ""))
        return Entry(
            name,
            self.digests[name],
            int(size[0]) if size[0] else None,
            unix,
            int(mode, 8) if mode else None,
            owner,
            target,
            ("unfinished", name) in self.facts,
        )


_K = TypeVar("_K")
_V = TypeVar("_V")


def _once(table: dict[_K, _V], key: _K, value: _V) -> None:
    """Remember a fact that may be said twice, but not twice differently.

    Raises:
        ValueError: It was said differently before.
    """
    if table.setdefault(key, value) != value:
        raise ValueError("another line says otherwise")


def compare(
    old: Manifest,
    new: Manifest,
    *,
    present: Iterable[Entry] = (),
    unreadable: Mapping[str, str] | None = None,
    missing: Iterable[str] = (),
) -> tuple[Change, ...]:
    """What differs between what was sealed and what is, sorted by name.

    Args:
        old: What was sealed.
        new: What nginx would load now, or another manifest.
        present: Sealed files that are there but that nginx would not load any more.
        unreadable: Files that nginx would load, or that were sealed, and why they cannot be read.
        missing: Files that nginx would load and that are not there.
    """
    before, after = old.by_name, new.by_name
    left, unseen = {entry.name: entry for entry in present}, dict(unreadable or {})
    found: list[Change] = []
    for name in sorted({*before, *after, *unseen, *missing}):
        one, other = before.get(name), after.get(name)
        if name in unseen:
            found.append(Change(name, "unreadable", unseen[name], one))
        elif one is None and other is None:
            found.append(Change(name, "missing", "it was not sealed, and nginx would look for it in vain"))
        elif one is None:
            found.append(Change(name, "added", "it was not sealed", None, other))
        elif other is not None:
            found += _differences(one, other)
        elif name in left:
            found.append(Change(name, "unloaded", "it is there, but nothing includes or names it any more", one))
            found += _differences(one, left[name])
        else:
            found.append(Change(name, "removed", "it is gone", one))
    return tuple(found)


def _differences(old: Entry, new: Entry) -> Iterator[Change]:
    if old.digest != new.digest:
        yield Change(old.name, *_content(old, new), old, new)
    if None not in (old.mode, new.mode) and old.mode != new.mode:
        yield Change(old.name, "mode", f"{old.mode:04o} became {new.mode:04o}", old, new)
    if old.owner and new.owner and old.owner != new.owner:
        yield Change(old.name, "owner", f"{old.owner} became {new.owner}", old, new)
    if None not in (old.mode, new.mode) and old.target != new.target:
        yield Change(old.name, "link", f"{_led(old)}, and now {_led(new)}", old, new)


def _led(entry: Entry) -> str:
    return f"it leads to {entry.target}" if entry.target else "it is a file itself"


def _content(old: Entry, new: Entry) -> tuple[str, str]:
    """Kind and detail of two digests that differ."""
    if (old.unix or old.digest) == (new.unix or new.digest):
        same = bool(old.unix) == bool(new.unix)
        return "line-ends", "only line ends differ" + ("" if same else f": {_ends(old)} became {_ends(new)}")
    damage = new.trouble or ("it breaks off without a line end" if new.unfinished and not old.unfinished else "")
    tail = f", and {damage}" if damage else ""
    if old.size is None or new.size is None:
        return "content", f"its content differs{tail}"
    if old.size == new.size:
        return "content", f"its content differs, not its size{tail}"
    kind = "truncated" if new.size < old.size and damage else "content"
    return kind, f"its content differs, {old.size} bytes became {new.size}{tail}"


def _ends(entry: Entry) -> str:
    return "CR LF" if entry.unix else "LF"
