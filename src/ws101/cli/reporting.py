"""``--html FILE``: the diagnosis as a page in a file."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ws101 import __version__
from ws101.errors import InputError, UsageError
from ws101.host.files import name_of, read_regular
from ws101.host.history import scan, within
from ws101.host.logs import choose
from ws101.host.writing import write_atomic
from ws101.logs import Tally
from ws101.report.html.diagnose import MARKER, Cover
from ws101.report.html.diagnose import diagnose as as_page
from ws101.report.html.measured import Logbook
from ws101.text import printable

if TYPE_CHECKING:
    from ws101.diagnose import Diagnosis
    from ws101.host.doctor import Case
    from ws101.report.subject import Subject

__all__ = ["check_target", "write_page"]

_MOST = 1 << 30
"""How many bytes of logs are read, those that are compressed counted tenfold."""


_ANOTHER = "name another file with --html"


def check_target(path: str) -> bytes | None:
    """What is in the file now, None if it is not there; so that nobody waits for a page that cannot be written.

    Raises:
        UsageError: It is something else than a page of ours.
        InputError: It is a folder, or cannot be read or written.
    """
    shown, folder = printable(name_of(path)), Path(path).absolute().parent
    if not path or os.path.isdir(path):  # noqa: PTH112 - a name that is too long is no folder
        raise InputError("the report cannot be written: this is a folder", where=shown or "--html ''", help=_ANOTHER)
    if not os.path.isdir(folder):  # noqa: PTH112
        raise InputError("the report cannot be written: there is no such folder",
                         where=printable(name_of(str(folder))), help="make the folder first")  # fmt: skip
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError("the report cannot be written: the folder is not yours to write to",
                         where=printable(name_of(str(folder))), help="name a file in another folder")  # fmt: skip
    try:
        old = read_regular(name_of(str(Path(path).absolute())))
    except FileNotFoundError:
        return None
    except OSError as error:
        why = error.strerror or str(error)
        raise InputError(f"the report cannot be written: {why}", where=shown, help=_ANOTHER) from error
    if old and MARKER.encode() not in old[:2000]:
        raise UsageError("the file that is to be written is there, and is no report of ws101", where=shown,
                         help=_ANOTHER)  # fmt: skip
    return old


def write_page(
    path: str, found: Diagnosis, subject: Subject | None, case: Case, *, apply_command: str = "", pasted: str = ""
) -> None:
    """Write the page whole, or not at all.

    Args:
        path: The file.
        found: The diagnosis.
        subject: The configuration; None without one.
        case: What was diagnosed.
        apply_command: The command that applies the fixes; empty for none.
        pasted: The browser's line.

    Raises:
        UsageError, InputError: As `check_target`.
        ApplyError: It cannot be written; what was there is as it was.
    """
    made = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z").strip()
    cover = Cover(made, __version__, apply_command, pasted, _read_logs(case))
    text = as_page(found, subject, cover).encode("utf-8")
    write_atomic(name_of(str(Path(path).absolute())), text, expected=check_target(path))


def _read_logs(case: Case) -> Logbook | None:
    """What the access logs of the location that answered tell of tunnels at this path; None if there are none."""
    logs = case.logs.access if case.logs is not None else ()
    if not logs:
        return None
    tally, paths, problems = Tally(case.endpoint.target), list[str](), list[str]()
    for log in choose([logs]).logs:
        files, left_out = within(log.path, _MOST)
        if left_out:
            problems.append(f"{left_out} older logs of {log.path} were left out: together they are too large")
        for file in files:
            try:
                seen = scan(file, tally, form=log.form, other_forms=log.other_forms)
            except InputError as error:
                problems.append(f"{file}: {error.message}")
                continue
            paths.append(file)
            problems += [f"{file}: {seen.problem}"] if seen.problem else []
    return Logbook(tally, tuple(paths), tuple(problems), case.endpoint.target.partition("?")[0])
