"""A program on a terminal of its own: what it shows, and keys pressed there."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from types import TracebackType
from typing import Self

from tests.cli.support import environment

_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\x1b\][^\x07]*\x07")


class Terminal:
    """ws101 on a terminal of 100 columns; everything it wrote is in ``raw``."""

    def __init__(self, *args: str, **more: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        env = environment(TERM="xterm-256color", PROMPT_TOOLKIT_NO_CPR="1", **more)
        command = [sys.executable, "-m", "ws101", *args]
        self._process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True
        )
        os.close(slave)
        self.raw = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._master)

    @property
    def text(self) -> str:
        """What was shown, without the escape sequences of colours and cursor."""
        return _ESCAPE.sub("", self.raw.decode("utf-8", "replace")).replace("\r", "")

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    def wait_for(self, text: str, timeout: float = 20.0) -> str:
        """Wait until a text has been shown; all that was shown so far."""
        until = time.monotonic() + timeout
        while text not in self.text:
            assert time.monotonic() < until, f"{text!r} was not shown:\n{self.text}"
            self._read(0.1)
        return self.text

    def end(self, timeout: float = 20.0) -> int:
        """Wait until the program has ended; its exit code."""
        until = time.monotonic() + timeout
        while self._process.poll() is None:
            assert time.monotonic() < until, f"still running:\n{self.text}"
            self._read(0.1)
        while self._read(0.0):
            pass
        return self._process.returncode

    def _read(self, wait: float) -> bool:
        if not select.select([self._master], [], [], wait)[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # nobody has the other side open any more
            return False
        self.raw += data
        return bool(data)
