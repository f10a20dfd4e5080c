"""Which server answers: ``listen``, ``server_name`` and ``default_server``.

Theory of operation.  Servers are grouped by the exact address they listen on.  The connection's local address picks the
group (a specific address before the wildcard of its port), the host's name picks the server in it: exact, ``*.x`` or
``.x``, ``x.*``, then regular expressions in order, else the group's default server.  Names are consulted only where
there is a choice.  A group's names are indexed when it is first asked.

Source: src/http/ngx_http.c (ngx_http_add_listen, ngx_http_add_addresses, ngx_http_add_server, ngx_http_server_names),
src/http/ngx_http_core_module.c (ngx_http_core_listen, ngx_http_core_server_name), src/http/ngx_http_request.c
(ngx_http_init_connection, ngx_http_find_virtual_server), src/core/ngx_inet.c (ngx_parse_inet_url).
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from ws101.lazy import dataclass, lazy_pattern
from ws101.nginx.build import Build
from ws101.nginx.config import Config, Placed, Scope, Unknown
from ws101.nginx.names import NameTable
from ws101.nginx.regex import Match, RegexError, Undecided, compile_regex
from ws101.text import lower

__all__ = [
    "Ambiguous",
    "Choice",
    "Group",
    "Listen",
    "ListenProblem",
    "Listeners",
    "Socket",
    "listeners",
    "parse_listen",
    "refused_parameter",
    "server_names",
]

ANY4, ANY6 = "0.0.0.0", "::"  # noqa: S104 (read, never bound)
_DEFAULT_PORT = 80
_FLAGS = frozenset("default_server default bind deferred ssl http2 quic reuseport proxy_protocol multipath".split())
_OPTIONS = ("setfib=", "fastopen=", "backlog=", "rcvbuf=", "sndbuf=", "accept_filter=", "ipv6only=", "so_keepalive=")
_SINCE = {"quic": (1, 25, 0), "multipath": (1, 29, 7)}
_SPECIAL = frozenset("~$*.")
_PORTS = lazy_pattern(r"(\d{1,5})(?:-(\d{1,5}))?", re.ASCII)
_IPV4 = lazy_pattern(r"\d{1,3}(?:\.\d{1,3}){3}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Socket:
    """An address that can be listened on.

    Args:
        address: An IP address (``0.0.0.0`` and ``::`` are the wildcards), a name that is not resolved here, or "".
        port: None with ``unix``.
        unix: A socket's path.
    """

    address: str
    port: int | None
    unix: str | None = None

    @property
    def is_wildcard(self) -> bool:
        """Whether it stands for every address of its family."""
        return self.address in (ANY4, ANY6)

    @property
    def is_resolved(self) -> bool:
        """Whether the address is known, and not only a name."""
        return self.unix is not None or ":" in self.address or _IPV4.fullmatch(self.address) is not None

    def __str__(self) -> str:
        if self.unix is not None:
            return f"unix:{self.unix}"
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class Listen:
    """A ``listen`` directive, read; ``error`` holds nginx's words if nginx would refuse it."""

    sockets: tuple[Socket, ...]
    flags: frozenset[str] = frozenset()
    ipv6only: bool = True
    error: str = ""

    @property
    def default(self) -> bool:
        """Whether it makes its server the default one."""
        return "default_server" in self.flags or "default" in self.flags


@dataclass(frozen=True, slots=True)
class ListenProblem:
    """What nginx says about addresses and names: ``emerg`` refuses the configuration, ``warn`` does not."""

    level: Literal["emerg", "warn"]
    message: str
    origin: Placed | None


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """Several groups may take the connection: the local address would tell."""

    reason: str
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """The server that answers a host name.

    Args:
        server: The server block.
        why: One clause.
        origin: The ``server_name`` or ``listen`` that decided; None if none did.
        captures: What the server name's regular expression matched.
        unknown: Why it may be another server.
    """

    server: Scope
    why: str
    origin: Placed | None = None
    captures: Match | None = None
    unknown: Unknown | None = None


