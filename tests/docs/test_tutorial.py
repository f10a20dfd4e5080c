"""The tutorial's commands, run against the story's own deployment; what it shows is what they print."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tools.docs.build import DOCS
from ws101.cli.group import command_line, front_door
from ws101.host.binary import all_nginx
from ws101.lab.story import Deployment

TEXT = (DOCS / "tutorial.md").read_text(encoding="utf-8")
OLD = next((binary for binary in all_nginx() if binary.build.number == "1.22.1"), None)


@dataclass(frozen=True)
class Step:
    """A command of the tutorial, and the lines it shows of the output."""

    command: str
    shown: tuple[str, ...]


def steps(text: str) -> list[Step]:
    found = []
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for part in re.split(r"(?m)^\$ ", block)[1:]:
            command, *shown = part.rstrip("\n").split("\n")
            found.append(Step(command, tuple(shown)))
    return found


def squeezed(line: str) -> str:
    """Without the width of blanks, and without a finding's number: on another port than 80 there is one more."""
    return re.sub(r"^\d+\. ", "", " ".join(line.split()))


def missing(shown: tuple[str, ...], printed: str) -> list[str]:
    """The shown lines that the output does not hold, each as the beginning of a line, in this order."""
    lines, at, lost = [squeezed(line) for line in printed.split("\n")], 0, []
    for wanted in map(squeezed, shown):
        found = next((i for i in range(at, len(lines)) if lines[i].startswith(wanted)), None)
        if found is None:
            lost.append(wanted)
        else:
            at = found + 1
    return lost


@dataclass(frozen=True)
class Stage:
    """The deployment, under the names that the tutorial gives it."""

    deployment: Deployment
    state: Path

    @property
    def names(self) -> dict[str, str]:
        """The tutorial's words, and what they are here; longer ones first."""
        here, root = self.deployment, str(self.deployment.root / "nginx")
        return {
            "ws://example.com/ws": f"ws://127.0.0.1:{here.port}/ws",
            "/etc/nginx": root,
            "http://127.0.0.1:3000": f"http://127.0.0.1:{here.app.port}",
            "http://127.0.0.1:3001": f"http://127.0.0.1:{here.dashboard.port}",
            "Host $host;": "Host $http_host;",  # the port that is not 80
        }

    def run(self, command: str) -> str:
        for word, real in self.names.items():
            command = command.replace(word, real)
        words = [word for word in shlex.split(command) if word != "sudo"]
        assert words[0] == "ws101", command
        kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
        done = subprocess.run(
            [sys.executable, "-m", "ws101", *words[1:]], capture_output=True, text=True, check=False, timeout=120,
            env={**kept, "PYTHONPATH": str(DOCS.parent / "src"), "WS101_STATE": str(self.state)},
        )  # fmt: skip
        printed = done.stdout + done.stderr
        for word, real in self.names.items():
            printed = printed.replace(real, word)
        return printed


@pytest.mark.skipif(OLD is None, reason="the tutorial shows nginx 1.22.1")
def test_every_command_prints_what_the_tutorial_shows(tmp_path: Path) -> None:
    assert OLD is not None
    with Deployment(OLD.path) as deployment:
        stage = Stage(deployment, tmp_path / "state")
        for step in steps(TEXT):
            printed = stage.run(step.command)
            assert missing(step.shown, printed) == [], f"{step.command}\n{printed}"


def test_the_tutorial_has_the_whole_way_from_400_to_101() -> None:
    found = steps(TEXT)
    assert len(found) == 8
    assert all(step.shown for step in found)
    assert "BROKEN" in found[0].shown[0]
    assert any(line.startswith("PROVEN") for step in found for line in step.shown)


def test_the_site_of_the_tutorial_is_the_one_that_is_deployed() -> None:
    with Deployment() as deployment:
        real = (deployment.root / "nginx" / "sites-enabled" / "example.conf").read_text()
        ports = {
            f"listen 127.0.0.1:{deployment.port};": "listen 80;",
            f"127.0.0.1:{deployment.app.port}": "127.0.0.1:3000",
            f"127.0.0.1:{deployment.dashboard.port}": "127.0.0.1:3001",
            "Host $http_host;": "Host $host;",
        }
        for here, told in ports.items():
            real = real.replace(here, told)
    assert f"```nginx\n{real}```" in TEXT


def test_a_line_that_is_not_printed_is_noticed() -> None:
    assert missing(("a  b", "c"), "x\na b c\nc d\n") == []
    assert missing(("c", "a"), "a\nc\n") == ["a"]


def commands_in(folder: Path) -> list[tuple[str, str]]:
    """Every ws101 command in a shell block of the pages, with its page."""
    found = []
    for path in sorted(folder.rglob("*.md")):
        for block in re.findall(r"```sh\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL):
            joined = block.replace("\\\n", " ")
            for line in joined.splitlines():
                piece = line.strip().rpartition("| ")[2]
                match = re.match(r"(?:sudo )?(?:\"\$\(command -v ws101\)\"|(?:\S*/)?ws101) (.*)", piece)
                if match:
                    found.append((match[1], path.name))
    return found


@pytest.mark.parametrize(("command", "page"), commands_in(DOCS / "how-to"))
def test_every_command_of_a_how_to_page_is_one_that_the_command_line_knows(command: str, page: str) -> None:
    """It is parsed, and not run: options that are not there, or lack a value, are noticed."""
    words = shlex.split(re.sub(r"\s*[<>].*", "", command), comments=True)
    context = command_line.make_context("ws101", front_door(words))
    name, found, rest = command_line.resolve_command(context, [*context._protected_args, *context.args])
    assert found is not None, page
    assert name is not None
    found.make_context(name, rest)
