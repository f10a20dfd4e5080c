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


def test_a_loss_would_be_counted() -> None:
    bare, more = Traffic(times=6, reloads=6, resets=6), Traffic(times=6, reloads=6, resets=30)
    assert Load(0, 0, 0, {"bare": bare, "worse": more}).lost == 1
    assert Load(0, 0, 0, {"bare": bare, "same": Traffic(times=6, reloads=12, resets=14)}).lost == 0
    assert Load(0, 0, 0, {"bare": bare, "refused": Traffic(reloads=1, failed=2, cut=3)}).lost == 5