class _Name(NamedTuple):
    """One name of one server; there are tens of thousands, so a tuple."""

    server: Scope
    number: int
    line: Placed
    text: str


class Group:
    """The servers that listen on one address.

    What an exact name chooses is kept, which is no more than there are names.

    Attributes:
        socket: The address.
        default_origin: The ``listen`` with ``default_server``; None if the first server is the default one.
        ipv6only: Whether ``::`` leaves IPv4 connections to others.
        ssl, http2, proxy_protocol: Whether connections to it start so: one ``listen`` decides for all.
    """

    def __init__(self, socket: Socket, opaque: list[tuple[int, Placed]]) -> None:
        self.socket = socket
        self.ssl = self.http2 = self.proxy_protocol = False
        self.ipv6only = True
        self.default_origin: Placed | None = None
        self._servers: list[Scope] = []
        self._lines: list[Placed] = []
        self._numbers: list[int] = []
        self._default = 0
        self._opaque = opaque
        self._table: NameTable[_Name] | None = None
        self._choices: dict[str, Choice] = {}
        self._regexes: list[_Name] = []
        self._host_names: list[Placed] = []
        self._problems: list[ListenProblem] = []

    def __repr__(self) -> str:
        return f"<Group {self.socket} {len(self._servers)} servers>"

    @property
    def servers(self) -> tuple[Scope, ...]:
        """The servers in the order of the configuration."""
        return tuple(self._servers)

    @property
    def listens(self) -> tuple[Placed, ...]:
        """Their ``listen`` directives; none for a server without one."""
        return tuple(self._lines)

    @property
    def address(self) -> str:
        """The IP address; "" with ``unix``."""
        return self.socket.address

    @property
    def port(self) -> int | None:
        """The port; None with ``unix``."""
        return self.socket.port

    @property
    def unix(self) -> str | None:
        """The socket's path."""
        return self.socket.unix

    @property
    def default(self) -> Scope:
        """The server that answers where no name matches."""
        return self._servers[self._default]

    @property
    def name_problems(self) -> tuple[ListenProblem, ...]:
        """What nginx says about the names of this group."""
        if self._consults_names():
            self._names()
        return tuple(self._problems)

    def find(self, host: str) -> Choice:
        """The server for a host name.

        Args:
            host: Lower case, without port and trailing dot, as nginx validates it; "" if there is none.
        """
        chosen = self._choices.get(host)
        if chosen is not None:
            return chosen
        if not self._consults_names():
            return self._default_choice("it is the only one there", None)
        found = self._names().find(host)
        if found is not None:
            name, how = found
            choice = self._named(name, f'its name "{name.text}" matches ({how})', None, how == "exact")
            if how == "exact":
                self._choices[host] = choice
            return choice
        doubt: Unknown | None = None
        for name in self._regexes if host else ():
            try:
                match = compile_regex(name.text[1:], caseless=_is_caseless(name.text)).search(host)
            except (Undecided, RegexError) as error:
                doubt = doubt or Unknown(str(error), name.line)
                continue
            if match is not None:
                return self._named(name, f'"{name.text}" is the first pattern that matches', match, False, doubt)
        return self._default_choice("no name matches" if host else "the request names no host", doubt)

    def _named(self, name: _Name, why: str, match: Match | None, exact: bool, doubt: Unknown | None = None) -> Choice:
        return Choice(name.server, why, name.line, match, doubt or self._doubt(name.number, exact))

    def _default_choice(self, why: str, doubt: Unknown | None) -> Choice:
        origin = self.default_origin
        what = "it is marked default_server" if origin is not None else "it is the first"
        why = why if len(self._servers) == 1 else f"{why}, and {what} on {self.socket}"
        return Choice(self.default, why, origin, None, doubt or self._doubt(self._numbers[self._default], False))

    def _doubt(self, number: int, exact: bool) -> Unknown | None:
        """Why an unreadable include may matter: it may hold a name, or a whole server, that comes first."""
        for at, placed in self._opaque:
            if at != number and (at < number or not exact):
                return Unknown("a server in a file that could not be read may answer", placed)
        if self._host_names and not exact and len(self._servers) > 1:
            return Unknown("$hostname is known only on the machine itself", self._host_names[0])
        return None

    def _consults_names(self) -> bool:
        """nginx: only if there are several servers, or the default one's pattern captures something."""
        if len(self._servers) > 1:
            return True
        patterns = [name for line in self.default.all("server_name") for name in line.args if name.startswith("~")]
        try:
            return bool(patterns) and compile_regex(patterns[-1][1:]).captures > 0
        except (Undecided, RegexError):
            return True

    def _names(self) -> NameTable[_Name]:
        if self._table is None:
            self._table = self._index()
        return self._table

    def _index(self) -> NameTable[_Name]:
        table: NameTable[_Name] = NameTable()
        for server, number in zip(self._servers, self._numbers, strict=True):
            lines = server.all("server_name")
            for line in lines:
                for text in line.args:
                    self._add_name(table, _Name(server, number, line, text))
            if not lines:
                self._add_name(table, _Name(server, number, _head(server), ""))
        return table

    def _add_name(self, table: NameTable[_Name], name: _Name) -> None:
        if name.text[:1] in _SPECIAL and self._set_aside(name):
            return
        added = table.add(name.text, name, wildcards=True)
        if added == "conflict":
            message = f'conflicting server name "{lower(name.text)}" on {self.socket}, ignored'
            self._problems.append(ListenProblem("warn", message, name.line))
        elif added == "invalid":
            message = f'invalid server name or wildcard "{lower(name.text)}" on {self.socket}'
            self._problems.append(ListenProblem("emerg", message, name.line))

    def _set_aside(self, name: _Name) -> bool:
        """Keep what is no plain name or wildcard elsewhere: patterns, ``$hostname``, what nginx refuses."""
        refused = _refused_name(name.text)
        if refused:
            self._problems.append(ListenProblem("emerg", refused, name.line))
        elif name.text.startswith("~"):
            self._regexes.append(name)
        elif lower(name.text) == "$hostname":
            self._host_names.append(name.line)
        else:
            return False
        return True

    def _add(self, server: Scope, number: int, placed: Placed | None, listen: Listen) -> ListenProblem | None:
        """nginx: ngx_http_add_addresses and ngx_http_add_server."""
        if placed is not None:
            self._lines.append(placed)
        if self._numbers and self._numbers[-1] == number:
            return ListenProblem("emerg", f"a duplicate listen {self.socket}", placed)
        problem = None
        if listen.default and self.default_origin is not None:
            problem = ListenProblem("emerg", f"a duplicate default server for {self.socket}", placed)
        elif listen.default:
            self._default, self.default_origin = len(self._numbers), placed
        self._servers.append(server)
        self._numbers.append(number)
        self.ssl = self.ssl or "ssl" in listen.flags
        self.http2 = self.http2 or "http2" in listen.flags
        self.proxy_protocol = self.proxy_protocol or "proxy_protocol" in listen.flags
        self.ipv6only = self.ipv6only and listen.ipv6only
        return problem


