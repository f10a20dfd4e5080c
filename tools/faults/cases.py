"""Everything but kill -9 that can go wrong with a change, one function each: inject it, then look at what is there.

A case yields how each change ended, and fails with an ``AssertionError`` if anything was lost: a byte that somebody
wrote, the old behaviour without the new one being proven, a configuration that nginx starts with, or a word about it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tools.faults.site import Measured, Site, Told, ending, restore, running, whole
from ws101.host.journal import lock
from ws101.host.outcome import Applied, NotStarted, Outcome, RolledBack
from ws101.host.process import master_of
from ws101.host.recovery import recover
from ws101.host.workers import workers
from ws101.lab.nginx import until

__all__ = ["CASES", "Case", "why_not"]

WRITTEN_STEPS = ("write", "swapped", "write done", "reload", "reload done", "after", "after done")


@dataclass(frozen=True)
class Case:
    """A fault.

    Args:
        name: What goes wrong.
        run: Injects it into changes of a site and checks what is there afterwards; how each change ended.
        needs: ``tmpfs``, ``mount`` or ``chattr``: what root on Linux can do and others cannot.
    """

    name: str
    run: Callable[[Site], Iterator[str]]
    needs: str = ""


def why_not(case: Case, folder: Path) -> str:
    """Why a case cannot be run here; empty if it can."""
    if not case.needs:
        return ""
    if os.geteuid() != 0:
        return f"needs root: {case.needs}"
    probe = folder / "probe"
    probe.mkdir(exist_ok=True)
    try:
        with _PROBES[case.needs](probe):
            return ""
    except (OSError, subprocess.CalledProcessError) as error:
        return f"no {case.needs} here: {error}"


def _at(step: str, action: Callable[[], object]) -> Callable[[str], None]:
    """A fault that does something the first time a step is reached."""
    done: list[str] = []

    def fault(reached: str) -> None:
        if reached == step and not done:
            done.append(step)
            action()

    return fault


def _same(site: Site, before: dict[str, bytes], outcome: Outcome, *kinds: type) -> str:
    """Nothing has changed, or everything was put back."""
    assert isinstance(outcome, kinds), outcome
    if isinstance(outcome, RolledBack):
        assert outcome.restored, outcome
    assert whole(site, before) == "old"
    return ending(outcome)


def nginx_t_refuses(site: Site) -> Iterator[str]:
    before = site.contents()
    for wrong in ("return 200 $nowhere", "no_such_directive", "return 200 'open", "proxy_pass nonsense://x"):
        yield _same(site, before, site.run(site.change("sites/site.conf", "return 200 old", wrong)), NotStarted)


def nginx_t_cannot_run(site: Site) -> Iterator[str]:
    before = site.contents()
    for command in (("/nonexistent/nginx", "{conf}"), ("false", "{conf}")):
        outcome = site.run(site.good, target=replace(site.target, test_command=command))
        yield _same(site, before, outcome, NotStarted)


def reload_refused(site: Site) -> Iterator[str]:
    """Somebody else breaks another file after the test: nginx refuses the reload and serves on."""
    theirs = site.nginx.dir / "conf.d" / "zz.conf"
    before = site.contents()
    for step in ("write", "write done", "reload"):
        outcome = site.run(site.good, fault=_at(step, lambda: theirs.write_bytes(b"broken by somebody;\n")))
        assert isinstance(outcome, RolledBack), outcome
        assert theirs.read_bytes() == b"broken by somebody;\n"
        assert site.answer() == "old"
        theirs.unlink()
        assert whole(site, before) == "old"
        yield ending(outcome)


def reload_command_fails(site: Site) -> Iterator[str]:
    before = site.contents()
    for command in (("false",), ("/nonexistent/reload",)):
        outcome = site.run(site.good, target=replace(site.target, reload_command=command))
        assert isinstance(outcome, RolledBack), outcome
        assert whole(site, before) == "old"
        yield ending(outcome)


def port_taken(site: Site) -> Iterator[str]:
    before = site.contents()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"listen 127.0.0.1:{taken.getsockname()[1]};\n    location"
        outcome = site.run(site.change("sites/site.conf", "location", listen))
    yield _same(site, before, outcome, RolledBack)


def workers_die(site: Site) -> Iterator[str]:
    """The log's words for it, and workers that really die."""
    before = site.contents()

    def killed() -> None:
        victim = workers(site.nginx.pid)[-1].pid
        os.kill(victim, signal.SIGSEGV)
        until(lambda: f"{victim} exited on signal" in site.nginx.error_log(), "death in the log")
        until(lambda: any(not w.leaving and w.pid != victim for w in workers(site.nginx.pid)), "new worker")

    for _ in range(3):
        yield _same(site, before, site.run(site.good, fault=_at("after", killed)), RolledBack)


