"""``Config``: the syntax trees of all files, joined through ``include`` into the scopes that nginx sees.

Theory of operation.  A file is parsed once, however often it is included.  A ``Scope`` is a block in its place: a
snippet that is included in 50 locations stands in 50 scopes, and a ``Placed`` is a directive in one of them.  Scopes
are made on demand and keep no copies: a block without includes shares the parser's own list.  What an include that
could not be read may have set is not guessed: the scope is *opaque*, and every look-up that would have to pass it is
``Unknown``.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from ws101.errors import InputError
from ws101.lazy import dataclass
from ws101.syntax import Directive, Problem, Tree, parse, uncollected
from ws101.text import Source, Span

__all__ = ["Config", "Files", "MemoryFiles", "Placed", "Route", "Scope", "Unknown"]

_MAX_INCLUDE_DEPTH = 64
_MANY = 64
"""From so many on, the directives of one name in one block are kept once they were asked for."""

_GLOB = frozenset("*?[")
_USUAL = frozenset(["mime.types", "fastcgi.conf", "options-ssl-nginx.conf"])
_USUAL |= {f"{name}_params" for name in ("fastcgi", "uwsgi", "scgi")}
"""Files that come with nginx or certbot: types, parameters of other protocols, settings of TLS."""
_MAIN_ONLY = frozenset(
    ["http", "events", "worker_processes", "user", "pid", "stream", "mail", "daemon", "master_process", "load_module"]
)
_HTTP_ONLY = frozenset(
    ["server", "upstream", "map", "geo", "split_clients", "limit_req_zone", "limit_conn_zone", "proxy_cache_path"]
)
_SERVER_ONLY = frozenset(["location", "server_name", "listen"])
_HTTP_BLOCKS = {
    ("main", "http"): "http",
    ("main", "events"): "events",
    ("main", "stream"): "stream",
    ("main", "mail"): "mail",
    ("http", "server"): "server",
    ("http", "upstream"): "upstream",
    ("server", "location"): "location",
    ("location", "location"): "location",
    ("server", "if"): "if-in-server",
    ("location", "if"): "if-in-location",
    ("location", "limit_except"): "limit_except",
    ("stream", "server"): "stream-server",
    ("stream", "upstream"): "stream-upstream",
    ("mail", "server"): "mail-server",
}
_PROXY_HANDLERS = (
    "proxy_pass",
    "fastcgi_pass",
    "uwsgi_pass",
    "scgi_pass",
    "grpc_pass",
    "memcached_pass",
    "tunnel_pass",
)


_Run = tuple[tuple[Directive, ...], Sequence[Directive]]
"""Directives that stand together, and the includes that led to them."""


class Files(Protocol):
    """Where configuration is read from: the disk, a dump, memory."""

    def read(self, path: str) -> bytes:
        """The bytes of a file.

        Raises:
            OSError: If there is no such file, or it cannot be read.
        """

    def glob(self, pattern: str) -> tuple[str, ...]:
        """Find the paths that match, in the order of the C locale; that there are none is no error."""


@dataclass(frozen=True, slots=True)
class MemoryFiles:
    """Files held in memory: fragments, tests and ``nginx -T`` dumps."""

    files: Mapping[str, bytes]

    def read(self, path: str) -> bytes:
        """The bytes of a file."""
        try:
            return self.files[path]
        except KeyError:
            raise FileNotFoundError(2, "No such file or directory", path) from None

    def glob(self, pattern: str) -> tuple[str, ...]:
        """The paths that match, sorted by bytes."""
        parts = pattern.split("/")
        return tuple(sorted(p for p in self.files if _glob_match(p.split("/"), parts)))


class Placed(NamedTuple):
    """A directive in the scope where nginx meets it.

    Made anew at each look-up, hundreds of thousands of times: compare with ``==``, not with ``is``.
    """

    directive: Directive
    scope: Scope
    via: tuple[Directive, ...] = ()

    @property
    def name(self) -> str:
        """The directive's name."""
        return self.directive.name

    @property
    def args(self) -> tuple[str, ...]:
        """The arguments as nginx sees them."""
        return self.directive.args

    @property
    def span(self) -> Span:
        """From the name to the last argument."""
        return self.directive.head_span

    @property
    def where(self) -> str:
        """The place for people, as ``file:line``."""
        return f"{self.directive.source.path}:{self.directive.line}"


