"""Putting files back: after a failed change, and after one that was interrupted.

Both look at what the files hold.  The old bytes: nothing to do.  The new ones: put back.  Anything else is somebody
else's change and is kept; then the rest is put back only if ``nginx -t`` accepts the mixture.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from ws101.errors import ApplyError, Ws101Error
from ws101.host.files import os_path
from ws101.host.journal import Change, Journal, changes, is_locked, lock, state_folder
from ws101.host.process import LogMark, Reload, reload_command, send_reload, wait_reloaded
from ws101.host.staging import Overlay, Stage
from ws101.host.target import Target
from ws101.host.workers import children
from ws101.host.writing import Fault, Pending, discard, no_fault, put_back
from ws101.lazy import dataclass

__all__ = [
    "Recovered",
    "history",
    "interrupted",
    "left_over",
    "put_all_back",
    "recover",
    "recover_locked",
    "refusal",
    "reload_now",
    "tag_of",
]


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was done about an interrupted change.

    Args:
        id: The change.
        action: ``finished`` (it had been proven), ``put back``, or ``cleaned`` (nothing had been written).
        trouble: What is not as it was; empty if all is well.
    """

    id: str
    action: str
    trouble: str = ""

    def __str__(self) -> str:
        return f"{self.id} {self.action}" + (f": {self.trouble}" if self.trouble else "")


def tag_of(change: str) -> str:
    """The part of every dot name that a change writes beside the files."""
    return f"ws101-{change}"


def interrupted(state: Path | str | None = None) -> tuple[Change, ...]:
    """Changes that were never finished; those of a run that goes on right now are among them."""
    return tuple(journal.change for journal in changes(state_folder(state)) if not journal.closed)


def left_over(state: Path | str | None = None) -> tuple[Change, ...]:
    """Changes that were interrupted and that nobody works on: ``recover`` finishes or takes back each of them."""
    found = interrupted(state)
    return found if found and not is_locked(state_folder(state)) else ()


def history(state: Path | str | None = None) -> tuple[Change, ...]:
    """Every change that touched a file, oldest first."""
    return tuple(journal.change for journal in changes(state_folder(state)))


def recover(
    state: Path | str | None = None, *, wait: float = 10.0, timeout: float = 5.0, fault: Fault = no_fault
) -> tuple[Recovered, ...]:
    """Finish or put back every interrupted change.

    Args:
        state: The state folder.
        wait: Seconds to wait for a run that goes on right now.
        timeout: Seconds that a reload may take.
        fault: Called with each step's name, for tests.

    Raises:
        ApplyError: Another run holds the lock, or the state folder cannot be written.
    """
    folder = state_folder(state)
    with lock(folder, wait=wait):
        return recover_locked(folder, timeout, fault)


def recover_locked(state: Path, timeout: float, fault: Fault = no_fault) -> tuple[Recovered, ...]:
    """As ``recover``, for a caller that holds the lock."""
    return tuple(_recover(journal, timeout, fault) for journal in changes(state) if not journal.closed)


def _recover(journal: Journal, timeout: float, fault: Fault) -> Recovered:
    begin = journal.first("begin")
    pending = tuple(_pending(journal))
    if journal.has("keep"):
        _clean(journal, pending)
        journal.append("applied", reason=journal.first("keep").get("reason", ""))
        return Recovered(journal.id, "finished")
    if not journal.has("write"):
        _clean(journal, pending)
        journal.append("not started")
        journal.forget()
        return Recovered(journal.id, "cleaned")
    target = Target.from_facts(cast("dict[str, object]", begin["target"]))
    journal.append("rolling back", reason="it was interrupted")
    fault("rolling back")
    stage = Stage(target.files, target.main, tag_of(journal.id))
    trouble = put_all_back(pending, _torn(journal, pending), lambda overlay: refusal(target, stage, overlay), journal)
    fault("put back")
    if journal.has("reload") or _restarted(target, begin):
        trouble += reload_now(target, timeout)
    _clean(journal, pending)
    fault("cleaned")
    journal.append("rolled back", reason="it was interrupted", trouble=trouble)
    return Recovered(journal.id, "put back", "; ".join(trouble))