def handshake_still_fails(site: Site) -> Iterator[str]:
    before = site.contents()
    for proof in (Measured(site, wanted="better"), Told(keep=False), Measured(site, then=lambda: 1 / 0)):
        yield _same(site, before, site.run(site.good, proof), RolledBack)


def proof_says_no_beforehand(site: Site) -> Iterator[str]:
    before = site.contents()
    yield _same(site, before, site.run(site.good, Told(go=False)), NotStarted)


def signals(site: Site) -> Iterator[str]:
    before = site.contents()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        for step in WRITTEN_STEPS[:: site.every]:
            outcome = site.run(site.good, fault=_at(step, lambda: os.kill(os.getpid(), number)))  # noqa: B023
            yield _same(site, before, outcome, RolledBack)


def file_vanishes(site: Site) -> Iterator[str]:
    """The file itself, before it is written, and after: then somebody has removed it on purpose, and it stays away."""
    before, victim = site.contents(), Path(site.path("sites/site.conf"))
    for step in ("begin", "test", "prepare", "before"):
        outcome = site.run(site.good, Told(), fault=_at(step, victim.unlink))
        assert isinstance(outcome, NotStarted), outcome
        restore(site, before)
        yield _same(site, before, outcome, NotStarted)
    for step in ("write", "write done", "reload", "after"):
        outcome = site.run(site.good, Told(keep=False), fault=_at(step, lambda: victim.unlink(missing_ok=True)))
        assert isinstance(outcome, RolledBack), outcome
        assert site.nginx.test()[0]
        kept = {name: data for name, data in site.contents().items() if name != "sites/site.conf"}
        assert kept.items() >= {n: d for n, d in before.items() if n != "sites/site.conf"}.items()
        assert outcome.restored or "someone else" in outcome.trouble, outcome
        restore(site, before)
        assert whole(site, before) == "old"
        yield ending(outcome)


def folder_vanishes(site: Site) -> Iterator[str]:
    before, folder = site.contents(), site.nginx.dir / "conf.d"
    for step in ("prepare", "write", "reload"):
        away = folder.with_name("away")
        outcome = site.run(site.good, Told(keep=False), fault=_at(step, lambda: folder.rename(away)))  # noqa: B023
        assert not isinstance(outcome, Applied), outcome
        assert site.answer() in {"old", "new"}
        if isinstance(outcome, RolledBack):
            assert outcome.restored or outcome.trouble
        away.rename(folder)
        for left in folder.glob(".*ws101*"):
            left.unlink()
        restore(site, before)
        assert whole(site, before) == "old"
        yield ending(outcome)


def concurrent_edit_before(site: Site) -> Iterator[str]:
    before = site.contents()
    for name in ("sites/site.conf", "conf.d/log.conf", "nginx.conf", "conf.d/zz.conf"):
        for step in ("staged", "snapshot done", "test done", "prepare done", "before")[:: site.every]:
            theirs = before.get(name, b"") + b"# somebody else\n"
            outcome = site.run(site.good, Told(), fault=_at(step, lambda: site.nginx.rewrite(name, theirs)))  # noqa: B023
            assert isinstance(outcome, NotStarted), (name, step, outcome)
            assert site.read(name) == theirs
            assert not [left for left in site.contents() if "ws101" in left]
            restore(site, before)
            yield _same(site, before, outcome, NotStarted)


