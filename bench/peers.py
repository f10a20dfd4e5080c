"""The programs ws101 is measured beside, in environments of their own below .cache; a missing one is said loudly."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from bench.measure import ROOT

VENV = ROOT / ".cache" / "bench-venv"
NODE = ROOT / ".cache" / "bench-node"
PACKAGES = ("crossplane", "gixy-next", "picows")


def python_peers() -> Path | None:
    """The interpreter of the environment that holds crossplane and gixy-next; None if it cannot be made."""
    python = VENV / "bin" / "python"
    if not python.exists() and not _try([sys.executable, "-m", "venv", str(VENV)]):
        return None
    missing = [name for name in PACKAGES if not has(python, name)]
    for name in missing:
        if not _try([str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", name]):
            print(f"NOT MEASURED: {name} cannot be installed")
    return python


def has(python: Path, name: str) -> bool:
    """Whether a package is installed for an interpreter."""
    return _try([str(python), "-m", "pip", "show", "-q", name])


def gixy() -> Path | None:
    """gixy-next's program."""
    program = VENV / "bin" / "gixy"
    return program if program.exists() else None


def wscat() -> Path | None:
    """wscat's program."""
    program = NODE / "node_modules" / ".bin" / "wscat"
    npm = shutil.which("npm")
    if not program.exists() and npm:
        NODE.mkdir(parents=True, exist_ok=True)
        _try([npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(NODE), "wscat"])
    return program if program.exists() else None


def _try(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=300, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
