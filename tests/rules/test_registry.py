"""The list of rules is explicit and whole; pages, names and remarks are read as documented."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

import ws101.rules
from tests.rules.real import config_of
from ws101.nginx.build import Build
from ws101.nginx.locations import location_name
from ws101.rules import RULES, Rule, find_rule
from ws101.rules.base.hints import segments
from ws101.rules.base.page import parse_page, version_holds
from ws101.rules.base.remarks import read_remarks, seconds

FILES = sorted(path.stem for path in Path(ws101.rules.__file__).parent.glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("name", FILES)
def test_every_rule_file_is_registered(name: str) -> None:
    module = importlib.import_module(f"ws101.rules.{name}")
    assert isinstance(module.check, Rule)
    assert module.check in RULES
    assert module.check.name == name.replace("_", "-")


def test_names_and_codes_are_unique() -> None:
    assert len({rule.name for rule in RULES}) == len({rule.code for rule in RULES}) == len(RULES) == len(FILES)


def test_rules_stand_in_the_order_of_their_codes() -> None:
    assert [rule.code for rule in RULES] == sorted(rule.code for rule in RULES)


def test_a_rule_is_found_by_name_and_by_code() -> None:
    assert find_rule("read-timeout") is find_rule("WS112")
    assert find_rule("no-such-rule") is None


PAGE = """A thing is wrong.

More about it.

Why it matters
    It breaks.

Bad::

    # url: ws://a/b
    # nginx: <1.29.7
    # file: nginx.conf
    events {}
    # a comment of the example
    # file: other.conf
    x y;

Good::

    events {}

Good::

    # style: quick
    # unsafe: yes
    events { }

References
    one
    two
"""


def test_a_page_has_sections_and_examples_with_keys() -> None:
    page = parse_page(PAGE)
    assert (page.summary, page.details, page.why) == ("A thing is wrong.", "More about it.", "It breaks.")
    assert page.references == ("one", "two")
    first, second = page.pairs
    assert first.bad.files == (("nginx.conf", "events {}\n# a comment of the example\n"), ("other.conf", "x y;\n"))
    assert (first.good.urls, first.good.nginx, first.good.style) == (("ws://a/b",), "<1.29.7", "map")
    assert (second.good.style, second.good.unsafe, second.bad.style) == ("quick", True, "quick")


@pytest.mark.parametrize("text", ["A.\n\nGood::\n\n    x;\n", "A.\n\nBad::\n\n    # style: quick\n"])
def test_a_malformed_page_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="example"):
        parse_page(text)


def test_version_conditions() -> None:
    build = Build((1, 25, 4))
    assert version_holds("", build)
    assert version_holds(">=1.25.1 <1.29.7", build)
    assert not version_holds("<1.25.4", build)
    with pytest.raises(ValueError, match="not a version condition"):
        version_holds("=1.2", build)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("/api/live/", ("api", "live")),
        ("= /WS", ("ws",)),
        ("=/ws", ("ws",)),
        ("~ ^/(ws|chat)/", ("ws", "chat")),
        ("~* ^/socket\\.io/x", ("socket.io", "x")),
        ("@ws", ()),
    ],
)
def test_a_locations_name_is_cut_into_whole_segments(head: str, expected: tuple[str, ...]) -> None:
    config = config_of({"a.conf": f"server {{ location {head} {{ }} }}"}, "a.conf")
    assert segments(location_name(config.routes()[0].location)) == expected


def test_remarks_speak_of_the_directive_beside_or_below_them() -> None:
    text = (
        "# ws101: websocket\n"
        "location /a { # ws101: heartbeat 20s\n"
        "  x 1; # ws101: ignore[one, two] because\n"
        "  # ws101: ignore[three] so\n"
        "  y '# ws101: websocket';\n"
        "  # ws101: last\n"
        "}\n"
    )
    found = read_remarks(config_of({"a.conf": text}, "a.conf"))
    said = [
        (r.kind, r.names, r.rest, r.target.name if r.target else None, r.around.name if r.around else None)
        for r in found
    ]
    assert said == [
        ("websocket", (), "", "location", None),
        ("heartbeat", (), "20s", "location", "location"),
        ("ignore", ("one", "two"), "because", "x", "location"),
        ("ignore", ("three",), "so", "y", "location"),
        ("last", (), "", None, "location"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"), [("20s", 20.0), ("1m", 60.0), ("500ms", 0.5), ("7", 7.0), ("x", None), ("1 m", None)]
)
def test_times_of_heartbeats(text: str, expected: float | None) -> None:
    assert seconds(text) == expected