def concurrent_edit_while_writing(site: Site) -> Iterator[str]:
    """An edit between the last look and the swap of names, and after it: kept, and said."""
    before = site.contents()
    for name in ("sites/site.conf", "conf.d/map.conf"):
        for step in ("swapped", "write", "write done", "reload", "after")[:: site.every]:
            theirs = before.get(name, b"map $uri $answer { default new; }\n") + b"# somebody else\n"
            replaced = _at(step, lambda: site.nginx.rewrite(name, theirs))  # noqa: B023
            outcome = site.run(site.good, Told(keep=False), fault=replaced)
            assert not isinstance(outcome, Applied), (name, step, outcome)
            assert site.read(name) == theirs, (name, step, outcome)
            assert isinstance(outcome, NotStarted) or outcome.trouble or outcome.restored
            assert site.answer() in {"old", "new"}
            restore(site, before)
            assert whole(site, before) == "old"
            yield ending(outcome)


def links_change_meanwhile(site: Site) -> Iterator[str]:
    """Somebody retargets, removes or replaces one of the symlinks, before it is written and after: kept, and said."""
    with running(site.nginx.binary, site.state.with_name("links"), by_links=True) as other:
        before, state = other.contents(), other.state
        for step in ("snapshot done", "prepare done", "before", "swapped", "write done", "reload", "after"):
            for number, theirs in enumerate((_retargeted, _removed, _replaced)):
                if number % other.every:
                    continue
                yield _with_other_link(replace(other, state=state.with_name(f"{step}-{number}")), before, step, theirs)


def _with_other_link(site: Site, before: dict[str, bytes], step: str, theirs: Callable[[Path], object]) -> str:
    name = "enabled/c.conf"
    seen: list[bytes | None] = []

    def strike() -> None:
        theirs(site.nginx.dir / name)
        seen.append(site.contents().get(name))

    outcome = site.run(site.good, Told(keep=False), fault=_at(step, strike))
    assert not isinstance(outcome, Applied), (step, outcome)
    assert site.contents().get(name) == seen[0], (step, outcome)
    assert not [left for left in site.contents() if "ws101" in left]
    assert isinstance(outcome, NotStarted) or outcome.trouble or outcome.restored
    assert site.nginx.test()[0]
    assert site.answer() in {"old", "new"}
    restore(site, before)
    assert whole(site, before) == "old"
    return ending(outcome)


def _retargeted(link: Path) -> None:
    _removed(link)
    link.symlink_to("../available/old.conf.not-there.conf")
    (link.parent / link.readlink()).write_bytes(b"# theirs\n")


def _removed(link: Path) -> None:
    link.unlink()


def _replaced(link: Path) -> None:
    _removed(link)
    link.write_bytes(b"# somebody's own file\n")


