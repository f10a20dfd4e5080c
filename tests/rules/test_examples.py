"""Every rule's page is its test: Bad, Good, the fix between them, and the proof on every real nginx within reach."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from tests.rules.real import (
    AMBIENT,
    BUILDS,
    Plain,
    answer_to,
    ask,
    config_of,
    handshake,
    plain_outcomes,
    realised,
    served,
)
from ws101.check import check
from ws101.findings import Level
from ws101.fix import fix
from ws101.host.binary import NginxBinary
from ws101.http1 import Request
from ws101.lab.backends import Recorder
from ws101.lab.nginx import accepts
from ws101.lab.ports import free_ports
from ws101.nginx.build import Build
from ws101.nginx.locations import location_name
from ws101.rules import RULES, Rule
from ws101.rules.base.options import Options
from ws101.rules.base.page import Pair
from ws101.rules.base.urls import handshake_request

CASES = [
    pytest.param(rule, pair, id=f"{rule.name}-{number}")
    for rule in RULES
    for number, pair in enumerate(rule.page.pairs)
]


def builds_of(pair: Pair) -> list[Build]:
    return [build for build in BUILDS if pair.bad.holds_for(build)]


def options_of(rule: Rule, pair: Pair, *, good: bool = False) -> Options:
    urls = pair.good.urls if good else pair.bad.urls
    return Options(style=pair.good.style, urls=urls, ignore=AMBIENT - {rule.name})


def asking_for(rule: Rule, pair: Pair) -> Options:
    """Unsafe fixes of notes are applied only for rules that are asked for."""
    return replace(options_of(rule, pair), select=frozenset({rule.name} if rule.level is Level.NOTE else ()))


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
    assert all(pair.bad.proof in PROVES for pair in page.pairs)


@pytest.mark.parametrize(("rule", "pair"), CASES)
def test_bad_gives_exactly_this_finding_and_good_none(rule: Rule, pair: Pair) -> None:
    for build in builds_of(pair):
        bad = check(config_of(pair.bad.files), (build,), options_of(rule, pair))
        assert [finding.rule for finding in bad.findings] == [rule.name]
        assert bad.findings[0].level is rule.level
        good = check(config_of(pair.good.files), (build,), options_of(rule, pair, good=True))
        assert good.findings == ()


@pytest.mark.parametrize(("rule", "pair"), CASES)
def test_the_fix_turns_bad_into_good_byte_for_byte(rule: Rule, pair: Pair) -> None:
    for build in builds_of(pair):
        if not pair.good.fixable:
            assert dict(fix(config_of(pair.bad.files), (build,), options_of(rule, pair), unsafe=True).texts) == {}
            continue
        fixed = fix(config_of(pair.bad.files), (build,), asking_for(rule, pair), unsafe=pair.good.unsafe)
        assert {**dict(pair.bad.files), **fixed.texts} == dict(pair.good.files)
        assert {item.finding.rule for item in fixed.applied} == {rule.name}


@pytest.mark.parametrize(("rule", "pair"), CASES)
def test_fixing_what_is_fixed_changes_nothing(rule: Rule, pair: Pair) -> None:
    for build in builds_of(pair):
        again = fix(config_of(pair.good.files), (build,), options_of(rule, pair, good=True), unsafe=True)
        assert dict(again.texts) == {}


@pytest.mark.parametrize(("rule", "pair"), CASES)
def test_a_real_nginx_fails_on_bad_and_works_on_good(
    rule: Rule, pair: Pair, binary: NginxBinary, backend: Recorder
) -> None:
    if not pair.bad.holds_for(binary.build) or (pair.bad.module and not binary.build.has_module(pair.bad.module)):
        pytest.skip(f"the example is about nginx {pair.bad.nginx} {pair.bad.module}")
    bad, good = dict(pair.bad.files), dict(pair.good.files)
    url = pair.bad.urls[0] if pair.bad.urls else f"ws://example.com{aimed_path(rule, pair, binary.build)}"
    paths = ("/", urlsplit(url).path, urlsplit(url).path.rstrip("/") + "/more")
    is_compared = pair.good.fixable and not pair.good.unsafe and pair.bad.proof != "refused"
    # An auth_request passes the length of a body on, but not the body: a POST would wait for it in any case.
    methods = ("GET",) if "auth_request" in bad["nginx.conf"] else ("GET", "POST")
    before: list[Plain] = []
    if pair.bad.proof == "refused":
        (port,) = free_ports(1)
        accepted, output = accepts(realised(bad, port, backend.address), binary=binary)
        assert not accepted
        assert pair.bad.refused in output
    else:
        with served(hurried(pair, bad), backend, binary) as port:
            before = plain_outcomes(port, backend, paths, methods) if is_compared else []
            assert PROVES[pair.bad.proof](door(port, url, bad, pair.bad.proof), url, backend) == (
                pair.bad.proof == "accepted"
            )
    url = pair.good.urls[0] if pair.good.urls else url
    with served(hurried(pair, good), backend, binary) as port:
        assert PROVES[pair.bad.proof](door(port, url, good, pair.good.proof), url, backend)
        after = plain_outcomes(port, backend, paths, methods) if is_compared else []
    assert [plain.outcome for plain in after] == [plain.outcome for plain in before]
    gained = [new.asks_upgrade and not old.asks_upgrade for old, new in zip(before, after, strict=True)]
    assert pair.good.style == "quick" or not any(gained)


def door(port: int, url: str, files: dict[str, str], proof: str) -> int:
    """Where a client of the URL comes to: nginx, moved to ``port``, or nobody if nginx does not listen on its port.

    Where no handshake fails, something in front of nginx passes the port on.
    """
    if proof != "handshake":
        return port
    parts = urlsplit(url)
    named = parts.port or (443 if parts.scheme == "wss" else 80)
    (closed,) = free_ports(1)
    return port if any(re.search(rf"listen \S*\b{named}\b", text) for text in files.values()) else closed


def opens(port: int, url: str, backend: Recorder) -> bool:
    return handshake(port, url)[0] == 101


def lasts(port: int, url: str, backend: Recorder) -> bool:
    return handshake(port, url, stay=1.5) == (101, True)


def answers_in_full(port: int, url: str, backend: Recorder) -> bool:
    head = answer_to(port, handshake_of(url)).lower()
    assert head.startswith(b"http/1.1 101 ")
    return b"\r\nupgrade: websocket\r\n" in head and b"\r\nsec-websocket-accept: " in head


def opens_in_firefox(port: int, url: str, backend: Recorder) -> bool:
    request = handshake_of(url)
    fields = tuple((n, "keep-alive, Upgrade" if n == "Connection" else v) for n, v in request.headers)
    return ask(port, replace(request, headers=fields))[0] == 101


def arrives_whole(port: int, url: str, backend: Recorder) -> bool:
    handshake(port, url)
    request = backend.requests[-1]
    fields = ("Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version")
    return request.method == "GET" and not request.body and all(len(request.values(name)) == 1 for name in fields)


PROVES: dict[str, Callable[[int, str, Recorder], bool]] = {
    "handshake": opens,
    "refused": opens,
    "accepted": opens,
    "idle": lasts,
    "answer": answers_in_full,
    "firefox": opens_in_firefox,
    "arrival": arrives_whole,
}


def handshake_of(url: str) -> Request:
    parts = urlsplit(url)
    return handshake_request(parts.path, parts.hostname or "")


def hurried(pair: Pair, files: dict[str, str]) -> dict[str, str]:
    """An idle timeout of two seconds, shortened: the proof need not take as long."""
    if pair.bad.proof != "idle":
        return files
    return {name: text.replace("proxy_read_timeout 2s", "proxy_read_timeout 400ms") for name, text in files.items()}


def aimed_path(rule: Rule, pair: Pair, build: Build) -> str:
    """The path of the location the finding is about."""
    report = check(config_of(pair.bad.files), (build,), options_of(rule, pair))
    places = report.entries[0].places
    return location_name(places[0]).name if places and places[0].kind == "location" else "/ws"
