from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tools import pyz


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pyz") / "ws101.pyz"
    pyz.build(path)
    return path


def run(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it with nothing but the standard library beside it."""
    command = [sys.executable, "-I", "-S", str(program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=program.parent)


def test_it_runs_without_any_package_installed(program: Path) -> None:
    done = run(program, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage" in done.stdout


def test_its_tables_are_read_from_inside_the_archive(program: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from ws101.nginx import directives; print(directives._table())"
    )
    command = [sys.executable, "-I", "-S", "-c", script, str(program)]
    assert "proxy_pass" in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_same_sources_give_the_same_bytes(program: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.pyz"
    pyz.build(again)
    assert again.read_bytes() == program.read_bytes()


def test_it_holds_every_module_and_table_and_nothing_compiled(program: Path) -> None:
    with zipfile.ZipFile(program) as archive:
        names = set(archive.namelist())
    modules = {str(path.relative_to(pyz.ROOT / "src")) for path in pyz.own_files()}
    assert modules <= names
    assert "ws101/nginx/data/nginx-directives.json" in names
    assert {"click/__init__.py", "websockets/__init__.py"} <= names
    assert not [name for name in names if name.endswith((".so", ".pyc", ".pyd"))]
    assert any(name.startswith("click-") and "LICENSE" in name.upper() for name in names)


def test_only_what_is_needed_to_run_counts_as_needed() -> None:
    found = pyz.needed(["rich>=13", "missing-package ; extra == 'dev'"])
    assert {"rich", "pygments", "markdown-it-py", "mdurl"} == found