def two_runs(site: Site) -> Iterator[str]:
    before = site.contents()
    with lock(site.state):
        yield _same(site, before, site.run(site.good, wait=0.1), NotStarted)
    with lock(site.state.with_name("another"), str(site.nginx.dir)):
        yield _same(site, before, site.run(site.good, wait=0.1), NotStarted)
    found: list[Outcome] = []
    edits = site.good
    runs = [threading.Thread(target=lambda: found.append(site.run(edits, Told()))) for _ in range(3)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert sorted(map(ending, found)) == ["applied", "nothing changed", "nothing changed"], found
    assert whole(site, before) == "new"
    yield from map(ending, found)


def master_is_gone(site: Site) -> Iterator[str]:
    before = {name: data for name, data in site.contents().items() if name != "nginx.pid"}

    def end() -> None:
        pid = site.nginx.pid
        os.kill(pid, signal.SIGTERM)
        until(lambda: master_of(pid) is None, "end")

    outcome = site.run(site.good, Told(), fault=_at("reload", end))
    assert isinstance(outcome, RolledBack), outcome
    assert "not reloaded" in outcome.trouble
    now = {name: data for name, data in site.contents().items() if name != "nginx.pid"}
    assert now == before
    site.nginx.stop()
    yield ending(outcome)


def disk_is_full(site: Site) -> Iterator[str]:
    """Full from the start, and from a step on; the folder of a file, and the state folder."""
    for where in ("configuration", "state"):
        for step in ("", "prepare", "staged", "write", "swapped", "reload", "after")[:: site.every]:
            yield _with_full_disk(site, where, step)


def _with_full_disk(site: Site, where: str, step: str) -> str:
    small = site.nginx.dir / "conf.d" if where == "configuration" else site.state.with_name("small")
    small.mkdir(exist_ok=True)
    with _tmpfs(small):
        site.nginx.rewrite("conf.d/log.conf", "log_not_found off;\n")
        before = site.contents()
        filler = small / "filler"
        if not step:
            _fill(filler)
        state = small / "state" if where == "state" else site.state
        fault = _at(step, lambda: _fill(filler))
        outcome = site.run(site.good, Told(keep=False), state=state, fault=fault)
        assert isinstance(outcome, NotStarted | RolledBack), outcome
        assert not isinstance(outcome, RolledBack) or outcome.restored, (where, step, outcome)
        accepted, said = site.nginx.test()
        assert accepted, said
        assert site.contents() == before, (where, step)
        assert site.answer() == "old"
        filler.unlink()
        assert not [one for one in recover(state) if one.trouble]
        assert whole(site, before) == "old"
    return ending(outcome)


def permission_is_lost(site: Site) -> Iterator[str]:
    """The file system of a folder turns read-only in the middle, as after a disk error."""
    for step in ("prepare", "write", "reload"):
        yield _while_unwritable(site, step, _read_only)


def flag_is_set(site: Site) -> Iterator[str]:
    for step in ("prepare", "write"):
        yield _while_unwritable(site, step, _immutable)


def _while_unwritable(site: Site, step: str, made: Callable[[Path], contextlib.AbstractContextManager[None]]) -> str:
    before, folder = site.contents(), site.nginx.dir / "sites"
    with contextlib.ExitStack() as held:
        fault = _at(step, lambda: held.enter_context(made(folder)))
        outcome = site.run(site.good, Told(keep=False), fault=fault)
        assert isinstance(outcome, NotStarted | RolledBack), outcome
        accepted, said = site.nginx.test()
        assert accepted, said
        late = step == "reload"  # then the file cannot be put back, and that is said
        assert site.answer() == ("new" if late else "old")
        assert late == (isinstance(outcome, RolledBack) and bool(outcome.trouble)), (step, outcome)
    for left in folder.glob(".*ws101*"):
        left.unlink()
    restore(site, before)
    assert whole(site, before) == "old"
    return ending(outcome)


def _fill(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 1024)


@contextlib.contextmanager
def _tmpfs(folder: Path) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "ws101-test", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextlib.contextmanager
def _read_only(folder: Path) -> Iterator[None]:
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextlib.contextmanager
def _immutable(folder: Path) -> Iterator[None]:
    names = [str(path) for path in folder.iterdir()] + [str(folder)]
    program = shutil.which("chattr") or "chattr"
    subprocess.run([program, "+i", *names], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run([program, "-i", *names], check=True, capture_output=True)


_PROBES = {"tmpfs": _tmpfs, "mount": _read_only, "chattr": _immutable}

CASES = (
    Case("`nginx -t` refuses the change", nginx_t_refuses),
    Case("`nginx -t` cannot be run", nginx_t_cannot_run),
    Case("nginx refuses the reload, because somebody broke another file", reload_refused),
    Case("the reload command fails", reload_command_fails),
    Case("a port is taken: the new workers cannot start", port_taken),
    Case("a worker crashes after the reload", workers_die),
    Case("the proof still fails after the reload", handshake_still_fails),
    Case("the proof says no beforehand", proof_says_no_beforehand),
    Case("TERM, INT or HUP to ws101 at any step", signals),
    Case("the file vanishes", file_vanishes),
    Case("its folder vanishes", folder_vanishes),
    Case("somebody edits a file before it is written", concurrent_edit_before),
    Case("somebody edits a file while it is written, or after", concurrent_edit_while_writing),
    Case("somebody changes a symlink before, while or after it is written", links_change_meanwhile),
    Case("two runs at once", two_runs),
    Case("the disk is full, from the start or from a step on", disk_is_full, "tmpfs"),
    Case("the file system turns read-only", permission_is_lost, "mount"),
    Case("the immutable flag is set", flag_is_set, "chattr"),
    Case("nginx itself is stopped", master_is_gone),
)
"""Every fault; the last one ends the site's nginx."""
