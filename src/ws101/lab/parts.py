"""What the reference deployment can be built from here: the examples, Node and its libraries, Go and gorilla/websocket.

Nothing is downloaded.  A backend that cannot run here is left out, the reason is told, and Python stands in for it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from pathlib import Path

from ws101.errors import InputError
from ws101.lazy import dataclass

__all__ = ["NODE_PACKAGES", "Cast", "Part", "assemble", "find_examples"]

NODE_PACKAGES = ("ws@8.23.0", "socket.io@4.8.4")
"""What the backend in Node needs; also in its package.json."""

_HERE = Path(__file__).resolve().parent
_CHECKOUT = _HERE.parents[2]
_GOCODE = Path("/usr/share/gocode")
"""Where Debian keeps the sources of Go packages."""

_GO_TIMEOUT = 180.0
_TICK = 0.1


@dataclass(frozen=True, slots=True)
class Part:
    """A program that serves a port.

    Args:
        name: What it calls itself.
        command: How it is run.
        environment: Further environment variables.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cast:
    """Everything that runs behind nginx.

    Args:
        hub: The hub; its last argument, the socket's path, is still to be added.
        chat: The backends behind ``/ws``.
        polling: Those behind ``/socket.io/``.
        missing: What is left out, and why, a sentence each.
    """

    hub: Part
    chat: tuple[Part, ...]
    polling: tuple[Part, ...]
    missing: tuple[tuple[str, str], ...]


class _Missing(Exception):
    """Why a part cannot run here, and what would help."""


def find_examples() -> Path:
    """The folder of the examples: of the installed package, or of a checkout.

    Raises:
        InputError: This build of the program carries none.
    """
    for folder in (_HERE / "examples", _CHECKOUT / "examples"):
        if (folder / "backend_python" / "server.py").is_file():
            return folder
    raise InputError(
        "this build of ws101 carries no examples to run",
        where=str(_HERE),
        help="install the package (pip install ws101), or run it from a checkout; the single-file program has none",
    )


def assemble(
    examples: Path, built: Path, *, without: tuple[str, ...] = (), check: Callable[[], None] = lambda: None
) -> Cast:
    """Find out what can run here; the backend in Go is built.

    Args:
        examples: The folder of the examples.
        built: An existing folder for what is built.
        without: Backends to leave out: ``node``, ``go``.
        check: Called now and then while a program is built; what it raises ends that.
    """
    python = _python(examples / "backend_python" / "server.py", "python")
    chat, polling, missing = [python], list[Part](), list[tuple[str, str]]()
    for name in ("node", "go"):
        try:
            if name in without:
                raise _Missing("it was not wanted")
            if name == "go":
                chat.append(_go(examples / "backend_go", built, check))
                continue
            chat.append(_node(examples / "backend_node", "server.js", "node"))
            polling += [_node(examples / "backend_node", "polling.js", f"socket.io-{number}") for number in (1, 2)]
        except _Missing as why:
            missing.append((name, str(why)))
            chat.append(_python(examples / "backend_python" / "server.py", f"python-{len(chat) + 1}"))
    return Cast(_python(examples / "hub" / "hub.py", "hub"), tuple(chat), tuple(polling), tuple(missing))


def _python(script: Path, name: str) -> Part:
    """A program in Python: it finds the same packages as we do, also where those lie in an archive."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return Part(name, (sys.executable, str(script)), {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"})


def _node(folder: Path, script: str, name: str) -> Part:
    node = shutil.which("node")
    if node is None:
        raise _Missing("Node is not installed: sudo apt-get install nodejs npm")
    own = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "ws101" / "node"
    candidates = (folder, _CHECKOUT / ".cache" / "node", own)
    found = next((c / "node_modules" for c in candidates if _has_packages(c / "node_modules")), None)
    if found is None:
        raise _Missing(f"its libraries are not there: npm install --prefix {own} {' '.join(NODE_PACKAGES)}")
    return Part(name, (node, str(folder / script)), {"NODE_PATH": str(found)})


def _has_packages(modules: Path) -> bool:
    return all((modules / package.partition("@")[0] / "package.json").is_file() for package in NODE_PACKAGES)


def _go(folder: Path, built: Path, check: Callable[[], None]) -> Part:
    """The backend in Go, built from Debian's package of gorilla/websocket or from what ``go mod download`` fetched."""
    go = shutil.which("go")
    if go is None:
        raise _Missing("Go is not installed: sudo apt-get install golang-go golang-github-gorilla-websocket-dev")
    packaged = (_GOCODE / "src" / "github.com" / "gorilla" / "websocket").is_dir()
    how = {"GO111MODULE": "off", "GOPATH": str(_GOCODE)} if packaged else {"GOPROXY": "off", "GOFLAGS": ""}
    program = built / "backend_go"
    try:
        code, said = _run([go, "build", "-o", str(program), "."], folder, {"GOTOOLCHAIN": "local", **how}, check)
    except (OSError, TimeoutError) as error:
        raise _Missing(f"it could not be built: {error}") from error
    if code == 0:
        return Part("go", (str(program),))
    if re.search(r"gorilla/websocket.*(?:module lookup disabled|cannot find)", said, re.DOTALL):
        raise _Missing(
            "gorilla/websocket is not there: sudo apt-get install golang-github-gorilla-websocket-dev, "
            f"or go mod download in {folder}"
        )
    lines = said.strip().splitlines()
    raise _Missing(f"it could not be built: {lines[-1] if lines else 'go build says nothing'}")


def _run(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], check: Callable[[], None]
) -> tuple[int, str]:
    """Run a program to its end: its exit code and what it said.

    Raises:
        OSError: It cannot be started.
        TimeoutError: It takes too long.
    """
    deadline = time.monotonic() + _GO_TIMEOUT
    with subprocess.Popen(
        command, cwd=folder, env={**os.environ, **environment},
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            while True:
                check()
                try:
                    said = process.communicate(timeout=_TICK)[1]
                    return process.returncode, said.decode("utf-8", "replace")
                except subprocess.TimeoutExpired:
                    if time.monotonic() > deadline:
                        raise TimeoutError(f"not done within {_GO_TIMEOUT:g} s") from None
        finally:
            process.kill()
