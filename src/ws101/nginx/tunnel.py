"""What makes a request an opening handshake, and how long a tunnel may stay silent."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from ws101.nginx.config import Placed, Scope, Unknown
from ws101.nginx.directives import parse_time
from ws101.nginx.inherit import effective
from ws101.nginx.outcome import HeaderFate
from ws101.text import lower

__all__ = ["handshake_faults", "idle_timeout"]

_DEFAULT_TIMEOUT = 60.0
_SINGLE = (("sec-websocket-key", "key"), ("sec-websocket-version", "version"))
_DECISIVE = frozenset(("upgrade", "connection", "content-length", "sec-websocket-key", "sec-websocket-version"))


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
    http_version: str, method: str | None, fates: Iterable[HeaderFate], body_length: int | None
) -> tuple[tuple[str, ...], bool]:
    """What makes a request no valid opening handshake (RFC 6455 section 4.2.1), and whether more is undecided."""
    sent: dict[str, list[str]] = {}
    open_names: set[str] = set()
    for fate in fates:
        name = fate.name.lower()
        if name in _DECISIVE and fate.fate in ("set", "default", "passed"):
            sent.setdefault(name, []).append(fate.value)
        elif name in _DECISIVE and fate.fate == "unknown":
            open_names.add(name)
    faults = ["http-version"] if http_version != "HTTP/1.1" else []
    faults += ["method"] if method not in (None, "GET") else []
    for name, token in (("upgrade", "websocket"), ("connection", "upgrade")):
        if name not in open_names:
            faults += _token_faults(name, token, sent.get(name, []))
    for name, label in _SINGLE:
        count = len(sent.get(name, ()))
        if name not in open_names and count != 1:
            faults.append(f"{label}-missing" if count == 0 else f"{label}-repeated")
    if body_length or any(value.strip("0") for value in sent.get("content-length", ())):
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
