"""kill -9: at every step of a change, written by renaming and in place; while recovering; and at random moments."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tools.faults.site import Site, Told, restore, running, whole
from ws101.host.outcome import Applied, NotStarted, Outcome
from ws101.host.recovery import recover
from ws101.host.transaction import undo

__all__ = [
    "Kill",
    "at_every_step",
    "at_random_moments",
    "by_links",
    "in_place",
    "killed",
    "steps_of",
    "while_recovering",
]

Action = Callable[[Callable[[str], None]], object]


@dataclass(frozen=True)
class Kill:
    """One kill.

    Args:
        step: The last step that was reached.
        ending: What the recovery did about it.
        state: What nginx answered afterwards, ``old`` or ``new``.
    """

    step: str
    ending: str
    state: str


def killed(action: Action, at: int) -> bool:
    """Run in a process of its own that kills itself at the step with this number; whether it came that far."""
    count = 0

    def fault(_: str) -> None:
        nonlocal count
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1

    child = os.fork()
    if child == 0:
        try:
            action(fault)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def steps_of(site: Site, keep: bool = True) -> list[str]:
    """Every step of an uninterrupted change, which is then taken back by hand."""
    reached: list[str] = []
    before = site.contents()
    outcome: Outcome = site.run(site.good, Told(keep=keep), fault=reached.append)
    assert not isinstance(outcome, NotStarted), outcome
    if isinstance(outcome, Applied):
        restore(site, before)
    assert site.contents() == before
    return reached


def _killed_change(site: Site, keep: bool, at: int, step: str) -> Kill:
    before = site.contents()
    assert killed(lambda fault: site.run(site.good, Told(keep=keep), fault=fault), at), step
    accepted, said = site.nginx.test()
    assert accepted, f"after {step}: {said}"
    done = recover(site.state)
    return Kill(step, done[0].action if done else "nothing to do", whole(site, before, done))


def at_every_step(site: Site, keep: bool, since: str = "") -> Iterator[Kill]:
    """A change that is to be kept, or rolled back, killed at each of its steps, or those from one on."""
    steps = steps_of(site, keep)
    first = steps.index(since) if since else 0
    for at, step in enumerate(steps[first:], first):
        yield _killed_change(site, keep, at, step)


def in_place(site: Site, keep: bool = False) -> Iterator[Kill]:
    """The same for a file that is written in place, because it has another hard link."""
    other = site.nginx.dir / "hard-link"
    os.link(site.path("sites/site.conf"), other)
    try:
        yield from at_every_step(site, keep)
    finally:
        other.unlink()


def by_links(site: Site) -> Iterator[Kill]:
    """A change that is made of symlinks, kept and rolled back, on an nginx of its own beside this one."""
    with running(site.nginx.binary, site.state.with_name("links"), by_links=True) as other:
        yield from at_every_step(other, True)
        yield from at_every_step(other, False)


def while_undoing(site: Site) -> Iterator[Kill]:
    """A change that is kept, and killed at each step of being taken back."""
    before = site.contents()
    steps: list[str] = []
    assert isinstance(site.run(site.good), Applied)
    assert isinstance(undo(site.state, fault=steps.append), Applied)
    for at, step in enumerate(steps):
        assert isinstance(site.run(site.good), Applied)
        assert killed(lambda fault: undo(site.state, fault=fault), at), step
        accepted, said = site.nginx.test()
        assert accepted, f"after {step}: {said}"
        done = recover(site.state)
        yield Kill(step, done[0].action if done else "nothing to do", whole(site, before, done))


def while_recovering(site: Site) -> Iterator[Kill]:
    """A change killed at a late step, whose recovery is killed at each of its own steps."""
    before = site.contents()
    late = steps_of(site).index("after")
    for at, step in enumerate(("rolling back", "put back", "cleaned")):
        assert killed(lambda fault: site.run(site.good, Told(), fault=fault), late)
        assert killed(lambda fault: recover(site.state, fault=fault), at)
        assert site.nginx.test()[0]
        done = recover(site.state)
        yield Kill(f"recovery: {step}", done[0].action, whole(site, before, done))


def at_random_moments(site: Site, count: int, seed: int) -> Iterator[Kill]:
    """A change killed from outside at moments spread over its whole length; every fourth time its recovery too."""
    seeded = random.Random(seed)
    before = site.contents()
    begin = time.monotonic()
    site.run(site.good, Told())
    took = time.monotonic() - begin
    restore(site, before)
    for number in range(count):
        keep = seeded.random() < 0.5
        _kill_after(lambda: site.run(site.good, Told(keep=keep)), seeded.uniform(0, took * 1.3))  # noqa: B023
        step = _last_step(site)
        accepted, said = site.nginx.test()
        assert accepted, f"after {step}: {said}"
        if number % 4 == 3:
            _kill_after(lambda: recover(site.state), seeded.uniform(0, 0.15))
            assert site.nginx.test()[0]
        done = recover(site.state)
        yield Kill(step, done[0].action if done else "nothing to do", whole(site, before, done))


def _kill_after(action: Callable[[], object], seconds: float) -> None:
    child = os.fork()
    if child == 0:
        try:
            action()
        finally:
            os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def _last_step(site: Site) -> str:
    """The last step that the last change's journal names."""
    try:
        folder = max((site.state / "changes").iterdir())
        lines = (folder / "journal.jsonl").read_bytes().split(b"\n")
    except (OSError, ValueError):
        return "nothing yet"
    steps = [json.loads(line)["step"] for line in lines if line.endswith(b"}")]
    return steps[-1] if steps else "nothing yet"