class Listeners:
    """All addresses a configuration listens on.

    Args:
        config: The configuration.
        build: The nginx; old ones have ``ssl on``, new ones ``http2 on``.

    Attributes:
        groups: In the order of the configuration.
        problems: What nginx says about the ``listen`` directives; names are in each group's ``name_problems``.
    """

    def __init__(self, config: Config, build: Build) -> None:
        self._by_socket: dict[tuple[str, int | None, str | None], Group] = {}
        self._by_port: dict[int | None, list[Group]] = {}
        problems: list[ListenProblem] = []
        servers = config.servers
        opaque = [(number, s.opaque[0]) for number, s in enumerate(servers) if s.opaque]
        if config.http is not None and config.http.opaque:
            opaque.insert(0, (-1, config.http.opaque[0]))
        for number, server in enumerate(servers):
            for placed, listen in _listens(server):
                if listen.error:
                    problems.append(ListenProblem("emerg", listen.error, placed))
                for socket in listen.sockets if "quic" not in listen.flags else ():
                    group = self._at(socket.address, socket.port, socket.unix) or self._new_group(socket, opaque)
                    problem = group._add(server, number, placed, listen)
                    if problem is not None:
                        problems.append(problem)
        self.groups: tuple[Group, ...] = tuple(self._by_socket.values())
        self.problems: tuple[ListenProblem, ...] = tuple(problems)
        for group in self.groups:
            _apply_directives(group, build)

    def _new_group(self, socket: Socket, opaque: list[tuple[int, Placed]]) -> Group:
        group = self._by_socket[socket.address, socket.port, socket.unix] = Group(socket, opaque)
        self._by_port.setdefault(socket.port, []).append(group)
        return group

    def _at(self, address: str, port: int | None, unix: str | None = None) -> Group | None:
        return self._by_socket.get((address, port, unix))

    def group(self, address: str | None, port: int | None, unix: str | None = None) -> Group | Ambiguous | None:
        """The group that takes a connection; None if nothing listens there.

        Args:
            address: The local IP address (or ``localhost``); None if unknown: the port's wildcard, or its only group.
            port: The local port; None if unknown: the only group there is.
            unix: The path of the unix socket the connection came through.
        """
        if unix is not None:
            return self._at("", None, unix)
        if port is None:
            return _only(tuple(g for g in self.groups if g.unix is None), "the port is not known")
        plain = _plain_address(address) if address is not None else None
        if plain is None:
            wildcard = self._at(ANY4, port) or self._at(ANY6, port)
            return wildcard or _only(self._by_port.get(port, ()), f"several addresses are listened on with port {port}")
        exact = self._at(plain, port)
        if exact is not None:
            return exact
        unresolved = tuple(g for g in self._by_port.get(port, ()) if not g.socket.is_resolved)
        wildcard = self._wildcard(plain, port)
        if not unresolved:
            return wildcard
        groups = (*unresolved, wildcard) if wildcard is not None else unresolved
        return Ambiguous(f'whether "{unresolved[0].address}" is {plain} is known only at run time', groups)

    def _wildcard(self, address: str, port: int) -> Group | None:
        six = self._at(ANY6, port)
        if ":" in address:
            return six
        four = self._at(ANY4, port)
        return four or (six if six is not None and not six.ipv6only else None)


