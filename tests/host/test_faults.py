"""kill -9 at every step of a change, and again while recovering: nginx can start, and the change is whole or undone.

By default every step is tried once with the nginx at hand.  ``WS101_FAULTS=N`` adds N random moments with each build.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.host.test_transaction import Site, Told, running
from ws101.host.binary import NginxBinary, all_nginx, find_nginx
from ws101.host.outcome import Applied, NotStarted, Proof, RolledBack
from ws101.host.recovery import Recovered, history, interrupted, recover

RANDOM_MOMENTS = int(os.environ.get("WS101_FAULTS", "0"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    binary = find_nginx()
    assert binary is not None
    with running(binary, tmp_path_factory.mktemp("faults") / "state") as found:
        yield found


def steps_of(site: Site, proof: Proof) -> list[str]:
    """Every step of an uninterrupted change, which is then taken back by hand."""
    reached: list[str] = []
    before = site.contents()
    outcome = site.run(site.good, proof, fault=reached.append)
    assert not isinstance(outcome, NotStarted), outcome
    if isinstance(outcome, Applied):
        restore(site, before)
    assert site.contents() == before
    return reached


def restore(site: Site, before: dict[str, bytes]) -> None:
    """The old configuration, written and loaded by hand."""
    for name in site.contents().keys() - before.keys():
        (site.nginx.dir / name).unlink()
    for name, data in before.items():
        site.nginx.rewrite(name, data)
    site.nginx.hang_up()
    site.nginx.wait_reloaded()


def killed(action: Callable[[Callable[[str], None]], object], at: int) -> bool:
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


def whole(site: Site, before: dict[str, bytes], done: tuple[Recovered, ...]) -> None:
    """The change is there completely or not at all, nginx accepts it and runs it, and nothing is left over."""
    assert not [one for one in done if one.trouble], done
    accepted, said = site.nginx.test()
    assert accepted, said
    now = site.contents()
    assert not [name for name in now if "ws101" in name]
    if now == before:
        assert site.answer() == "old"
    else:
        assert now.keys() == before.keys() | {"conf.d/map.conf"}
        assert b"$answer" in now["sites/site.conf"]
        assert site.answer() == "new"
        restore(site, before)
    assert interrupted(site.state) == ()


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "rolled back"])
def test_killed_at_any_step_nginx_can_start_and_the_next_run_makes_it_whole(site: Site, kept: bool) -> None:
    before = site.contents()
    steps = steps_of(site, Told(keep=kept))
    assert len(steps) > 20
    actions = []
    for at, step in enumerate(steps):
        assert killed(lambda fault: site.run(site.good, Told(keep=kept), fault=fault), at), step
        accepted, said = site.nginx.test()
        assert accepted, f"after {step}: {said}"
        done = recover(site.state)
        actions += [one.action for one in done]
        whole(site, before, done)
    assert "put back" in actions
    assert "cleaned" in actions


@pytest.mark.parametrize("step", ["write", "grown", "overwritten", "swapped", "reload", "put back", "cleaned"])
def test_a_file_half_written_in_place_is_put_back(site: Site, step: str) -> None:
    other = site.nginx.dir / "hard-link"
    os.link(site.path("sites/site.conf"), other)
    before, edits = site.contents(), site.change("sites/site.conf", "200 old", "200 new-and-longer-than-before")
    reached: list[str] = []
    try:
        assert isinstance(site.run(edits, Told(keep=False), fault=reached.append), RolledBack)
        at = reached.index("overwritten" if step == "cleaned" else step)
        assert killed(lambda fault: site.run(edits, Told(keep=False), fault=fault), at)
        if step == "cleaned":  # of the recovery
            assert killed(lambda fault: recover(site.state, fault=fault), 2)
        whole(site, before, recover(site.state))
        assert site.contents() == before
        assert other.read_bytes() == before["sites/site.conf"]
    finally:
        other.unlink()


@pytest.mark.parametrize("step", ["keep", "discarded"])
def test_killed_after_the_decision_the_change_is_finished(site: Site, step: str) -> None:
    before = site.contents()
    at = steps_of(site, Told()).index(step)
    assert killed(lambda fault: site.run(site.good, Told(), fault=fault), at)
    done = recover(site.state)
    assert [one.action for one in done] == ["finished"]
    assert site.answer() == "new"
    whole(site, before, done)


def test_killed_while_recovering_the_next_recovery_ends_it(site: Site) -> None:
    before = site.contents()
    late = steps_of(site, Told()).index("after")
    for at in range(3):
        assert killed(lambda fault: site.run(site.good, Told(), fault=fault), late)
        assert killed(lambda fault: recover(site.state, fault=fault), at)
        assert site.nginx.test()[0]
        whole(site, before, recover(site.state))


def test_the_next_change_recovers_first(site: Site) -> None:
    before = site.contents()
    steps = steps_of(site, Told())
    edits = site.good
    assert killed(lambda fault: site.run(edits, Told(), fault=fault), steps.index("reload done"))
    assert site.answer() == "new"
    assert [change.state for change in interrupted(site.state)] == ["interrupted"]
    outcome = site.run(edits, Told())
    assert isinstance(outcome, Applied), outcome
    assert "put back" in outcome.steps[0].detail
    restore(site, before)
    assert history(site.state)[-2].state == "rolled back"


@pytest.mark.skipif(not RANDOM_MOMENTS, reason="set WS101_FAULTS to the number of random moments")
@pytest.mark.parametrize("build", all_nginx(), ids=lambda build: build.build.number)
def test_killed_at_random_moments_nothing_is_lost(build: NginxBinary, tmp_path: Path) -> None:
    seeded = random.Random(101)
    with running(build, tmp_path / "state") as site:
        before = site.contents()
        begin = time.monotonic()
        site.run(site.good, Told())
        took = time.monotonic() - begin
        restore(site, before)
        for _ in range(RANDOM_MOMENTS):
            child = os.fork()
            if child == 0:
                try:
                    site.run(site.good, Told(keep=seeded.random() < 0.5))
                finally:
                    os._exit(0)
            time.sleep(seeded.uniform(0, took * 1.5))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            accepted, said = site.nginx.test()
            assert accepted, said
            whole(site, before, recover(site.state))
