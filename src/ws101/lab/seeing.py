"""What a user of the reference deployment sees right now, measured: a browser's words for a handshake, and the rest."""

from __future__ import annotations

import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from socket import create_connection

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from ws101.host.dial import Network, parse_resolve
from ws101.host.network import handshake
from ws101.lab.ports import LOOPBACK
from ws101.lab.site import HOST
from ws101.lazy import dataclass
from ws101.probes.core import Observation
from ws101.probes.handshake import HandshakeOptions

__all__ = ["Client", "Seen", "browser_line"]

_WORDS = {
    "missing-upgrade": "Error during WebSocket handshake: 'Upgrade' header is missing",
    "missing-connection": "Error during WebSocket handshake: 'Connection' header is missing",
    "eof": "Connection closed before receiving a handshake response",
    "reset": "Error in connection establishment: net::ERR_CONNECTION_RESET",
    "refused": "Error in connection establishment: net::ERR_CONNECTION_REFUSED",
    "tls": "Error in connection establishment: net::ERR_SSL_PROTOCOL_ERROR",
    "tls-plain-mismatch": "Error in connection establishment: net::ERR_SSL_PROTOCOL_ERROR",
}
"""Chromium's words, by the failure's name."""

_TIMEOUT = 5.0
_SILENCE = 3.0
"""Seconds that a socket has to bear being silent: longer than the fault's timeout, shorter than the usual heartbeat."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen.

    Args:
        works: Whether all is well.
        text: What the browser says of it, or how it shows.
    """

    works: bool
    text: str


def browser_line(url: str, seen: Observation) -> str:
    """What Chromium's console says of a handshake that failed.

    Args:
        url: The WebSocket's address.
        seen: The handshake; a failed one.
    """
    status = seen.handshake.status if seen.handshake else None
    if status == 401:
        what = "HTTP Authentication failed; no valid credentials available"
    elif status is not None and status != 101:
        what = f"Error during WebSocket handshake: Unexpected response code: {status}"
    else:
        what = _WORDS.get(seen.class_ or "", f"Error in connection establishment: {seen.message}")
    return f"WebSocket connection to '{url}' failed: {what}"


class Client:
    """A client of the deployment, as the page is one: it trusts the lab's certificate, and has the page's Origin.

    Args:
        port: nginx's port.
        certificate: The lab's certificate.
    """

    def __init__(self, port: int, certificate: Path) -> None:
        self.origin = f"https://{HOST}:{port}"
        self.network = Network(
            resolve=(parse_resolve(f"{HOST}:{port}:{LOOPBACK}"),), ca_file=str(certificate), timeout=_TIMEOUT
        )
        self._port = port
        self._trust = ssl.create_default_context(cafile=certificate)

    def url(self, path: str) -> str:
        """The address of a WebSocket."""
        return f"wss://{HOST}:{self._port}{path}"

    def look(self, path: str, kind: str = "") -> Seen:
        """Look once.

        Args:
            path: The WebSocket's path.
            kind: What to look at, as in ``Fault.seen``.
        """
        shaken = self.handshake(path)
        if not shaken.works:
            return shaken
        looks: dict[str, Callable[[str], Seen]] = {"idle": self._idle, "second": self._second, "polling": self._polls}
        try:
            return looks[kind](path) if kind in looks else shaken
        except (OSError, InvalidHandshake, HTTPException) as error:
            return Seen(False, f"it broke off: {error}")

    def handshake(self, path: str) -> Seen:
        """The opening handshake, with the page's Origin."""
        options = HandshakeOptions(origin=self.origin, timeout=_TIMEOUT)
        seen, result = handshake(self.url(path), options, self.network)
        if seen.passed and result.response is not None:
            return Seen(True, f"{result.response.version} {result.response.status} {result.response.reason}")
        return Seen(False, browser_line(self.url(path), seen))

    @contextmanager
    def open(self, path: str = "/ws") -> Iterator[ClientConnection]:
        """A WebSocket to work with."""
        plain, origin = create_connection((LOOPBACK, self._port), _TIMEOUT), Origin(self.origin)
        with connect(self.url(path), sock=plain, ssl=self._trust, origin=origin, proxy=None) as socket:
            yield socket

    def get(self, path: str, body: str | None = None) -> tuple[int, str]:
        """A plain request, a POST if it has a body, on a connection of its own; status and body of the answer."""
        sent = None if body is None else body.encode()
        wanted = urllib.request.Request(f"{self.origin}{path}", sent, {"Origin": self.origin})  # noqa: S310
        handler = urllib.request.HTTPSHandler(context=self._trust)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), handler)
        try:
            with opener.open(wanted, timeout=_TIMEOUT) as answer:
                return answer.status, answer.read().decode("utf-8", "replace")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode("utf-8", "replace")

    def _idle(self, path: str) -> Seen:
        """Sockets that nobody uses, for a while: three, for a server's ping may just come in time for one of them."""
        with ExitStack() as stack:
            sockets = [stack.enter_context(self.open(path)) for _ in range(3)]
            begin = time.monotonic()
            while (passed := time.monotonic() - begin) < _SILENCE:
                for socket in sockets:
                    code = _cut(socket)
                    if code is not None:
                        return Seen(False, f"a silent socket was cut after {passed:.1f} s, with code {code}")
        return Seen(True, f"a silent socket still stands after {_SILENCE:g} s")

    def _second(self, path: str) -> Seen:
        """Two sockets at once, as of two tabs."""
        with self.open(path):
            second = self.handshake(path)
            return Seen(second.works, f"the second tab: {second.text}")

    def _polls(self, _: str) -> Seen:
        """Four sessions of Socket.IO by polling: each is opened with one request, and used with the next."""
        answers: list[tuple[int, str]] = []
        for _number in range(4):
            status, body = self.get("/socket.io/?EIO=4&transport=polling")
            if status != 200:
                return Seen(False, f"polling: the session cannot be opened: {status} {body[:80]}")
            sid = body.partition('"sid":"')[2].partition('"')[0]
            answers.append(self.get(f"/socket.io/?EIO=4&transport=polling&sid={sid}", "40"))
        lost = [(status, body) for status, body in answers if status != 200]
        if lost:
            status, body = lost[0]
            return Seen(False, f"polling: {len(lost)} of {len(answers)} sessions were lost: {status} {body[:80]}")
        return Seen(True, f"polling: {len(answers)} of {len(answers)} sessions were found again")


def _cut(socket: ClientConnection) -> int | None:
    """The code a socket was closed with; None if it is open."""
    try:
        with suppress(TimeoutError):
            socket.recv(timeout=0.02)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 1006
    return None
