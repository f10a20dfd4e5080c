from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws101.report.style import Style, columns, cut, pad, width_of, wrap

PRINTABLE = st.text(alphabet=st.characters(exclude_categories=("Cs", "Cc", "Cf", "Zl", "Zp", "Co", "Cn")))


def test_without_colour_a_role_changes_nothing() -> None:
    assert Style(color=False).paint("error", "text") == "text"


def test_with_colour_a_role_is_an_escape_sequence_that_ends_where_the_text_ends() -> None:
    assert Style(color=True).paint("error", "text") == "\x1b[1;31mtext\x1b[0m"


def test_an_empty_text_gets_no_escape_sequence() -> None:
    assert Style(color=True).paint("error", "") == ""


@pytest.mark.parametrize(
    ("text", "width"), [("abc", 3), ("日本", 4), ("e\u0301", 1), ("\x1b[31mred\x1b[0m", 3), ("", 0)]
)
def test_width_counts_columns_and_not_characters(text: str, width: int) -> None:
    assert width_of(text) == width


def test_a_terminal_without_unicode_gets_ascii_signs() -> None:
    style = Style(unicode=False)
    assert style.glyph("arrow") == "->"
    assert style.finish("a → b …") == "a -> b ..."


@given(PRINTABLE, st.integers(min_value=3, max_value=40))
def test_cut_text_is_never_wider_than_asked(text: str, width: int) -> None:
    assert width_of(cut(text, width)) <= width


@given(PRINTABLE, st.integers(min_value=3, max_value=40))
def test_text_that_fits_is_not_cut(text: str, width: int) -> None:
    assert width_of(text) > width or cut(text, width) == text


@given(st.text(alphabet="ab ", max_size=60), st.integers(min_value=5, max_value=30))
def test_wrapping_loses_no_word(text: str, width: int) -> None:
    lines = wrap(text, width)
    assert " ".join(lines) == text
    assert all(width_of(line) <= width or " " not in line.strip() for line in lines)


def test_columns_stand_below_each_other_whatever_the_width_of_their_characters() -> None:
    assert columns([("日本", "x"), ("a", "y")], indent=1) == [" 日本  x", " a     y"]


def test_pad_fills_up_to_a_number_of_columns() -> None:
    assert pad("日", 4) == "日  "
