"""What a line typed into a conversation means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws101.errors import UsageError
from ws101.probes.talk import COMMANDS, CONTROL_LIMIT, Act, read_line


@pytest.mark.parametrize(
    ("line", "act"),
    [
        ("hello", Act("text", b"hello")),
        ("", Act("text", b"")),
        ("h\u00e9llo", Act("text", b"h\xc3\xa9llo")),
        ("not utf-8 \udcff", Act("text", b"not utf-8 \xff")),
        ("//path", Act("text", b"/path")),
        (" /ping", Act("text", b" /ping")),
        ("/ping", Act("ping")),
        ("/ping  are you there ", Act("ping", b"are you there")),
        ("/pong x", Act("pong", b"x")),
        ("/binary 00 ff:10", Act("binary", b"\x00\xff\x10")),
        ("/binary 0xdeadBEEF", Act("binary", b"\xde\xad\xbe\xef")),
        ("/close", Act("close")),
        ("/close 4000 good bye", Act("close", b"good bye", 4000)),
        ("/save /tmp/x y", Act("save", b"/tmp/x y")),
        ("/help", Act("help")),
    ],
)
def test_a_line_is_text_or_a_command(line: str, act: Act) -> None:
    assert read_line(line) == act


@pytest.mark.parametrize(
    "line",
    ["/nonsense", "/", "/save", "/close x", "/close 999", "/close 1005", "/close 1006", "/close 2000", "/close 5000",
     "/close \u0661\u0660\u0660\u0660", "/binary 0", "/binary xx", "/ping " + "x" * 126,
     "/close 1000 " + "x" * 124],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_and_not_sent(line: str) -> None:
    with pytest.raises(UsageError):
        read_line(line)


def test_what_just_fits_into_a_control_frame_is_taken() -> None:
    assert len(read_line("/ping " + "x" * CONTROL_LIMIT).data) == CONTROL_LIMIT
    assert len(read_line("/close 1000 " + "x" * (CONTROL_LIMIT - 2)).data) == CONTROL_LIMIT - 2


def test_every_command_that_is_listed_is_known() -> None:
    arguments = {"/binary": " 00", "/save": " x"}
    for name, _, _ in COMMANDS:
        assert read_line(name + arguments.get(name, "")).kind == name[1:]


@given(st.text(st.characters(codec="utf-8")))
def test_any_text_can_be_sent(text: str) -> None:
    line = f"/{text}" if text.startswith("/") else text
    assert read_line(line) == Act("text", text.encode("utf-8"))
