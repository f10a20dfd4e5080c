from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from ws101.cli import page
from ws101.errors import InputError, UsageError

PAGE = b"<!doctype html>\n<head><title>ws101: a page</title>"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "checkout" / "dist").mkdir(parents=True)
    (tmp_path / "checkout" / "pyproject.toml").touch()
    monkeypatch.setattr(page, "_CHECKOUT", tmp_path / "checkout")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "checkout"


def run(*args: str) -> str:
    done = CliRunner().invoke(page.command, args, standalone_mode=False, catch_exceptions=False)
    return done.output


def test_the_page_is_written_and_an_older_one_is_replaced(checkout: Path, tmp_path: Path) -> None:
    (checkout / "dist" / "ws101.html").write_bytes(PAGE)
    assert "open it in a browser" in run()
    assert (tmp_path / "ws101.html").read_bytes() == PAGE
    (checkout / "dist" / "ws101.html").write_bytes(PAGE + b"newer")
    run()
    assert (tmp_path / "ws101.html").read_bytes() == PAGE + b"newer"


def test_without_a_page_it_says_where_to_get_one(checkout: Path) -> None:
    with pytest.raises(InputError, match="does not carry the page") as caught:
        run()
    assert "make page" in caught.value.help


def test_what_is_there_and_is_no_page_is_left_alone(checkout: Path, tmp_path: Path) -> None:
    (checkout / "dist" / "ws101.html").write_bytes(PAGE)
    (tmp_path / "notes.html").write_text("mine")
    with pytest.raises(UsageError, match="no page of ws101"):
        run("-o", "notes.html")
    assert (tmp_path / "notes.html").read_text() == "mine"
    with pytest.raises(UsageError, match="there is a folder"):
        run("-o", ".")
    with pytest.raises(UsageError, match="no such folder"):
        run("-o", "nowhere/x.html")
