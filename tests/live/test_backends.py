"""The same mistake reads as 400, 404, 426 or 505, by the backend: the cause must be named all the same.

Eighteen real applications, five mistakes; once with the configuration, once from outside with the backend's address
alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live.applications import BACKENDS, MISTAKES
from tests.live.staging import GOOD, Missing, Parts, Site, diagnose


@pytest.fixture(scope="module", params=BACKENDS, ids=list(BACKENDS))
def backend(request: pytest.FixtureRequest) -> Iterator[tuple[Parts, int, str]]:
    item = BACKENDS[request.param]
    with Parts() as parts:
        try:
            port = parts.backend(item)
        except Missing as missing:
            pytest.skip(f"{missing} is not there")
        yield parts, port, item.target


def behind(backend: tuple[Parts, int, str], settings: str) -> Site:
    parts, port, target = backend
    try:
        return parts.mistaken(port, target, settings)
    except Missing as missing:
        pytest.skip(f"{missing} is not there")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_mistake_is_named_whatever_the_backend_answers(backend: tuple[Parts, int, str], mistake: str) -> None:
    settings, rule = MISTAKES[mistake]
    told = diagnose(behind(backend, settings))
    assert (told.first["rule"], told.first["confidence"]) == (rule, "proven"), told.json["root_causes"]
    works_by_luck = told.json["observed"]["status"] == 101
    assert told.json["verdict"] == ("degraded" if works_by_luck else "broken")
    if not works_by_luck:
        assert {"direct", "replay"} <= {item["name"] for item in told.json["experiments"]}
        assert any("gets the same" in clause for clause in told.first["evidence"]), told.first["evidence"]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_from_outside_the_replays_name_it_or_say_between_what_they_cannot_decide(
    backend: tuple[Parts, int, str], mistake: str
) -> None:
    settings, rule = MISTAKES[mistake]
    site = behind(backend, settings)
    told = diagnose(Site(site.url, ("--direct", f"ws://127.0.0.1:{backend[1]}{backend[2]}")))
    if told.json["observed"]["status"] == 101:
        assert told.json["verdict"] in ("works", "degraded")
        return
    alike = " ".join(clause for clause in told.first["evidence"] if "answers alike" in clause)
    assert told.first["rule"] == rule or rule in alike, told.json["root_causes"]
    assert told.first["confidence"] == ("likely" if alike else "proven")


def test_a_site_that_works_is_blamed_for_nothing(backend: tuple[Parts, int, str]) -> None:
    told = diagnose(behind(backend, GOOD))
    assert (told.json["verdict"], told.code) == ("works", 0), told.json["root_causes"]
    assert {cause["level"] for cause in told.json["root_causes"]} <= {"note"}
    from_outside = diagnose(Site(behind(backend, GOOD).url))
    assert (from_outside.json["verdict"], from_outside.json["root_causes"]) == ("works", [])
    assert len(from_outside.json["experiments"]) <= 7
