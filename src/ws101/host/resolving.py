"""Names followed to what they mean, symlink by symlink, and the system's refusals in words for people.

A symlink that somebody else could have planted in a folder open to everyone is not followed.
"""

# ruff: noqa: PTH109, PTH115, PTH118, PTH120
# (names are bytes here, which pathlib does not take)
from __future__ import annotations

import errno
import os
import stat

from ws101.errors import ApplyError
from ws101.host.files import os_path

__all__ = ["place", "refused", "resolve"]

_MAX_LINKS = 40

_REASONS = {
    errno.ENOSPC: ("the disk is full", "free some space and try again"),
    errno.EDQUOT: ("the disk quota is used up", "free some space and try again"),
    errno.EROFS: ("the file system is read-only", "change the file where it is made, or remount it read-write"),
    errno.EACCES: ("no permission to write", "run it as the owner of the configuration, usually with sudo"),
    errno.EPERM: ("the system does not allow to write", "run it as root; see lsattr for an immutable folder"),
    errno.ELOOP: ("a symlink appeared while the name was followed", "see who can write to this folder"),
    errno.ENOENT: ("the file or its folder is gone", "read the configuration again"),
    errno.ENOTDIR: ("a part of the path is not a folder", ""),
    errno.ENAMETOOLONG: ("the name is too long", ""),
    errno.EBUSY: ("the file is in use by the system", "it may be a mount point"),
}


def place(path: str) -> str:
    """As ``resolve``, but the last part is not followed where it is a symlink: the name itself is meant.

    Raises:
        ApplyError: As ``resolve``.
    """
    folder, name = os.path.split(path.rstrip("/"))
    at = resolve(folder or ".")
    try:
        _link(os_path(at), os_path(name), path)
    except OSError as error:
        raise refused(error, path) from error
    return f"{at.rstrip('/')}/{name}"


def resolve(path: str) -> str:
    """The absolute name with all symlinks followed; the last part need not exist.

    Raises:
        ApplyError: A loop, a folder that cannot be searched, or a symlink that somebody else may have planted.
    """
    todo = [*reversed(os.path.join(os.getcwdb(), os_path(path)).split(b"/"))]
    done, links = b"/", 0
    try:
        while todo:
            part = todo.pop()
            if part == b"..":
                done = os.path.dirname(done)
            elif part not in (b"", b"."):
                target = _link(done, part, path)
                links += target is not None
                if links > _MAX_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                if target is None:
                    done = os.path.join(done, part)
                else:
                    done = b"/" if target.startswith(b"/") else done
                    todo.extend(reversed(target.split(b"/")))
    except OSError as error:
        raise refused(error, path) from error
    return done.decode("latin-1")


def _link(folder: bytes, part: bytes, path: str) -> bytes | None:
    """Where a symlink points; None for anything else."""
    name = os.path.join(folder, part)
    try:
        found = os.lstat(name)
    except FileNotFoundError:
        return None
    if not stat.S_ISLNK(found.st_mode):
        return None
    if os.lstat(folder).st_mode & stat.S_IWOTH and found.st_uid not in (0, os.geteuid()):
        raise ApplyError(
            f"a symlink of user {found.st_uid} in a folder that everyone may write to",
            where=path,
            help="name the file itself, or move the configuration where only its owner can write",
        )
    return os.readlink(name)


def refused(error: OSError, path: str) -> ApplyError:
    """What the system said, as an error for people."""
    number = error.errno or errno.EIO
    message, help_line = _REASONS.get(number, (error.strerror or os.strerror(number), ""))
    return ApplyError(message, where=path, help=help_line)
