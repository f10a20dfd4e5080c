"""How a connection comes to stand: name, TCP (or a Unix socket), HTTP proxy, TLS; each timed, all within a deadline."""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

from ws101.errors import InputError, NetworkError, UsageError
from ws101.http1 import Request, ResponseReader
from ws101.lazy import dataclass
from ws101.probes.core import CertificateFacts, Connection, Timings, TlsFacts
from ws101.probes.endpoint import Endpoint, parse_ws_url
from ws101.probes.x509 import covers, read_certificate

__all__ = ["ConnectError", "Dialed", "Network", "Resolve", "dial", "failure_of", "parse_resolve", "tls_context"]

_STAGGER = 0.25
"""Seconds between attempts at a name's addresses (RFC 8305 section 8)."""


class ConnectError(NetworkError):
    """No connection came to stand; ``connection`` tells how far it went."""

    connection = Connection()


@dataclass(frozen=True, slots=True)
class Resolve:
    """Take these addresses for a host and port, as ``--resolve host:port:address`` says."""

    host: str
    port: int
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Network:
    """How to connect.

    Args:
        resolve: Addresses to take instead of what DNS says.
        unix_socket: Path of a Unix socket to connect to instead of host and port.
        proxy: URL of an HTTP proxy, ``http://[user:password@]host:port``, asked to CONNECT.
        insecure: Do not verify the server's certificate.
        ca_file: PEM file of certificates to trust instead of the system's.
        client_cert: PEM file of the client's certificate (and its key, if ``client_key`` is empty).
        client_key: PEM file of the client's key.
        server_name: Name for SNI and verification instead of the URL's host; empty takes that.
        family: 4 or 6 to use only such addresses, 0 for both.
        timeout: Seconds until the connection stands, all steps together.
        preface: Bytes sent as soon as the connection stands, before TLS, as a load balancer sends the PROXY protocol.
    """

    resolve: tuple[Resolve, ...] = ()
    unix_socket: str = ""
    proxy: str = ""
    insecure: bool = False
    ca_file: str = ""
    client_cert: str = ""
    client_key: str = ""
    server_name: str = ""
    family: int = 0
    timeout: float = 10.0
    preface: bytes = b""


@dataclass(frozen=True, slots=True)
class Dialed:
    """A connection that stands, and bytes that came early (behind a proxy's answer)."""

    sock: socket.socket
    connection: Connection
    early: bytes = b""


def parse_resolve(text: str) -> Resolve:
    """Read ``host:port:address[,address...]``, IPv6 addresses in brackets or bare.

    Raises:
        UsageError: If it is not of this form.
    """
    host, _, rest = text.partition(":")
    port, _, listed = rest.partition(":")
    addresses = tuple(item.strip("[] ") for item in listed.split(","))
    if not (host and port.isdecimal() and 0 < int(port) < 65536 and all(map(_is_address, addresses))):
        raise UsageError("--resolve wants host:port:address", where=text, help="as in example.com:443:127.0.0.1")
    return Resolve(host.lower(), int(port), addresses)


