"""Changing the configuration of a running nginx so that it cannot be hurt: ``Transaction`` and ``undo``.

The order of things::

    lock, snapshot of all that nginx loads, stage, test the whole, find an order of writing,
    before(), write file by file, reload, watch the workers, after(), keep - or put back, reload, after_rollback()

Files cannot be swapped all at once, so they are written in an order in which nginx could start at every moment: the
map before its users.  Each step is in the journal before it is taken, and what has to be done after an interruption is
found by looking at the files, not by trusting memory; so putting back, recovering and a second recovery are the same.

What the change means is not known here: whether it goes ahead, and whether it is kept, is decided by the ``Proof``.
"""

from __future__ import annotations

import contextlib
import posixpath
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import cast

from ws101.errors import ApplyError, Ws101Error
from ws101.host.journal import FileRecord, Journal, changes, digest, lock, new_id, prune, state_folder
from ws101.host.links import Content, Link, link_at, names_link
from ws101.host.outcome import NO_PROOF, Applied, NotStarted, Outcome, Proof, RolledBack, Step, Verdict
from ws101.host.process import LogMark, Reload, may_signal, reload_command, send_reload, serving, wait_reloaded
from ws101.host.proof import OnMeasured
from ws101.host.recovery import put_all_back, recover_locked, refusal, reload_now, tag_of
from ws101.host.staging import Overlay, Stage, loaded_files
from ws101.host.target import Target
from ws101.host.undoing import MEASURED, proof_of_undo
from ws101.host.workers import children
from ws101.host.writing import Fault, Pending, Rights, commit, discard, no_fault, prepare
from ws101.probes.handshake import ORDINARY, HandshakeOptions

__all__ = ["Changes", "Interrupted", "Transaction", "find_order", "undo"]

Changes = Mapping[str, tuple[Content, Content]]
"""By file name, as nginx knows it: what is there before (None: no such file) and afterwards (None: to be removed)."""

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

MAX_TESTS = 200
"""How many runs of ``nginx -t`` the search for an order may take."""


class Interrupted(KeyboardInterrupt):
    """A signal asked us to end; what was written is put back first."""


