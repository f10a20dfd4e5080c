"""The same mistake reads as 400, 404, 426 or 505, by the backend: the cause must be named all the same.

Eighteen real applications, five mistakes; once with the configuration, once from outside with the backend's address
alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live.applications import BACKENDS
from tests.live.staging import GOOD, Missing, Parts, Site, diagnose

UPGRADE = "proxy_set_header Upgrade $http_upgrade;"
CONNECTION = "proxy_set_header Connection upgrade;"
HOST = "proxy_set_header Host $http_host;"
"""Where the handshake works over HTTP/1.0 by luck, what refuses a browser's Origin would else be the first cause."""

MODERN = "proxy_http_version 1.1;"

MISTAKES = {
    "nothing is set": ("", "upgrade-not-forwarded"),
    "only HTTP/1.1 is set": (MODERN, "upgrade-not-forwarded"),
    "Connection is missing": (MODERN + UPGRADE, "missing-connection-header"),
    "Upgrade is missing": (MODERN + CONNECTION, "missing-upgrade-header"),
    "HTTP/1.0 is spoken": (UPGRADE + CONNECTION + HOST, "missing-http-version"),
}


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
    """An nginx below 1.29.7, which speaks HTTP/1.0 unless told otherwise, before the backend."""
    parts, port, target = backend
    path = target.partition("?")[0]
    try:
        binary = parts.binary((1, 0), (1, 29, 7))
    except Missing as missing:
        pytest.skip(f"{missing} is not there")
    site = parts.site(f"proxy_pass http://127.0.0.1:{port}; {settings}", path=path, binary=binary)
    version = ("--nginx-version", binary.build.number)
    return Site(site.url.removesuffix(path) + target, version, site.conf)


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
