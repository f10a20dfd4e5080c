"""Tables that turn one value into another: ``map``, ``geo`` and ``split_clients``.

Only the tables: what a map's source or a value with variables in it means is asked of ``variables``.  A table is read
when it is first asked.

Source: src/http/modules/ngx_http_map_module.c, src/http/ngx_http_variables.c (ngx_http_map_find),
ngx_http_geo_module.c, ngx_http_split_clients_module.c; src/core/ngx_murmurhash.c.
"""

from __future__ import annotations

import ipaddress
import re
from bisect import bisect_right
from typing import Literal

from ws101.lazy import dataclass, lazy_pattern
from ws101.nginx.config import Config, Placed, Scope
from ws101.nginx.names import NameTable
from ws101.nginx.regex import Match, RegexError, Undecided, compile_regex
from ws101.text import lower

__all__ = ["GeoTable", "Hit", "MapTable", "SplitClients", "geo_tables", "map_tables", "murmur_hash2", "split_tables"]

_NO_ADDRESS = 0xFFFFFFFF
_IPV4 = lazy_pattern(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})\.(\d{1,9})", re.ASCII)
_PERCENT = lazy_pattern(r"(\d+)(?:\.(\d{1,2}))?%", re.ASCII)
_MAPPED = 0xFFFF << 32


@dataclass(frozen=True, slots=True)
class Hit:
    """What a map gives.

    Args:
        value: The value's text, variables not replaced; None if nothing matches and there is no default.
        captures: What the regular expression that decided matched.
        origin: The line of the map that decided.
    """

    value: str | None
    captures: Match | None = None
    origin: Placed | None = None


@dataclass(frozen=True, slots=True)
class _Regex:
    pattern: str
    caseless: bool
    line: Placed


class MapTable:
    """One ``map`` block.

    Attributes:
        variable: The name it defines, lower case, without ``$``.
        source: The text that is looked up, variables not replaced.
        origin: The ``map`` directive.
    """

    __slots__ = ("_default", "_names", "_regexes", "_scope", "hostnames", "origin", "source", "variable", "volatile")

    def __init__(self, scope: Scope, origin: Placed) -> None:
        self.origin = origin
        self.source, self.variable = origin.args[0], lower(origin.args[1][1:])
        self._scope = scope
        self.hostnames: bool = _has_word(scope, "hostnames")
        """Whether keys below this word may be wildcards, and a trailing dot of the source is ignored."""
        self.volatile: bool = _has_word(scope, "volatile")
        """Whether the value is worked out anew each time it is asked for."""
        self._names: NameTable[Hit] | None = None
        self._regexes: list[_Regex] = []
        self._default: Hit | None = None

    @property
    def lines(self) -> tuple[Placed, ...]:
        """Every line of the block, includes expanded."""
        return tuple(self._scope)

    @property
    def patterns(self) -> tuple[str, ...]:
        """Its regular expressions, in order."""
        if self._names is None:
            self._read()
        return tuple(regex.pattern for regex in self._regexes)

    def lookup(self, value: str) -> Hit:
        """What a value is mapped to.

        Exact keys (without regard to case), then wildcards, then regular expressions in order, then the default.
        An empty value never reaches the regular expressions.

        Raises:
            Undecided: A regular expression cannot be decided, or an unreadable include may hold the key.
        """
        names = self._names if self._names is not None else self._read()
        if self.hostnames and value.endswith("."):
            value = value[:-1]
        found = names.find(lower(value))
        if found is not None and (found[1] == "exact" or not self._scope.opaque):
            return found[0]
        if self._scope.opaque:
            raise Undecided(f'a line of "map {self.source} ${self.variable}" that could not be read may decide')
        for regex in self._regexes if value else ():
            match = _search(regex, value)
            if match is not None:
                return _hit(regex.line, match)
        return self._default or Hit(None)

    def _read(self) -> NameTable[Hit]:
        names: NameTable[Hit] = NameTable()
        wildcards = False
        for line in self._scope:
            key = line.name
            if len(line.args) != 1:
                wildcards = wildcards or (key == "hostnames" and not line.args)
            elif key == "default":
                self._default = self._default or _hit(line)
            elif key.startswith("~"):
                caseless = key.startswith("~*")
                self._regexes.append(_Regex(key[2:] if caseless else key[1:], caseless, line))
            else:
                names.add(key.removeprefix("\\"), _hit(line), wildcards=wildcards)
        self._names = names
        return names


def _hit(line: Placed, match: Match | None = None) -> Hit:
    return Hit(line.args[0], match, line)


def _search(regex: _Regex, value: str) -> Match | None:
    try:
        return compile_regex(regex.pattern, caseless=regex.caseless).search(value)
    except RegexError as error:
        raise Undecided(error.message) from None


def _has_word(scope: Scope, word: str) -> bool:
    return any(not line.args for line in scope.all(word))


Family = Literal[4, 6]


_Blocks = dict[int, list[tuple[int, int, str]]]
"""Ranges without overlaps in the last 16 bits of an address, in order, by the first 16 bits."""


