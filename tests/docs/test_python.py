"""The page about Python: its examples run as they stand there, and it names what the package offers."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

import ws101
from tools.docs.build import DOCS

TEXT = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")


def test_the_examples_print_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (configuration,) = re.findall(r"```nginx\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "nginx.conf").write_text(configuration)
    monkeypatch.chdir(tmp_path)
    examples = "\n".join(re.findall(r"```pycon\n(.*?)```", TEXT, re.DOTALL))
    parsed = doctest.DocTestParser().get_doctest(examples, {}, "python.md", None, None)
    assert len(parsed.examples) > 15
    shown: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(parsed, out=shown.append)
    assert result.failed == 0, "".join(shown)


@pytest.mark.parametrize("name", ["load", "trace", "forward"])
def test_each_function_has_a_chapter_and_is_there(name: str) -> None:
    assert f"\n## `ws101.{name}(" in TEXT
    assert callable(getattr(ws101, name))


def test_only_names_that_are_there_are_used() -> None:
    used = set(re.findall(r"(?<!from )\bws101\.([A-Za-z]\w+)", TEXT)) - {"check"}
    assert used <= set(ws101.__all__)
    assert not {*ws101.__all__} & {module.stem for module in Path(ws101.__file__).parent.glob("*.py")}, (
        "one hides the other"
    )
