"""Each staged cause comes out as root cause number one."""

from __future__ import annotations

import os

import pytest

from tests.live import causes, network_causes
from tests.live.staging import STAGES, Missing, Parts, Stage, diagnose

assert causes.__doc__
assert network_causes.__doc__

QUICK = [stage for stage in STAGES if not stage.slow]
SLOW = [stage for stage in STAGES if stage.slow]


def judged(stage: Stage) -> None:
    with Parts() as parts:
        try:
            site = stage.build(parts)
        except Missing as missing:
            pytest.skip(f"{missing} is not there")
        told = diagnose(site)
    first = told.first
    shown = "\n".join(
        f"{c['rule']} {c['confidence']} {c['message']}\n   {c['evidence']}" for c in told.json["root_causes"]
    )
    tried = "\n".join(f"{t['name']}: {t['answer']}" for t in told.json["experiments"])
    assert (first["rule"], first["confidence"]) == (stage.rule, stage.confidence), f"{shown}\n{tried}"
    assert told.json["verdict"] == stage.verdict, shown
    assert told.code == (1 if stage.verdict == "broken" else 0)


@pytest.mark.parametrize("stage", QUICK, ids=[stage.name for stage in QUICK])
def test_the_cause_is_named_first(stage: Stage) -> None:
    judged(stage)


@pytest.mark.skipif(os.environ.get("WS101_LIVE") != "1", reason="takes long: make live")
@pytest.mark.parametrize("stage", SLOW, ids=[stage.name for stage in SLOW])
def test_the_cause_is_named_first_after_a_measurement(stage: Stage) -> None:
    judged(stage)
