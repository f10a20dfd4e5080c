"""Putting a fault into the running deployment, and the good configuration back: write the files, reload, watch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ws101.errors import NginxError
from ws101.host.journal import lock
from ws101.host.process import LogMark, master_of, send_reload, wait_reloaded
from ws101.host.workers import children
from ws101.lab.faults import Fault, broken_files
from ws101.lab.folder import Folder, Record
from ws101.lab.reference import plan_of
from ws101.lab.site import LINK, TARGET, site_files

__all__ = ["stage"]

_CONFIGURED = ("conf.d", "sites-available", "sites-enabled")


def stage(folder: Folder, record: Record, fault: Fault | None) -> str:
    """Make the deployment's configuration the good one with a fault in it, or the good one.

    What was changed in it by hand or by a fix is lost.

    Args:
        folder: The deployment's folder.
        record: What runs there.
        fault: The fault; None for the good configuration.

    Returns:
        Why nginx refuses it, in nginx's words: then it keeps running with what it had.  Empty if it is loaded.

    Raises:
        NginxError: nginx has ended.
        ApplyError: A fix is just being applied.
    """
    plan = plan_of(record)
    files = site_files(plan) if fault is None else broken_files(fault, plan)
    with lock(folder.state, str(folder.nginx)):
        _write(folder.nginx, files, linked=fault is None or not fault.unlink)
        folder.fault = fault.name if fault is not None else ""
        return _reload(record, folder.nginx / "logs" / "error.log")


def _write(root: Path, files: Mapping[str, str], *, linked: bool) -> None:
    for name in _CONFIGURED:
        for path in (root / name).iterdir():
            if str(path.relative_to(root)) not in files:
                path.unlink()
    for name, text in files.items():
        fresh = root / f"{name}.new"
        fresh.write_bytes(text.encode("latin-1"))
        fresh.replace(root / name)
    if linked:
        (root / LINK).symlink_to(TARGET)


def _reload(record: Record, error_log: Path) -> str:
    child = record.nginx
    master = master_of(child.pid) if child is not None and child.runs else None
    if master is None:
        raise NginxError("the lab's nginx has ended", where=str(error_log), help="ws101 lab down, then ws101 lab up")
    old, mark = children(master.pid), LogMark.at_end(str(error_log))
    send_reload(master)
    seen = wait_reloaded(master.pid, old, log=mark)
    return "" if seen.done else seen.reason