def listeners(config: Config, build: Build) -> Listeners:
    """The addresses a configuration listens on; worked out once."""
    key = ("listeners", build)
    found = config.main.memo.get(key)
    if not isinstance(found, Listeners):
        found = config.main.memo[key] = Listeners(config, build)
    return found


def server_names(server: Scope) -> Iterator[tuple[Placed, str]]:
    """Each ``server_name`` of a server as written, with its directive."""
    for line in server.all("server_name"):
        for name in line.args:
            yield line, name


@lru_cache(maxsize=4096)
def parse_listen(args: tuple[str, ...]) -> Listen:
    """Read the arguments of a ``listen`` directive."""
    if not args:
        return Listen((), error='invalid number of arguments in "listen" directive')
    flags = frozenset(args[1:])
    sockets = _sockets(args[0])
    if isinstance(sockets, str):
        return Listen((), error=f'{sockets} in "{args[0]}" of the "listen" directive')
    wrong = next((a for a in args[1:] if a not in _FLAGS and not a.startswith(_OPTIONS)), None)
    if wrong is not None:
        return Listen((), error=f'invalid parameter "{wrong}"')
    return Listen(sockets, flags, "ipv6only=off" not in flags)


def refused_parameter(args: tuple[str, ...], build: Build) -> str:
    """What a version says of a ``listen`` parameter that it does not have; "" if it has them all."""
    flags = args[1:]
    for flag in flags:
        since = _SINCE.get(flag)
        if since is not None and build.version < since:
            return f'invalid parameter "{flag}"'
        if flag == "quic" and build.has_module("http_v3") is False:
            return 'the "quic" parameter requires ngx_http_v3_module'
    other = next((flag for flag in ("ssl", "proxy_protocol") if flag in flags), None) if "quic" in flags else None
    return f'"listen" directive "{other}" parameter is incompatible with "quic"' if other else ""


