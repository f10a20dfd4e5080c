"""What validate says of a broken configuration is what the real nginx -t says: the same words, on the same line."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tools.mutants.compare import OUTSIDE, Result, Said, _parse, alike, compare, ours, outside
from tools.mutants.mutate import MAINS, Mutant, belongs_to, draw, load
from tools.mutants.report import _kinds
from ws101.host.binary import NginxBinary

COUNT = 340
"""Mutants a build: with three builds about a thousand."""


@pytest.mark.parametrize("part", [1, 2])
def test_mutants_are_judged_as_nginx_judges_them(binary: NginxBinary, part: int) -> None:
    result = compare(binary, draw(part, COUNT // 2), workers=2)
    shown = "\n".join(f"{m.how} {m.changed}: nginx {n}, ours {o}" for m, n, o in result.differences)
    assert result.agreement >= 0.98, shown
    assert sum(result.outside.values()) < 0.05 * result.total, result.outside
    assert result.total == COUNT // 2


@pytest.mark.parametrize("main", MAINS)
def test_the_corpus_itself_is_accepted_by_nginx_and_by_us(binary: NginxBinary, main: str) -> None:
    files = load()
    whole = Mutant(main, main, files[main], "none")
    result = compare(binary, [whole], workers=1)
    assert (result.agreed, result.differences) == (1, [])
    assert ours(whole, files, binary.build) == Said(None, None)


def test_mutants_are_the_same_for_the_same_seed_and_differ_from_the_corpus() -> None:
    files = load()
    mutants = draw(5, 60)
    assert mutants == draw(5, 60)
    assert mutants != draw(6, 60)
    assert all(mutant.text != files[mutant.changed] for mutant in mutants)
    assert all(mutant.changed in belongs_to(mutant.main, files) for mutant in mutants)
    assert len({mutant.how for mutant in mutants}) > 10


def test_nginx_s_words_and_place_are_read_from_what_it_prints() -> None:
    said = _parse(
        1, 'nginx: [emerg] unknown directive "x" in /home/a.conf:3\nnginx: configuration file /h test failed\n', "/home"
    )
    assert said == Said('unknown directive "x"', "/conf/a.conf:3")
    said = _parse(1, 'nginx: [emerg] unknown "x" variable\nnginx: configuration file /h test failed\n', "/home")
    assert said == Said('unknown "x" variable', None)
    assert _parse(0, "nginx: [warn] something", "/home") == Said(None, None)


def test_a_difference_is_noticed_and_a_reason_outside_the_text_is_named() -> None:
    assert not alike(Said("a", "f:1"), Said("a", "f:2"))
    assert alike(Said("pcre_compile() failed: missing )", "f:1"), Said("pcre2_compile() failed: other words", "f:1"))
    assert outside('host not found in upstream "x"') == "a name that does not resolve"
    assert outside('unknown directive "x"') is None
    assert outside(None) is None
    assert all(re.compile(words) for words in OUTSIDE.values())
    result = Result(4, 2, Counter(a=1), [(Mutant("m", "m", "", "h"), Said("x|y", None), Said(None, None))])
    assert result.agreement == pytest.approx(2 / 3)
    assert "| `x\\|y` | accepted | 1 |" in _kinds({"1": result})


def test_nothing_is_written_beside_the_corpus(tmp_path: Path) -> None:
    assert not [path for path in load() if path.endswith((".pid", "_temp"))]
    assert not list(tmp_path.iterdir())
