"""Installing this project with pip, as users' tools do it, from what is here and without a network."""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("src", "examples", "pyproject.toml", "README.md", "LICENSE", ".pre-commit-hooks.yaml", "action.yml")


def environment(**more: str) -> dict[str, str]:
    """Variables with which pip asks no index: it builds in place, and takes the packages of this environment."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "GIT_", "WS101_", "PRE_"))
    }
    pip = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return {**kept, **pip, "PYTHONPATH": sysconfig.get_path("purelib"), **more}


def copy_of_the_project(folder: Path) -> Path:
    """What a clone of the repository holds that an installation needs."""
    folder.mkdir()
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        else:
            shutil.copy(source, folder / name)
    return folder