def _is_address(text: str) -> bool:
    try:
        socket.getaddrinfo(text, 0, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return False
    return bool(text)


def dial(endpoint: Endpoint, network: Network) -> Dialed:
    """Connect to an endpoint.

    Raises:
        ConnectError: If it fails, with the failure's class and how far it went.
        InputError: If a certificate or key file cannot be used.
        UsageError: If the proxy's URL makes no sense.
    """
    dialer = _Dialer(endpoint, network)
    context = tls_context(network) if endpoint.tls else None
    try:
        dialer.connect()
        if network.proxy:
            dialer.pass_proxy()
        if network.preface:
            dialer.send_preface()
        if context is not None:
            dialer.start_tls(context)
    except NetworkError as error:
        dialer.close()
        failed = ConnectError(error.message, class_=error.class_, where=error.where or endpoint.url, help=error.help)
        failed.connection = dialer.seen
        raise failed from error
    except BaseException:
        dialer.close()
        raise
    return Dialed(dialer.sock, dialer.seen, dialer.early)


def failure_of(error: OSError) -> str:
    """The failure's class of an error from a socket."""
    if isinstance(error, ssl.SSLError):
        return _tls_failure(error)
    if isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
        return "timeout"
    if error.errno in (errno.ECONNREFUSED, errno.ENOENT):
        return "refused"
    if error.errno in (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED):
        return "reset"
    return "unreachable"


class _Dialer:
    """The steps of one connection, and what they showed."""

    def __init__(self, endpoint: Endpoint, network: Network) -> None:
        self.endpoint, self.network = endpoint, network
        self.deadline = time.monotonic() + network.timeout
        self._seen = Connection()
        self._took: dict[str, float] = {}
        self.early = b""
        self._sock: socket.socket | None = None
        self._proxy = _proxy(network.proxy) if network.proxy else None

    @property
    def sock(self) -> socket.socket:
        assert self._sock is not None
        return self._sock

    @property
    def seen(self) -> Connection:
        """What was seen so far, and how long each step took."""
        return replace(self._seen, timings=Timings(**self._took))

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()

    def left(self) -> float:
        """Seconds until the deadline; never 0, which sockets take for non-blocking."""
        return max(self.deadline - time.monotonic(), 0.001)

    @contextlib.contextmanager
    def timed(self, step: str) -> Iterator[None]:
        begin = time.monotonic()
        try:
            yield
        finally:
            self._took[step] = time.monotonic() - begin

    def connect(self) -> None:
        if self.network.unix_socket:
            return self._connect_unix(self.network.unix_socket)
        goal = self._proxy or self.endpoint
        addresses = self._override(goal)
        if not addresses:
            with self.timed("dns"):
                addresses = _lookup(goal.host, goal.port, self.network.family, self.left())
        with self.timed("tcp"):
            self._sock, tried = _connect_any(addresses, self.deadline)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._seen = replace(self._seen, address=_show(self.sock.getpeername()), tried=tried)
        return None

    def _override(self, goal: Endpoint) -> list[_Address]:
        for entry in self.network.resolve:
            if (entry.host, entry.port) == (goal.host, goal.port):
                return [found for a in entry.addresses for found in _lookup(a, goal.port, 0, self.left())]
        return []

    def _connect_unix(self, path: str) -> None:
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.left())
        self._seen = replace(self._seen, address=f"unix:{path}")
        try:
            with self.timed("tcp"):
                self.sock.connect(path)
        except OSError as error:
            class_ = "timeout" if isinstance(error, BlockingIOError) else failure_of(error)
            message = f"cannot connect to the socket: {error.strerror or error}"
            raise NetworkError(message, class_=class_, where=f"unix:{path}") from error

    def pass_proxy(self) -> None:
        """Ask the proxy for a connection (RFC 9110 section 9.3.6)."""
        proxy = self._proxy
        assert proxy is not None
        goal = self.endpoint.host if ":" not in self.endpoint.host else f"[{self.endpoint.host}]"
        headers = [("Host", f"{goal}:{self.endpoint.port}")]
        if proxy.authorization:
            headers.append(("Proxy-Authorization", proxy.authorization))
        self._seen = replace(self._seen, proxy=f"{proxy.host}:{proxy.port}")
        reader = ResponseReader(method="CONNECT", limit=1024)
        try:
            self.sock.settimeout(self.left())
            self.sock.sendall(Request("CONNECT", f"{goal}:{self.endpoint.port}", headers=tuple(headers)).encode())
            while not reader.done:
                self.sock.settimeout(self.left())
                data = self.sock.recv(4096) if time.monotonic() < self.deadline else b""
                reader.feed(data) if data else reader.eof()
        except OSError as error:
            raise NetworkError(f"the proxy failed: {failure_of(error)}", class_="proxy", where=proxy.url) from error
        response = reader.answer().response
        if response is None or not 200 <= response.status < 300:
            said = f"{response.status} {response.reason}" if response else "nothing that is HTTP"
            raise NetworkError(f"the proxy answered {said} to CONNECT", class_="proxy", where=proxy.url)
        self.early = reader.rest

    def send_preface(self) -> None:
        """Send what goes before everything else."""
        try:
            self.sock.settimeout(self.left())
            self.sock.sendall(self.network.preface)
        except OSError as error:
            raise NetworkError("the connection failed at its first bytes", class_=failure_of(error)) from error

    def start_tls(self, context: ssl.SSLContext) -> None:
        name = self.network.server_name or self.endpoint.host
        plain = self.sock
        try:
            with self.timed("tls"):
                plain.settimeout(self.left())
                sock = context.wrap_socket(plain, server_hostname=name)
        except ssl.SSLCertVerificationError as error:
            facts = self._facts_anyway(name, _VERIFY.get(error.verify_code, error.verify_message))
            self._seen = replace(self._seen, tls=facts)
            help = "renew or replace the certificate; to look past it: --insecure"
            raise NetworkError(_untrusted(facts, name), class_="certificate", help=help) from error
        except (OSError, ValueError) as error:
            class_ = failure_of(error) if isinstance(error, OSError) else "tls"
            message, help = _TLS_MESSAGES.get(class_, (f"TLS could not be agreed on: {_reason(error)}", ""))
            raise NetworkError(message, class_=class_, help=help) from error
        self._sock = sock
        self._seen = replace(self._seen, tls=_facts(sock, name, None if self.network.insecure else True, ""))

    def _facts_anyway(self, name: str, problem: str) -> TlsFacts:
        """Connect once more without verification, to show the certificate that was refused."""
        again = _Dialer(self.endpoint, replace(self.network, insecure=True, timeout=min(self.left(), 3.0)))
        try:
            again.connect()
            if self.network.proxy:
                again.pass_proxy()
            again.start_tls(tls_context(again.network))
            return _facts(again.sock, name, False, problem)
        except NetworkError:
            return TlsFacts(trusted=False, problem=problem)
        finally:
            again.close()


