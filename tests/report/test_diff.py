from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ws101.report.diff import paint_diff, unified
from ws101.report.style import PLAIN
from ws101.text import Edit, Source, Span, apply

FILE = "site.conf"


def diff(text: str, *edits: tuple[int, int, str]) -> str:
    return unified({FILE: Source(FILE, text)}, [Edit(Span(FILE, a, b), new) for a, b, new in edits])


def test_an_insertion_shows_three_lines_around_it() -> None:
    text = "".join(f"line{n};\n" for n in range(1, 10))
    assert diff(text, (text.index("line5"), text.index("line5"), "new;\n")) == (
        "--- site.conf\n+++ site.conf\n@@ -2,6 +2,7 @@\n line2;\n line3;\n line4;\n+new;\n line5;\n line6;\n line7;\n"
    )


def test_a_new_file_comes_from_nowhere() -> None:
    assert unified({}, [Edit(Span("new.conf", 0, 0), "a;\nb;\n")]) == (
        "--- /dev/null\n+++ new.conf\n@@ -0,0 +1,2 @@\n+a;\n+b;\n"
    )


def test_a_missing_last_line_end_is_told() -> None:
    assert "\\ No newline at end of file" in diff("a;", (0, 1, "b"))


def test_an_edit_that_changes_nothing_gives_no_diff() -> None:
    assert diff("a;\n", (0, 1, "a")) == ""


def test_on_a_terminal_secrets_and_control_characters_are_not_shown() -> None:
    lines = paint_diff(["+proxy_set_header Authorization abcdef;\n", " \x1b[31m\n"], PLAIN)
    assert lines == ["+proxy_set_header Authorization ***;", " \\x1b[31m"]


LINE = st.sampled_from(["a;\n", "b c;\r\n", "\n", "\x0c\n", "\x85;\n", "}\n", "é\n"])


@st.composite
def edited(draw: st.DrawFn) -> tuple[str, list[Edit]]:
    text = "".join(draw(st.lists(LINE, max_size=30))) + draw(st.sampled_from(["", "end"]))
    points = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6, unique=True)))
    pairs = zip(points[::2], points[1::2], strict=False)
    return text, [Edit(Span(FILE, a, b), draw(st.sampled_from(["", "x;\n", "y", "\n"]))) for a, b in pairs]


@pytest.mark.skipif(shutil.which("patch") is None, reason="the program patch is not installed")
@given(edited())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_patch_makes_of_the_old_file_exactly_the_new_one(tmp_path: Path, case: tuple[str, list[Edit]]) -> None:
    text, edits = case
    found = unified({FILE: Source(FILE, text)}, edits)
    new = apply(text, edits)
    if not found:
        assert new == text
        return
    target = tmp_path / FILE
    target.write_bytes(text.encode("latin-1"))
    done = subprocess.run(
        ["patch", "--binary", "-s", "-p0", FILE],
        input=found.encode("latin-1"),
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert (target.read_bytes() if target.exists() else b"") == new.encode("latin-1")
