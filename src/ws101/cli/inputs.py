"""What a PATH and the options about nginx mean: a configuration, and the versions to read it for.

Nothing here runs nginx for more than ``-V``, and nothing is written.
"""

from __future__ import annotations

import errno
import os
import posixpath
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from ws101.errors import InputError, UsageError, Ws101Error
from ws101.host.files import DiskFiles, name_of, os_path, parse_root
from ws101.lazy import dataclass
from ws101.nginx.build import Build, parse_version
from ws101.nginx.config import Config, MemoryFiles
from ws101.report.subject import Subject
from ws101.syntax import looks_like_dump, parse_dump
from ws101.text import BLANKS, printable

if TYPE_CHECKING:
    from ws101.cli.machine import Found
    from ws101.host.binary import NginxBinary
    from ws101.probes.endpoint import Endpoint

__all__ = ["Inputs", "Loaded"]

_STDIN_LIMIT = 256 * 1024 * 1024
_STDIN_NAME = "<stdin>"
_REASONS = {
    errno.ENOENT: "no such file",
    errno.ENOTDIR: "no such file",
    errno.EACCES: "no permission",
    errno.EPERM: "no permission",
    errno.ELOOP: "its symbolic links form a loop",
}
_TYPICAL = frozenset(
    (
        *("http", "events", "server", "location", "upstream", "map", "geo", "include", "listen", "server_name"),
        *("user", "worker_processes", "pid", "load_module", "error_log", "access_log", "stream", "mail", "return"),
        *("rewrite", "set", "if", "add_header", "root", "index", "try_files", "daemon", "master_process", "types"),
    )
)
"""Directives of which a file that nginx reads has at least one at its top."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration and where it came from.

    Args:
        subject: The configuration and the versions.
        disk: Where its files lie; None if it came from standard input or a dump, and so can't be changed.
        found: The nginx of this machine it belongs to, if it was found by itself.
    """

    subject: Subject
    disk: DiskFiles | None
    found: Found | None = None

    @property
    def config(self) -> Config:
        """The configuration."""
        return self.subject.config

    @property
    def builds(self) -> tuple[Build, ...]:
        """The versions to read it for."""
        return self.subject.builds


@dataclass(frozen=True, slots=True)
class Inputs:
    """The options that say how to read configurations.

    Args:
        roots: ``--root`` as typed.
        nginx: ``--nginx``.
        version: ``--nginx-version``.
        context: ``--context``: ``main``, or the block that a part of a configuration was cut from; None to find out.
    """

    roots: tuple[str, ...] = ()
    nginx: str | None = None
    version: str | None = None
    context: str | None = None

    def __post_init__(self) -> None:
        if self.nginx and self.version:
            raise UsageError("--nginx and --nginx-version exclude each other", help="give one of them")
        self.option_build()

    @property
    def _fragment(self) -> str | None:
        return "" if self.context == "main" else self.context

    def option_build(self) -> Build | None:
        """The version that was told; None if none was.

        Raises:
            UsageError: If it is not a version.
        """
        if self.version is None:
            return None
        number = parse_version(self.version)
        if number is None:
            raise UsageError(f"--nginx-version {self.version} is not a version", help="write it as 1.22.1")
        return Build(number)

    def builds(self) -> tuple[Build, ...]:
        """The versions that are told, else that of this machine's nginx, else one for each range of behaviour.

        Raises:
            NginxError: If the program named with ``--nginx`` is not nginx.
        """
        told = self.option_build()
        if told is not None:
            return (told,)
        found = self._nginx()
        return (found.build,) if found is not None else Build.representatives()

    def _nginx(self) -> NginxBinary | None:
        """The program that was named, or this machine's."""
        from ws101.cli.machine import installed
        from ws101.host.binary import find_nginx

        return find_nginx(self.nginx) if self.nginx is not None else installed()

    def load(self, given: str) -> Loaded:
        """Read the configuration at a path: a file, a folder with an nginx.conf, a dump, or ``-``.

        Raises:
            InputError: If there is no such file, it cannot be read, or it is not an nginx configuration.
            NginxError: If the program named with ``--nginx`` is not nginx.
        """
        disk = DiskFiles(parse_root(root) for root in self.roots)
        if given == "-":
            return self._from_memory(_read_stdin(), _STDIN_NAME, given)
        main = _main_file(disk, _config_name(disk, given), given)
        data = _read(disk, main)
        if looks_like_dump(data):
            return self._from_memory(data, main, given)
        config = Config(disk, main, context=self._fragment, inside=posixpath.dirname(main))
        return Loaded(self._subject(config, given, here=not self.roots), disk)

    def main_file(self, given: str) -> tuple[DiskFiles, str]:
        """The disk, and the main file's name as nginx knows it, for a path; nothing is read yet.

        Raises:
            UsageError: If the path is ``-``: what comes from standard input has no files.
            InputError: If it is a folder without an nginx.conf.
        """
        if given == "-":
            raise UsageError("standard input has no files to look at", help="name nginx.conf, or its folder")
        disk = DiskFiles(parse_root(root) for root in self.roots)
        return disk, _main_file(disk, _config_name(disk, given), given)

    def load_conf(self, given: str | None, endpoint: Endpoint, *, look_up: bool = True) -> Loaded:
        """Read ``--conf``, or without it the configuration of the nginx of this machine that answers at an address.

        Args:
            given: What ``--conf`` says.
            endpoint: The address.
            look_up: Whether the address of its name may be asked for.

        Raises:
            InputError: As `load`; or if no ``--conf`` was given and there is no such nginx.
        """
        if given is not None:
            return self.load(given)
        loaded = self.find(endpoint, look_up=look_up)
        if loaded is None:
            raise InputError(
                f"no nginx configuration of this machine answers for {endpoint.url}",
                help="name it: --conf PATH, or from another machine: ssh web1 sudo nginx -T | ws101 ... --conf -",
            )
        return loaded

    def find(self, endpoint: Endpoint, *, look_up: bool = True) -> Loaded | None:
        """The configuration of this machine's nginx that can be what answers at an address; None if none can.

        Args:
            endpoint: The address.
            look_up: Whether the address of its name may be asked for.
        """
        from ws101.cli.machine import concerns, on_this_machine

        disk = DiskFiles(parse_root(root) for root in self.roots)
        for found in on_this_machine():
            try:
                config = Config(disk, name_of(found.conf), complete=True)
            except Ws101Error:
                continue
            if concerns(config, endpoint, look_up=look_up):
                build = self.option_build()
                subject = Subject(config, (found.binary.build,), "binary", found.binary.path, found.conf)
                return Loaded(replace(subject, builds=(build,), source="option") if build else subject, disk, found)
        return None

    def _from_memory(self, data: bytes, name: str, given: str) -> Loaded:
        """A dump, or a fragment from standard input, whose includes can't be read."""
        if not looks_like_dump(data):
            config = Config(MemoryFiles({name: data}), name, context=self._fragment)
            return Loaded(self._subject(config, given, here=False), None)
        sources = parse_dump(data)
        files = MemoryFiles({source.path: source.data for source in sources})
        return Loaded(self._subject(Config(files, sources[0].path), given, here=False), None)

    def _subject(self, config: Config, given: str, *, here: bool) -> Subject:
        _require_nginx(config, given)
        build = self.option_build()
        if build is not None:
            return Subject(config, (build,), "option", given=given)
        found = self._nginx() if here or self.nginx is not None else None
        if found is not None:
            return Subject(config, (found.build,), "binary", found.path, given)
        return Subject(config, Build.representatives(), "unknown", given=given)


