#!/usr/bin/env python3
"""Build the single-file program `dist/ws101.pyz`, for machines where nothing can be installed.

It holds this project and the packages that it needs to run, taken from the environment that the lock file made, without
their compiled parts: it runs wherever Python 3.11 or newer does.  The same sources give the same bytes.
"""

from __future__ import annotations

import re
import sys
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "dist" / "ws101.pyz"
EPOCH = (1980, 1, 1, 0, 0, 0)

MAIN = """\
import sys

if sys.version_info < (3, 11):
    sys.exit("ws101 needs Python 3.11 or newer; this is " + sys.version.split()[0])

from ws101.cli import main

sys.exit(main())
"""


def main() -> int:
    TARGET.parent.mkdir(exist_ok=True)
    build(TARGET)
    print(f"{TARGET.relative_to(ROOT)}: {TARGET.stat().st_size:,} bytes")
    return 0


def build(target: Path) -> None:
    """Write the program: a shebang, then a zip archive with `__main__.py`."""
    contents = {"__main__.py": MAIN.encode()}
    contents |= {str(path.relative_to(ROOT / "src")): path.read_bytes() for path in own_files()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for package in sorted(needed(project["dependencies"])):
        contents |= dict(files_of(distribution(package)))
    with target.open("wb") as out:
        out.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted(contents):
                archive.writestr(zipfile.ZipInfo(name, EPOCH), contents[name], zipfile.ZIP_DEFLATED)
    target.chmod(0o755)


def own_files() -> Iterator[Path]:
    """The project's modules and tables."""
    return (path for path in (ROOT / "src" / "ws101").rglob("*") if path.suffix in {".py", ".json"})


def needed(requirements: Iterable[str]) -> set[str]:
    """The packages that requirements name, and what those need to run; extras and other platforms' are left out."""
    found: set[str] = set()
    for requirement in requirements:
        package = re.match(r"[\w.-]+", requirement)
        if package and ";" not in requirement:
            found |= {package[0], *needed(distribution(package[0]).requires or ())}
    return found


def files_of(package: Distribution) -> Iterator[tuple[str, bytes]]:
    """An installed package's files without what was compiled, and its licence and metadata."""
    for path in package.files or ():
        if path.suffix not in {".pyc", ".so", ".c", ".pyi"} and ".." not in path.parts:
            yield str(path), Path(str(path.locate())).read_bytes()


if __name__ == "__main__":
    sys.exit(main())
