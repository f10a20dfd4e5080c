"""Being told to end: Ctrl-C, TERM, or the end of the terminal, heard once and never in the midst of tidying up."""

from __future__ import annotations

import os
import select
import signal
from types import FrameType, TracebackType
from typing import Self

__all__ = ["Ending"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ending:
    """The signals that end a command that has something to tidy up, as a context manager.

    The first raises ``KeyboardInterrupt`` where that is allowed; all are remembered, since an exception that comes up
    while an object is being taken away is lost.  What is ignored on entering stays so: ``nohup``, and Ctrl-C for a job
    that a script runs in the background.  Once one was heard, the rest of the way out is not disturbed by another.

    Args:
        raising: Whether the first raises, wherever the program is; else only ``check`` does.
    """

    def __init__(self, *, raising: bool = True) -> None:
        self._asked = False
        self._raising = raising
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        self._heard, self._told = os.pipe()
        for number in _SIGNALS:
            if (before := signal.getsignal(number)) is not signal.SIG_IGN:
                self._before[number] = before
                signal.signal(number, self._hear)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, signal.SIG_IGN if self._asked else before)  # type: ignore[arg-type]
        os.close(self._heard)
        os.close(self._told)

    def asked(self) -> bool:
        """Whether one of them came."""
        return self._asked

    def check(self) -> None:
        """Go no further if one came.

        Raises:
            KeyboardInterrupt: One came.
        """
        if self._asked:
            raise KeyboardInterrupt

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until one comes; whether one came."""
        select.select((self._heard,), (), (), seconds)
        return self._asked

    def only_remember(self) -> None:
        """From now on no signal raises."""
        self._raising = False

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        first, self._asked = not self._asked, True
        if first:
            os.write(self._told, b".")
        if first and self._raising:
            raise KeyboardInterrupt