_Address = tuple[socket.AddressFamily, "tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]"]


def _proxy(url: str) -> Endpoint:
    proxy = parse_ws_url(url if "://" in url else f"http://{url}")
    if proxy.scheme != "http":
        raise UsageError("only proxies with http:// are supported", where=proxy.url)
    return proxy


def _lookup(host: str, port: int, family: int, timeout: float) -> list[_Address]:
    """All addresses of a name, both families in turn; ``getaddrinfo`` knows no time limit, so it runs in a thread."""
    kind = {4: socket.AF_INET, 6: socket.AF_INET6}.get(family, socket.AF_UNSPEC)
    found: list[_Address] = []
    failures: list[OSError] = []

    def ask(flags: int = 0) -> None:
        try:
            answers = socket.getaddrinfo(host.encode(), port, kind, socket.SOCK_STREAM, flags=flags)
            found.extend((item[0], item[4]) for item in answers)
        except OSError as error:
            failures.append(error)

    ask(socket.AI_NUMERICHOST)
    if not found:
        failures.clear()
        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(timeout)
        if thread.is_alive():
            raise NetworkError(
                f"no answer in time to who {host} is", class_="dns", help="is the name server reachable?"
            )
    if not found:
        why = failures[0].strerror if failures else "no address"
        raise NetworkError(
            f"the name {host} has no address: {why}", class_="dns", help="check the name for typing errors"
        )
    return _alternate(found)


def _alternate(found: list[_Address]) -> list[_Address]:
    first = [item for item in found if item[0] == found[0][0]]
    second = [item for item in found if item[0] != found[0][0]]
    mixed = [item for pair in zip(first, second, strict=False) for item in pair]
    return mixed + first[len(second) :] + second[len(first) :]


def _connect_any(addresses: list[_Address], deadline: float) -> tuple[socket.socket, tuple[str, ...]]:
    """The first of the addresses that answers; a new attempt starts when one fails or is slow (RFC 8305 section 5)."""
    queue, tried, classes = list(addresses), list[str](), list[str]()
    running: dict[socket.socket, str] = {}
    start_next = 0.0

    def failed(address: str, class_: str) -> None:
        tried.append(f"{address}: {class_}")
        classes.append(class_)

    with selectors.DefaultSelector() as selector:
        try:
            while (queue or running) and (now := time.monotonic()) < deadline:
                if queue and (now >= start_next or not running):
                    start_next = now + _STAGGER
                    family, address = queue.pop(0)
                    error = _begin(family, address, selector, running)
                    if error is not None:
                        failed(_show(address), failure_of(error))
                    continue
                wait = min(deadline, start_next if queue else deadline) - now
                for key, _ in selector.select(max(wait, 0)):
                    sock = key.fileobj
                    assert isinstance(sock, socket.socket)
                    selector.unregister(sock)
                    name, code = running.pop(sock), sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    if code == 0:
                        return sock, tuple(tried)
                    sock.close()
                    failed(name, failure_of(OSError(code, "")))
                    start_next = 0.0
            for name in running.values():
                failed(name, "timeout")
        finally:
            for sock in running:
                sock.close()
    class_ = min(classes, key=["refused", "reset", "timeout", "unreachable"].index, default="timeout")
    raise NetworkError(
        f"cannot connect: {'; '.join(tried) or 'no time left'}", class_=class_, help=_CONNECT_HELP[class_]
    )


_CONNECT_HELP = {
    "refused": "is the server running, and is this its port?",
    "reset": "a firewall or the server's backlog may be in the way",
    "timeout": "a firewall may be dropping the packets, or the address is stale",
    "unreachable": "is there a route to this address?",
}


def _begin(
    family: socket.AddressFamily, address: object, selector: selectors.BaseSelector, running: dict[socket.socket, str]
) -> OSError | None:
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        return error
    sock.setblocking(False)
    code = sock.connect_ex(address)  # type: ignore[arg-type]
    if code not in (0, errno.EINPROGRESS):
        sock.close()
        return OSError(code, "")
    selector.register(sock, selectors.EVENT_WRITE)
    running[sock] = _show(address)
    return None


