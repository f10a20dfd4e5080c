"""How nginx reads a client's request: request line, header lines, Host, sizes - and what it refuses.

Theory of operation.  The request is read as the bytes it would be on the wire, line by line, so a line end inside a
value does what it would do.  Until a host is known the default server's settings rule, then those of the server that
the host picks: the caller's ``choose`` is asked as soon as nginx would look.  ``merge_slashes`` is the default server's
always.

Source: src/http/ngx_http_parse.c (ngx_http_parse_request_line, ngx_http_parse_header_line),
src/http/ngx_http_request.c (ngx_http_process_request_line, ngx_http_process_request_headers,
ngx_http_alloc_large_header_buffer, ngx_http_process_request_header).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from functools import lru_cache
from typing import NamedTuple

from ws101.http1 import Headers, Request
from ws101.lazy import dataclass, lazy_pattern
from ws101.nginx.build import Build
from ws101.nginx.config import Placed, Scope, Unknown
from ws101.nginx.inherit import effective
from ws101.nginx.targets import UriParts, decimal, normalise_uri, valid_host
from ws101.text import lower

__all__ = [
    "Choose",
    "ClientSettings",
    "HeaderLine",
    "Received",
    "Refused",
    "client_settings",
    "left_open",
    "read_request",
]

_USUAL_LINE = lazy_pattern(r"([A-Z_-]+) (/[^\x00-\x20\x7f]*) (HTTP/1\.([01]))\r")
_METHOD = lazy_pattern(r"([A-Z_-]+) +")
_PATH = lazy_pattern(r"/[^\x00-\x20\x7f]*")
_ABSOLUTE = lazy_pattern(
    r"[A-Za-z][A-Za-z0-9+.-]*://"
    r"((?:\[[A-Za-z0-9:._~!$&'()*+,;=-]*\]|(?!\[)[A-Za-z0-9.-]*)(?::[0-9]*)?)"
    r"([/?][^\x00-\x20\x7f]*|(?= ))"
)
_AUTHORITY = lazy_pattern(r"((?:\[[A-Za-z0-9:._~!$&'()*+,;=-]*\]|(?!\[)[A-Za-z0-9.-]*):[0-9]+)(?= )")
_MAJOR = lazy_pattern(r" +HTTP/([1-9])([0-9])?")
_VERSION = lazy_pattern(r" +(HTTP/1\.([0-9]+) *)\r?\Z")
_HTTP_09 = lazy_pattern(r" *\r?\Z")
_HEADER = lazy_pattern(r"([^\x00-\x20\x7f:]+)(?:: *([^\x00\r]*))?\r*\Z")
_BAD_IN_NAME = lazy_pattern(r"[\x00-\x20\x7f]|\A:|:[^\x00\r]*[\x00\r]")
_VALID_NAME = lazy_pattern(r"[A-Za-z0-9-]+")
_VALID_NAME_UNDERSCORES = lazy_pattern(r"[A-Za-z0-9_-]+")
_SIZE = lazy_pattern(r"([0-9]+)([kKmM]?)")
_MAX_OFFSET = 2**63 - 1

_UNIQUE = frozenset(
    (
        "if-modified-since",
        "if-unmodified-since",
        "if-match",
        "if-none-match",
        "if-range",
        "content-length",
        "content-range",
        "transfer-encoding",
        "expect",
        "authorization",
    )
)
_SPECIAL = _UNIQUE | {"host", "connection", "upgrade", "proxy-authorization"}


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """What a server says about reading requests.

    Args:
        merge_slashes, underscores_in_headers, ignore_invalid_headers: As the directives.
        client_header_buffer_size: Bytes.
        large_client_header_buffers: How many, and bytes of each.
        max_headers: The most header lines; None if this nginx has no limit.
        allow_connect: Whether the server has a place for CONNECT (``tunnel_pass``, from 1.31.0).
        origins: The directives that set something else than the default.
        unread: Names that a file that could not be read may set, and why it is not known.
    """

    merge_slashes: bool = True
    underscores_in_headers: bool = False
    ignore_invalid_headers: bool = True
    client_header_buffer_size: int = 1024
    large_client_header_buffers: tuple[int, int] = (4, 8192)
    max_headers: int | None = None
    allow_connect: bool = False
    origins: tuple[Placed, ...] = ()
    unread: tuple[tuple[str, Unknown], ...] = ()


Choose = Callable[[str], tuple[object, ClientSettings]]
"""Gives the server for a valid lower-case host ("" if there is none), and its settings."""


@dataclass(frozen=True, slots=True)
class HeaderLine:
    """A header line's parts.

    Args:
        name, value: As sent, without the blanks around them.
        is_valid: Whether the name is.
        has_underscores: Whether the name is valid only with underscores_in_headers.
        key: The name in lower case.
        variable: The name as in ``$http_name``.
        kind: The same as ``key`` for a field that nginx itself looks at; else None.
        pair: Name and value.
    """

    name: str
    value: str
    is_valid: bool
    has_underscores: bool
    key: str
    variable: str
    kind: str | None
    pair: tuple[str, str]


@dataclass(slots=True)
class Received:
    """A request as nginx understood it.

    Nothing changes it; it is not frozen because it is made for every request, and that would take three times as long.

    Args:
        method: For example ``GET``.
        version: As sent, blanks behind it included, for example ``HTTP/1.1``; "" if there is none (HTTP/0.9).
        target: The target as it came, without scheme and authority (``r->unparsed_uri``, ``$request_uri``).
        uri: Decoded and normalised, without arguments (``r->uri``).
        args: The arguments as they came; "" if there are none.
        host: The valid host: lower case, without port and trailing dot; None if the request names none.
        http_host: The Host field as it came; None if there is none.
        port: The port that came with the host.
        lines: The header lines that nginx keeps, in order.
        dropped: Names of the fields that nginx ignored, and why.
        valid_unparsed_uri: Whether ``target`` may be handed on as it is.
        quoted_uri: Whether the path held ``%XX``.
        upgrade: Whether there is an Upgrade field, whatever its value.
        content_length: Bytes; None if not given.
        chunked: Whether the body comes in chunks.
        keepalive: Whether the client's connection stays open afterwards.
        server: What ``choose`` gave for the final host.
        invalid: Names among ``headers`` that are invalid and were kept (``ignore_invalid_headers off``).
    """

    method: str
    version: str
    target: str
    uri: str
    args: str
    host: str | None
    http_host: str | None
    port: int | None
    lines: tuple[HeaderLine, ...]
    dropped: tuple[tuple[str, str], ...]
    valid_unparsed_uri: bool
    quoted_uri: bool
    upgrade: bool
    content_length: int | None
    chunked: bool
    keepalive: bool
    server: object
    invalid: frozenset[str] = frozenset()

    @property
    def headers(self) -> Headers:
        """The header fields that nginx keeps, in order and original case."""
        return tuple([line.pair for line in self.lines])

    @property
    def plus_in_uri(self) -> bool:
        """Whether the path holds a ``+`` as it came (``r->plus_in_uri``)."""
        return "+" in self.target.partition("?")[0]

    @property
    def has_args(self) -> bool:
        """Whether there are arguments (``$is_args`` is then ``?``)."""
        return self.args != ""


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that nginx does not serve.

    Args:
        status: What the client sees; None if the connection is closed without an answer.
        reason: nginx's words in the error log.
        code: nginx's own number, which ``error_page`` may name: 494 (too large) is shown as 400.
        server: Whose error pages and logs count; None before any server was chosen: the default one.
    """

    status: int | None
    reason: str
    code: int | None = None
    server: object = None


