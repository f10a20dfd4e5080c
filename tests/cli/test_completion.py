"""Shell completion: click's own, in the shells themselves where they are installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.support import environment, ws101

SHELLS = ("bash", "zsh", "fish")


def completed(*words: str) -> list[str]:
    line = " ".join(("ws101", *words))
    done = ws101(_WS101_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=str(len(words)))
    assert done.code == 0, done.err
    return [row.partition(",")[2] for row in done.out.splitlines()]


def test_commands_options_choices_and_rules_are_completed() -> None:
    assert completed("chec") == ["check"]
    assert {"check", "diagnose", "fix"} <= set(completed(""))
    assert completed("check", "--fail") == ["--fail-on"]
    assert completed("check", "--format", "s") == ["sarif"]
    assert completed("rule", "upgrade-not-f") == ["upgrade-not-forwarded"]
    assert completed("check", "--ignore", "read-t") == ["read-timeout"]


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_gets_its_script(shell: str) -> None:
    if shell == "bash" and shutil.which("bash") is None:
        pytest.skip("click asks bash itself for its version")
    done = ws101(_WS101_COMPLETE=f"{shell}_source")
    assert done.code == 0
    assert f"_WS101_COMPLETE={shell}_complete" in done.out


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes_with_the_documented_line(tmp_path: Path, repository: Path) -> None:
    page = (repository / "docs" / "how-to" / "completion.md").read_text(encoding="utf-8")
    line = 'eval "$(_WS101_COMPLETE=bash_source ws101)"'
    assert line in page
    program = tmp_path / "ws101"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ws101 "$@"\n')
    program.chmod(0o755)
    script = f'{line}; COMP_WORDS=(ws101 diag); COMP_CWORD=1; _ws101_completion ws101; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-c", script],
        env=environment(PATH=f"{tmp_path}:/usr/bin:/bin"), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "diagnose"