def _show(address: object) -> str:
    if not isinstance(address, tuple):
        return str(address)
    return f"[{address[0]}]:{address[1]}" if ":" in str(address[0]) else f"{address[0]}:{address[1]}"


def tls_context(network: Network) -> ssl.SSLContext:
    """Verification on unless told otherwise; ALPN offers http/1.1 alone, for over HTTP/2 there is no Upgrade."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["http/1.1"])
    path = network.ca_file
    try:
        if network.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif network.ca_file:
            context.load_verify_locations(network.ca_file)
        else:
            context.load_default_certs()
        if network.client_cert:
            path = network.client_cert
            context.load_cert_chain(network.client_cert, network.client_key or None, password=_no_password)
    except OSError as error:
        raise InputError(f"the certificate file cannot be used: {error.strerror or error}", where=path) from error
    return context


def _no_password() -> str:
    raise InputError("the client's key is encrypted", help="decrypt it: openssl rsa -in client.key -out plain.key")


_VERIFY = {
    9: "it is not valid yet",
    10: "it has expired",
    18: "it is self-signed",
    19: "its chain ends in a self-signed certificate that is not trusted here",
    20: "its issuer is not known here (or the server does not send its intermediate certificate)",
    21: "its issuer is not known here (or the server does not send its intermediate certificate)",
    23: "it has been revoked",
    62: "it is for another name",
    64: "it is for another address",
}
"""OpenSSL's verification errors (x509_vfy.h), as clauses about the certificate."""

_TLS_FAILURES = {
    "WRONG_VERSION_NUMBER": "tls-plain-mismatch",
    "HTTP_REQUEST": "tls-plain-mismatch",
    "UNKNOWN_PROTOCOL": "tls-plain-mismatch",
    "PACKET_LENGTH_TOO_LONG": "tls-plain-mismatch",
    "RECORD_LAYER_FAILURE": "tls-plain-mismatch",
    "TLSV1_ALERT_NO_APPLICATION_PROTOCOL": "http2-only",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "client-certificate",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "tls",
    "SSLV3_ALERT_BAD_CERTIFICATE": "client-certificate",
    "TLSV1_ALERT_UNKNOWN_CA": "client-certificate",
    "CERTIFICATE_VERIFY_FAILED": "certificate",
}

_TLS_MESSAGES = {
    "tls-plain-mismatch": ("this port does not speak TLS", "use ws:// (http://), or the port that has the certificate"),
    "http2-only": ("the server offers no HTTP/1.1 over TLS, only HTTP/2", "enable HTTP/1.1 on this port"),
    "client-certificate": ("the server wants a client certificate", "pass one: --cert FILE --key FILE"),
    "timeout": ("the TLS handshake was not answered in time", "does this port speak TLS?"),
    "reset": ("the server reset the connection during the TLS handshake", "does this port speak TLS?"),
}


def _tls_failure(error: ssl.SSLError) -> str:
    return _TLS_FAILURES.get(error.reason or "", "tls")


def _reason(error: Exception) -> str:
    return getattr(error, "reason", None) or str(error)


def _untrusted(facts: TlsFacts, name: str) -> str:
    message = f"the certificate is not trusted: {facts.problem}"
    if facts.chain and facts.problem == _VERIFY[10]:
        return f"{message} on {facts.chain[0].not_after}"
    if facts.chain and facts.name_matches is False:
        return f"{message}: it is for {', '.join(facts.chain[0].names) or facts.chain[0].subject}, not {name}"
    return message


def _facts(sock: socket.socket, name: str, trusted: bool | None, problem: str) -> TlsFacts:
    assert isinstance(sock, ssl.SSLSocket)
    chain = tuple(_certificates(sock))
    names = (chain[0].names or (chain[0].subject,)) if chain else ()
    cipher = sock.cipher()
    return TlsFacts(
        sock.version() or "",
        cipher[0] if cipher else "",
        sock.selected_alpn_protocol(),
        chain,
        covers(names, name) if chain else None,
        trusted,
        problem,
    )


def _certificates(sock: ssl.SSLSocket) -> Iterator[CertificateFacts]:
    """The server's chain where this Python can show it (3.13; before that by an inner object), else its own one."""
    ask = getattr(sock, "get_unverified_chain", None) or getattr(
        getattr(sock, "_sslobj", None), "get_unverified_chain", None
    )
    own = sock.getpeercert(binary_form=True)
    for item in (ask() if ask else None) or ([own] if own else []):
        with contextlib.suppress(ValueError):
            yield read_certificate(item if isinstance(item, bytes) else item.public_bytes(2))
