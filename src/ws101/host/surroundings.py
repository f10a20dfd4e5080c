"""What the machine shows without a connection: sockets that are closed to nginx, names and their addresses, SELinux."""

from __future__ import annotations

import contextlib
import grp
import posixpath
import pwd
import socket
import stat
import threading
from pathlib import Path

from ws101.diagnose import Surroundings
from ws101.host.workers import workers
from ws101.nginx.config import Config
from ws101.nginx.outcome import Forwarded

__all__ = ["addresses_of", "look_around", "socket_closed_to", "user_of"]

_LOOKUP = 3.0
"""Seconds that looking a name up may take."""


def look_around(
    config: Config,
    forwarded: Forwarded | None,
    *,
    master: int | None = None,
    stale: tuple[str, ...] = (),
    look_up: bool = True,
) -> Surroundings:
    """What this machine shows of the way to the backend.

    Args:
        config: The configuration of an nginx of this machine.
        forwarded: The request's way in it.
        master: The process id of the nginx that runs it; None if unknown.
        stale: Files that changed since it loaded them.
        look_up: Whether the addresses of names may be asked for.
    """
    peers = forwarded.upstream.peers if forwarded and forwarded.upstream else ()
    paths = [peer.address.removeprefix("unix:").rstrip(":") for peer in peers if peer.address.startswith("unix:")]
    user = user_of(config)
    closed = [(path, why) for path in paths if (why := socket_closed_to(path, user))]
    names = dict.fromkeys(peer.address.rpartition(":")[0] for peer in peers if not peer.address.startswith("unix:"))
    names = names if look_up else {}
    resolved = [(name, addresses_of(name)) for name in names if name and not _is_address(name) and name != "localhost"]
    leaving = sum(worker.leaving for worker in workers(master)) if master is not None else 0
    return Surroundings(stale, tuple(resolved[:8]), tuple(closed), _selinux_forbids(), leaving)


def _is_address(name: str) -> bool:
    try:
        socket.getaddrinfo(name.strip("[]"), 0, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return False
    return True


def addresses_of(name: str) -> tuple[str, ...]:
    """The addresses a name has now; none if that is not known within 3 s."""
    found: list[str] = []

    def ask() -> None:
        with contextlib.suppress(OSError, UnicodeError):
            found.extend(str(entry[4][0]) for entry in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_LOOKUP)
    return tuple(dict.fromkeys(found))


def user_of(config: Config) -> tuple[str, str]:
    """The user and group that workers run as (nginx: ``user``, default nobody; only a master of root changes it)."""
    placed = config.main.first("user")
    if placed is None or not placed.args:
        return "nobody", ""
    return placed.args[0], placed.args[1] if len(placed.args) > 1 else ""


def socket_closed_to(path: str, user: tuple[str, str]) -> str:
    """Why a user cannot connect to a Unix socket by its mode and that of its folders; empty if it can, or nobody knows.

    Connecting needs write permission on the socket and search permission on every folder (unix(7)).
    """
    try:
        account = pwd.getpwnam(user[0])
        group = grp.getgrnam(user[1]).gr_gid if user[1] else account.pw_gid
        groups = {group, *(entry.gr_gid for entry in grp.getgrall() if user[0] in entry.gr_mem)}
        if not stat.S_ISSOCK(Path(path).stat().st_mode):
            return f"{path} is not a socket"
    except (KeyError, OSError):
        return ""
    if account.pw_uid == 0:
        return ""
    folder = posixpath.dirname(path)
    while True:
        if not _may(folder, account.pw_uid, groups, 0o1):
            return f"{user[0]} may not enter {folder} (mode {_mode(folder)})"
        if folder in ("/", ""):
            break
        folder = posixpath.dirname(folder)
    if not _may(path, account.pw_uid, groups, 0o2):
        return f"{user[0]} may not write to {path} (mode {_mode(path)})"
    return ""


def _may(path: str, uid: int, groups: set[int], bit: int) -> bool:
    try:
        found = Path(path).stat()
    except OSError:
        return True
    if found.st_uid == uid:
        return bool(found.st_mode & bit << 6)
    return bool(found.st_mode & (bit << 3 if found.st_gid in groups else bit))


def _mode(path: str) -> str:
    found = Path(path).stat()
    return f"{stat.S_IMODE(found.st_mode):04o}, owner {_name(found.st_uid)}"


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _selinux_forbids() -> bool:
    """Whether SELinux enforces rules, and web servers may not open connections."""
    root = Path("/sys/fs/selinux")
    try:
        if root.joinpath("enforce").read_text().strip() != "1":
            return False
        allowed = root.joinpath("booleans/httpd_can_network_connect").read_text()
    except OSError:
        return False
    return allowed.split()[:1] == ["0"]
