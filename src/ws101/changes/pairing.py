"""Which server and route of one configuration is which of another: ``pair_servers``, ``pair_routes``, ``same_text``.

Servers are paired by what identifies them to a client: addresses and names together, then names alone, then any name in
common, then addresses alone; equal ones in their order.  Routes are paired by the heads of the blocks around them.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import cast

from ws101.lazy import dataclass
from ws101.nginx.config import Config, Placed, Route, Scope

__all__ = [
    "Aside",
    "Pair",
    "Shape",
    "around",
    "keyed_routes",
    "not_among",
    "pair_routes",
    "pair_servers",
    "same_text",
    "server_identity",
]

_IDENTITY = "changes: identity"

Key = tuple[Hashable, ...]
Shape = tuple[tuple[int, str, tuple[str, ...]], ...]
"""Directives with their depth, name and arguments; comments and layout do not count."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A route in both configurations, or in one.

    Args:
        old: The route before; None if there was none.
        new: The route after; None if it is gone.
    """

    old: Route | None
    new: Route | None


@dataclass(frozen=True, slots=True)
class Aside:
    """A directive outside the servers.

    Args:
        head: By what it is known: the head of a block, the name of any other.
        text: As it is written; empty if an include in it holds more.
        placed: The directive.
    """

    head: str
    text: str
    placed: Placed

    @property
    def shape(self) -> Shape:
        """All that it says."""
        placed = self.placed
        block = placed.directive.block is not None
        return shape_of(placed.scope.child(placed)) if block else ((0, placed.name, placed.args),)


def server_identity(server: Scope) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Addresses and names of a server as written, sorted."""
    held = server.memo.get(_IDENTITY)
    if held is None:
        held = server.memo[_IDENTITY] = _identity(server)
    return cast("tuple[tuple[str, ...], tuple[str, ...]]", held)


def _identity(server: Scope) -> tuple[tuple[str, ...], tuple[str, ...]]:
    listens = tuple(sorted({p.args[0] if p.args else "" for p in server.all("listen")})) or ("80",)
    return listens, tuple(sorted({name for p in server.all("server_name") for name in p.args}))


def _by_names(server: Scope) -> Iterable[Hashable]:
    names = server_identity(server)[1]
    return [names] if names else []


_WAYS: tuple[Callable[[Scope], Iterable[Hashable]], ...] = (
    lambda server: [server_identity(server)],
    _by_names,
    lambda server: server_identity(server)[1],
    lambda server: [server_identity(server)[0]],
)


def pair_servers(old: Config, new: Config) -> tuple[tuple[Scope | None, Scope | None], ...]:
    """The servers of both in the order of the new one; those that are gone come last."""
    found: dict[Scope, Scope] = {}
    left, right = [*old.servers], [*new.servers]
    for keys in _WAYS:
        waiting: dict[Hashable, deque[Scope]] = defaultdict(deque)
        for server in left:
            for key in keys(server):
                waiting[key].append(server)
        taken: set[Scope] = set()
        for server in right:
            partner = next((p for key in keys(server) if (p := _first(waiting[key], taken)) is not None), None)
            if partner is not None:
                found[server] = partner
                taken.add(partner)
        left = [server for server in left if server not in taken]
        right = [server for server in right if server not in found]
    return (*((found.get(server), server) for server in new.servers), *((server, None) for server in left))


def _first(waiting: deque[Scope], taken: set[Scope]) -> Scope | None:
    while waiting and waiting[0] in taken:
        waiting.popleft()
    return waiting[0] if waiting else None


def pair_routes(one: Scope | None, other: Scope | None) -> tuple[Pair, ...]:
    """The routes of a pair of servers, see `keyed_routes`; those that are gone come last."""
    old, new = (keyed_routes(server) if server is not None else {} for server in (one, other))
    both = [Pair(old.get(key), route) for key, route in new.items()]
    return (*both, *(Pair(route, None) for key, route in old.items() if key not in new))


def keyed_routes(server: Scope) -> dict[Key, Route]:
    """The routes of a server by the heads of the blocks around them, each with its number.

    A server whose requests need not end in a location has a route of its own.
    """
    found: dict[Key, Route] = {}
    counted: Counter[Key] = Counter()
    keys: dict[Scope, Key] = {}
    for route in server.config.routes_of(server):
        scope = route.location
        outer = keys.get(scope.parent, ()) if scope.parent is not None else ()
        base = (*outer, scope.title)
        counted[base] += 1
        keys[scope] = (*base, counted[base])
        found[keys[scope]] = route
    if ("location /", 1) not in found:
        found[()] = Route(server, server)
    return found


def same_text(old: Scope, new: Scope) -> bool:
    """Whether two blocks say the same, their includes expanded; comments and layout do not count."""
    one, other = _slice(old), _slice(new)
    return (one == other and "include" not in one) or shape_of(old) == shape_of(new)


def _slice(scope: Scope) -> str:
    if scope.opener is None:
        return f"include {id(scope)}"
    directive = scope.opener.directive
    return directive.source.text[directive.start : directive.end]


def shape_of(scope: Scope) -> Shape:
    """All that a block says, its includes expanded, without comments and layout."""
    head = () if scope.opener is None else scope.opener.args
    return ((0, scope.kind, head), *_inside(scope))


def _inside(scope: Scope) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    stack = [iter(scope)]
    while stack:
        for placed in stack[-1]:
            directive = placed.directive
            yield len(stack), directive.name, directive.args
            if directive.block is not None:
                if directive.raw_block is not None:
                    yield len(stack), "", (directive.raw_block,)
                else:
                    stack.append(iter(placed.scope.child(placed)))
                    break
        else:
            stack.pop()
    yield from ((0, "include", p.args) for p in scope.opaque)


def around(config: Config) -> tuple[Aside, ...]:
    """What stands around the servers."""
    found: list[Aside] = []
    for scope in (config.main, *((config.http,) if config.http is not None else ())):
        for placed in scope:
            if placed.name == "http" or (placed.name == "server" and scope is config.http):
                continue
            directive = placed.directive
            head = " ".join((placed.name, *placed.args)) if directive.block is not None else placed.name
            text = directive.source.text[directive.start : directive.end]
            found.append(Aside(head, "" if "include" in text else text, placed))
    return tuple(found)


def not_among(items: Sequence[Aside], others: Sequence[Aside]) -> list[Aside]:
    """Those whose like is not among the others; what is written alike is alike."""
    items, others = _left(items, others, lambda item: item.text), _left(others, items, lambda item: item.text)
    return _left(items, others, lambda item: item.shape)


def _left(items: Sequence[Aside], others: Sequence[Aside], key: Callable[[Aside], Hashable]) -> list[Aside]:
    counted = Counter(filter(None, map(key, others)))
    left = []
    for item in items:
        known = key(item)
        if counted[known] > 0:
            counted[known] -= 1
        else:
            left.append(item)
    return left
