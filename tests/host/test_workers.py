from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ws101.host import workers as module
from ws101.host.binary import NginxBinary
from ws101.host.workers import workers
from ws101.lab.nginx import Nginx, wrap


def test_each_worker_of_a_master_is_seen_and_no_other_process(binary: NginxBinary) -> None:
    with Nginx(wrap("", binary=binary, workers=3), binary=binary) as nginx:
        seen = nginx.workers()
        assert len({worker.pid for worker in seen}) == 3 or len(seen) < 3
        assert all(not worker.leaving and worker.pid != nginx.pid for worker in seen)


def test_a_process_that_is_not_nginx_has_no_workers() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid
        assert workers(os.getpid()) == ()
        assert workers(child.pid) == ()
        child.communicate(b"\n")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc to compare with")
def test_the_search_through_proc_finds_the_same_children_as_the_kernels_list(
    binary: NginxBinary, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Nginx(wrap("", binary=binary), binary=binary) as nginx:
        listed = nginx.workers()
        folders = list(Path("/proc").glob("[0-9]*"))
        assert [int(f.name) for f in folders if module._parent_of(f) == nginx.pid] == [worker.pid for worker in listed]


@pytest.mark.skipif(not Path("/bin/ps").exists(), reason="there is no ps")
def test_ps_tells_the_same_as_proc(binary: NginxBinary) -> None:
    with Nginx(wrap("", binary=binary), binary=binary) as nginx:
        by_ps = {pid for pid, title in module._children_by_ps(nginx.pid) if title.startswith("nginx: worker")}
        assert by_ps == {worker.pid for worker in nginx.workers()}
