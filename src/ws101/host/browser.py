"""A real browser opens the socket: Chromium or one of its kin, without a window, spoken to through a pair of pipes.

No port is opened for it (``--remote-debugging-pipe``), and it ends by itself when our end of the pipe closes, so not
even a killed ws101 leaves one behind.  It runs in a process group and a profile folder of its own, which are removed.

The page that opens the socket is empty and never fetched: its request is answered here, so that the socket's Origin is
that of the site and nothing of the site is loaded.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ws101.errors import InputError
from ws101.host.dial import Network
from ws101.lazy import dataclass
from ws101.probes.browsing import Event, browsed
from ws101.probes.core import Observation
from ws101.probes.endpoint import Endpoint

__all__ = ["BrowserOptions", "find_browser", "open_in_browser"]

_NAMES = (
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"),
    *("microsoft-edge", "brave-browser", "vivaldi", "opera"),
)
_APPLICATIONS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    "/Applications/Brave Browser.app/Contents/MacOS/Brave Browser",
)
_FLAGS = (
    *("--headless", "--remote-debugging-pipe", "--no-first-run", "--no-default-browser-check", "--mute-audio"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps"),
    *("--disable-extensions", "--disable-gpu", "--disable-dev-shm-usage", "--disable-breakpad", "--use-mock-keychain"),
    *("--password-store=basic", "--disable-domain-reliability", "--disable-client-side-phishing-detection"),
    "--disable-features=LocalNetworkAccessChecks,OptimizationHints,MediaRouter,Translate",
)
"""Nothing is fetched that was not asked for.  The page has no address of its own, so that without the first feature
switched off the browser would refuse to let it reach a private address."""

_START = 20.0
_LEAVE = 5.0
_LARGEST = 64 * 1024 * 1024
_KEPT = 2000

_SCRIPT = """
new Promise(function (done) {
  const given = %s, said = {opened: false, echoed: false, code: null, clean: null};
  let socket, timer;
  const finish = () => setTimeout(() => done(said), 50);
  try { socket = new WebSocket(given.url, given.protocols); }
  catch (error) { said.error = String(error); finish(); return; }
  const leave = () => { clearTimeout(timer); socket.close(1000); timer = setTimeout(finish, 1000); };
  timer = setTimeout(finish, given.timeout);
  socket.onopen = () => {
    said.opened = true;
    clearTimeout(timer);
    if (given.message === null) { leave(); return; }
    socket.send(given.message);
    timer = setTimeout(leave, given.patience);
  };
  socket.onmessage = (event) => { if (event.data === given.message) { said.echoed = true; leave(); } };
  socket.onclose = (event) => { clearTimeout(timer); said.code = event.code; said.clean = event.wasClean; finish(); };
})
"""


@dataclass(frozen=True, slots=True)
class BrowserOptions:
    """What the browser is to do.

    Args:
        origin: The origin to open the socket from; empty takes the WebSocket's own site.
        subprotocols: Offered in this order.
        message: Text to send once the socket is open; None sends nothing.
        cookies: The value of a Cookie field to be sent; empty sends none.
        timeout: Seconds for the handshake.
    """

    origin: str = ""
    subprotocols: tuple[str, ...] = ()
    message: str | None = None
    cookies: str = ""
    timeout: float = 10.0


def find_browser(given: str | None = None) -> str | None:
    """The path of a browser of Chromium's kin: the one given, or the first on PATH; None if there is none.

    Raises:
        InputError: If the one given is no program.
    """
    if given is not None:
        found = shutil.which(given)
        if found is None:
            raise InputError("there is no such browser", where=given, help="give the path of chromium or chrome")
        return found
    here = next((path for name in _NAMES if (path := shutil.which(name))), None)
    return here or next((path for path in _APPLICATIONS if os.access(path, os.X_OK)), None)


def open_in_browser(
    program: str, endpoint: Endpoint, url: str, network: Network, options: BrowserOptions | None = None
) -> Observation:
    """Open a WebSocket in a browser, and tell what its network panel and its console show.

    Args:
        program: The browser's path.
        endpoint: Where to.
        url: The address as the page's script gives it, user and password included.
        network: Of this, ``resolve``, ``proxy`` and ``insecure`` are used.
        options: What to do there.

    Raises:
        InputError: If the program does not start, is not of Chromium's kin, or does not answer.
    """
    wanted = options or BrowserOptions()
    site = wanted.origin or f"{'https' if endpoint.tls else 'http'}://{endpoint.host_header}"
    with _Browser(program, _flags(network)) as browser:
        name = str(browser.call("Browser.getVersion", {}).get("product", "a browser"))
        page = _Page(browser)
        page.prepare(site, wanted, endpoint)
        said = page.run(url, wanted)
    return browsed(browser.events, said, endpoint, browser=name, page=site)


def _flags(network: Network) -> tuple[str, ...]:
    rules = [f"MAP {entry.host}:{entry.port} {_bracketed(entry.addresses[0])}" for entry in network.resolve]
    flags = [*_FLAGS, f"--proxy-server={network.proxy}" if network.proxy else "--no-proxy-server"]
    if rules:
        flags.append(f"--host-resolver-rules={','.join(rules)}")
    if network.insecure:
        flags.append("--ignore-certificate-errors")
    if os.geteuid() == 0:
        flags.append("--no-sandbox")  # which Chromium insists on for root
    return tuple(flags)


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


class _Page:
    """One page in the browser, on the site's origin."""

    def __init__(self, browser: _Browser) -> None:
        self._browser = browser
        target = browser.call("Target.createTarget", {"url": "about:blank"}).get("targetId")
        attached = browser.call("Target.attachToTarget", {"targetId": target, "flatten": True})
        self._session = str(attached.get("sessionId", ""))

    def prepare(self, site: str, wanted: BrowserOptions, endpoint: Endpoint) -> None:
        for domain in ("Network", "Log", "Page", "Fetch"):
            self._call(f"{domain}.enable")
        for pair in filter(None, (part.strip() for part in wanted.cookies.split(";"))):
            name, _, value = pair.partition("=")
            base = f"{'https' if endpoint.tls else 'http'}://{endpoint.host_header}/"
            self._call("Network.setCookie", {"name": name, "value": value, "url": base})
        failed = self._call("Page.navigate", {"url": f"{site}/"}).get("errorText")
        if failed:
            raise InputError(f"the browser can't be at this origin: {failed}", where=site)

    def run(self, url: str, wanted: BrowserOptions) -> dict[str, Any]:
        given = {
            "url": url,
            "protocols": list(wanted.subprotocols),
            "message": wanted.message,
            "timeout": wanted.timeout * 1000,
            "patience": min(wanted.timeout, 5.0) * 1000,
        }
        script = {"expression": _SCRIPT % json.dumps(given), "awaitPromise": True, "returnByValue": True}
        result = self._call("Runtime.evaluate", script, wait=wanted.timeout + 10.0)
        said = result.get("result", {}).get("value")
        return said if isinstance(said, dict) else {}

    def _call(self, method: str, params: dict[str, Any] | None = None, wait: float | None = None) -> dict[str, Any]:
        return self._browser.call(method, params or {}, self._session, wait)