def _read_stdin() -> bytes:
    if sys.stdin.isatty():
        raise UsageError("standard input is a terminal", help="pipe a configuration in: sudo nginx -T | ws101 ... -")
    data = sys.stdin.buffer.read(_STDIN_LIMIT + 1)
    if len(data) > _STDIN_LIMIT:
        raise InputError(f"the input is larger than {_STDIN_LIMIT // 2**20} MB", where="standard input")
    return data


def _config_name(disk: DiskFiles, given: str) -> str:
    """The absolute name, as the configured machine knows it: below its root where a root's folder holds the path."""
    if any(given == prefix or given.startswith(prefix.rstrip("/") + "/") for prefix, _ in disk.roots):
        return name_of(given)
    path = name_of(_absolute(given))
    for prefix, folder in disk.roots:
        here = name_of(_absolute(os.fsdecode(os_path(folder))))
        if path == here or path.startswith(here.rstrip("/") + "/"):
            return prefix.rstrip("/") + path[len(here.rstrip("/")) :]
    return path


def _read(disk: DiskFiles, path: str) -> bytes:
    try:
        return disk.read(path)
    except OSError as error:
        raise _unreadable(error, path) from None


def _unreadable(error: OSError, path: str) -> InputError:
    """Why a file can't be read, and what to do about it."""
    reason = _REASONS.get(error.errno or 0) or error.strerror or str(error)
    remedy = "run it with the rights to read this file" if error.errno in (errno.EACCES, errno.EPERM) else ""
    return InputError(f"cannot read the configuration: {reason}", where=printable(path), help=remedy)


def _absolute(path: str) -> str:
    """Absolute and without ``..``, symbolic links left as they are: nginx would name the file so."""
    return os.path.abspath(path)  # noqa: PTH100


def _main_file(disk: DiskFiles, name: str, given: str) -> str:
    if not disk.is_dir(name):
        return name
    main = name.rstrip("/") + "/nginx.conf"
    if not disk.exists(main):
        shown = printable(name_of(given))
        raise InputError(
            f"the folder {shown} has no nginx.conf", where=printable(name), help="name the main file, or a site's file"
        )
    return main


def _require_nginx(config: Config, given: str) -> None:
    """Refuse what is no nginx configuration at all.

    Raises:
        InputError: If the main file is empty or holds nothing that nginx knows.
    """
    tree = config.trees[config.path]
    where = "standard input" if given == "-" else printable(config.path)
    if not tree.source.text.strip(BLANKS):
        raise InputError("there is nothing in it", where=where, help="give an nginx configuration")
    if not _looks_like_nginx(config):
        raise InputError(
            "this is not an nginx configuration",
            where=where,
            help="give nginx.conf, its folder, or the output of nginx -T",
        )


def _looks_like_nginx(config: Config) -> bool:
    tree = config.trees[config.path]
    return any(d.name in _TYPICAL or d.name.startswith("proxy_") for d in tree.directives)
