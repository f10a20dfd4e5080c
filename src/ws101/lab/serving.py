"""A server in a thread of its own: the frame that every backend of the lab stands in."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ws101.errors import NetworkError
from ws101.http1 import Request, decode_request
from ws101.lab.ports import LOOPBACK

__all__ = ["Backend"]

_TIMEOUT = 10.0


class Backend(ABC):
    """An application behind nginx, on 127.0.0.1 or a unix socket, that remembers what it was asked.

    Args:
        port: The port to listen on; 0 lets the kernel choose.
        unix: The path of a unix socket to listen on instead.

    Attributes:
        connections: How many connections it has accepted.

    Raises:
        NetworkError: On entering: it cannot listen there.
    """

    def __init__(self, *, port: int = 0, unix: str | Path | None = None) -> None:
        self.port = port
        self.connections = 0
        self._unix = None if unix is None else str(Path(unix).absolute())
        self._raw: list[bytes] = []
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=type(self).__name__, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._run(self._open())
        except OSError as error:
            self._end()
            raise NetworkError(f"the backend cannot listen: {error.strerror or error}", where=self.address) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._run(self._close())
        self._end()
        if self._unix is not None:
            Path(self._unix).unlink(missing_ok=True)

    @property
    def address(self) -> str:
        """What follows ``http://`` in proxy_pass: ``127.0.0.1:PORT`` or ``unix:PATH``."""
        return f"{LOOPBACK}:{self.port}" if self._unix is None else f"unix:{self._unix}"

    @property
    def raw(self) -> tuple[bytes, ...]:
        """The exact bytes of each request so far, in the order in which they became whole."""
        with self._changed:
            return tuple(self._raw)

    @property
    def requests(self) -> tuple[Request, ...]:
        """Each request so far.

        Raises:
            InputError: One of them is not in the form in which nginx writes requests; see ``raw`` then.
        """
        return tuple(decode_request(raw) for raw in self.raw)

    def take(self) -> tuple[bytes, ...]:
        """Like ``raw``, and forget them."""
        with self._changed:
            taken, self._raw = tuple(self._raw), []
        return taken

    def wait(self, n: int = 1, timeout: float = 5.0) -> tuple[bytes, ...]:
        """Wait until there are at least n requests, and return their exact bytes.

        Args:
            n: How many.
            timeout: Seconds.

        Raises:
            TimeoutError: Fewer came.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._raw) >= n, timeout):
                raise TimeoutError(f"{len(self._raw)} of {n} requests within {timeout:g} s")
            return tuple(self._raw)

    def record(self, raw: bytes) -> None:
        """Remember a request."""
        with self._changed:
            self._raw.append(raw)
            self._changed.notify_all()

    @abstractmethod
    async def _open(self) -> None:
        """Begin to listen, and set ``port``."""

    @abstractmethod
    async def _close(self) -> None:
        """Stop listening and end every connection."""

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine in the server's thread."""
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_TIMEOUT)

    def _end(self) -> None:
        self._run(self._finish_tasks())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_TIMEOUT)
        self._loop.close()

    @staticmethod
    async def _finish_tasks() -> None:
        """Cancel what still runs, so that the loop closes with nothing pending."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
