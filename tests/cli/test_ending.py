"""Being told to end: heard once, remembered always, and what is ignored stays ignored."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from ws101.cli.ending import Ending

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_is_raised_and_those_after_it_are_not(number: signal.Signals) -> None:
    with Ending() as ending:
        assert not ending.asked()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        for again in SIGNALS:
            os.kill(os.getpid(), again)
        assert ending.asked()
    os.kill(os.getpid(), number)


def test_where_none_comes_all_is_as_before() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with Ending() as ending:
        pass
    assert not ending.asked()
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_one_that_comes_while_an_object_is_taken_away_is_remembered() -> None:
    class Dying:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    with Ending() as ending:
        ending.only_remember()
        Dying()
        assert ending.asked()


def test_what_may_not_raise_is_checked_or_waited_for() -> None:
    with Ending(raising=False) as ending:
        ending.check()
        assert not ending.wait(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        begin = time.monotonic()
        assert ending.wait(30)
        assert time.monotonic() - begin < 10
        with pytest.raises(KeyboardInterrupt):
            ending.check()


def test_what_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Ending() as ending:
        os.kill(os.getpid(), signal.SIGHUP)
        assert not ending.asked()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