class GeoTable:
    """One ``geo`` block.  Its values are plain text: variables in them are not replaced.

    Attributes:
        variable: The name it defines, lower case, without ``$``.
        source: The variable that holds the address, lower case, without ``$``; "" is the client's own address.
        origin: The ``geo`` directive.
    """

    __slots__ = ("_blocks", "_default", "_networks", "_scope", "origin", "ranges", "source", "variable")

    def __init__(self, scope: Scope, origin: Placed) -> None:
        self.origin = origin
        names = [lower(arg[1:]) for arg in origin.args]
        self.source, self.variable = ("", names[0]) if len(names) == 1 else (names[0], names[1])
        self._scope = scope
        self.ranges: bool = _has_word(scope, "ranges")
        """Whether the lines are ``low-high`` ranges instead of networks."""
        self._default = ""
        self._networks: dict[tuple[Family, int], dict[int, str]] | None = None
        self._blocks: _Blocks = {}

    @property
    def proxies(self) -> tuple[str, ...]:
        """The networks whose X-Forwarded-For is believed, as written."""
        return tuple(line.args[0] for line in self._scope.all("proxy") if len(line.args) == 1)

    @property
    def proxy_recursive(self) -> bool:
        """Whether the last address that is no proxy's is taken instead of the last address."""
        return _has_word(self._scope, "proxy_recursive")

    def lookup(self, address: str) -> str:
        """The value for an address: that of the longest network (or the latest range) that holds it.

        Args:
            address: Text; what is no address (or a Unix socket) is looked up as 255.255.255.255.

        Raises:
            Undecided: An unreadable include may hold the network.
        """
        if self._scope.opaque:
            raise Undecided(f"a line of geo ${self.variable} that could not be read may decide")
        networks = self._networks if self._networks is not None else self._read()
        family, number = _address(address) or (4, _NO_ADDRESS)
        if self.ranges:
            number = number if family == 4 else _NO_ADDRESS
            block, low = self._blocks.get(number >> 16, ()), number & 0xFFFF
            return next((value for first, last, value in block if first <= low <= last), self._default)
        bits = 32 if family == 4 else 128
        for length in range(bits, -1, -1):
            table = networks.get((family, length))
            if table is not None and number >> (bits - length) in table:
                return table[number >> (bits - length)]
        return ""

    def _read(self) -> dict[tuple[Family, int], dict[int, str]]:
        networks: dict[tuple[Family, int], dict[int, str]] = {}
        for line in self._scope:
            if len(line.args) != 1 or line.name in ("proxy", "include"):
                continue
            if self.ranges:
                self._read_range(line)
            else:
                _read_network(networks, line)
        self._networks = networks
        return networks

    def _read_range(self, line: Placed) -> None:
        if line.name == "default":
            self._default = line.args[0]
            return
        delete = line.name == "delete"
        lowest, _, highest = (line.args[0] if delete else line.name).partition("-")
        first, last = _ipv4(lowest), _ipv4(highest)
        if first is None or last is None:
            return
        for high in range(first >> 16, (last >> 16) + 1):
            start = first & 0xFFFF if high == first >> 16 else 0
            end = last & 0xFFFF if high == last >> 16 else 0xFFFF
            block = self._blocks.setdefault(high, [])
            if delete:
                block[:] = [piece for piece in block if piece[:2] != (start, end)]
            else:
                _add_range(block, start, end, line.args[0])


def _add_range(block: list[tuple[int, int, str]], start: int, end: int, value: str) -> None:
    """Add a range, inside another one by splitting that; nginx refuses any other overlap."""
    at = bisect_right(block, (start, _NO_ADDRESS, ""))
    if at > 0 and block[at - 1][1] >= end:
        low, high, old = block.pop(at - 1)
        pieces = ((low, start - 1, old), (start, end, value), (end + 1, high, old))
        block[at - 1 : at - 1] = [piece for piece in pieces if piece[0] <= piece[1]]
    elif (at == 0 or block[at - 1][1] < start) and (at == len(block) or end < block[at][0]):
        block.insert(at, (start, end, value))


def _read_network(networks: dict[tuple[Family, int], dict[int, str]], line: Placed) -> None:
    if line.name == "default":
        networks.setdefault((4, 0), {})[0] = line.args[0]
        networks.setdefault((6, 0), {})[0] = line.args[0]
        return
    delete = line.name == "delete"
    network = _network(line.args[0] if delete else line.name)
    if network is None:
        return
    key, number = network
    if delete:
        networks.get(key, {}).pop(number, None)
    else:
        networks.setdefault(key, {})[number] = line.args[0]


def _network(text: str) -> tuple[tuple[Family, int], int] | None:
    """Family and length, and the network's leading bits as a number."""
    address, slash, length = text.partition("/")
    parsed = _parse_address(address)
    if parsed is None or (slash and not (length.isascii() and length.isdigit())):
        return None
    family, number = parsed
    bits = 32 if family == 4 else 128
    kept = int(length) if slash else bits
    return ((family, kept), number >> (bits - kept)) if kept <= bits else None


