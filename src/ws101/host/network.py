"""Probes on real sockets: ``run``, and the everyday ones as plain functions.

What listens, answers; all times are seconds on the monotonic clock.
"""

from __future__ import annotations

import binascii
import contextlib
import os
import socket
import time
from collections.abc import Callable
from dataclasses import replace

from ws101.errors import UsageError
from ws101.host.dial import ConnectError, Dialed, Network, Resolve, dial, failure_of, parse_resolve
from ws101.http1 import Request
from ws101.probes import exchange as exchanging
from ws101.probes import handshake as shaking
from ws101.probes.core import (
    Close,
    Command,
    Data,
    Done,
    Eof,
    Event,
    HandshakeResult,
    Observation,
    Probe,
    Send,
    TimedOut,
    Verdict,
    Wait,
    drive,
)
from ws101.probes.endpoint import Endpoint, parse_ws_url
from ws101.probes.handshake import ORDINARY, HandshakeOptions

__all__ = [
    "ConnectError",
    "Network",
    "Resolve",
    "exchange",
    "handshake",
    "knock",
    "new_key",
    "observe",
    "parse_address",
    "parse_resolve",
    "parse_ws_url",
    "plain",
    "run",
]

DEFAULT = Network()

_TICK = 0.25

BACKEND_LIMIT = 1024 * 1024
"""How many bytes of a backend's body are read for a comparison."""


def new_key() -> str:
    """A random Sec-WebSocket-Key (RFC 6455 section 4.1, 7)."""
    return binascii.b2a_base64(os.urandom(16), newline=False).decode("ascii")


def run(
    probe: Probe,
    endpoint: Endpoint,
    network: Network = DEFAULT,
    *,
    limit: float = 3600.0,
    tick: Callable[[float], None] | None = None,
) -> Observation:
    """Connect, run a probe on that connection, close it.

    Args:
        probe: Its clock starts when the connection stands.
        endpoint: Where to connect to.
        network: How.
        limit: Seconds after which the probe gets nothing but TimedOut.
        tick: Called with the seconds on the probe's clock about four times a second while nothing comes, for a display
            of progress.

    Raises:
        ConnectError: If no connection came to stand.
        InputError: If a certificate or key file cannot be used.
    """
    dialed = dial(endpoint, network)
    driver = _Driver(dialed, limit, tick)
    try:
        seen = drive(probe, driver.answer)
    finally:
        driver.close()
    timings = replace(dialed.connection.timings, http=seen.handshake.seconds if seen.handshake else None)
    return replace(seen, connection=replace(dialed.connection, timings=timings))


def handshake(
    url: str | Endpoint, options: HandshakeOptions = ORDINARY, network: Network = DEFAULT
) -> tuple[Observation, HandshakeResult]:
    """The opening handshake with a URL; what stops it below HTTP is a failed observation, not an exception.

    Raises:
        UsageError: If the URL or a header field makes no sense.
        InputError: If a certificate or key file cannot be used.
    """
    endpoint = parse_ws_url(url) if isinstance(url, str) else url
    if options.key == shaking.SAMPLE_KEY:
        options = replace(options, key=new_key())
    request = shaking.build_request(endpoint, options)
    seen = observe(shaking.knock(request, options), endpoint, network, request)
    assert seen.handshake is not None
    return seen, seen.handshake


def knock(
    request: Request, endpoint: Endpoint, options: HandshakeOptions = ORDINARY, network: Network = DEFAULT
) -> Observation:
    """The opening handshake with a request that is made already; what stops it below HTTP is a failed observation.

    Args:
        request: Sent exactly as it encodes.
        endpoint: Where to connect to.
        options: Of these the limits count.
        network: How to connect.

    Raises:
        InputError: If a certificate or key file cannot be used.
    """
    return observe(shaking.knock(request, options), endpoint, network, request)


def plain(
    url: str | Endpoint,
    headers: tuple[tuple[str, str], ...] = (),
    network: Network = DEFAULT,
    *,
    method: str = "GET",
    timeout: float = 10.0,
) -> Observation:
    """A plain request without Upgrade, redirects not followed; passed if an HTTP answer comes, whatever its status.

    Raises:
        UsageError: If the URL makes no sense.
        InputError: If a certificate or key file cannot be used.
    """
    endpoint = parse_ws_url(url) if isinstance(url, str) else url
    request = exchanging.plain_request(endpoint, headers, method=method)
    return observe(exchanging.exchange(request, timeout=timeout), endpoint, network, request)


