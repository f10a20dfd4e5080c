"""What a name in a folder can hold: bytes, or a symlink, which is a thing of its own and is never followed here."""

# (names are bytes here, which pathlib does not take)
from __future__ import annotations

import errno
import os

from ws101.host.files import os_path
from ws101.lazy import dataclass

__all__ = ["Content", "Link", "link_at", "names_link"]


@dataclass(frozen=True, slots=True)
class Link:
    """A symlink.

    Args:
        target: Where it points, as it is written in it.
    """

    target: str


Content = bytes | Link | None
"""What is under a name: the bytes of a file, a symlink, or nothing."""


def names_link(*contents: Content) -> bool:
    """Whether a name is meant itself and not the file it leads to, because a symlink is made, changed or removed."""
    return any(isinstance(content, Link) for content in contents)


def link_at(path: str, *, folder: int | None = None) -> Link | None:
    """The symlink under a name; None for anything else and for nothing.

    Args:
        path: The name, on this disk.
        folder: The open folder that it is relative to.

    Raises:
        OSError: It cannot be looked at.
    """
    try:
        return Link(os.readlink(os_path(path), dir_fd=folder).decode("latin-1"))
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINVAL, errno.ENOTDIR):
            return None
        raise
