"""No input may raise, hang or lose a byte: a sample of `make fuzz`, and the worst inputs we know."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from tools.fuzz import loop, targets
from tools.fuzz.inputs import configurations, mutate
from ws101.check import check
from ws101.nginx.build import Build
from ws101.nginx.config import Config, MemoryFiles
from ws101.nginx.outcome import Arrival
from ws101.nginx.trace import trace
from ws101.nginx.validate import validate
from ws101.syntax import MAX_PROBLEMS, parse
from ws101.text import Source

BUILDS = (Build((1, 22, 1)),)

UNBREAKABLE: dict[str, Callable[[], str]] = {
    "nothing": lambda: "",
    "garbage": lambda: random.Random(1).randbytes(200_000).decode("latin-1"),
    "nul bytes": lambda: "\0" * 100_000,
    "ten megabytes on one line": lambda: "http { " + "allow 10.0.0.0/8; " * 600_000 + "}",
    "ten megabytes without an end": lambda: "proxy_pass http://a " * 500_000,
    "one word of ten megabytes": lambda: "a" * 10_000_000,
    "an open quote and ten megabytes": lambda: 'a "' + ("b" * 98 + ";\n") * 100_000,
    "a hundred thousand nested blocks": lambda: "location / { " * 100_000 + "}" * 100_000,
    "many nested blocks in a server": lambda: "events {} http { server { " + "location / { " * 20_000 + "}" * 20_002,
    "a hundred thousand open braces": lambda: "{" * 100_000,
    "a hundred thousand closing braces": lambda: "}" * 100_000,
    "a comment of five thousand bytes": lambda: "events {}\n#" + "x" * 5000 + "\nhttp {}\n",
    "a hundred thousand quotes": lambda: "\"'" * 50_000,
    "a hundred thousand backslashes": lambda: "a " + "\\" * 100_000 + ";",
    "lua that never ends": lambda: "http { init_by_lua_block { [==[ " + "{ '" * 30_000,
}


@pytest.mark.parametrize("name", UNBREAKABLE)
def test_an_unbreakable_input_gets_an_answer_in_bounded_time(name: str) -> None:
    text = UNBREAKABLE[name]()
    start = time.process_time()
    tree = parse(Source("/c/nginx.conf", text))
    assert len(tree.problems) <= MAX_PROBLEMS
    config = Config(MemoryFiles({"/c/nginx.conf": text.encode("latin-1")}), "/c/nginx.conf", context="main")
    refusals = validate(config, BUILDS)
    report = check(config, BUILDS)
    assert time.process_time() - start < 30 + len(text) / 200_000
    assert refusals or "in a server" in name, "nginx accepts none of these"
    assert report.problems or report.unknown or not refusals
    assert len(refusals) <= MAX_PROBLEMS + 10


def test_a_comment_of_five_thousand_bytes_is_refused_in_nginx_s_words() -> None:
    text = "events {}\n#" + "x" * 5000 + "\nhttp {}\n"
    config = Config(MemoryFiles({"/c": text.encode()}), "/c")
    (first, *_) = validate(config, BUILDS)
    assert (first.message, first.line) == ('too long parameter "#xxxxxxxxx..." started', 2)


@pytest.mark.parametrize("size", [1, 2, 30])
def test_includes_that_include_one_another_end(size: int) -> None:
    files = {f"/c/{at}": f"include {(at + 1) % size};\n".encode() for at in range(size)}
    files["/c/nginx.conf"] = b"events {}\ninclude 0;\nhttp { include *; }\n"
    config = Config(MemoryFiles(files), "/c/nginx.conf")
    refusals = validate(config, BUILDS)
    assert any("includes itself" in refusal.message for refusal in refusals)
    assert check(config, BUILDS).problems


def test_a_sample_of_the_loop_raises_nothing_and_keeps_every_byte() -> None:
    report = loop.run(7, 6000)
    assert not report.failures, report.failures[0]
    assert sum(report.counts.values()) == 6000
    assert all(report.counts[name] for name, *_ in targets.TARGETS)


@pytest.mark.parametrize("text", ["return 4x4;", "return;", "return 200 a b;", "rewrite a;", "set $a;", "rewrite ( b;"])
def test_a_request_through_what_nginx_refuses_ends_in_unknown(text: str) -> None:
    conf = f"events {{}} http {{ server {{ listen 80; location / {{ {text} proxy_pass http://127.0.0.1; }} }} }}"
    config = Config(MemoryFiles({"/c": conf.encode()}), "/c")
    outcome = trace(config, Arrival(targets.REQUEST), BUILDS[0]).outcome
    assert outcome.kind == "unknown"


def test_the_loop_is_the_same_for_the_same_seed() -> None:
    drawn = [[mutate(random.Random(seed), "server { listen 80; }", 5) for seed in range(30)] for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) > 20
    assert all("/c/nginx.conf" in files for files in configurations())


def test_the_loop_notices_an_exception_a_hang_and_a_lost_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(given: str) -> None:
        raise ValueError(given)

    def hangs(given: str) -> None:
        while given:
            pass

    monkeypatch.setattr(loop, "LIMIT", 0.05)
    for feed, expected in ((fails, "ValueError: x"), (hangs, "HangError")):
        monkeypatch.setattr(loop, "TARGETS", (("broken", _draw_x, feed, 1),))
        report = loop.run(1, 1)
        assert len(report.failures) == 1
        assert expected in report.failures[0]
    monkeypatch.setattr(targets, "tokens", lambda _: [("word", 0, 1)])
    with pytest.raises(AssertionError, match="do not reach the end"):
        targets.parser("ab")


def _draw_x(_: random.Random) -> str:
    return "x"
