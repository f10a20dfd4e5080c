"""What is shown of a conversation: nothing raw, nothing lost without a word, JSON laid out token by token."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws101.probes.frames import Ending, Seen
from ws101.probes.talk import COMMANDS
from ws101.report.style import Style
from ws101.report.terminal.connect import ended, hexdump, note, pretty_json, received, sent, usage

BARE = Style()
COLORED = Style(color=True)


@pytest.mark.parametrize(
    ("seen", "shown"),
    [
        (Seen(0, "text", b"hello"), "< hello"),
        (Seen(0, "text", b"two\nlines\n"), "< two\n  lines"),
        (Seen(0, "text", b"\x1b[31mred\x07 \xc3\xa9 \xff"), "< \\x1b[31mred\\x07 é \\xff"),
        (Seen(0, "text", "\u202etxt.exe".encode()), "< \\u202etxt.exe"),
        (
            Seen(0, "text", b'{"a": [1.10, {}], "a": "\\u001b"}'),
            '< {\n    "a": [\n      1.10,\n      {}\n    ],\n    "a": "\\u001b"\n  }',
        ),
        (Seen(0, "text", b'{"not": json'), '< {"not": json'),
        (Seen(0, "binary", b"\x00\x1bAB"), "< binary, 4 bytes\n  000000  00 1b 41 42" + " " * 39 + "..AB"),
        (Seen(0, "ping", b"\x1b"), "< ping \\x1b"),
    ],
)  # fmt: skip
def test_each_kind_has_its_form(seen: Seen, shown: str) -> None:
    assert received(seen, BARE) == shown


def test_a_pong_has_its_round_trip_and_every_line_its_time() -> None:
    assert received(Seen(0, "pong", b""), BARE, stamp="12:00:01", trip=0.0015) == "12:00:01 < pong after 1.5 ms"
    assert received(Seen(0, "text", b"a\nb"), BARE, stamp="12:00:01") == "12:00:01 < a\n           b"
    assert note("connected", BARE, stamp="1") == "1 * connected"
    assert sent("ping", BARE) == "> ping"


def test_a_long_message_is_cut_and_that_is_said() -> None:
    shown = received(Seen(0, "text", b"x" * 100_000), BARE)
    assert len(shown) < 40_000
    assert "(67232 more bytes; /save FILE writes all of it)" in shown
    assert hexdump(bytes(5000))[-1] == "(3976 more bytes)"


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        (Ending(1, "close", 1000), "closed with code 1000"),
        (Ending(1, "close", 4001, "b\u00e9\x1b[2J"), "closed with code 4001: bé\\x1b[2J"),
        (Ending(1, "close", 1005), "closed without a code"),
        (Ending(1, "fin"), "the connection was cut after 1 s, without a close frame"),
        (Ending(1, "reset"), "the connection was reset"),
        (Ending(1, "masked-frame", None, "the server masks its frames"), "* the server masks its frames"),
    ],
)
def test_the_end_is_told_in_words(ending: Ending, words: str) -> None:
    assert words in ended(ending, BARE)


def test_every_command_is_in_the_list() -> None:
    assert re.findall(r"^  (/\w+)", usage(BARE), re.MULTILINE) == [name for name, _, _ in COMMANDS]


@given(st.binary(max_size=300), st.sampled_from(["text", "binary", "ping", "pong"]))
def test_nothing_that_moves_a_cursor_comes_through(data: bytes, kind: str) -> None:
    shown = received(Seen(0, kind, data), COLORED, stamp="12:00:01")
    bare = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert all(char.isprintable() or char in "\t\n" for char in bare)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(values, st.booleans())
def test_laid_out_json_has_the_same_tokens(value: object, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    laid_out = pretty_json(text)
    assert laid_out is not None
    assert json.loads(laid_out) == value
    assert re.sub(r"\s", "", laid_out) == re.sub(r"\s", "", text)


@pytest.mark.parametrize("text", ["{", "[1,]", "[" * 5000, "[" * 200 + "]" * 200, "nope", '{"a": 1} x'])
def test_what_is_no_json_or_too_deep_is_shown_as_it_is(text: str) -> None:
    assert pretty_json(text) is None


def test_a_number_stays_as_it_came() -> None:
    assert pretty_json("[1.10, 1e400, 123456789012345678901234567890]") is not None
    assert "1.10" in str(pretty_json("[1.10]"))