class _Line(NamedTuple):
    """A request line's parts; ``host`` is None in origin form, ``target`` "" where the path is empty."""

    method: str
    target: str
    version: str
    number: int
    host: str | None


@dataclass(slots=True)
class _Head:
    """What has been read so far."""

    settings: ClientSettings
    choose: Choose
    rules: _Rules
    server: object = None
    host: tuple[str, int | None] | None = None
    lines: list[HeaderLine] = field(default_factory=list)
    dropped: list[tuple[str, str]] = field(default_factory=list)
    invalid: list[str] = field(default_factory=list)
    unique: dict[str, HeaderLine] = field(default_factory=dict)
    upgrade: bool = False
    close: bool | None = None

    def take_host(self, value: str, complaint: str) -> Refused | None:
        """Validate a host; the first one picks the server."""
        host = valid_host(value, self.rules.strict_host)
        if host is None:
            return Refused(400, complaint)
        if self.host is None:
            self.host = host
            self.server, self.settings = self.choose(host[0])
        return None


class _Rules(NamedTuple):
    """What differs between versions here; the names are those of ``Build.does``."""

    connect_is_405: bool
    strict_host: bool
    one_proxy_authorization: bool


@lru_cache(maxsize=64)
def _rules(build: Build) -> _Rules:
    return _Rules(*[build.does(name) for name in _Rules._fields])


