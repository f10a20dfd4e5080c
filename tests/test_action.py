"""The steps of action.yml, run as the runner runs them: a script a step, inputs in its environment."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from tests.cli.support import SITE
from tests.offline import ROOT, copy_of_the_project, environment
from tests.report.sarif_checks import offences

ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
URL = "ws://example.com:8080/ws"

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")


@dataclass(frozen=True)
class Ran:
    """What the steps gave."""

    code: int
    out: str
    outputs: str


Run = Callable[..., Ran]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runner's temporary folder after the first step."""
    folder = tmp_path_factory.mktemp("runner")
    action = copy_of_the_project(folder / "action")
    done = script(STEPS[0], {"python": sys.executable}, folder, RUNNER_TEMP=str(folder), GITHUB_ACTION_PATH=str(action))
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def script(
    step: dict[str, Any], inputs: dict[str, str], cwd: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """A step, by the command that the runner's documentation gives for ``shell: bash``."""
    given = {name: value.get("default", "") for name, value in ACTION["inputs"].items()} | inputs
    env = {
        name: re.sub(r"\$\{\{ inputs\.([a-z-]+) \}\}", lambda match: given[match[1]], value)
        for name, value in step.get("env", {}).items()
    }
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=cwd, env=environment(**env, **variables), capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


@pytest.fixture
def check(installed: Path, tmp_path: Path) -> Run:
    def run(text: str = SITE, **inputs: str) -> Ran:
        (tmp_path / "deploy").mkdir(exist_ok=True)
        (tmp_path / "deploy" / "nginx.conf").write_text(text)
        out = tmp_path / "output"
        out.write_text("")
        named = {name.replace("_", "-"): value for name, value in inputs.items()}
        done = script(STEPS[1], named, tmp_path, RUNNER_TEMP=str(installed), GITHUB_OUTPUT=str(out))
        return Ran(done.returncode, done.stdout + done.stderr, out.read_text())

    return run


def test_findings_become_annotations_and_fail_the_step(check: Run) -> None:
    ran = check(path="deploy", url=URL, nginx_version="1.22.1")
    assert (ran.code, ran.outputs) == (1, "exit-code=1\n")
    assert ran.out.startswith("::error file=deploy/nginx.conf,line=6,")


def test_a_sound_configuration_passes(check: Run) -> None:
    ran = check(SITE.replace("proxy_pass http://127.0.0.1:3000;", "return 404;"), path="deploy/nginx.conf")
    assert (ran.code, ran.outputs) == (0, "exit-code=0\n"), ran.out


def test_the_folder_of_another_machine_and_several_lines_are_understood(check: Run) -> None:
    ran = check(path="/etc/nginx\n/etc/nginx/nginx.conf\n", root="/etc/nginx=deploy", url=f"{URL}\n{URL}2\n")
    assert ran.code == 1
    assert ran.out.count("::error file=deploy/nginx.conf") >= 2


def test_the_findings_are_written_as_sarif(check: Run, tmp_path: Path) -> None:
    ran = check(path="deploy", url=URL, sarif="out.sarif", fail_on="never")
    assert ran.code == 0
    log = json.loads((tmp_path / "out.sarif").read_text())
    assert list(offences(log)) == []
    assert log["runs"][0]["results"][0]["ruleId"] == "WS101"


def test_what_cannot_be_checked_fails_with_2(check: Run, tmp_path: Path) -> None:
    ran = check(path="missing.conf", sarif="out.sarif")
    assert (ran.code, ran.outputs) == (2, "exit-code=2\n")
    assert not (tmp_path / "out.sarif").exists()


@pytest.mark.parametrize("name", ["path", "url", "root", "nginx_version", "fail_on"])
def test_nothing_in_an_input_is_run(check: Run, tmp_path: Path, name: str) -> None:
    evil = "$(touch owned)`touch owned`; touch owned"
    assert check(**{"path": "deploy", name: evil}).code == 2
    assert not (tmp_path / "owned").exists()


def test_an_input_is_only_ever_a_variable_of_a_step() -> None:
    assert all("${{" not in step["run"] for step in STEPS)
    used = set(re.findall(r"inputs\.([a-z-]+)", (ROOT / "action.yml").read_text()))
    assert used == set(ACTION["inputs"])
