"""``load``: a configuration from the disk."""

from __future__ import annotations

import posixpath
from os import PathLike
from pathlib import Path

from ws101.errors import InputError
from ws101.host.files import DiskFiles, name_of
from ws101.nginx.config import Config

__all__ = ["load"]


def load(path: str | PathLike[str], *, context: str | None = None) -> Config:
    """Read a configuration and all it includes.

    Args:
        path: The main file, or a folder that holds an ``nginx.conf``; or a fragment such as a site's file.
        context: The context a fragment stands in (``http``, ``server``, ``location``); found from the text if None.

    Raises:
        InputError: If there is no such file, or it cannot be read.
    """
    disk = DiskFiles()
    main = name_of(str(Path(path).absolute()))
    if disk.is_dir(main):
        main = posixpath.join(main, "nginx.conf")
        if not disk.exists(main):
            raise InputError("the folder has no nginx.conf", where=main, help="name the main file")
    return Config(disk, main, context=context, inside=posixpath.dirname(main))
