"""What a scope asks of every request that comes to it, gathered once.

Most locations ask little; a request then goes straight from their rewrite directives to their content.
"""

from __future__ import annotations

from ws101.lazy import dataclass
from ws101.nginx.access import gate_of
from ws101.nginx.config import Placed, Scope
from ws101.nginx.inherit import Setting, effective
from ws101.nginx.rewrite import own_handler

__all__ = ["Place", "place_of"]

_CODE_HANDLERS = (
    "content_by_lua_block",
    "content_by_lua_file",
    "content_by_lua",
    "js_content",
    "perl",
    "echo",
    "empty_gif",
    "stub_status",
    "flv",
    "mp4",
    "nchan_subscriber",
    "nchan_pubsub",
    "push_stream_subscriber",
    "api",
    "passenger_enabled",
)
"""The directives of modules whose code answers."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a scope asks of every request.

    Args:
        handler: The directive in it that hands requests to a backend.
        internal: The ``internal`` that rules.
        excepts: The methods that each limit_except lets pass, and the directive.
        code: The directive in it whose code answers.
        root: The root or alias that rules.
        is_open: Whether nothing stands between its rewrite directives and its content: no access rules, no trusted
            proxies, no try_files, no mirror.
    """

    handler: Placed | None
    internal: Setting
    excepts: tuple[tuple[frozenset[str], Placed], ...]
    code: Placed | None
    root: Placed | None
    is_open: bool


def place_of(scope: Scope) -> Place:
    """The place that a scope is."""
    memo = scope.memo
    if "place" not in memo:
        memo["place"] = _gathered(scope)
    return memo["place"]  # type: ignore[return-value]  # the memo of this key holds nothing else


def _gathered(scope: Scope) -> Place:
    return Place(
        own_handler(scope),
        effective(scope, "internal"),
        tuple([(_allowed(placed), placed) for placed in scope.all("limit_except")]),
        next((scope.first(name) for name in _CODE_HANDLERS if name in scope.index), None),
        effective(scope, "alias" if "alias" in scope.index else "root").origin,
        _is_open(scope),
    )


def _allowed(limit_except: Placed) -> frozenset[str]:
    """The methods it names; GET stands for HEAD too."""
    methods = {method.upper() for method in limit_except.args}
    return frozenset(methods | {"HEAD"} if "GET" in methods else methods)


def _is_open(scope: Scope) -> bool:
    if gate_of(scope) is not None or "try_files" in scope.index:
        return False
    return not any(scope.config.uses(name) for name in ("set_real_ip_from", "mirror"))