class _Buffers:
    """The room for request line and header lines; nginx: ngx_http_alloc_large_header_buffer."""

    __slots__ = ("_busy", "_free")

    def __init__(self, size: int) -> None:
        self._free = size
        self._busy = 0

    def take(self, length: int, settings: ClientSettings) -> bool:
        """Whether a line of so many bytes still finds room."""
        if length <= self._free:
            self._free -= length
            return True
        count, size = settings.large_client_header_buffers
        if self._free >= size or self._busy >= count or length > size:
            return False
        self._busy += 1
        self._free = size - length
        return True


def client_settings(server: Scope, build: Build) -> ClientSettings:
    """The settings of a server, worked out once; what is unset or unknown has nginx's default."""
    key = ("client settings", build.version)
    found = server.memo.get(key)
    if not isinstance(found, ClientSettings):
        found = server.memo[key] = _read_settings(server, build)
    return found


def _read_settings(server: Scope, build: Build) -> ClientSettings:
    origins: list[Placed] = []
    unread: list[tuple[str, Unknown]] = []

    def args(name: str) -> tuple[str, ...]:
        setting = effective(server, name)
        if setting.origin is not None and isinstance(setting.value, tuple):
            origins.append(setting.origin)
            return setting.value
        if isinstance(setting.value, Unknown):
            unread.append((name, setting.value))
        return ()

    def flag(name: str, default: bool) -> bool:
        return lower(value[0]) == "on" if (value := args(name)) else default

    large = args("large_client_header_buffers")
    small = args("client_header_buffer_size")
    count = args("max_headers")
    return ClientSettings(
        flag("merge_slashes", True),
        flag("underscores_in_headers", False),
        flag("ignore_invalid_headers", True),
        (_size(small[0]) if small else None) or 1024,
        (_size(large[0]) or 4, _size(large[1]) or 8192) if len(large) == 2 else (4, 8192),
        _size(count[0]) if count else 1000 if build.does("limits_header_count") else None,
        build.version >= (1, 31, 0) and _has_tunnel(server),
        tuple(origins),
        tuple(unread),
    )


def left_open(received: Received, first: ClientSettings, own: ClientSettings) -> tuple[Unknown, ...]:
    """What unread settings could change in a request as it was read.

    Args:
        received: The request.
        first: The settings of the server that reads the request line.
        own: Those of the server that answers.
    """
    if not first.unread and not own.unread:
        return ()
    names = {"merge_slashes"} if "//" in received.target.partition("?")[0] else set()
    names |= {"underscores_in_headers", "ignore_invalid_headers"} if received.dropped else set()
    return tuple({name: unknown for name, unknown in (*first.unread, *own.unread) if name in names}.values())


def _has_tunnel(server: Scope) -> bool:
    stack = [server]
    while stack:
        scope = stack.pop()
        if scope.all("tunnel_pass"):
            return True
        stack += scope.children("location")
        stack += scope.children("if")
    return False


def _size(text: str) -> int | None:
    found = _SIZE.fullmatch(text)
    return int(found[1]) * {"": 1, "k": 1024, "m": 1024 * 1024}[lower(found[2])] if found else None


