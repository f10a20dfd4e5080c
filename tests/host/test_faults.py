"""Every fault once: kill -9 at every step of a change and while recovering, and all else that can go wrong.

``make faults`` does the same at length, at random moments and with every nginx build (``tools.faults``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.faults.cases import CASES, Case, why_not
from tools.faults.kills import at_every_step, at_random_moments, killed, steps_of, while_recovering, while_undoing
from tools.faults.site import Site, Told, restore, running, whole
from ws101.host.binary import find_nginx
from ws101.host.outcome import Applied, RolledBack
from ws101.host.recovery import history, interrupted, recover


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    binary = find_nginx()
    assert binary is not None
    with running(binary, tmp_path_factory.mktemp("faults") / "state") as found:
        yield found


@pytest.fixture
def own_site(tmp_path: Path) -> Iterator[Site]:
    binary = find_nginx()
    assert binary is not None
    with running(binary, tmp_path / "state") as found:
        yield found


@pytest.mark.parametrize(("keep", "since"), [(True, ""), (False, "after done")], ids=["kept", "rolled back"])
def test_killed_at_any_step_nginx_can_start_and_the_next_run_makes_it_whole(site: Site, keep: bool, since: str) -> None:
    kills = [*at_every_step(site, keep, since)]
    assert len(kills) > (20 if keep else 5)
    assert {kill.ending for kill in kills} >= ({"cleaned", "put back", "finished"} if keep else {"put back"})


def test_killed_while_symlinks_are_made_and_removed_the_next_run_makes_it_whole(tmp_path: Path) -> None:
    binary = find_nginx()
    assert binary is not None
    with running(binary, tmp_path / "state", by_links=True) as site:
        kills = [*at_every_step(site, True, "prepare"), *at_every_step(site, False, "after done")]
    assert {kill.ending for kill in kills} >= {"cleaned", "put back", "finished"}
    assert {kill.state for kill in kills} == {"old", "new"}


@pytest.mark.parametrize("step", ["write", "reserved", "overwritten", "swapped", "reload", "put back", "cleaned"])
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
        assert whole(site, before, recover(site.state)) == "old"
        assert other.read_bytes() == before["sites/site.conf"]
    finally:
        other.unlink()


@pytest.mark.parametrize("step", ["keep", "discarded"])
def test_killed_after_the_decision_the_change_is_finished(site: Site, step: str) -> None:
    before = site.contents()
    at = steps_of(site).index(step)
    assert killed(lambda fault: site.run(site.good, Told(), fault=fault), at)
    done = recover(site.state)
    assert [one.action for one in done] == ["finished"]
    assert whole(site, before, done) == "new"


def test_killed_while_it_is_taken_back_a_change_is_there_whole_or_not_at_all(site: Site) -> None:
    kills = [*while_undoing(site)]
    assert {kill.state for kill in kills} == {"old", "new"}
    assert {kill.ending for kill in kills} >= {"cleaned", "put back", "finished"}


def test_killed_while_recovering_the_next_recovery_ends_it(site: Site) -> None:
    assert [kill.state for kill in while_recovering(site)] == ["old"] * 3


def test_killed_at_random_moments_nothing_is_lost(site: Site) -> None:
    kills = [*at_random_moments(site, 4, seed=101)]
    assert {kill.state for kill in kills} <= {"old", "new"}
    assert len(kills) == 4


def test_the_next_change_recovers_first(site: Site) -> None:
    before = site.contents()
    edits = site.good
    assert killed(lambda fault: site.run(edits, Told(), fault=fault), steps_of(site).index("reload done"))
    assert site.answer() == "new"
    assert [change.state for change in interrupted(site.state)] == ["interrupted"]
    outcome = site.run(edits, Told())
    assert isinstance(outcome, Applied), outcome
    assert "put back" in outcome.steps[0].detail
    restore(site, before)
    assert history(site.state)[-2].state == "rolled back"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.run.__name__)
def test_whatever_goes_wrong_nothing_is_lost(own_site: Site, tmp_path: Path, case: Case) -> None:
    if reason := why_not(case, tmp_path):
        pytest.skip(reason)
    own_site.every = 4
    assert [*case.run(own_site)]


def test_a_loss_would_be_noticed(own_site: Site) -> None:
    before = own_site.contents()
    own_site.nginx.rewrite("sites/.left.ws101-x", "left over")
    with pytest.raises(AssertionError):
        whole(own_site, before)
    (own_site.nginx.dir / "sites/.left.ws101-x").unlink()
    own_site.nginx.rewrite("conf.d/log.conf", "log_not_found on;\n")
    with pytest.raises(AssertionError):
        whole(own_site, before)
