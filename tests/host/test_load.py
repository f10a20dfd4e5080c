"""No request is lost by applying, taking back or rolling back; a sample of what ``make faults`` measures at length."""

from __future__ import annotations

from tools.faults.load import Load, Traffic, compare
from ws101.host.binary import find_nginx


def test_no_connection_is_refused_and_no_socket_cut_by_applying_and_rolling_back() -> None:
    binary = find_nginx()
    assert binary is not None
    load = compare(binary, sockets=200, keep=20, rounds=1)
    assert [*load.phases] == [
        *("a bare `nginx -s reload`", "a fix is applied and proven", "it is taken back", "a fix is rolled back")
    ]
    for name, seen in load.phases.items():
        assert (seen.failed, seen.cut) == (0, 0), (name, seen)
        assert seen.fresh > 10
        assert seen.reused > 10
    assert load.lost == 0, load.phases


def resets(*each: float) -> Traffic:
    return Traffic(times=len(each), reloads=len(each), each=[*each])


def test_a_loss_would_be_counted() -> None:
    bare = resets(0, 0, 1, 0, 20, 0, 0, 2)
    assert Load(0, 0, 0, {"bare": bare, "worse": resets(20, 40, 3, 40, 25, 30, 40, 21)}).lost == 1
    assert Load(0, 0, 0, {"bare": bare, "same": resets(0, 40, 0, 0, 3, 0, 0, 1)}).lost == 0
    assert Load(0, 0, 0, {"bare": resets(0, 0, 0), "same": resets(0, 0, 0)}).lost == 0
    assert Load(0, 0, 0, {"bare": bare, "refused": Traffic(reloads=1, failed=2, cut=3)}).lost == 5
