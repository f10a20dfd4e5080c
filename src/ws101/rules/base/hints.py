"""Names that hint at WebSockets: whole path segments, never parts of one (``/news`` hints at nothing)."""

from __future__ import annotations

from functools import lru_cache

from ws101.lazy import lazy_pattern
from ws101.nginx.config import Scope
from ws101.nginx.locations import LocationName, location_name
from ws101.text import lower

__all__ = ["POLLING", "SEGMENTS", "hinted_by", "is_polling", "segments"]

POLLING = frozenset({"socket.io", "engine.io", "sockjs", "sockjs-node", "signalr", "chathub"})
"""Libraries that also speak plain HTTP (polling) on the same path."""

SEGMENTS = POLLING | frozenset(
    {"ws", "wss", "_ws", "ws-api", "wsapp", "websocket", "websockets", "web-socket", "web_socket", "websockify"}
    | {"socket", "sockets", "cable", "hub", "hubs", "live", "livereload", "realtime", "real-time", "chat"}
    | {"graphql-ws", "subscriptions", "webpack-hmr", "__webpack_hmr", "vite-hmr", "xmpp-websocket", "mqtt"}
    | {"faye", "primus", "wamp"}
)
"""Path segments that hint at WebSockets."""

_REGEX_NOISE = lazy_pattern(r"\\(.)|[\^$()?:|*+]|\[[^\]]*\]|\{[^}]*\}")


@lru_cache(maxsize=4096)
def segments(name: LocationName) -> tuple[str, ...]:
    """The whole path segments that a location's name holds, in lower case.

    A regular expression gives the segments that stand in it literally: ``~ ^/(ws|chat)/`` gives ``ws`` and ``chat``.
    """
    if name.modifier == "@":
        return ()
    path = name.name
    if name.is_regex:
        path = _REGEX_NOISE.sub(lambda match: match[1] or "/", path)
    return tuple(lower(part) for part in path.split("/") if part)


def hinted_by(location: Scope) -> str | None:
    """The segment of a location's name that hints at WebSockets; None if there is none."""
    return next((part for part in segments(location_name(location)) if part in SEGMENTS), None)


def is_polling(location: Scope) -> bool:
    """Whether a location's name hints at a library that falls back to plain HTTP on the same path."""
    return any(part in POLLING for part in segments(location_name(location)))
