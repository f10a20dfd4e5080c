"""What nginx reads out of one directive's arguments: an error, or the variables it uses and defines.

One function a directive, gathered in tables; what only the surrounding blocks decide is in ``validate``.  The
order of the tests is nginx's, since it stops at the first (src/http/modules/*.c, src/http/ngx_http_core_module.c).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import NamedTuple

from ws101.lazy import lazy_pattern
from ws101.nginx.build import Build
from ws101.nginx.directives import parse_size, parse_time
from ws101.nginx.proxyurl import UrlError, parse_proxy_url
from ws101.nginx.regex import RegexError, Undecided, compile_regex
from ws101.nginx.slots import COMPLEX, is_number, value_error
from ws101.nginx.templates import parse_template
from ws101.text import lower

__all__ = ["BY_VERSION", "FINE", "Reading", "pattern", "read", "texts"]


class Reading(NamedTuple):
    """What nginx makes of a directive.

    Args:
        error: Its message, if it refuses the directive.
        uses: The variables it compiles, lower case.
        defines: The variables it defines, as written.
    """

    error: str | None = None
    uses: tuple[str, ...] = ()
    defines: tuple[str, ...] = ()


FINE = Reading()
"""Nothing to say."""

_NAMED_GROUP = lazy_pattern(r"\(\?(?:P?<([A-Za-z_]\w*)>|'([A-Za-z_]\w*)')", re.ASCII)
_REDIRECTS = ("http://", "https://", "$scheme")


def texts(*values: str) -> Reading:
    """Values that may hold variables, in order (src/http/ngx_http_script.c: ngx_http_compile_complex_value)."""
    uses: list[str] = []
    for value in values:
        if "$" in value:
            template = parse_template(value)
            if template.error:
                return Reading(template.error)
            uses += template.variables
    return Reading(None, tuple(uses)) if uses else FINE


def pattern(text: str, *, caseless: bool = False) -> Reading:
    """A regular expression and its named groups (src/http/ngx_http_variables.c: ngx_http_regex_compile)."""
    try:
        return Reading(None, (), compile_regex(text, caseless=caseless).names)
    except RegexError as error:
        return Reading(error.message)
    except Undecided:
        return Reading(None, (), tuple(a or b for a, b in _NAMED_GROUP.findall(text)))


def _both(first: Reading, second: Reading) -> Reading:
    if first.error:
        return first
    return Reading(second.error, first.uses + second.uses, first.defines + second.defines)


def read(name: str, args: tuple[str, ...], build: Build) -> Reading:
    """Read a directive's arguments; their number has been checked.

    Args:
        name: The directive.
        args: Its arguments.
        build: Which nginx.
    """
    reader = _READERS.get(name)
    if reader is not None:
        return reader(args)
    by_version = BY_VERSION.get(name)
    if by_version is not None:
        return by_version(args, build)
    error = value_error(name, args)
    if error:
        return Reading(error)
    return texts(*args) if name in COMPLEX else FINE


# --- rewrite ----------------------------------------------------------------------------------------------------------


def _return(args: tuple[str, ...]) -> Reading:
    if not is_number(args[0]):
        if len(args) == 1 and args[0].startswith(_REDIRECTS):
            return texts(args[0])
        return Reading(f'invalid return code "{args[0]}"')
    if int(args[0]) > 999:
        return Reading(f'invalid return code "{args[0]}"')
    return texts(*args[1:])


def _rewrite(args: tuple[str, ...]) -> Reading:
    if args[1] == "":
        return Reading("empty replacement")
    matched = pattern(args[0])
    if matched.error:
        return matched
    if len(args) == 3 and args[2] not in ("last", "break", "redirect", "permanent"):
        return Reading(f'invalid parameter "{args[2]}"')
    return _both(matched, texts(args[1]))


def _set(args: tuple[str, ...]) -> Reading:
    return _both(_defined(args[0]), texts(args[1]))


def _defined(word: str) -> Reading:
    """A variable that a directive defines; ``$`` alone is refused by ngx_http_add_variable."""
    if not word.startswith("$"):
        return Reading(f'invalid variable name "{word}"')
    return Reading(None, (), (word[1:],)) if len(word) > 1 else Reading('invalid variable name "$"')


def _if(args: tuple[str, ...]) -> Reading:
    words = list(args)
    if not words[0].startswith("("):
        return Reading(f'invalid condition "{words[0]}"')
    at, last = 0, len(words) - 1
    if words[0] == "(":
        at = 1
    else:
        words[0] = words[0][1:]
    if not words[last].endswith(")"):
        return Reading(f'invalid condition "{words[last]}"')
    if words[last] == ")":
        last -= 1
    else:
        words[last] = words[last][:-1]
    return _condition(words, at, last)


def _condition(words: list[str], at: int, last: int) -> Reading:
    """The words between the brackets (ngx_http_rewrite_if_condition)."""
    first = words[at] if at < len(words) else ""
    if len(first) > 1 and first[0] == "$":
        if last not in (at, at + 2):
            return Reading(f'invalid condition "{first}"')
        used = Reading(None, (lower(first[1:]),))
        return used if at == last else _both(used, _comparison(words[at + 1], words[last]))
    if len(first.removeprefix("!")) == 2 and first.removeprefix("!")[0] == "-":
        if at + 1 != last:
            return Reading(f'invalid condition "{first}"')
        tested = texts(words[last])
        return tested if tested.error or first[-1] in "fdex" else Reading(f'invalid condition "{first}"')
    return Reading(f'invalid condition "{first}"')


def _comparison(operator: str, value: str) -> Reading:
    if operator in ("=", "!="):
        return texts(value)
    if operator in ("~", "~*", "!~", "!~*"):
        return pattern(value, caseless=operator.endswith("*"))
    return Reading(f'unexpected "{operator}" in condition')


# --- core -------------------------------------------------------------------------------------------------------------


def _error_page(args: tuple[str, ...]) -> Reading:
    codes, option = args[:-1], args[-2]
    if option.startswith("="):
        codes = args[:-2]
        if not codes or (len(option) > 1 and not is_number(option[1:])):
            return Reading(f'invalid value "{option}"')
    target = texts(args[-1])
    if target.error:
        return target
    for code in codes:
        if not is_number(code) or int(code) == 499:
            return Reading(f'invalid value "{code}"')
        if not 300 <= int(code) <= 599:
            return Reading(f'value "{code}" must be between 300 and 599')
    return target


def _try_files(args: tuple[str, ...]) -> Reading:
    compiled = texts(*args[:-1], "" if args[-1].startswith(("=", "@")) else args[-1])
    if compiled.error or not args[-1].startswith("="):
        return compiled
    code = args[-1][1:]
    return compiled if is_number(code) and int(code) <= 999 else Reading(f'invalid code "={code}"')


def _server_name(args: tuple[str, ...]) -> Reading:
    defines: list[str] = []
    for name in args:
        if (name.startswith("*") and (len(name) < 3 or name[1] != ".")) or name == ".":
            return Reading(f'server name "{name}" is invalid')
        if name == "~":
            return Reading(f'empty regex in server name "{name}"')
        if name.startswith("~"):
            compiled = pattern(name[1:], caseless=any("A" <= char <= "Z" for char in name))
            if compiled.error:
                return compiled
            defines += compiled.defines
    return Reading(None, (), tuple(defines)) if defines else FINE


def _keepalive_timeout(args: tuple[str, ...]) -> Reading:
    fine = parse_time(args[0]) is not None and all(parse_time(a, seconds=True) is not None for a in args[1:])
    return FINE if fine else Reading('"keepalive_timeout" directive invalid value')


_METHODS = frozenset("GET HEAD PUT POST DELETE MKCOL COPY MOVE OPTIONS PROPFIND PROPPATCH LOCK UNLOCK PATCH".split())


def _limit_except(args: tuple[str, ...]) -> Reading:
    wrong = next((word for word in args if word.upper() not in _METHODS), None)
    return FINE if wrong is None else Reading(f'invalid method "{wrong}"')


def _worker_processes(args: tuple[str, ...]) -> Reading:
    fine = args[0] == "auto" or is_number(args[0])
    return FINE if fine else Reading('"worker_processes" directive invalid value')


def _worker_connections(args: tuple[str, ...]) -> Reading:
    return FINE if is_number(args[0]) else Reading(f'invalid number "{args[0]}"')


_EVENTS = ("epoll", "poll", "select", "kqueue", "eventport", "/dev/poll")


def _use(args: tuple[str, ...], build: Build) -> Reading:
    asked = args[0] in ("poll", "select") and build.arguments is not None
    fine = args[0] in _EVENTS and (not asked or f"--with-{args[0]}_module" in (build.arguments or ()))
    return FINE if fine else Reading(f'invalid event type "{args[0]}"')


_LEVELS = ("emerg", "alert", "crit", "error", "warn", "notice", "info", "debug")
_DEBUG = ("debug_core", "debug_alloc", "debug_mutex", "debug_event", "debug_http", "debug_mail", "debug_stream")


def _error_log(args: tuple[str, ...]) -> Reading:
    level = ""
    for word in args[1:]:
        if word in _LEVELS:
            if level:
                return Reading(f'duplicate log level "{word}"')
            level = word
        elif word not in _DEBUG:
            return Reading(f'invalid log level "{word}"')
    return FINE


# --- headers, access, logs, limits ------------------------------------------------------------------------------------


def _add_header(args: tuple[str, ...]) -> Reading:
    compiled = texts(args[1])
    if compiled.error or len(args) == 2 or args[2] == "always":
        return compiled
    return Reading(f'invalid parameter "{args[2]}"')


def _expires(args: tuple[str, ...]) -> Reading:
    word = args[-1]
    bad = Reading('"expires" directive invalid value')
    if "$" in word:
        return texts(word)
    if len(args) == 2:
        return FINE if args[0] == "modified" and _is_offset(word) else bad
    if word in ("epoch", "max", "off"):
        return FINE
    if word.startswith("@"):
        time = parse_time(word[1:], seconds=True)
        if time is not None and time > 86_400_000:
            return Reading("daily time value must be less than 24 hours")
        return bad if time is None else FINE
    return FINE if _is_offset(word) else bad


def _is_offset(word: str) -> bool:
    return parse_time(word[word[:1] in ("+", "-") :], seconds=True) is not None


def _access(args: tuple[str, ...]) -> Reading:
    word = args[0]
    address, slash, mask = word.partition("/")
    if word in ("all", "unix:") or (_is_inet(address) and (not slash or _is_inet(mask) or _is_number_to(mask, 32))):
        return FINE
    try:
        ipaddress.IPv6Network(word, strict=False)
    except ValueError:
        return Reading(f'invalid parameter "{word}"')
    return FINE


def _is_inet(text: str) -> bool:
    """nginx takes any digits between three dots, or none (src/core/ngx_inet.c: ngx_inet_addr)."""
    parts = text.split(".")
    return len(parts) == 4 and all(part == "" or (_is_number_to(part, 255)) for part in parts)


def _is_number_to(text: str, highest: int) -> bool:
    return text.isascii() and text.isdigit() and int(text[:400]) <= highest


def _log_format(args: tuple[str, ...]) -> Reading:
    values = args[1:]
    if values and values[0].startswith("escape="):
        if values[0][7:] not in ("json", "default", "none"):
            return Reading(f'unknown log format escaping "{values[0][7:]}"')
        values = values[1:]
    uses: list[str] = []
    for value in values:
        at = value.find("$")
        while at >= 0:
            found = _LOG_VARIABLE.match(value, at)
            assert found is not None
            if found[1] and found[3] is None and at + 2 < len(value):
                return Reading(f'the closing bracket in "{found[2]}" variable is missing')
            if not found[2] or (found[1] and found[3] is None):
                return Reading(f'invalid parameter "{value[at:]}"')
            uses.append(lower(found[2]))
            at = value.find("$", found.end())
    return Reading(None, tuple(uses))


_LOG_VARIABLE = lazy_pattern(r"\$(\{)?([A-Za-z0-9_]*)((?(1)\}|))?", re.ASCII)
"""A variable in a log format; its compiler is another than that of values (ngx_http_log_compile_format)."""

_ZONE = lazy_pattern(r"([^:]*):(.*)", re.DOTALL)


def _zone(word: str) -> str | None:
    """What is wrong with ``zone=name:size``."""
    found = _ZONE.fullmatch(word[5:])
    if found is None or not found[1] or parse_size(found[2]) is None:
        return f'invalid zone size "{word}"'
    size = parse_size(found[2]) or 0
    return f'zone "{word}" is too small' if size < 8 * 4096 else None


_RATE = lazy_pattern(r"rate=([0-9]+)(r/s|r/m)?", re.ASCII)


def _limit_zone(args: tuple[str, ...]) -> Reading:
    """limit_req_zone and limit_conn_zone."""
    key = texts(args[0])
    if key.error:
        return key
    for word in args[1:]:
        if word.startswith("zone="):
            error = _zone(word)
        elif word.startswith("rate=") and len(args) > 2:
            found = _RATE.fullmatch(word)
            error = None if found and int(found[1]) > 0 else f'invalid rate "{word}"'
        else:
            error = f'invalid parameter "{word}"'
        if error:
            return Reading(error)
    return key


def _limit_req(args: tuple[str, ...]) -> Reading:
    zone = False
    for word in args:
        name, equals, value = word.partition("=")
        if name == "zone" and equals:
            zone = True
        elif name == "burst" and equals:
            if not is_number(value) or int(value) == 0:
                return Reading(f'invalid burst value "{word}"')
        elif name == "delay" and equals:
            if not is_number(value) or int(value) == 0:
                return Reading(f'invalid delay value "{word}"')
        elif word != "nodelay":
            return Reading(f'invalid parameter "{word}"')
    return FINE if zone else Reading('"limit_req" must have "zone" parameter')


def _limit_conn(args: tuple[str, ...]) -> Reading:
    if not is_number(args[1]) or int(args[1]) == 0:
        return Reading(f'invalid number of connections "{args[1]}"')
    return Reading("connection limit must be less 65536") if int(args[1]) > 65535 else FINE


# --- proxy and upstream -----------------------------------------------------------------------------------------------


def _proxy_http_version(args: tuple[str, ...], build: Build) -> Reading:
    fine = args[0] in ("1.0", "1.1") or (args[0] == "2" and build.does("http2_upstream"))
    return FINE if fine else Reading(f'invalid value "{args[0]}"')


def _proxy_pass(args: tuple[str, ...]) -> Reading:
    if "$" in args[0]:
        return texts(args[0])
    try:
        parse_proxy_url(args[0])
    except UrlError as error:
        return Reading(error.message)
    return FINE


def _proxy_redirect(args: tuple[str, ...]) -> Reading:
    if len(args) == 1:
        return FINE if args[0] in ("off", "false", "default") else Reading(f'invalid parameter "{args[0]}"')
    if args[0].startswith("~"):
        caseless = args[0].startswith("~*")
        return _both(pattern(args[0][2 if caseless else 1 :], caseless=caseless), texts(args[1]))
    return texts(*args)


def _proxy_cookie(args: tuple[str, ...]) -> Reading:
    if len(args) == 1:
        return FINE if args[0] == "off" else Reading(f'invalid parameter "{args[0]}"')
    if args[0].startswith("~"):
        caseless = args[0].startswith("~*")
        return _both(pattern(args[0][2 if caseless else 1 :], caseless=caseless), texts(args[1]))
    return texts(*args)


def _cache_valid(args: tuple[str, ...]) -> Reading:
    if parse_time(args[-1], seconds=True) is None:
        return Reading(f'invalid time value "{args[-1]}"')
    for code in args[:-1]:
        if code != "any" and not (is_number(code) and 100 <= int(code) <= 599):
            return Reading(f'invalid status "{code}"')
    return FINE


def _size_or_zero(name: str) -> Callable[[tuple[str, ...]], Reading]:
    def reader(args: tuple[str, ...]) -> Reading:
        return FINE if parse_size(args[0]) is not None else Reading(f'"{name}" directive invalid value')

    return reader


def _keepalive(args: tuple[str, ...], build: Build) -> Reading:
    lowest = 0 if build.does("implicit_keepalive") else 1
    if not is_number(args[0]) or int(args[0]) < lowest:
        return Reading(f'invalid value "{args[0]}" in "keepalive" directive')
    return FINE if len(args) == 1 or args[1] == "local" else Reading(f'invalid parameter "{args[1]}"')


def _hash(args: tuple[str, ...]) -> Reading:
    key = texts(args[0])
    return key if key.error or len(args) == 1 or args[1] == "consistent" else Reading(f'invalid parameter "{args[1]}"')


_NUMBERED = ("weight", "max_conns", "max_fails")
_NEEDS_ANY = frozenset(("backup", "down"))


def _peer(args: tuple[str, ...], build: Build) -> Reading:
    """``server`` of an upstream (src/http/ngx_http_upstream.c: ngx_http_upstream_server)."""
    for word in args[1:]:
        name, equals, value = word.partition("=")
        if name in _NUMBERED and equals:
            fine = is_number(value) and (name != "weight" or int(value) > 0)
        elif name == "fail_timeout" and equals:
            fine = parse_time(value, seconds=True) is not None
        elif name in ("resolve", "service", "route", "drain", "slow_start"):
            fine = build.does("server_resolve")
        else:
            fine = word in _NEEDS_ANY
        if not fine:
            return Reading(f'invalid parameter "{word}"')
    error = _peer_address(args[0])
    return Reading(f'{error} in upstream "{args[0]}"') if error else FINE


_PORT = lazy_pattern(r"[0-9]{1,5}", re.ASCII)


def _peer_address(text: str) -> str | None:
    if lower(text[:5]) == "unix:":
        return None if text[5:] else "no path in the unix domain socket"
    if text.startswith("["):
        return None
    host, colon, port = text.partition(":")
    if "/" in host or "?" in host:
        return "invalid host"
    if "/" in port or "?" in port:
        return "invalid host"
    if colon and not (_PORT.fullmatch(port) and 1 <= int(port) <= 65535):
        return "invalid port"
    return None if host else "no host"


# --- maps -------------------------------------------------------------------------------------------------------------


def _map(args: tuple[str, ...]) -> Reading:
    return _both(texts(args[0]), _defined(args[1]))


def _geo(args: tuple[str, ...]) -> Reading:
    if not args[0].startswith("$"):
        return Reading(f'invalid variable name "{args[0]}"')
    if len(args) == 1:
        return _defined(args[0])
    return _both(Reading(None, (lower(args[0][1:]),)), _defined(args[1]))


def _auth_request_set(args: tuple[str, ...]) -> Reading:
    return _both(_defined(args[0]), texts(args[1]))


def _range(low: int, high: int, name: str) -> Callable[[tuple[str, ...]], Reading]:
    def reader(args: tuple[str, ...]) -> Reading:
        if not is_number(args[0]):
            return Reading(f'"{name}" directive invalid number')
        value = int(args[0])
        return FINE if low <= value <= high else Reading(f"value must be between {low} and {high}")

    return reader


_READERS: dict[str, Callable[[tuple[str, ...]], Reading]] = {
    "return": _return,
    "rewrite": _rewrite,
    "set": _set,
    "if": _if,
    "error_page": _error_page,
    "try_files": _try_files,
    "server_name": _server_name,
    "keepalive_timeout": _keepalive_timeout,
    "limit_except": _limit_except,
    "worker_processes": _worker_processes,
    "worker_connections": _worker_connections,
    "error_log": _error_log,
    "add_header": _add_header,
    "add_trailer": _add_header,
    "expires": _expires,
    "allow": _access,
    "deny": _access,
    "log_format": _log_format,
    "limit_req_zone": _limit_zone,
    "limit_conn_zone": _limit_zone,
    "limit_req": _limit_req,
    "limit_conn": _limit_conn,
    "proxy_pass": _proxy_pass,
    "proxy_redirect": _proxy_redirect,
    "proxy_cookie_domain": _proxy_cookie,
    "proxy_cookie_path": _proxy_cookie,
    "proxy_cache_valid": _cache_valid,
    "map": _map,
    "split_clients": _map,
    "geo": _geo,
    "auth_request_set": _auth_request_set,
    "hash": _hash,
    "gzip_comp_level": _range(1, 9, "gzip_comp_level"),
    **{
        name: _size_or_zero(name)
        for name in (
            "proxy_busy_buffers_size",
            "proxy_temp_file_write_size",
            "proxy_max_temp_file_size",
        )
    },
}

BY_VERSION: dict[str, Callable[[tuple[str, ...], Build], Reading]] = {
    "proxy_http_version": _proxy_http_version,
    "keepalive": _keepalive,
    "use": _use,
    "peer": _peer,
}
"""Directives whose values the versions read differently; ``peer`` stands for the ``server`` of an upstream."""
