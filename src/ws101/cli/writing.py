"""Writing fixed files: all of them, or none."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ws101.cli.inputs import Loaded
from ws101.errors import ApplyError, InputError
from ws101.fix import FixResult
from ws101.host.files import DiskFiles
from ws101.host.writing import Pending, commit, discard, prepare, put_back, refused

__all__ = ["ByteChanges", "byte_changes", "writable", "write_files"]

ByteChanges = Mapping[str, tuple[bytes | None, bytes]]
"""By file name: the bytes before (None: no such file) and afterwards."""


def byte_changes(loaded: Loaded, result: FixResult) -> ByteChanges:
    """The bytes before and afterwards, by file name."""
    sources = loaded.config.sources
    return {
        path: (sources[path].data if path in sources else None, text.encode("latin-1"))
        for path, text in result.texts.items()
    }


def writable(loaded: Loaded, result: FixResult) -> DiskFiles:
    """Where the files can be written.

    Raises:
        InputError: If they came from standard input or a dump, or nginx would refuse the outcome.
    """
    if loaded.disk is None:
        raise InputError(
            "this configuration was not read from files, so nothing can be written",
            where=loaded.subject.given,
            help="apply the printed diff where the files are, or run ws101 there",
        )
    if result.report.problems:
        problem = result.report.problems[0]
        raise InputError(
            f"nginx would refuse the files: {problem.message}",
            where=f"{problem.span.path}:{problem.line}",
            help="mend this first; nothing was written",
        )
    return loaded.disk


def write_files(loaded: Loaded, result: FixResult) -> tuple[str, ...]:
    """Write the fixed files, all or none; the names written.

    Raises:
        InputError: As `writable`.
        ApplyError: If a file was changed meanwhile or can't be written; every file is as it was.
    """
    disk, done = writable(loaded, result), []
    prepared: list[Pending] = []
    main = disk.disk_name(loaded.config.path)
    try:
        for path, (old, new) in byte_changes(loaded, result).items():
            tag = f"ws101-{os.getpid()}-{len(prepared)}"
            prepared.append(prepare(disk.disk_name(path), new, expected=old, tag=tag, like=main))
        for pending in prepared:
            done.append(pending)
            commit(pending)
    except (ApplyError, OSError) as error:
        for pending in reversed(done):
            put_back(pending)
        raise (refused(error, done[-1].path) if isinstance(error, OSError) else error) from error
    finally:
        for pending in prepared:
            discard(pending)
    return tuple(result.texts)