def _sockets(text: str) -> tuple[Socket, ...] | str:
    """The addresses of ``listen``'s first argument, or what is wrong with it."""
    if lower(text[:5]) == "unix:":
        return (Socket("", None, text[5:]),) if text[5:] else "no path in the unix domain socket"
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            return "invalid host"
        return _on_ports((_plain_address(host),), rest[1:] if rest else str(_DEFAULT_PORT))
    if _PORTS.fullmatch(text):
        return _on_ports((ANY4,), text)
    if "/" in text or "?" in text:
        return "invalid host"
    host, colon, ports = text.partition(":")
    if not host:
        wrong = _on_ports((ANY4,), ports) if colon else ""
        return wrong if isinstance(wrong, str) and wrong else "no host"
    return _on_ports(_addresses(host), ports if colon else str(_DEFAULT_PORT))


def _addresses(host: str) -> tuple[str | None, ...]:
    if host == "*":
        return (ANY4,)
    if lower(host) == "localhost":
        return ("127.0.0.1", "::1")
    return (_plain_address(host) or lower(host),)


def _on_ports(addresses: tuple[str | None, ...], text: str) -> tuple[Socket, ...] | str:
    found = _PORTS.fullmatch(text)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if found and first > last:
        return "invalid port range"
    if not 1 <= first <= last <= 65535:
        return "invalid port"
    if None in addresses:
        return "invalid IPv6 address"
    return tuple(Socket(a, port) for port in range(first, last + 1) for a in addresses if a is not None)


@functools.lru_cache(maxsize=4096)
def _plain_address(text: str) -> str | None:
    """An IP address in its usual spelling; None if it is none."""
    if lower(text) == "localhost":
        return "127.0.0.1"
    if _IPV4.fullmatch(text):
        octets = [int(part) for part in text.split(".")]
        return ".".join(map(str, octets)) if max(octets) <= 255 else None
    try:
        return str(ipaddress.IPv6Address(text.strip("[]")))
    except ValueError:
        return None


def _listens(server: Scope) -> Iterator[tuple[Placed | None, Listen]]:
    lines = server.all("listen")
    for line in lines:
        yield line, parse_listen(line.args)
    if not lines:
        yield None, Listen((Socket(ANY4, _DEFAULT_PORT),))


def _head(server: Scope) -> Placed:
    """The ``server`` directive itself; of a fragment without one, its first directive."""
    if server.opener is not None:
        return server.opener
    return next(iter(server))


def _refused_name(name: str) -> str:
    """Why nginx refuses a server name before it looks at any other; "" if it does not (ngx_http_core_server_name)."""
    if name == "~":
        return f'empty regex in server name "{name}"'
    if (name.startswith("*") and (len(name) < 3 or name[1] != ".")) or name == ".":
        return f'server name "{name}" is invalid'
    return ""


def _is_caseless(pattern: str) -> bool:
    """nginx: the host is in lower case already, so only a pattern with an upper-case letter needs it."""
    return any("A" <= char <= "Z" for char in pattern)


def _apply_directives(group: Group, build: Build) -> None:
    """``ssl on`` (until 1.25.0) and ``http2 on`` (from 1.25.1) of the default server."""
    if build.does("http2_directive"):
        group.http2 = group.http2 or _is_on(group.default, "http2")
    else:
        group.ssl = group.ssl or _is_on(group.default, "ssl")


def _is_on(server: Scope, name: str) -> bool:
    for scope in server.outward:
        line = scope.first(name)
        if line is not None:
            return bool(line.args) and lower(line.args[0]) == "on"
    return False


def _only(groups: Sequence[Group], reason: str) -> Group | Ambiguous | None:
    if len(groups) > 1:
        return Ambiguous(reason, tuple(groups))
    return groups[0] if groups else None
