"""Being told to end: Ctrl-C, TERM, or the end of the terminal, heard once and never in the midst of tidying up."""

from __future__ import annotations

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
    """

    def __init__(self) -> None:
        self._asked = False
        self._raising = True
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            if (before := signal.getsignal(number)) is not signal.SIG_IGN:
                self._before[number] = before
                signal.signal(number, self._heard)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, signal.SIG_IGN if self._asked else before)  # type: ignore[arg-type]

    def asked(self) -> bool:
        """Whether one of them came."""
        return self._asked

    def only_remember(self) -> None:
        """From now on no signal raises."""
        self._raising = False

    def _heard(self, _number: int, _frame: FrameType | None) -> None:
        first, self._asked = not self._asked, True
        if first and self._raising:
            raise KeyboardInterrupt
