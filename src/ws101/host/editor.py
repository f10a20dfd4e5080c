"""Files that are open in an editor: the configuration they belong to, with their unsaved text in place."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Mapping
from pathlib import Path

from ws101.errors import InputError
from ws101.host.files import DiskFiles, name_of, os_path
from ws101.nginx.config import Config

__all__ = ["Buffers", "config_around", "real_name"]

_LEVELS = 8


def real_name(path: str) -> str:
    """A name with all its symbolic links followed, as a configuration text has it."""
    return name_of(os.path.realpath(os_path(path)))


class Buffers:
    """The disk, with the text of open files instead of what was saved last.

    Args:
        texts: The bytes of each open file, by its real name: nginx may know it through a link in sites-enabled.
    """

    def __init__(self, texts: Mapping[str, bytes]) -> None:
        self.texts = dict(texts)
        self.disk = DiskFiles()

    def read(self, path: str) -> bytes:
        """The bytes of a file.

        Raises:
            OSError: It is not open, and can't be read.
        """
        text = self.texts.get(real_name(path)) if self.texts else None
        return self.disk.read(path) if text is None else text

    def glob(self, pattern: str) -> tuple[str, ...]:
        """The names that match, in byte order."""
        return self.disk.glob(pattern)


def config_around(path: str, buffers: Buffers) -> tuple[Config, str]:
    """The configuration that a file belongs to, and the name under which it is loaded there.

    It is that of the nearest ``nginx.conf`` above that loads the file, by whatever name; else the file alone.

    Args:
        path: The file's absolute name.
        buffers: The open files.

    Raises:
        InputError: The file can't be read.
    """
    wanted = real_name(path)
    for main in _mains(path):
        try:
            config = Config(buffers, main, inside=posixpath.dirname(main))
        except InputError:
            continue
        found = next((name for name in config.sources if name == path or real_name(name) == wanted), None)
        if found is not None:
            return config, found
    return Config(buffers, path, inside=posixpath.dirname(path)), path


def _mains(path: str) -> Iterator[str]:
    """The main files that may load a file, the nearest first."""
    for folder in (*Path(os.fsdecode(os_path(path))).parents,)[:_LEVELS]:
        main = folder / "nginx.conf"
        if main.is_file():
            yield name_of(main)
