"""Systems without /proc: the process table as ps shows it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ws101.cli import main
from ws101.host import process, workers
from ws101.host.binary import NginxBinary
from ws101.host.process import master_of, masters, oldest_worker_started, started
from ws101.host.ps import listed
from ws101.lab.nginx import Nginx, wrap

pytestmark = pytest.mark.skipif(not Path("/bin/ps").exists(), reason="NOT TESTED: there is no /bin/ps here")


@pytest.fixture
def no_proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without /proc, as macOS is."""
    for module in (process, workers):
        monkeypatch.setattr(module, "_PROC", tmp_path / "proc")
    monkeypatch.delattr(os, "pidfd_open")


def test_we_are_listed_with_our_start_and_parent() -> None:
    me = listed()[os.getpid()]
    assert (me.parent, me.uid) == (os.getppid(), os.getuid())
    assert 0 <= time.time() - me.started < 3600
    assert "python" in me.title or "pytest" in me.title


@pytest.mark.usefixtures("no_proc")
def test_a_master_and_its_workers_are_found(binary: NginxBinary) -> None:
    with Nginx(wrap("", binary=binary), binary=binary) as nginx:
        pid = nginx.pid
        found = master_of(pid)
        assert found is not None
        assert (found.pid, found.exe, found.trusted) == (nginx.pid, binary.path, True)
        assert found.option("c") == str(nginx.conf_path)
        assert nginx.pid in [master.pid for master in masters()]
        oldest = oldest_worker_started(nginx.pid)
        assert oldest is not None
        assert abs(oldest - time.time()) < 60
        assert started(nginx.pid) is not None
    assert master_of(pid) is None


@pytest.mark.usefixtures("no_proc")
def test_the_demo_ends_at_101(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo"]) == 0, capsys.readouterr().out
