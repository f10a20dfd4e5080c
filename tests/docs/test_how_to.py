"""The shell blocks of the how-to pages and of the README, run against the story's own deployment.

What another machine would run is run here: ``ssh``, ``docker`` and ``kubectl`` are stand-ins that run the command they
are given, ``sudo`` one that runs it as it is.  Everything else is real.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs.test_tutorial import missing
from tools.docs.build import DOCS
from ws101.lab.story import Deployment

ROOT = DOCS.parent
BLOCK = re.compile(r"(?m)^(?P<indent> *)```(?P<kind>sh|console)\n(?P<body>.*?)^(?P=indent)```", re.DOTALL)
NOT_RUN = {
    "python3 -m venv .ws101": "it installs the package from an index of packages",
    "scp ": "there is no other machine",
    "rsync ": "there is no other machine",
    "python3 ws101.pyz": "the single file has tests of its own",
    "make ": "it is what runs this test",
}
"""The beginnings of the commands that are left out, and why."""


@dataclass(frozen=True)
class Block:
    """Commands that are run together, and the lines that are shown below them."""

    script: str
    shown: tuple[str, ...]


def blocks_of(path: Path) -> list[Block]:
    """The shell blocks of a page; in the README an indented block is one."""
    text = path.read_text(encoding="utf-8")
    if path.name == "README.md":
        parts = re.findall(r"(?m)(?:^    .*\n)+", text)
        return [Block(textwrap.dedent(part), ()) for part in parts if "ws101" in part]
    found = []
    for match in BLOCK.finditer(text):
        body = textwrap.dedent(match["body"])
        if match["kind"] == "sh":
            found.append(Block(body, ()))
            continue
        lines = body.splitlines()
        typed = [line[2:] for line in lines if line.startswith("$ ")]
        found.append(Block("\n".join(typed) + "\n", tuple(line for line in lines if not line.startswith("$ "))))
    return found


PAGES = [path for path in (ROOT / "README.md", *sorted((DOCS / "how-to").glob("*.md"))) if blocks_of(path)]


def without_what_is_not_run(script: str) -> str:
    kept = [line for line in script.splitlines() if not any(start in line for start in NOT_RUN)]
    return "\n".join(kept)


class Desk:
    """A folder to work in, with the deployment under the names that the pages give it."""

    def __init__(self, folder: Path, site: Deployment) -> None:
        self.folder, self.site = folder, site
        nginx = site.root / "nginx"
        _switch_sites(site)
        self.names = {
            "wss://example.com/ws": f"ws://127.0.0.1:{site.port}/ws",
            "ws://example.com/ws": f"ws://127.0.0.1:{site.port}/ws",
            "wss://example.com/socket.io/": f"ws://127.0.0.1:{site.port}/socket.io/",
            "/etc/nginx": str(nginx),
            "/root/": f"{folder}/",
            "/usr/local/bin/ws101": "ws101",
            " apply new": f" apply new --to {site.conf}",  # nginx runs more than once here
        }
        programs = folder / "bin"
        programs.mkdir()
        self._program(programs / "ws101", f'exec {sys.executable} -m ws101 "$@"')
        self._program(programs / "sudo", 'exec "$@"')
        self._program(programs / "ssh", 'while [ "${1#-}" != "$1" ]; do shift; done; shift; exec "$@"')
        self._program(programs / "docker", f'{AFTER_OPTIONS}\nexec "$@"')
        self._program(programs / "kubectl", 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"')
        self._program(programs / "nginx", f'exec {site.binary.path} -p {nginx} -c {site.conf} "$@"')
        (folder / ".venv" / "bin").mkdir(parents=True)
        (folder / ".ws101" / "bin").mkdir(parents=True)
        for venv in (".venv", ".ws101"):
            (folder / venv / "bin" / "ws101").symlink_to(programs / "ws101")
        shutil.copytree(nginx, folder / "deploy" / "nginx", symlinks=True, ignore=_sockets_and_logs)
        shutil.copytree(nginx, folder / "nginx", symlinks=True, ignore=_sockets_and_logs)
        (folder / ".ssh").mkdir(mode=0o700)
        key = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / ".ssh" / "id_ed25519"))
        subprocess.run(key, check=True)
        for command in (("init", "-q"), ("add", "nginx")):
            subprocess.run(("git", *command), cwd=folder, check=True)

    def _program(self, path: Path, text: str) -> None:
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)

    def run(self, script: str) -> tuple[int, str]:
        """Run a script as a reader would: what it exits with, and what it prints."""
        for word, real in self.names.items():
            script = script.replace(word, real)
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
        done = subprocess.run(
            ["bash", "-c", script], capture_output=True, text=True, check=False, timeout=120, cwd=self.folder,
            stdin=subprocess.DEVNULL,
            env={
                **kept, "PATH": path, "HOME": str(self.folder), "PYTHONPATH": str(ROOT / "src"),
                "WS101_STATE": str(self.folder / "state"),
            },
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr


AFTER_OPTIONS = """[ "$1" = compose ] && shift
shift
while [ "${1#-}" != "$1" ]; do shift; done
shift"""


def _switch_sites(site: Deployment) -> None:
    """A site that is on and one that is off, beside the story's."""
    available, enabled = (site.root / "nginx" / name for name in ("sites-available", "sites-enabled"))
    for name in ("old", "chat"):
        text = f"server {{ listen 127.0.0.1:{site.port}; server_name {name}.example.com; return 204; }}\n"
        (available / name).write_text(text)
    (enabled / "old").symlink_to("../sites-available/old")
    site.nginx.reload()


def _sockets_and_logs(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name.endswith((".log", ".pid")) or name.startswith("temp_")]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_every_command_of_a_page_does_what_it_can(page: Path, tmp_path: Path) -> None:
    with Deployment() as site:
        desk = Desk(tmp_path, site)
        for block in blocks_of(page):
            code, printed = desk.run(without_what_is_not_run(block.script))
            story = f"{block.script}\nexit code {code}\n{printed}"
            assert code in (0, 1), story
            assert not re.search(r"(?m)^(error: |Usage: |Traceback|bash: )", printed), story
            assert missing(block.shown, printed) == [], story


def test_there_are_pages_with_commands() -> None:
    assert len(PAGES) >= 8


def test_a_command_that_fails_would_be_noticed(tmp_path: Path) -> None:
    with Deployment() as site:
        code, printed = Desk(tmp_path, site).run("ws101 check /etc/nginx/missing.conf")
    assert code == 2
    assert printed.startswith("error: ")