def _address(text: str) -> tuple[Family, int] | None:
    """An address; an IPv4 address in IPv6's clothes is an IPv4 address."""
    parsed = _parse_address(text)
    if parsed is not None and parsed[0] == 6 and parsed[1] >> 32 == _MAPPED >> 32:
        return 4, parsed[1] & 0xFFFFFFFF
    return parsed


def _parse_address(text: str) -> tuple[Family, int] | None:
    number = _ipv4(text)
    if number is not None:
        return 4, number
    try:
        return (6, int(ipaddress.IPv6Address(text))) if "%" not in text else None
    except ValueError:
        return None


def _ipv4(text: str) -> int | None:
    """nginx: ngx_inet_addr (four decimal numbers, leading zeros allowed)."""
    found = _IPV4.fullmatch(text)
    octets = [int(part) for part in found.groups()] if found else []
    if not octets or max(octets) > 255:
        return None
    return octets[0] << 24 | octets[1] << 16 | octets[2] << 8 | octets[3]


class SplitClients:
    """One ``split_clients`` block.  Its values are plain text: variables in them are not replaced.

    Attributes:
        variable: The name it defines, lower case, without ``$``.
        source: The text that is hashed, variables not replaced.
        origin: The ``split_clients`` directive.
    """

    __slots__ = ("_parts", "_scope", "origin", "source", "variable")

    def __init__(self, scope: Scope, origin: Placed) -> None:
        self.origin = origin
        self.source, self.variable = origin.args[0], lower(origin.args[1][1:])
        self._scope = scope
        self._parts: list[tuple[int, str]] | None = None

    def lookup(self, value: str) -> str:
        """The part that a value falls into; "" if the parts leave a rest.

        Raises:
            Undecided: An unreadable include stands in the block.
        """
        if self._scope.opaque:
            raise Undecided(f"a line of split_clients ${self.variable} could not be read")
        parts = self._parts if self._parts is not None else self._read()
        hashed = murmur_hash2(value)
        return next((text for limit, text in parts if hashed < limit or limit == 0), "")

    def _read(self) -> list[tuple[int, str]]:
        """Upper limits of the hash, 0 for ``*``."""
        parts: list[tuple[int, str]] = []
        last = 0
        for line in self._scope:
            found = _PERCENT.fullmatch(line.name)
            if len(line.args) != 1 or not (found or line.name == "*"):
                continue
            if found:
                hundredths = int(found[1]) * 100 + int((found[2] or "").ljust(2, "0"))
                last = (last + hundredths * 0xFFFFFFFF // 10000) & 0xFFFFFFFF
            parts.append((last if found else 0, line.args[0]))
        self._parts = parts
        return parts


def murmur_hash2(text: str) -> int:
    """MurmurHash2 (32 bits, seed 0) of latin-1 text; nginx: ngx_murmur_hash2."""
    data = text.encode("latin-1")
    mult, mask = 0x5BD1E995, 0xFFFFFFFF
    hashed = len(data) & mask
    whole = len(data) // 4 * 4
    for at in range(0, whole, 4):
        word = int.from_bytes(data[at : at + 4], "little") * mult & mask
        word = (word ^ word >> 24) * mult & mask
        hashed = hashed * mult & mask ^ word
    if whole < len(data):
        hashed = (hashed ^ int.from_bytes(data[whole:], "little")) * mult & mask
    hashed = (hashed ^ hashed >> 13) * mult & mask
    return hashed ^ hashed >> 15


def map_tables(config: Config) -> dict[str, MapTable]:
    """The maps of a configuration by the lower-case name of their variable; of several for one name the last counts."""
    memo = config.main.memo
    if "map tables" not in memo:
        tables = (MapTable(scope, line) for line, scope in _blocks(config, "map", (2,)))
        memo["map tables"] = {table.variable: table for table in tables}
    return memo["map tables"]  # type: ignore[return-value]  # the memo of this key holds nothing else


def geo_tables(config: Config) -> dict[str, GeoTable]:
    """The geo blocks of a configuration by the lower-case name of their variable."""
    memo = config.main.memo
    if "geo tables" not in memo:
        tables = (GeoTable(scope, line) for line, scope in _blocks(config, "geo", (1, 2)))
        memo["geo tables"] = {table.variable: table for table in tables}
    return memo["geo tables"]  # type: ignore[return-value]  # the memo of this key holds nothing else


def split_tables(config: Config) -> dict[str, SplitClients]:
    """The split_clients blocks of a configuration by the lower-case name of their variable."""
    memo = config.main.memo
    if "split tables" not in memo:
        tables = (SplitClients(scope, line) for line, scope in _blocks(config, "split_clients", (2,)))
        memo["split tables"] = {table.variable: table for table in tables}
    return memo["split tables"]  # type: ignore[return-value]  # the memo of this key holds nothing else


def _blocks(config: Config, name: str, counts: tuple[int, ...]) -> list[tuple[Placed, Scope]]:
    """The blocks of http with a name whose head nginx would accept."""
    http = config.http
    if http is None:
        return []
    return [
        (line, http.child(line))
        for line in http.all(name)
        if line.directive.block is not None and len(line.args) in counts and line.args[-1].startswith("$")
    ]
