"""Which nginx a change is for: how its configuration is tested, how it is reloaded, where it logs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import cast

from ws101.errors import ApplyError, NginxError
from ws101.host.binary import read_binary
from ws101.host.files import DiskFiles
from ws101.host.process import Compiled, Master, compiled, error_log_of, master_of, masters, run_command
from ws101.lazy import dataclass, lazy_pattern

__all__ = ["Target"]

_REFUSAL = lazy_pattern(r"\[emerg\] (?:\d+#\d+: )?(.*?)(?=\nnginx: |\n\d{4}/\d\d/|\Z)", re.DOTALL)
"""nginx's first error; a file name in it may hold line ends."""


@dataclass(frozen=True, slots=True)
class Target:
    """The nginx whose configuration changes.

    Args:
        main: The main file's absolute name, as nginx knows it.
        binary: The program; may be empty with a ``test_command``.
        prefix: Its ``-p``; empty for the compiled-in one.
        settings: What the master got with ``-g``.
        master: The running master; None if none runs: then files are only tested and written.
        error_log: The running configuration's error log; by default found from the master.
        test_command: Instead of ``nginx -t``: a program and its arguments, ``{conf}`` standing for the main file to
            test.  Without ``{conf}`` only what is on the disk can be tested, so it runs after writing.
        reload_command: Instead of systemd or a signal: a program and its arguments.
        roots: Where names of another machine lie on this disk (see ``DiskFiles``).
    """

    main: str
    binary: str = ""
    prefix: str = ""
    settings: str = ""
    master: Master | None = None
    error_log: str | None = None
    test_command: tuple[str, ...] = ()
    reload_command: tuple[str, ...] = ()
    roots: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, master: Master, build: Compiled) -> Target:
        """The target that a running master describes.

        Raises:
            ApplyError: Its program is hidden from us, or belongs to a stranger.
        """
        if master.exe is None or not master.trusted:
            raise ApplyError(f"the program of the nginx master {master.pid} cannot be used", help="run it with sudo")
        return cls(
            master.conf_path(build),
            master.exe,
            master.prefix(build) if master.option("p") else "",
            master.option("g") or "",
            master,
        )

    @property
    def log_path(self) -> str | None:
        """The error log to watch."""
        return self.error_log or (error_log_of(self.master) if self.master is not None else None)

    @property
    def tests_staged(self) -> bool:
        """Whether a configuration can be tested before it is written."""
        return not self.test_command or any("{conf}" in word for word in self.test_command)

    def test(self, conf: str) -> None:
        """Run ``nginx -t``, or what stands for it.

        Args:
            conf: The main file to test, as nginx knows it.

        Raises:
            NginxError: It is refused; the message is nginx's.
        """
        if self.test_command:
            run_command([word.replace("{conf}", conf) for word in self.test_command])
            return
        settings = ";".join(part for part in self.settings.split(";") if part.split()[:1] != ["pid"])
        prefix = ["-p", self.prefix] if self.prefix else []
        more = ["-g", settings] if settings.strip() else []
        run_command([self.binary, "-t", "-q", "-e", "stderr", *prefix, "-c", conf, *more])

    def accepts(self, conf: str) -> str:
        """Why ``test`` refuses, in nginx's words; empty if it accepts."""
        try:
            self.test(conf)
        except NginxError as error:
            words = _REFUSAL.search(error.message)
            return words[1].strip() if words else error.message
        return ""

    @property
    def files(self) -> DiskFiles:
        """The disk, seen through the roots."""
        return DiskFiles(self.roots)

    @property
    def facts(self) -> dict[str, object]:
        """What a journal keeps, to find the same nginx again."""
        kept: dict[str, object] = asdict(replace(self, master=None))
        return kept | {"master": [self.master.pid, self.master.ticks] if self.master is not None else None}

    @classmethod
    def from_facts(cls, facts: Mapping[str, object]) -> Target:
        """The target that a journal tells of, with the master that runs now."""
        pairs = cast("list[tuple[str, str]]", facts["roots"])
        found = cls(
            str(facts["main"]),
            str(facts["binary"]),
            str(facts["prefix"]),
            str(facts["settings"]),
            error_log=cast("str | None", facts["error_log"]),
            test_command=tuple(cast("list[str]", facts["test_command"])),
            reload_command=tuple(cast("list[str]", facts["reload_command"])),
            roots=tuple((prefix, folder) for prefix, folder in pairs),
        )
        return replace(found, master=found._master_now(cast("list[int] | None", facts["master"])))

    def _master_now(self, known: list[int] | None) -> Master | None:
        """The master that ran then, else another one that runs this program with this main file."""
        if known is None:
            return None
        same = master_of(known[0])
        if same is not None and same.ticks == known[1]:
            return same
        try:
            build = compiled(read_binary(self.binary).version_text)
        except NginxError:
            return None
        mine = (m for m in masters() if m.exe == self.binary and not m.foreign)
        return next((m for m in mine if m.conf_path(build) == self.main), None)
