"""A machine whose link is cut while a tunnel is open: TCP says nothing, and nothing is called fine."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.live.network_causes import cut_off_later
from tests.live.staging import Missing, Parts
from ws101.cli import main


@pytest.fixture
def address() -> Iterator[str]:
    with Parts() as parts:
        try:
            yield cut_off_later(parts)
        except Missing as missing:
            pytest.skip(f"{missing} is not there")


def test_a_silent_tunnel_whose_other_end_has_vanished_is_not_called_open(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["probe", f"ws://{address}/", "--idle", "2", "--format", "json"])
    seen = json.loads(capsys.readouterr().out)
    assert (code, seen["verdict"]) == (2, "undecided")
    assert "nobody may be there any more" in seen["message"]


def test_the_heartbeat_of_a_server_that_has_vanished_is_told_from_none(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["probe", f"ws://{address}/", "--heartbeat", "2", "--format", "json"])
    seen = json.loads(capsys.readouterr().out)
    assert (code, seen["verdict"]) == (1, "failed")
    assert "has vanished or is frozen" in seen["message"]