@dataclass(frozen=True, slots=True)
class Unknown:
    """A value that only run time knows, why, and the directive that makes it so."""

    reason: str
    origin: Placed | None = None


class Scope:
    """A block in its place.

    ``kind`` is a context name of the directive tables (``http``, ``server``, ``location``, ``if-in-location``, ...), or
    the name of the directive for blocks whose entries are no directives (``map``, ``types``).  ``opaque`` holds the
    includes of this block that could not be read, ``memo`` what the model has worked out about it, keyed by the asker.
    ``index`` says where in the block the directives of a name stand; blocks with the same names in the same order share
    one.
    """

    __slots__ = ("_children", "_index", "_kept", "_memo", "_runs", "config", "kind", "opaque", "opener", "parent")

    def __init__(self, config: Config, kind: str, opener: Placed | None, parent: Scope | None) -> None:
        self.config = config
        self.kind = kind
        self.opener = opener
        self.parent = parent
        self.opaque: tuple[Placed, ...] = ()
        self._runs: list[_Run] | None = None
        self._index: dict[str, tuple[int, ...]] | None = None
        self._kept: dict[str, tuple[Placed, ...]] | None = None
        self._children: dict[int, Scope] | None = None
        self._memo: dict[object, object] | None = None

    def __repr__(self) -> str:
        return f"<Scope {self.kind} {self.title}>"

    @property
    def title(self) -> str:
        """The block's head as written, for example ``location /ws``."""
        if self.opener is None:
            return self.kind
        return " ".join((self.opener.name, *self.opener.args))

    @property
    def memo(self) -> dict[object, object]:
        """What the model has worked out about this scope."""
        if self._memo is None:
            self._memo = {}
        return self._memo

    @property
    def runs(self) -> Sequence[_Run]:
        """The directives of the block and of what it includes, in order, each run with the includes that led there."""
        if self._runs is not None:
            return self._runs
        opener = self.opener
        return ((opener.via, opener.directive.block),) if opener is not None and opener.directive.block else ()

    def __iter__(self) -> Iterator[Placed]:
        for via, directives in self.runs:
            for directive in directives:
                yield Placed(directive, self, via)

    @property
    def index(self) -> Mapping[str, tuple[int, ...]]:
        """Where the directives of a name stand among those of this block, includes expanded."""
        found = self._index
        if found is None:
            names = tuple([directive.name for _, directives in self.runs for directive in directives])
            found = self._index = self.config._index_of(names)
        return found

    def all(self, name: str) -> tuple[Placed, ...]:
        """The directives of this block with a name, in order, includes expanded."""
        places = (self._index or self.index).get(name)
        if places is None:
            return ()
        runs = self._runs or self.runs
        if len(runs) == 1 and len(places) < _MANY:
            via, directives = runs[0]
            if len(places) == 1:
                return (Placed(directives[places[0]], self, via),)
            return tuple([Placed(directives[place], self, via) for place in places])
        if self._kept is None:
            self._kept = {}
        if name not in self._kept:
            self._kept[name] = tuple(_those_at(places, self))
        return self._kept[name]

    def first(self, name: str) -> Placed | None:
        """The first directive of this block with a name."""
        places = self.index.get(name)
        if places is None:
            return None
        runs = self.runs
        if len(runs) == 1:
            via, directives = runs[0]
            return Placed(directives[places[0]], self, via)
        return self.all(name)[0]

    def child(self, placed: Placed) -> Scope:
        """The scope of a block directive that stands here."""
        if self._children is None:
            self._children = {}
        key = id(placed.directive)
        found = self._children.get(key)
        if found is None:
            kind = _HTTP_BLOCKS.get((self.kind, placed.name), placed.name)
            found = self._children[key] = self.config._open(kind, placed, self)
        return found

    def children(self, name: str) -> tuple[Scope, ...]:
        """The scopes of the blocks with a name, in order."""
        if name not in self.index:
            return ()
        return tuple([self.child(p) for p in self.all(name) if p.directive.block is not None])

    def enclose(self, kind: str) -> Scope:
        """Put a block around nothing inside this one: what a fragment was cut from."""
        scope = Scope(self.config, kind, None, self)
        self._children = {-1: scope}
        return scope

    @property
    def enclosed(self) -> Scope | None:
        """The block that was put inside this one, if the configuration is a fragment."""
        return self._children.get(-1) if self._children else None

    @property
    def outward(self) -> Iterator[Scope]:
        """The scope and those around it, innermost first."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    @property
    def server(self) -> Scope | None:
        """The server block around this scope, or the scope itself."""
        scope: Scope | None = self
        while scope is not None and scope.kind != "server":
            scope = scope.parent
        return scope


def _those_at(places: tuple[int, ...], scope: Scope) -> Iterator[Placed]:
    """The directives of a block at some places, which are in order."""
    wanted = iter(places)
    place = next(wanted, None)
    start = 0
    for via, directives in scope.runs:
        stop = start + len(directives)
        while place is not None and place < stop:
            yield Placed(directives[place - start], scope, via)
            place = next(wanted, None)
        start = stop


@dataclass(frozen=True, slots=True)
class Route:
    """A place that answers requests: a location (or an ``if`` or ``limit_except`` in it) of a server.

    ``location`` is the server's own scope where no location matches.
    """

    server: Scope
    location: Scope

    @property
    def handler(self) -> Placed | None:
        """The directive that hands requests to a backend (proxy_pass or one of its kin), if there is one."""
        index = self.location.index
        for name in _PROXY_HANDLERS:
            if name in index:
                return self.location.first(name)
        return None


class Config:
    """All that nginx loads from one main file.

    Args:
        files: Where to read from.
        main: The main file's path; relative includes start in its folder, as in nginx.
        context: The context a fragment stands in (``http``, ``server``, ``location``); found from the text if None.
        complete: Whether every file it includes must be there; else a missing one is only unknown.
        inside: With ``complete`` false: a missing include is still a problem if it lies in this folder.

    Raises:
        InputError: If the main file cannot be read.
    """

    def __init__(
        self, files: Files, main: str, *, context: str | None = None, complete: bool = False, inside: str | None = None
    ) -> None:
        self.files = files
        self.path = main
        self.prefix = posixpath.dirname(main)
        self.complete = complete
        self.inside = inside
        self.trees: dict[str, Tree] = {}
        self._sources: dict[str, Source] = {}
        self._indexes: dict[tuple[str, ...], dict[str, tuple[int, ...]]] = {}
        self._routes: tuple[Route, ...] | None = None
        self._servers: tuple[Scope, ...] | None = None
        self._unseen: list[list[Directive]] = []
        self._used: set[str] = set()
        self.resolvers: dict[str, object] = {}
        self.included: dict[Directive, tuple[str, ...]] = {}
        self._include_problems: list[Problem] = []
        self.unknown: list[Unknown] = []
        try:
            tree = self._tree(main)
        except OSError as error:
            raise InputError(f"cannot read the configuration: {error.strerror or error}", where=main) from error
        self.fragment = context if context is not None else _fragment_context(tree)
        with uncollected():
            self.main = self._assemble(tree)
            self._open_includes()

    def _tree(self, path: str) -> Tree:
        if path not in self.trees:
            self.trees[path] = parse(Source.from_bytes(path, self.files.read(path)))
            self._unseen.append(self.trees[path].directives)
        return self.trees[path]

    def uses(self, name: str) -> bool:
        """Whether a directive may stand anywhere in what has been read: most names that are asked for stand nowhere."""
        while self._unseen:
            for directive in self._unseen.pop():
                self._used.add(directive.name)
                if directive.block:
                    self._unseen.append(directive.block)
        return name in self._used or bool(self.unknown)

    def _index_of(self, names: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
        """Where each name stands among others; made once for each sequence of names."""
        found = self._indexes.get(names)
        if found is None:
            places: dict[str, list[int]] = {}
            for place, name in enumerate(names):
                places.setdefault(name, []).append(place)
            found = self._indexes[names] = {name: tuple(where) for name, where in places.items()}
        return found

    def _assemble(self, tree: Tree) -> Scope:
        """The main scope; a fragment gets the blocks around it that it was cut from."""
        kinds = ("main", "http", "server", "location")
        wanted = self.fragment or "main"
        scope = Scope(self, "main", None, None)
        for kind in kinds[1 : kinds.index(wanted) + 1]:
            scope = scope.enclose(kind)
        self._fill(scope, (), tree.directives, (self.path,))
        if self.fragment:
            what = f"only a part of a configuration was given: what the {wanted} block around it sets is taken as unset"
            self.unknown.append(Unknown(what))
        return next(s for s in reversed(tuple(scope.outward)))

    def _open_includes(self) -> None:
        """Read every file that is included anywhere, so that ``sources`` and ``problems`` are complete."""
        stack = [self.main]
        while stack:
            scope = stack.pop()
            if scope.enclosed is not None:
                stack.append(scope.enclosed)
            for placed in scope:
                directive = placed.directive
                if directive.block and directive.source.text.find("include", directive.start, directive.end) >= 0:
                    stack.append(scope.child(placed))

    def _open(self, kind: str, placed: Placed, parent: Scope) -> Scope:
        scope = Scope(self, kind, placed, parent)
        if "include" in scope.index:
            scope._index = None
            self._fill(scope, placed.via, placed.directive.block or [], (placed.directive.source.path,))
        return scope

    def _fill(
        self, scope: Scope, via: tuple[Directive, ...], directives: list[Directive], chain: tuple[str, ...]
    ) -> None:
        """Append a block's directives to a scope, expanding includes where they stand."""
        start = 0
        runs = scope._runs = scope._runs if scope._runs is not None else []
        for at, directive in enumerate(directives):
            if directive.name == "include" and directive.block is None:
                if at > start:
                    runs.append((via, directives[start:at]))
                start = at + 1
                self._include(scope, via, directive, chain)
        if start == 0:
            runs.append((via, directives))
        elif start < len(directives):
            runs.append((via, directives[start:]))

    def _include(self, scope: Scope, via: tuple[Directive, ...], directive: Directive, chain: tuple[str, ...]) -> None:
        args = directive.args
        if len(args) != 1:
            return
        path = posixpath.join(self.prefix, args[0])
        found: tuple[str, ...] = self.files.glob(path) if _GLOB & set(path) else (path,)
        self.included[directive] = found
        for name in found:
            loaded = (*chain, *(d.source.path for d in via))
            if name in loaded or len(loaded) > _MAX_INCLUDE_DEPTH:
                self._problem(directive, f'"{name}" includes itself')
                continue
            try:
                tree = self._tree(name)
            except OSError as error:
                self._unreadable(scope, via, directive, name, error)
                continue
            self._fill(scope, (*via, directive), tree.directives, (*chain, name))

    def _unreadable(
        self, scope: Scope, via: tuple[Directive, ...], directive: Directive, path: str, error: OSError
    ) -> None:
        placed = Placed(directive, scope, via)
        is_part = self.fragment not in (None, "main")  # nobody knows where its relative paths lead
        named = directive.args[0] if is_part and "*" not in directive.args[0] else path
        if posixpath.basename(path) in _USUAL:
            what = "taken as the usual file of that name, which decides nothing about WebSockets"
        else:
            scope.opaque += (placed,)
            what = "so what it sets is unknown"
        self.unknown.append(Unknown(f'"{named}" could not be read ({error.strerror or error}), {what}', placed))
        if is_part:
            return
        if self.complete or (self.inside is not None and path.startswith(self.inside.rstrip("/") + "/")):
            number, text = error.errno or 2, error.strerror or "No such file or directory"
            self._problem(directive, f'open() "{path}" failed ({number}: {text})')

    def _problem(self, directive: Directive, message: str) -> None:
        problem = Problem(message, directive.head_span, directive.line, directive.start)
        if problem not in self._include_problems:
            self._include_problems.append(problem)

    @property
    def include_problems(self) -> tuple[Problem, ...]:
        """The includes that nginx would refuse; the paths that each one names are in ``included``."""
        return tuple(self._include_problems)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Syntax problems of every file that was read, then include problems."""
        return (*(p for tree in self.trees.values() for p in tree.problems), *self._include_problems)

    @property
    def sources(self) -> dict[str, Source]:
        """Every file that was read, by path, in the order of reading."""
        if len(self._sources) < len(self.trees):
            self._sources = {path: tree.source for path, tree in self.trees.items()}
        return self._sources

    def _blocks(self, scope: Scope, name: str) -> tuple[Scope, ...]:
        made = scope.enclosed
        found = scope.children(name)
        return (*found, made) if made is not None and made.kind == name else found

    @property
    def http(self) -> Scope | None:
        """The http block (nginx allows one)."""
        return next(iter(self._blocks(self.main, "http")), None)

    @property
    def servers(self) -> tuple[Scope, ...]:
        """The server blocks of http, in order."""
        if self._servers is None:
            self._servers = self._blocks(self.http, "server") if self.http else ()
        return self._servers

    def upstreams(self) -> tuple[Scope, ...]:
        """The upstream blocks of http, in order."""
        return self.http.children("upstream") if self.http else ()

    def locations(self, scope: Scope) -> tuple[Scope, ...]:
        """The location blocks that stand directly in a server or location."""
        return self._blocks(scope, "location")

    def routes(self) -> tuple[Route, ...]:
        """Every place that can answer a request: all locations of all servers, nested ones and ``if`` blocks too."""
        if self._routes is None:
            self._routes = tuple([route for server in self.servers for route in self.routes_of(server)])
        return self._routes

    def routes_of(self, server: Scope) -> tuple[Route, ...]:
        """The same for one server."""
        found: list[Route] = []
        stack = [server]
        while stack:
            scope = stack.pop()
            if scope is not server:
                found.append(Route(server, scope))
            inner: list[Scope] = []
            if scope.kind in ("server", "location"):
                inner += self.locations(scope)
            if scope.kind == "location":
                inner += (*scope.children("if"), *scope.children("limit_except"))
            stack.extend(reversed(inner))
        return tuple(found)


def _fragment_context(tree: Tree) -> str | None:
    """The context that the directives at the top of a file must stand in; None for a main file."""
    names = {d.name for d in tree.directives}
    if names & _MAIN_ONLY or not names:
        return None
    if names & _HTTP_ONLY:
        return "http"
    if names & _SERVER_ONLY:
        return "server"
    return "location" if any(n.startswith("proxy_") for n in names) else None


def _glob_match(path: list[str], pattern: list[str]) -> bool:
    return len(path) == len(pattern) and all(map(_segment_match, path, pattern))


def _segment_match(name: str, pattern: str) -> bool:
    """One path segment against one glob segment (glob(3): a leading dot must be matched by a dot)."""
    if name.startswith(".") and not pattern.startswith("."):
        return False
    return _wild(name, pattern)


def _wild(name: str, pattern: str) -> bool:
    at, mark, star = 0, 0, -1
    p = 0
    while at < len(name):
        step = _one(name[at], pattern, p) if p < len(pattern) and pattern[p] != "*" else 0
        if step:
            at, p = at + 1, p + step
        elif p < len(pattern) and pattern[p] == "*":
            star, mark, p = p, at, p + 1
        elif star >= 0:
            mark += 1
            at, p = mark, star + 1
        else:
            return False
    return all(c == "*" for c in pattern[p:])


def _one(char: str, pattern: str, p: int) -> int:
    """How many pattern characters match one character here; 0 for none."""
    if pattern[p] == "?":
        return 1
    if pattern[p] == "\\" and p + 1 < len(pattern):
        return 2 if pattern[p + 1] == char else 0
    if pattern[p] == "[" and (close := pattern.find("]", p + 2)) > 0:
        return close + 1 - p if _in_set(char, pattern[p + 1 : close]) else 0
    return 1 if pattern[p] == char else 0


def _in_set(char: str, body: str) -> bool:
    negate = body[:1] in ("!", "^")
    body = body[1:] if negate else body
    found, i = False, 0
    while i < len(body):
        if i + 2 < len(body) and body[i + 1] == "-":
            found, i = found or body[i] <= char <= body[i + 2], i + 3
        else:
            found, i = found or body[i] == char, i + 1
    return found != negate
