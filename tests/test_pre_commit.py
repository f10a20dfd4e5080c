"""The hook, run by the real pre-commit in a repository of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.support import SITE
from tests.offline import copy_of_the_project, environment

CONFIG = """\
repos:
  - repo: {hooks}
    rev: {revision}
    hooks:
      - id: ws101
        args: [--url, "ws://example.com:8080/ws", --nginx-version, "1.22.1"]
"""


def git(folder: Path, *args: str) -> str:
    who = ("-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "init.defaultBranch=main")
    done = subprocess.run(
        ["git", *who, *args], cwd=folder, env=environment(), capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def committed(folder: Path) -> str:
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--no-verify", "-m", "all")
    return git(folder, "rev-parse", "HEAD")


def pre_commit(site: Path) -> subprocess.CompletedProcess[str]:
    home = {"PRE_COMMIT_HOME": str(site.parent / "home")}
    return subprocess.run(
        [sys.executable, "-m", "pre_commit", "run"], cwd=site, env=environment(**home),
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_hook_refuses_a_broken_site_accepts_a_sound_one_and_leaves_other_files_alone(tmp_path: Path) -> None:
    hooks = copy_of_the_project(tmp_path / "hooks")
    site = tmp_path / "site"
    (site / "deploy").mkdir(parents=True)
    (site / ".pre-commit-config.yaml").write_text(CONFIG.format(hooks=hooks, revision=committed(hooks)))
    committed(site)

    (site / "deploy" / "nginx.conf").write_text(SITE)
    git(site, "add", "-A")
    refused = pre_commit(site)
    assert refused.returncode == 1, refused.stdout + refused.stderr
    assert "error[upgrade-not-forwarded]" in refused.stdout
    assert "deploy/nginx.conf:6:9" in refused.stdout

    fields = 'proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";'
    (site / "deploy" / "nginx.conf").write_text(SITE.replace("proxy_read_timeout", fields + " proxy_read_timeout"))
    git(site, "add", "-A")
    accepted = pre_commit(site)
    assert accepted.returncode == 0, accepted.stdout + accepted.stderr
    assert "Passed" in accepted.stdout

    git(site, "commit", "-q", "--no-verify", "-m", "sound")
    (site / "notes.txt").write_text("nothing for it")
    git(site, "add", "-A")
    assert "no files to check" in pre_commit(site).stdout
