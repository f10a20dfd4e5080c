"""Every rule's page is its test: Bad, Good, the fix between them, and the proof on every real nginx within reach."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.rules.real import (
    BUILDS,
    config_of,
    handshake,
    plain_outcomes,
    realised,
    served,
)
from ws101.check import check
from ws101.fix import fix
from ws101.host.binary import NginxBinary
from ws101.lab.backends import Recorder
from ws101.lab.nginx import accepts
from ws101.lab.ports import free_ports
from ws101.nginx.build import Build
from ws101.nginx.locations import location_name
from ws101.rules import RULES, Rule
from ws101.rules.base.options import Options
from ws101.rules.base.page import Pair

CASES = [
    pytest.param(rule, pair, id=f"{rule.name}-{number}")
    for rule in RULES
    for number, pair in enumerate(rule.page.pairs)
]
PROOFS = ("handshake", "idle", "refused", "accepted", "gone")


def builds_of(pair: Pair) -> list[Build]:
    return [build for build in BUILDS if pair.bad.holds_for(build)]


def options_of(pair: Pair) -> Options:
    return Options(style=pair.good.style, urls=pair.bad.urls)


@pytest.fixture(scope="module")
def backend() -> Iterator[Recorder]:
    with Recorder() as recorder:
        yield recorder


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_page_says_what_why_and_where_it_is_written(rule: Rule) -> None:
    page = rule.page
    assert page.summary.endswith(".")
    assert page.why
    assert page.references
    assert page.pairs or "advice" in page.details.lower()
    assert all(pair.bad.proof in PROOFS for pair in page.pairs)


@pytest.mark.parametrize(("rule", "pair"), CASES)
def test_bad_gives_exactly_this_finding_and_good_none(rule: Rule, pair: Pair) -> None:
    for build in builds_of(pair):
        bad = check(config_of(pair.bad.files), (build,), options_of(pair))
        assert [finding.rule for finding in bad.findings] == [rule.name]
        assert bad.findings[0].level is rule.level
        good = check(config_of(pair.good.files), (build,), options_of(pair))
        assert good.findings == ()


@pytest.mark.parametrize(("rule", "pair"), CASES)
def test_the_fix_turns_bad_into_good_byte_for_byte(rule: Rule, pair: Pair) -> None:
    for build in builds_of(pair):
        fixed = fix(config_of(pair.bad.files), (build,), options_of(pair), unsafe=pair.good.unsafe)
        assert {**dict(pair.bad.files), **fixed.texts} == dict(pair.good.files)
        assert {item.finding.rule for item in fixed.applied} == {rule.name}


@pytest.mark.parametrize(("rule", "pair"), CASES)
def test_fixing_what_is_fixed_changes_nothing(rule: Rule, pair: Pair) -> None:
    for build in builds_of(pair):
        again = fix(config_of(pair.good.files), (build,), options_of(pair), unsafe=True)
        assert dict(again.texts) == {}


@pytest.mark.parametrize(("rule", "pair"), CASES)
def test_a_real_nginx_fails_on_bad_and_works_on_good(
    rule: Rule, pair: Pair, binary: NginxBinary, backend: Recorder
) -> None:
    if not pair.bad.holds_for(binary.build):
        pytest.skip(f"the example is about nginx {pair.bad.nginx}")
    bad, good = dict(pair.bad.files), dict(pair.good.files)
    url = pair.bad.urls[0] if pair.bad.urls else f"ws://example.com{aimed_path(pair, binary.build)}"
    paths = ("/", urlsplit(url).path, urlsplit(url).path.rstrip("/") + "/more")
    if pair.bad.proof == "refused":
        (port,) = free_ports(1)
        accepted, output = accepts(realised(bad, port, backend.address), binary=binary)
        assert not accepted
        assert pair.bad.refused in output
    else:
        with served(hurried(pair, bad), backend, binary) as port:
            before = plain_outcomes(port, backend, paths, quick=pair.good.style == "quick")
            status, is_open = handshake(port, url, stay=1.5 if pair.bad.proof == "idle" else 0)
            assert (status != 101, is_open) == expected_on_bad(pair)
    with served(hurried(pair, good), backend, binary) as port:
        status, is_open = handshake(port, url, stay=1.5 if pair.bad.proof == "idle" else 0)
        assert (status, is_open) == (101, True)
        if pair.bad.proof != "refused":
            assert plain_outcomes(port, backend, paths, quick=pair.good.style == "quick") == before


def expected_on_bad(pair: Pair) -> tuple[bool, bool]:
    """Whether the handshake fails, and whether the connection is open after a while."""
    return {"handshake": (True, True), "idle": (False, False), "accepted": (False, True)}[pair.bad.proof]


def hurried(pair: Pair, files: dict[str, str]) -> dict[str, str]:
    """An idle timeout of two seconds, shortened: the proof need not take as long."""
    if pair.bad.proof != "idle":
        return files
    return {name: text.replace("proxy_read_timeout 2s", "proxy_read_timeout 400ms") for name, text in files.items()}


def aimed_path(pair: Pair, build: Build) -> str:
    """The path of the location the finding is about."""
    report = check(config_of(pair.bad.files), (build,), options_of(pair))
    place = report.entries[0].places[0]
    return location_name(place).name
