"""``ws101.toml``: what a project tells ``check``, ``fix`` and the editor once, instead of on every command line.

::

    urls = ["wss://example.com/ws"]     # addresses that are meant for WebSockets
    heartbeat = "20s"                   # the application pings at least this often, on every route
    select = ["upgrade-not-forwarded"]  # run only these rules
    ignore = ["WS118"]                  # leave these out
    fail-on = "warning"                 # error, warning, note or never
    nginx-version = "1.22.1"            # read the configuration as this version does

A key that is not known is an error: a misspelt one must not be without effect in silence.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from ws101.errors import InputError, UsageError
from ws101.lazy import dataclass
from ws101.nginx.build import parse_version
from ws101.rules import RULES
from ws101.rules.base.remarks import seconds
from ws101.rules.base.urls import arrival_of
from ws101.text import lower

__all__ = ["FAIL_ON", "KEYS", "Settings", "parse_settings", "rule_name"]

FAIL_ON = ("error", "warning", "note", "never")
"""The levels from which on ``check`` fails."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the file says.

    Args:
        path: The file; empty if there is none.
        urls: Addresses that are meant for WebSockets.
        heartbeat: Seconds between pings, on every route.
        select: Names of the only rules to run.
        ignore: Names of rules to leave out.
        fail_on: One of ``FAIL_ON``.
        nginx_version: A version number as text.
    """

    path: str = ""
    urls: tuple[str, ...] = ()
    heartbeat: float | None = None
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    fail_on: str | None = None
    nginx_version: str | None = None


def rule_name(text: str) -> str:
    """A rule's name, from its name or its code.

    Raises:
        UsageError: There is no such rule.
    """
    wanted = lower(text)
    found = next((rule.name for rule in RULES if wanted in (rule.name, lower(rule.code))), None)
    if found is None:
        close = get_close_matches(wanted, [rule.name for rule in RULES], n=1)
        remedy = f"did you mean {close[0]}?" if close else "ws101 rule lists them"
        raise UsageError(f"there is no rule {text}", help=remedy)
    return found


def parse_settings(text: str, path: str) -> Settings:
    """Read the file.

    Args:
        text: What is in it.
        path: Its name, for messages.

    Raises:
        InputError: It is no TOML, or has an unknown key or a value that makes no sense.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(
            f"this is not TOML: {error}", where=path, help="https://toml.io shows how it is written"
        ) from None
    return replace(Settings(path), **{key.replace("-", "_"): _value(key, value, path) for key, value in table.items()})


def _value(key: str, value: object, path: str) -> Any:
    if key not in _READERS:
        close = get_close_matches(key, KEYS, n=1)
        remedy = f"did you mean {close[0]}?" if close else f"the keys are {', '.join(KEYS)}"
        raise InputError(f"unknown key {key}", where=path, help=remedy)
    try:
        return _READERS[key](value)
    except UsageError as error:
        raise InputError(f"{key}: {error.message}", where=path, help=error.help) from None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{_shown(value)} is not a text", help='write it in quotes: "..."')
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise UsageError(f"{_shown(value)} is not a list", help='write it in brackets: ["..."]')
    return tuple(map(_text, value))


def _urls(value: object) -> tuple[str, ...]:
    urls = _texts(value)
    for url in urls:
        arrival_of(url)
    return urls


def _names(value: object) -> tuple[str, ...]:
    return tuple(map(rule_name, _texts(value)))


def _heartbeat(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
        return float(value)
    found = seconds(value) if isinstance(value, str) else None
    if not found:
        raise UsageError(f"{_shown(value)} is not a time", help='write it as nginx does: "20s"')
    return found


def _fail_on(value: object) -> str:
    return _one_of(_text(value), FAIL_ON)


def _one_of(value: str, allowed: Iterable[str]) -> str:
    names = tuple(allowed)
    if value not in names:
        raise UsageError(f"{value} is none of {', '.join(names)}", help=f'for example "{names[0]}"')
    return value


def _version(value: object) -> str:
    text = _text(value)
    if parse_version(text) is None:
        raise UsageError(f"{text} is not a version", help='write it as "1.22.1"')
    return text


def _shown(value: object) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


_READERS: Mapping[str, Callable[[object], object]] = {
    "urls": _urls,
    "heartbeat": _heartbeat,
    "select": _names,
    "ignore": _names,
    "fail-on": _fail_on,
    "nginx-version": _version,
}

KEYS = tuple(_READERS)
"""Every key."""
