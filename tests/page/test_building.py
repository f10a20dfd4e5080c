from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

from tests.page.browser import built
from tools.page import building
from tools.page.building import BuildError, filled, hash_of, library, own_archive, own_files, worker

PACKAGE = building.ROOT / "src" / "ws101"


def test_only_the_pure_rooms_go_into_the_page() -> None:
    rooms = {path.relative_to(PACKAGE).parts[0] for path in own_files()}
    assert {"page", "check.py", "nginx", "report", "manifest.py"} <= rooms
    assert not rooms & {"host", "lab", "cli", "__main__.py"}
    with zipfile.ZipFile(io.BytesIO(own_archive())) as archive:
        assert "ws101/nginx/data/nginx-directives.json" in archive.namelist()


def test_what_the_page_imports_needs_no_package_and_no_worldly_room() -> None:
    """A Python without any installed package, which finds nothing but the page's own files, answers a question."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from ws101.page.questions import Desk; d = Desk();"
        "d.add('nginx.conf', b'events {}'); print(d.ask('{\"ask\": \"open\"}'));"
        "print(sorted(m for m in sys.modules if m in ('socket', 'asyncio', 'subprocess', 'click', 'websockets')))"
    )
    done = run_alone(script)
    assert '"mains": ["nginx.conf"]' in done
    assert done.endswith("[]\n")


def run_alone(script: str) -> str:
    with tempfile.NamedTemporaryFile(suffix=".zip") as archive:
        archive.write(own_archive())
        archive.flush()
        command = [sys.executable, "-I", "-S", "-c", script, archive.name]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_library_loses_what_is_never_imported_and_nothing_else() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name in ("json/__init__.py", "unittest/case.py", "pdb.py", "pdbx.py", "re/"):
            made.writestr(name, b"")
    with zipfile.ZipFile(io.BytesIO(library(out.getvalue()))) as left:
        assert left.namelist() == ["json/__init__.py", "pdbx.py"]


def test_a_template_is_filled_once_and_a_missing_place_is_a_mistake() -> None:
    assert filled("a @x@ b @y@ @x@", x="@y@", y="2") == "a @y@ b 2 @y@"
    with pytest.raises(BuildError, match="the template has no z"):
        filled("nothing", z="1")


def test_a_hash_is_that_of_the_policy() -> None:
    assert (
        hash_of("alert('Hello, world.');") == "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"
    )  # from CSP Level 2


def test_another_pyodide_than_expected_is_noticed() -> None:
    parts = {"pyodide.mjs": b"", "pyodide.asm.mjs": b"", "pyodide-lock.json": b'{"info": {}}'}
    with pytest.raises(BuildError, match=r"pyodide\.asm\.mjs has no export default"):
        worker(parts)
    parts["pyodide.asm.mjs"] = b"export default _createPyodideModule; import.meta.url"
    with pytest.raises(BuildError, match="does not export loadPyodide"):
        worker(parts)


def test_a_package_with_another_checksum_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "CACHE", tmp_path)
    (tmp_path / f"pyodide-{building.PYODIDE}.tgz").write_bytes(b"something else")
    with pytest.raises(BuildError, match="not the pinned one"):
        building.build(tmp_path / "out.html")
    assert not (tmp_path / "out.html").exists()


def test_without_npm_or_node_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "CACHE", tmp_path)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(BuildError, match="npm is needed"):
        building.build(tmp_path / "out.html")
    with pytest.raises(BuildError, match="node is needed"):
        building.compiled(tmp_path, tmp_path / "library.zip", b"", "/lib/x.zip")


def test_the_same_sources_give_the_same_bytes(path: Path, tmp_path: Path) -> None:
    assert built(tmp_path).read_bytes() == path.read_bytes()