class _Browser:
    """A running browser, as a context manager; what it told is in ``events``."""

    def __init__(self, program: str, flags: tuple[str, ...]) -> None:
        self._program, self._flags = program, flags
        self.events: list[Event] = []
        self._number = 0
        self._text = bytearray()

    def __enter__(self) -> Self:
        self._folder = tempfile.mkdtemp(prefix="ws101-browser-")
        command_out, self._in = os.pipe()
        self._out, events_in = os.pipe()
        try:
            self._pid = self._start(command_out, events_in)
        except OSError as error:
            self._forget(self._in, self._out)
            reason = error.strerror or str(error)
            raise InputError(f"the browser does not start: {reason}", where=self._program) from error
        finally:
            os.close(command_out)
            os.close(events_in)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError, InputError):
            self._send("Browser.close", {}, "")
        os.close(self._in)
        try:
            if not self._gone(_LEAVE):
                self._kill()
                self._gone(_LEAVE)
            self._kill()
        finally:
            self._forget(self._out)

    def call(self, method: str, params: dict[str, Any], session: str = "", wait: float | None = None) -> dict[str, Any]:
        """Send a command and wait for its answer; events that come before are kept.

        Raises:
            InputError: If the browser ended, or does not answer in time.
        """
        number = self._send(method, params, session)
        for message in self._messages(time.monotonic() + (_START if wait is None else wait)):
            if message.get("id") == number:
                result = message.get("result")
                return result if isinstance(result, dict) else {}
            self._take(message)
        raise InputError(f"the browser does not answer to {method}", where=self._program)

    def _take(self, message: dict[str, Any]) -> None:
        if message.get("method") == "Fetch.requestPaused":
            answer = {"requestId": message["params"]["requestId"], "responseCode": 200, "body": ""}
            self._send("Fetch.fulfillRequest", answer, str(message.get("sessionId", "")))
        elif len(self.events) < _KEPT:
            self.events.append(message)

    def _start(self, commands: int, events: int) -> int:
        """Start the program: it reads commands from descriptor 3 and writes events to 4."""
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (commands, events)]
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            goals = ((null, 0), (null, 1), (null, 2), (high[0], 3), (high[1], 4))
            actions = [(os.POSIX_SPAWN_DUP2, fd, goal) for fd, goal in goals]
            argv = [self._program, *self._flags, f"--user-data-dir={self._folder}", "about:blank"]
            home = {**os.environ, "HOME": self._folder}
            return os.posix_spawn(
                self._program, argv, home, file_actions=actions, setpgroup=0, setsigdef=(signal.SIGPIPE,)
            )
        finally:
            for fd in (*high, null):
                os.close(fd)

    def _send(self, method: str, params: dict[str, Any], session: str) -> int:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        try:
            _write(self._in, json.dumps(message).encode() + b"\0")
        except OSError as error:
            raise self._ended() from error
        return self._number

    def _messages(self, until: float) -> Iterator[dict[str, Any]]:
        searched = 0
        while True:
            end = self._text.find(b"\0", searched)
            if end >= 0:
                one = bytes(self._text[:end])
                del self._text[: end + 1]
                searched = 0
                yield self._decoded(one)
                continue
            searched = len(self._text)
            left = until - time.monotonic()
            if left <= 0 or not select.select([self._out], [], [], left)[0]:
                return
            data = os.read(self._out, 1 << 16)
            if not data:
                raise self._ended()
            self._text += data
            if len(self._text) > _LARGEST:
                raise InputError("the browser sends more than is taken", where=self._program)

    def _decoded(self, text: bytes) -> dict[str, Any]:
        try:
            message = json.loads(text)
        except ValueError as error:
            raise InputError("the browser sends what is not its protocol", where=self._program) from error
        return message if isinstance(message, dict) else {}

    def _ended(self) -> InputError:
        remedy = "is it Chromium, Chrome or one of their kin, and does it run with --headless?"
        return InputError("the browser ended before it answered", where=self._program, help=remedy)

    def _gone(self, wait: float) -> bool:
        """Reap it; whether it has ended within so many seconds."""
        until = time.monotonic() + wait
        while True:
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(self._pid, os.WNOHANG)[0] == 0:
                    if time.monotonic() > until:
                        return False
                    time.sleep(0.01)
                    continue
            return True

    def _kill(self) -> None:
        """End whatever is left of its process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signal.SIGKILL)

    def _forget(self, *descriptors: int) -> None:
        for fd in descriptors:
            os.close(fd)
        for _ in range(20):
            try:
                shutil.rmtree(self._folder)
            except FileNotFoundError:
                return
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EBUSY):
                    break
                time.sleep(0.05)  # a helper process of the browser was still writing
            if not Path(self._folder).exists():
                return


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