def read_request(request: Request, build: Build, default: ClientSettings, choose: Choose) -> Received | Refused:
    """What nginx makes of a request's head.

    Args:
        request: As the client sends it; nothing in it needs to be valid.
        build: The nginx: validation of Host and of CONNECT differs between versions.
        default: The settings of the address's default server.
        choose: Asked for the server of a host, at most twice.
    """
    fields = "".join([f"{name}: {value}\r\n" for name, value in request.headers])
    text = f"{request.method} {request.target} {request.version}\r\n{fields}\r\n".lstrip("\r\n")
    lines = text.split("\n")
    buffers = _Buffers(default.client_header_buffer_size) if len(text) > default.client_header_buffer_size else None
    if buffers and _METHOD.match(lines[0]) and not buffers.take(len(lines[0]) + 1, default):
        return Refused(414, "client sent too long URI", 414)
    rules = _rules(build)
    line = _request_line(lines[0], rules.connect_is_405)
    if isinstance(line, Refused):
        return line
    uri = normalise_uri(line.target or "/", default.merge_slashes, line.target[:1] == "?")
    if uri is None:
        return _INVALID_REQUEST
    head = _Head(default, choose, rules)
    refused = None
    if line.host is not None:
        refused = head.take_host(line.host, "client sent invalid host in request line")
    if refused is None and line.number >= 1000:
        refused = _header_lines(head, lines, buffers)
    if head.host is None and refused is None:
        head.server, head.settings = choose("")
    if refused is None and line.number >= 1000:
        refused = _check(head, line)
    if refused is not None:
        return Refused(refused.status, refused.reason, refused.code or refused.status, head.server)
    return _received(head, line, uri)


def _received(head: _Head, line: _Line, uri: UriParts) -> Received:
    unique = head.unique
    length = unique.get("content-length")
    field = unique.get("host")
    host, port = head.host if head.host is not None else (None, None)
    return Received(
        line.method,
        line.version,
        line.target or "/",
        uri.uri,
        uri.args,
        host,
        field.value if field is not None else None,
        port,
        tuple(head.lines),
        tuple(head.dropped),
        line.target[:1] != "?",
        uri.quoted,
        head.upgrade,
        decimal(length.value, _MAX_OFFSET) if length is not None else None,
        "transfer-encoding" in unique,
        not head.close if head.close is not None else line.number > 1000,
        head.server,
        frozenset(head.invalid),
    )


_INVALID_REQUEST = Refused(400, "client sent invalid request", 400)
_INVALID_METHOD = Refused(400, "client sent invalid method", 400)
_INVALID_VERSION = Refused(505, "client sent invalid version", 505)
_INVALID_09 = Refused(400, "client sent invalid method in HTTP/0.9 request", 400)


@lru_cache(maxsize=4096)
def _request_line(text: str, new_connect: bool) -> _Line | Refused:
    """Read a request line, given without its LF."""
    usual = _USUAL_LINE.fullmatch(text)
    if usual is not None and usual[1] != "CONNECT":
        return _Line(usual[1], usual[2], usual[3], 1000 + int(usual[4]), None)
    found = _METHOD.match(text)
    if found is None:
        return _INVALID_METHOD
    method, at = found[1], found.end()
    host: str | None = None
    if method == "CONNECT" and new_connect:
        where = _AUTHORITY.match(text, at)
        host, target = (where[1], "/") if where else (None, "")
    elif text.startswith("/", at):
        where = _PATH.match(text, at)
        target = where[0] if where else ""
    else:
        where = _ABSOLUTE.match(text, at)
        host, target = (where[1], where[2]) if where else (None, "")
    if where is None:
        return _INVALID_REQUEST
    return _with_version(_Line(method, target, "", 9, host), text, where.end())


def _with_version(line: _Line, text: str, at: int) -> _Line | Refused:
    if _HTTP_09.match(text, at):
        return line if line.method == "GET" else _INVALID_09
    major = _MAJOR.match(text, at)
    if major is not None and (major[1] != "1" or major[2] is not None):
        return _INVALID_VERSION
    found = _VERSION.match(text, at)
    if found is None or (len(found[2]) > 1 and int(found[2][:-1]) > 99):
        return _INVALID_REQUEST
    return line._replace(version=found[1], number=1000 + int(found[2]))