def put_all_back(
    pending: Sequence[Pending],
    torn: frozenset[int],
    refused: Callable[[Overlay], str],
    journal: Journal | None = None,
) -> list[str]:
    """Put back every file, the last one written first.

    Args:
        pending: The files in the order of writing.
        torn: Which of them may be half written.
        refused: What nginx says of the files with some bytes replaced; empty if it accepts them.
        journal: Keeps what a half-written file held.

    Returns:
        What could not be put back, in words; empty if everything was.
    """
    trouble = []
    theirs = {number for number, file in enumerate(pending) if number not in torn and not _ours(file)}
    if theirs:
        names = ", ".join(pending[number].path for number in sorted(theirs))
        trouble.append(f"{names}: changed by someone else since, and left as it is")
        said = refused({file.path: file.old for number, file in enumerate(pending) if number not in theirs})
        if said:
            return [*trouble, f"nothing was put back, because nginx would refuse the mixture: {said}"]
    left = [number for number in reversed(range(len(pending))) if number not in theirs]
    while left:
        number, *left = left
        file = pending[number]
        try:
            if number in torn and journal is not None and not _ours(file):
                journal.keep(f"{number}.found", file.now)
            put_back(file, torn=number in torn)
        except Ws101Error as error:
            trouble.append(f"{file.path}: {error.message}")
            said = refused({pending[n].path: pending[n].old for n in left}) if left else ""
            if said:
                return [*trouble, f"the other files were left new, because nginx would refuse the mixture: {said}"]
    return trouble


def reload_now(target: Target, timeout: float, log: LogMark | None = None) -> list[str]:
    """Let nginx load what the files hold now; returns what went wrong, in words."""
    master = target.master
    command = target.reload_command or (reload_command(master) if master is not None else ())
    if master is None and not command:
        return []
    try:
        old = children(master.pid) if master is not None else ()
        send_reload(master, command)
        seen = wait_reloaded(master.pid, old, log=log, timeout=timeout) if master is not None else Reload(True, "", 0.0)
    except Ws101Error as error:
        return [f"nginx was not reloaded: {error.message}"]
    return [] if seen.done else [f"nginx did not load the old files: {seen.reason}"]


def refusal(target: Target, stage: Stage, overlay: Overlay) -> str:
    """What nginx says of the files with these bytes in their place; empty if it accepts them."""
    try:
        if not target.tests_staged:
            return "its test command can only test what is on the disk"
        return stage.original(target.accepts(stage.write(overlay)))
    except ApplyError as error:
        return error.message
    finally:
        stage.remove()


def _ours(file: Pending) -> bool:
    """Whether a file holds the old or the new bytes."""
    try:
        return file.now in {file.old, file.new}
    except ApplyError:
        return False


def _pending(journal: Journal) -> list[Pending]:
    """The files of a journal, with the bytes it kept."""
    return [
        Pending(
            record.path,
            record.real,
            record.sibling,
            journal.kept(f"{number}.old"),
            journal.kept(f"{number}.new"),
            record.in_place,
            record.rights,
        )
        for number, record in enumerate(journal.files)
    ]


def _torn(journal: Journal, pending: Sequence[Pending]) -> frozenset[int]:
    """The files that were being written in place when everything ended."""
    begun = {entry.get("file") for entry in journal.entries if entry.get("step") == "write"}
    ended = {entry.get("file") for entry in journal.entries if entry.get("step") == "written"}
    if sum(entry.get("step") == "rolling back" for entry in journal.entries) > 1:
        ended = set()
    return frozenset(n for n, file in enumerate(pending) if file.in_place and n in begun - ended)


def _restarted(target: Target, begin: dict[str, object]) -> bool:
    """Whether the master that runs is younger than the change, so that it may have loaded any of it."""
    return target.master is not None and target.master.started > cast("float", begin["at"])


def _clean(journal: Journal, pending: Sequence[Pending]) -> None:
    """Remove every dot name that the change wrote."""
    for file in pending:
        discard(file)
    mark = f".{tag_of(journal.id)}-"
    for folder in cast("list[str]", journal.first("begin").get("folders", [])):
        with contextlib.suppress(OSError):
            for path in Path(os.fsdecode(os_path(folder))).iterdir():
                if path.name.startswith(".") and mark in path.name:
                    path.unlink()
