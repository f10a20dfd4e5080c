"""What makes a request an opening handshake, and how long a tunnel may stay silent."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from ws101.nginx.config import Placed, Scope, Unknown
from ws101.nginx.directives import parse_time
from ws101.nginx.inherit import effective
from ws101.nginx.outcome import SENT, Fate
from ws101.text import lower

__all__ = ["handshake_faults", "idle_timeout"]

_DEFAULT_TIMEOUT = 60.0
_SINGLE = (("sec-websocket-key", "key"), ("sec-websocket-version", "version"))
_READ = frozenset(("upgrade", "connection", "content-length"))
"""The fields whose values count; of the others it is enough that they come."""

_DECISIVE = _READ | {"sec-websocket-key", "sec-websocket-version"}


def idle_timeout(scope: Scope) -> tuple[float | None, Placed | None]:
    """Seconds a tunnel may stay silent in both directions, and the proxy_read_timeout that says so.

    Source: src/http/ngx_http_upstream.c:ngx_http_upstream_process_upgraded.
    """
    setting = effective(scope, "proxy_read_timeout")
    if isinstance(setting.value, Unknown):
        return None, setting.origin
    if setting.text is None:
        return _DEFAULT_TIMEOUT, None
    milliseconds = parse_time(setting.text)
    return (None if milliseconds is None else milliseconds / 1000), setting.origin


def handshake_faults(
    http_version: str, method: str | None, fates: Iterable[Fate], body_length: int | None
) -> tuple[tuple[str, ...], bool]:
    """What makes a request no valid opening handshake (RFC 6455 section 4.2.1), and whether more is undecided."""
    decisive: list[tuple[str, str | None]] = []
    for name, value, fate, _, _ in fates:
        key = _decisive(name)
        if key is not None and (fate in SENT or fate == "unknown"):
            decisive.append((key, None if fate == "unknown" else value if key in _READ else ""))
    return _judged(http_version, method, tuple(decisive), bool(body_length))


@lru_cache(maxsize=4096)
def _decisive(name: str) -> str | None:
    """The lower-case name of a field that an opening handshake hangs on; None for all others."""
    key = name.lower()
    return key if key in _DECISIVE else None


@lru_cache(maxsize=1024)
def _judged(
    http_version: str, method: str | None, fields: tuple[tuple[str, str | None], ...], has_body: bool
) -> tuple[tuple[str, ...], bool]:
    """The same from the decisive fields; a value is None if it is unknown.  Most requests send the same ones."""
    sent: dict[str, list[str]] = {}
    open_names = {name for name, value in fields if value is None}
    for name, value in fields:
        if value is not None:
            sent.setdefault(name, []).append(value)
    faults = ["http-version"] if http_version != "HTTP/1.1" else []
    faults += ["method"] if method not in (None, "GET") else []
    for name, token in (("upgrade", "websocket"), ("connection", "upgrade")):
        if name not in open_names:
            faults += _token_faults(name, token, sent.get(name, []))
    for name, label in _SINGLE:
        count = len(sent.get(name, ()))
        if name not in open_names and count != 1:
            faults.append(f"{label}-missing" if count == 0 else f"{label}-repeated")
    if has_body or any(value.strip("0") for value in sent.get("content-length", ())):
        faults.append("body")
    return tuple(faults), method is None or bool(open_names)


@lru_cache(maxsize=4096)
def _options(value: str) -> frozenset[str]:
    """The options of a list such as Connection's, in lower case."""
    return frozenset(lower(option.strip(" \t")) for option in value.split(","))


def _token_faults(name: str, token: str, values: list[str]) -> list[str]:
    """What is wrong with a field that must hold a token."""
    if not values:
        return [f"{name}-missing"]
    if not any(token in _options(value) for value in values):
        return [f"{name}-wrong"]
    return ["upgrade-repeated"] if name == "upgrade" and len(values) > 1 else []