def _header_lines(head: _Head, lines: list[str], buffers: _Buffers | None) -> Refused | None:
    """Read header lines up to the empty one (nginx: ngx_http_process_request_headers)."""
    kept = head.lines
    for at in range(1, len(lines)):
        text = lines[at]
        if buffers is not None and not buffers.take(len(text) + 1, head.settings):
            return Refused(400, f'client sent too long header line: "{text[:64]}..."', 494)
        if text in ("", "\r"):
            return None
        line = _header_line(text)
        if line is None:
            return _bad_header(text)
        is_valid = line.is_valid or (line.has_underscores and head.settings.underscores_in_headers)
        if not is_valid and head.settings.ignore_invalid_headers:
            head.dropped.append((line.name, _why_dropped(line.name)))
            continue
        limit = head.settings.max_headers
        if limit is not None and len(kept) >= limit:
            return Refused(400, "client sent too many header lines")
        kept.append(line)
        if not is_valid:
            head.invalid.append(line.name)
        elif line.kind is not None:
            refused = _handle(head, line.kind, line)
            if refused is not None:
                return refused
    return None


@lru_cache(maxsize=4096)
def _header_line(text: str) -> HeaderLine | None:
    """Read a header line, given without its LF; None if it is none.  Most requests send the same few lines."""
    found = _HEADER.match(text)
    if found is None:
        return None
    name, value, key = found[1], (found[2] or "").rstrip(" "), lower(found[1])
    is_valid = _VALID_NAME.fullmatch(key) is not None
    has_underscores = not is_valid and _VALID_NAME_UNDERSCORES.fullmatch(key) is not None
    kind = key if key in _SPECIAL else None
    return HeaderLine(name, value, is_valid, has_underscores, key, key.replace("-", "_"), kind, (name, value))


def _handle(head: _Head, kind: str, line: HeaderLine) -> Refused | None:
    if kind == "upgrade":
        head.upgrade = True
    elif kind == "connection":
        if "close" in lower(line.value):
            head.close = True
        elif "keep-alive" in lower(line.value):
            head.close = False
    elif kind == "proxy-authorization" and not head.rules.one_proxy_authorization:
        return None
    elif kind in head.unique:
        what = "host header" if kind == "host" else "header line"
        previous = ": ".join(head.unique[kind].pair)
        return Refused(400, f'client sent duplicate {what}: "{": ".join(line.pair)}", previous value: "{previous}"')
    else:
        head.unique[kind] = line
        if kind == "host":
            return head.take_host(line.value, "client sent invalid host header")
    return None


def _bad_header(text: str) -> Refused:
    found = _BAD_IN_NAME.search(text)
    at = found.end() - 1 if found else len(text)
    char = f"\\x{ord(text[at]):02x}" if at < len(text) else ""
    return Refused(400, f'client sent invalid header line: "{text[:at]}{char}..."')


def _why_dropped(name: str) -> str:
    if "_" in name and _VALID_NAME_UNDERSCORES.fullmatch(name):
        return "its name has an underscore, and underscores_in_headers is off"
    return "its name has a character that nginx takes for invalid, and ignore_invalid_headers is on"


def _check(head: _Head, line: _Line) -> Refused | None:
    """What nginx looks at when it has all header lines (nginx: ngx_http_process_request_header)."""
    if "host" not in head.unique and line.number > 1000:
        return Refused(400, 'client sent HTTP/1.1 request without "Host" header')
    length = head.unique.get("content-length")
    if length is not None and decimal(length.value, _MAX_OFFSET) is None:
        return Refused(400, 'client sent invalid "Content-Length" header')
    coding = head.unique.get("transfer-encoding")
    if coding is not None and line.number < 1001:
        return Refused(400, 'client sent HTTP/1.0 request with "Transfer-Encoding" header')
    if coding is not None and lower(coding.value) != "chunked":
        return Refused(501, f'client sent unknown "Transfer-Encoding": "{coding.value}"')
    if coding is not None and length is not None:
        return Refused(400, 'client sent "Content-Length" and "Transfer-Encoding" headers at the same time')
    if line.method == "CONNECT" and not head.settings.allow_connect:
        return Refused(405, "client sent CONNECT method")
    if line.method == "TRACE":
        return Refused(405, "client sent TRACE method")
    return None