class Transaction:
    """One change of one nginx's configuration.

    Args:
        target: The nginx.
        edits: By file name, as nginx knows it: what is there before and afterwards (see ``Changes``).
        proof: Who decides.
        state: The state folder (see ``state_folder``).
        title: What the change is, for the history.
        loaded: SHA-256 of every file nginx loads, by name, as the caller has read them; a difference is refused.
        wait: Seconds to wait for another run.
        timeout: Seconds that a reload may take.
        accept_gap: Whether to go on where no order of writing keeps nginx able to start at every moment.
        undoes: The id of the change that this one takes back.
        rights: Mode, user and group, by name, of files that are made because they were there before.
        fault: Called with each step's name, for tests.
    """

    def __init__(
        self,
        target: Target,
        edits: Changes,
        proof: Proof = NO_PROOF,
        *,
        state: Path | str | None = None,
        title: str = "",
        loaded: Mapping[str, str] | None = None,
        wait: float = 10.0,
        timeout: float = 5.0,
        accept_gap: bool = False,
        undoes: str = "",
        rights: Mapping[str, Rights] | None = None,
        fault: Fault = no_fault,
    ) -> None:
        self.target = target
        self.edits = {name: edit for name, edit in edits.items() if edit[0] != edit[1]}
        self.proof = proof
        self.state = state_folder(state)
        self.title = title
        self.loaded = dict(loaded or {})
        self.wait = wait
        self.timeout = timeout
        self.accept_gap = accept_gap
        self.undoes = undoes
        self.rights = dict(rights or {})
        self.fault = fault
        self.id = new_id()
        self._files = target.files
        self._steps: list[Step] = []
        self._stage = Stage(self._files, target.main, tag_of(self.id))
        self._journal: Journal | None = None
        self._snapshot: dict[str, str | None] = {}
        self._old_refused = ""
        self._pending: list[Pending] = []
        self._torn: frozenset[int] = frozenset()
        self._writing = False
        self._may_run_new = False
        self._shielded = False

    def run(self) -> Outcome:
        """Make the change, or leave everything as it is.

        Returns:
            What became of it.  Whatever went wrong is in there; only a signal's end is raised, and only before writing.
        """
        folder = posixpath.dirname(self._files.disk_name(self.target.main))
        try:
            with lock(self.state, folder, wait=self.wait), self._signals():
                for done in recover_locked(self.state, self.timeout):
                    self._steps.append(Step("recover", time.time(), 0.0, str(done)))
                prune(self.state, spare=self.undoes)
                return self._locked()
        except Ws101Error as error:
            return NotStarted((*self._steps,), error.message, error.where, error.help)

    def _locked(self) -> Outcome:
        self._journal = Journal.create(self.state, self.id)
        try:
            self._get_ready()
            self._writing = True
            return self._keep(self._make())
        except BaseException as error:  # whatever it is, the files come first
            if self._writing:
                return self._roll_back(_said(error))
            self._leave()
            if isinstance(error, Ws101Error):
                return NotStarted((*self._steps,), error.message, error.where, error.help)
            raise

    def _get_ready(self) -> None:
        """Everything that can fail without anybody noticing."""
        folders = sorted(
            {posixpath.dirname(name) for name in (*loaded_files(self._files, self.target.main), *self.edits)}
        )
        disk = [self._files.disk_name(folder) for folder in folders]
        with self._step("begin", title=self.title, undoes=self.undoes, target=self.target.facts, folders=disk):
            self._check_rights()
        with self._step("snapshot") as notes:
            self._take_snapshot()
            notes.append(f"{len(self._snapshot)} files")
        names = [*self.edits]
        if self.target.tests_staged:
            with self._step("test") as notes:
                notes.extend(self._test_whole())
            with self._step("order") as notes:
                names = self._order(names)
                notes.append(", ".join(names))
        with self._step("prepare"):
            self._prepare(names)
        with self._step("before") as notes:
            verdict = self.proof.before()
            notes.append(_go(verdict))
            self._note(MEASURED, routes=verdict.seen)
        with self._step("verify"):
            self._verify()

    def _check_rights(self) -> None:
        master = self.target.master
        if not self.edits:
            raise ApplyError("there is nothing to change")
        if master is not None and not self._reload_command() and not may_signal(master):
            raise ApplyError(f"no permission to reload the nginx master {master.pid}", help="run it with sudo")

    def _reload_command(self) -> tuple[str, ...]:
        master = self.target.master
        return self.target.reload_command or (reload_command(master) if master is not None else ())

    def _take_snapshot(self) -> None:
        self._snapshot = self._digests()
        for name, wanted in self.loaded.items():
            if self._snapshot.get(name) != wanted:
                raise _changed(name)
        for name, (old, new) in self.edits.items():
            found = self._read_link(name) if names_link(old, new) else None
            if (found or self._read(name)) != old:
                raise self._edited_since(name) if self.undoes else _changed(name)

    def _edited_since(self, name: str) -> ApplyError:
        kept = self.state / "changes" / self.undoes
        return ApplyError(
            "it was changed by someone else since that change, and taking the change back would lose that",
            where=name,
            help=f"nothing was written; the bytes before the change lie in {kept}, to be merged by hand",
        )

    def _digests(self) -> dict[str, str | None]:
        return {name: digest(self._read(name)) for name in loaded_files(self._files, self.target.main)}

    def _read(self, name: str) -> bytes | None:
        try:
            return self._files.read(name)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ApplyError(f"cannot read it: {error.strerror}", where=name) from error

    def _read_link(self, name: str) -> Link | None:
        try:
            return link_at(self._files.disk_name(name))
        except OSError as error:
            raise ApplyError(f"cannot look at it: {error.strerror}", where=name) from error

    def _verify(self) -> None:
        """Nothing that nginx loads may have changed since the snapshot."""
        now = self._digests()
        for name in sorted({*now, *self._snapshot}):
            if now.get(name) != self._snapshot.get(name):
                raise _changed(name)

    def _test_whole(self) -> list[str]:
        self._accept(self._refusal({name: new for name, (_, new) in self.edits.items()}))
        self._old_refused = self._refusal({})
        return [f"the files as they are now are refused: {self._old_refused}"] if self._old_refused else []

    def _accept(self, refused: str) -> None:
        if refused:
            raise ApplyError(f"nginx refuses the changed configuration: {refused}", where=self.target.main)

    def _refusal(self, overlay: Overlay) -> str:
        """What nginx says of the files with these changes; empty if it accepts them."""
        return refusal(self.target, self._stage, overlay)

    def _order(self, names: list[str]) -> list[str]:
        def accepts(done: frozenset[int]) -> bool:
            return not self._refusal({names[i]: self.edits[names[i]][1] for i in done})

        found = find_order(len(names), accepts)
        if found is None and not self._old_refused and not self.accept_gap:
            raise ApplyError(
                "the files cannot be written one after the other without a moment in which nginx could not start",
                where=", ".join(names),
                help="make the change in two steps, or allow that moment with --accept-gap",
            )
        return [names[i] for i in found] if found is not None else names

    def _prepare(self, names: list[str]) -> None:
        """Write all new bytes beside the files and all old ones into the state folder: then no space is needed."""
        assert self._journal is not None
        main = self._files.disk_name(self.target.main)
        for number, name in enumerate(names):
            old, new = self.edits[name]
            tag = f"{tag_of(self.id)}-{number}"
            disk = self._files.disk_name(name)
            rights = self.rights.get(name)
            ready = prepare(disk, new, expected=old, tag=tag, like=main, rights=rights, fault=self.fault)
            self._pending.append(replace(ready, path=name))
            self._journal.keep(f"{number}.old", old)
            self._journal.keep(f"{number}.new", new)
        if len({pending.real for pending in self._pending}) < len(self._pending):
            raise ApplyError("two of the names are the same file", where=", ".join(names))
        records = [
            asdict(FileRecord(name, p.real, p.sibling, digest(p.old), digest(p.new), p.in_place, p.rights))
            for name, p in zip(names, self._pending, strict=True)
        ]
        self._journal.append("prepared", files=records)

    def _make(self) -> Verdict:
        """Write, reload and prove; returns why the change is kept."""
        for number, pending in enumerate(self._pending):
            self._torn = frozenset({number} if pending.in_place else ())
            with self._step("write", file=number) as notes:
                notes.append(pending.path + (f" in place, because {pending.in_place}" if pending.in_place else ""))
                commit(pending, self.fault)
            self._note("written", file=number)
            self._torn = frozenset()
        if not self.target.tests_staged:
            with self._step("test"):
                self._accept(self.target.accepts(self.target.main))
        if self.target.master is None and not self.target.reload_command:
            return Verdict(True, "no nginx is running: written and accepted by nginx -t, not proven", measured=False)
        log = self._mark()
        with self._step("reload") as notes:
            self._may_run_new = True
            notes.append(self._reload(log))
        with self._step("after") as notes:
            verdict = self.proof.after()
            notes.append(verdict.reason)
            self._watch(log)
        if not verdict.ok:
            raise ApplyError(verdict.reason)
        return verdict

    def _mark(self) -> LogMark | None:
        path = self.target.log_path
        return LogMark.at_end(path) if path is not None else None

    def _reload(self, log: LogMark | None) -> str:
        """Reload and watch it happen; returns what was seen."""
        master = self.target.master
        old = children(master.pid) if master is not None else ()
        how = send_reload(master, self._reload_command())
        if master is None:
            return f"{how}; not watched, because the master is not known"
        seen = wait_reloaded(master.pid, old, log=log, timeout=self.timeout)
        if not seen.done:
            self._may_run_new = not seen.refused
            raise ApplyError(f"nginx did not load it: {seen.reason}")
        return f"{how}; {_shown(seen)}"

    def _watch(self, log: LogMark | None) -> None:
        """Refuse a configuration whose workers die."""
        master = self.target.master
        if log is None or master is None:
            return
        deaths = [line for line in log.lines("alert", (master.pid,)) if "exited on signal" in line or "fatal" in line]
        said = [*log.lines("emerg", (master.pid, *serving(master.pid))), *deaths]
        if said:
            raise ApplyError(f"the error log says: {said[0]}")

    def _keep(self, verdict: Verdict) -> Applied:
        self._shielded, reason = True, verdict.reason
        self._note("keep", reason=reason)
        self.fault("keep")
        self._close("applied", reason=reason)
        proven = self._may_run_new and verdict.measured and not verdict.shortfall
        return Applied(self.id, (*self._steps,), reason, proven, verdict.shortfall)

    def _roll_back(self, reason: str) -> RolledBack:
        self._shielded = True
        self._note("rolling back", reason=reason)
        with self._step("put back") as notes:
            trouble = put_all_back(self._pending, self._torn, self._refusal, self._journal)
            notes.extend(trouble)
        if self._may_run_new:
            with self._step("reload back") as notes:
                trouble += self._reload_old()
        with self._step("after rollback") as notes:
            verdict = _asked(self.proof.after_rollback)
            notes.append(verdict.reason)
            trouble += [] if verdict.ok else [verdict.reason]
        self._close("rolled back", reason=reason, trouble=trouble)
        return RolledBack(self.id, (*self._steps,), reason, not trouble, "; ".join(trouble))

    def _close(self, how: str, **facts: object) -> None:
        """Remove the other versions beside the files, then end the journal."""
        for pending in self._pending:
            discard(pending)
            self.fault("discarded")
        self._note(how, **facts)
        self.fault(how)

    def _reload_old(self) -> list[str]:
        if self._old_refused:
            return [f"nginx runs the new configuration on, because it refuses the old files: {self._old_refused}"]
        return reload_now(self.target, self.timeout, self._mark())

    def _leave(self) -> None:
        """Remove what was got ready."""
        for pending in self._pending:
            discard(pending)
        self._stage.remove()
        self._note("not started")
        if self._journal is not None:
            self._journal.forget()

    @contextlib.contextmanager
    def _step(self, name: str, **facts: object) -> Iterator[list[str]]:
        """A step: in the journal first, then taken, then in the report with the notes that it made."""
        at, begin, notes = time.time(), time.monotonic(), list[str]()
        try:
            self._note(name, **facts)
            self.fault(name)
            yield notes
            self.fault(f"{name} done")
        except BaseException as error:
            notes.append(_said(error))
            raise
        finally:
            self._steps.append(Step(name, at, time.monotonic() - begin, "; ".join(filter(None, notes))))

    def _note(self, step: str, **facts: object) -> None:
        """Write into the journal; once files are being put back, a full disk must not stop that."""
        if self._journal is not None:
            with contextlib.suppress(*((ApplyError,) if self._shielded else ())):
                self._journal.append(step, **facts)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """A signal that ends programs ends this one in good order: what was written is put back first."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._on_signal) for number in _ENDING}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler or signal.SIG_DFL)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if not self._shielded:
            raise Interrupted(signal.Signals(number).name)


def undo(
    state: Path | str | None = None,
    change: str = "",
    *,
    proof: Proof | None = None,
    options: HandshakeOptions = ORDINARY,
    on_measured: OnMeasured | None = None,
    wait: float = 10.0,
    timeout: float = 5.0,
    fault: Fault = no_fault,
) -> Outcome:
    """Take back an applied change, as a transaction of its own.

    Args:
        state: The state folder.
        change: The change's id; by default the last one that stands.
        proof: Who decides whether that is kept; by default every route is compared with what it answered before.
        options: How the handshakes of the routes that the change was about are made.
        on_measured: Called with a word for the phase, the route and what was measured.
        wait: Seconds to wait for another run.
        timeout: Seconds that a reload may take.
        fault: Called with each step's name, for tests.
    """
    folder = state_folder(state)
    standing = [j for j in changes(folder) if j.change.state == "applied" and not j.change.undoes]
    journal = next((j for j in reversed(standing) if change in ("", j.id)), None)
    if journal is None:
        what = f"no applied change {change}" if change else "no applied change"
        return NotStarted((), f"there is {what} to take back", str(folder))
    kept = [(record.path, journal.kept(f"{n}.new"), journal.kept(f"{n}.old")) for n, record in enumerate(journal.files)]
    if [(digest(new), digest(old)) for _, new, old in kept] != [(file.new, file.old) for file in journal.files]:
        return NotStarted((), "the bytes that were kept are not those that were written down", str(journal.folder))
    target = Target.from_facts(cast("dict[str, object]", journal.first("begin")["target"]))
    outcome = Transaction(
        target,
        {path: (new, old) for path, new, old in kept},
        proof or proof_of_undo(journal, options, on_measured),
        state=folder,
        title=f"undo {journal.id}",
        undoes=journal.id,
        rights={record.path: record.rights for record in journal.files if record.rights is not None},
        wait=wait,
        timeout=timeout,
        fault=fault,
    ).run()
    if isinstance(outcome, Applied):
        journal.append("undone", by=outcome.id)
    return outcome


def find_order(count: int, accepts: Callable[[frozenset[int]], bool], limit: int = MAX_TESTS) -> tuple[int, ...] | None:
    """An order of ``count`` writes in which every set of those done so far is accepted.

    Args:
        count: How many; none done and all done are taken as accepted.
        accepts: Whether nginx could start with these done and the others not.
        limit: How often it may be asked.

    Returns:
        The order; None if there is none, or none was found within the limit.
    """
    known = {frozenset[int](): True, frozenset(range(count)): True}
    path: list[int] = []
    dead: set[frozenset[int]] = set()
    while len(path) < count:
        done = frozenset(path)
        step = next((i for i in range(count) if i not in done and done | {i} not in dead), None)
        if step is None:
            dead.add(done)
            if not path:
                return None
            path.pop()
            continue
        then = done | {step}
        if then not in known:
            if len(known) - 2 >= limit:
                return None
            known[then] = accepts(then)
        if known[then]:
            path.append(step)
        else:
            dead.add(then)
    return tuple(path)


def _go(verdict: Verdict) -> str:
    if not verdict.ok:
        raise ApplyError(verdict.reason)
    return verdict.reason


def _asked(question: Callable[[], Verdict]) -> Verdict:
    """The answer of a proof that may break: the files come first."""
    try:
        return question()
    except Exception as error:  # whatever it is, it is reported
        return Verdict(False, f"the old behaviour could not be measured: {_said(error)}")


def _said(error: BaseException) -> str:
    if isinstance(error, Ws101Error):
        return error.message
    if isinstance(error, Interrupted):
        return f"interrupted by {error}"
    return f"{type(error).__name__}: {error}"


def _changed(name: str) -> ApplyError:
    help_line = "nothing was written; run the command again to see the file as it is now"
    return ApplyError("it was changed by someone else meanwhile", where=name, help=help_line)


def _shown(seen: Reload) -> str:
    left = f", {len(seen.leaving)} old ones keep their connections" if seen.leaving else ""
    return f"{len(seen.new)} new workers after {seen.seconds * 1000:.0f} ms{left}"
