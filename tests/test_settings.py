from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws101.errors import InputError, Ws101Error
from ws101.settings import KEYS, Settings, parse_settings

FULL = """
urls = ["wss://example.com/ws"]
heartbeat = "20s"
select = ["upgrade-not-forwarded"]
ignore = ["WS101"]
fail-on = "warning"
nginx-version = "1.22.1"
"""


def test_every_key_is_read() -> None:
    assert parse_settings(FULL, "/x/ws101.toml") == Settings(
        "/x/ws101.toml",
        ("wss://example.com/ws",),
        20.0,
        ("upgrade-not-forwarded",),
        ("upgrade-not-forwarded",),
        "warning",
        "1.22.1",
    )
    assert all(f"{key} =" in FULL for key in KEYS)


def test_an_empty_file_says_nothing() -> None:
    assert parse_settings("", "x") == Settings("x")


@pytest.mark.parametrize("text", ["heartbeat = 20", "heartbeat = 20.0", 'heartbeat = "20"', 'heartbeat = "20000ms"'])
def test_a_heartbeat_is_a_number_of_seconds_or_nginxs_words(text: str) -> None:
    assert parse_settings(text, "x").heartbeat == 20.0


WRONG = {
    'nginx_version = "1.22.1"': ("unknown key nginx_version", "did you mean nginx-version?"),
    "colour = true": ("unknown key colour", "the keys are urls, heartbeat, select, ignore, fail-on, nginx-version"),
    'urls = "wss://example.com/ws"': ("urls: wss://example.com/ws is not a list", 'write it in brackets: ["..."]'),
    'urls = ["example.com"]': ("urls: a WebSocket's URL is needed", "for example wss://example.com/ws"),
    "urls = [1]": ("urls: 1 is not a text", 'write it in quotes: "..."'),
    'ignore = ["upgrade-not-forwarde"]': (
        "ignore: there is no rule upgrade-not-forwarde",
        "did you mean upgrade-not-forwarded?",
    ),
    "heartbeat = true": ("heartbeat: true is not a time", 'write it as nginx does: "20s"'),
    "heartbeat = 0": ("heartbeat: 0 is not a time", 'write it as nginx does: "20s"'),
    'fail-on = "info"': ("fail-on: info is none of error, warning, note, never", 'for example "error"'),
    'nginx-version = "new"': ("nginx-version: new is not a version", 'write it as "1.22.1"'),
    "nginx-version = 1.22": ("nginx-version: 1.22 is not a text", 'write it in quotes: "..."'),
    "[ws101]\nurls = []": ("unknown key ws101", "the keys are urls, heartbeat, select, ignore, fail-on, nginx-version"),
}


@pytest.mark.parametrize("text", WRONG)
def test_what_makes_no_sense_is_an_error_with_its_place_and_its_remedy(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_settings(text, "/x/ws101.toml")
    assert (caught.value.message, caught.value.help) == WRONG[text]
    assert caught.value.where == "/x/ws101.toml"


def test_what_is_no_toml_says_where() -> None:
    with pytest.raises(InputError, match=r"this is not TOML: .*line 2"):
        parse_settings('fail-on = "error"\nurls [', "x")


@given(st.text(max_size=40))
def test_whatever_stands_there_is_read_or_refused_in_our_own_words(text: str) -> None:
    where = "x"
    try:
        parse_settings(text, "x")
    except Ws101Error as error:
        where = error.where
    assert where == "x"


def test_the_reference_documents_every_key_and_its_example_is_read(repository: Path) -> None:
    text = (repository / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    assert re.findall(r"(?m)^\| `([a-z-]+)` \|", text) == list(KEYS)
    example = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)[0]
    assert parse_settings(example, "x").heartbeat == 20.0