def exchange(
    address: str, request: Request, *, tls: bool = False, server_name: str = "", timeout: float = 10.0
) -> HandshakeResult:
    """Send exactly this request to a backend and read its answer.

    A certificate is not verified, as nginx does not verify upstreams' (proxy_ssl_verify is off by default).

    Args:
        address: ``host:port``, ``[ip]:port``, ``host`` or ``unix:path``, as ``proxy_pass`` and ``server`` have it.
        request: Sent exactly as it encodes.
        tls: Whether to speak TLS.
        server_name: For SNI; empty takes the host.
        timeout: Seconds to connect, and again to get the answer.

    Raises:
        UsageError: If the address makes no sense.
        ConnectError: If the backend cannot be connected to.
    """
    endpoint, path = parse_address(address, tls=tls)
    network = Network(unix_socket=path, insecure=True, server_name=server_name, timeout=timeout)
    probe = exchanging.exchange(request, timeout=timeout, limit=BACKEND_LIMIT)
    seen = run(probe, endpoint, network).handshake
    assert seen is not None
    return seen


def parse_address(address: str, *, tls: bool = False) -> tuple[Endpoint, str]:
    """An upstream's address as an endpoint and the path of a Unix socket (empty if it is none).

    Raises:
        UsageError: If it makes no sense.
    """
    scheme = "https" if tls else "http"
    if address.startswith("unix:"):
        path = address.removeprefix("unix:").removesuffix(":")
        if not path:
            raise UsageError("the address of the Unix socket has no path", where=address)
        return Endpoint(scheme, "localhost", 443 if tls else 80), path
    return parse_ws_url(f"{scheme}://{address}"), ""


def observe(
    probe: Probe, endpoint: Endpoint, network: Network, request: Request, *, tick: Callable[[float], None] | None = None
) -> Observation:
    """Run a probe; where no connection comes to stand, that is a failed observation and not an exception.

    Args:
        probe: What to do.
        endpoint: Where to connect to.
        network: How.
        request: What would have been sent, for the report.
        tick: As `run` has it.

    Raises:
        InputError: If a certificate or key file cannot be used.
    """
    try:
        return run(probe, endpoint, network, tick=tick)
    except ConnectError as error:
        probe.close()
        return Observation(
            Verdict.FAILED,
            error.message,
            error.class_,
            handshake=HandshakeResult(request, ended=error.class_),
            connection=error.connection,
            help=error.help,
        )


class _Driver:
    """Answers a probe's commands with a socket."""

    def __init__(self, dialed: Dialed, limit: float, tick: Callable[[float], None] | None) -> None:
        self._sock, self._early = dialed.sock, dialed.early
        self._begin = time.monotonic()
        self._limit, self._tick = limit, tick

    def answer(self, command: Command) -> Event:
        if isinstance(command, Send):
            return self._send(command.data)
        if isinstance(command, Close):
            self.close()
            return Done(self._now())
        if isinstance(command, Wait):
            time.sleep(max(0.0, min(command.until, self._limit) - self._now()))
            return Done(self._now())
        return self._receive(command.until)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
        self._sock.close()

    def _now(self) -> float:
        return time.monotonic() - self._begin

    def _send(self, data: bytes) -> Event:
        at = self._now()
        try:
            self._sock.settimeout(max(self._limit - at, 0.001))
            self._sock.sendall(data)
        except OSError as error:
            return Eof(self._now(), failure_of(error))
        return Done(at)

    def _receive(self, until: float) -> Event:
        if self._early and self._now() < until:
            early, self._early = self._early, b""
            return Data(self._now(), early)
        while (left := min(until, self._limit) - self._now()) > 0:
            try:
                self._sock.settimeout(left if self._tick is None else min(left, _TICK))
                data = self._sock.recv(65536)
            except TimeoutError:
                if self._tick is not None:
                    self._tick(self._now())
            except OSError as error:
                return Eof(self._now(), failure_of(error))
            else:
                return Data(self._now(), data) if data else Eof(self._now())
        return TimedOut(self._now())
