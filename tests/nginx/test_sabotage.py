"""Whether the proof can fail: nginx's answers are recorded once, then deliberately wrong models are held against them.

Each sabotage breaks one documented rule.  A rule whose sabotage no recorded answer contradicts is a rule that is not
proven, so every one must be caught.
"""

from __future__ import annotations

import functools
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tools.fidelity.batch import Batch, Pair
from tools.fidelity.cases import read_cases
from tools.fidelity.compare import differences
from tools.fidelity.draw import draw_sample
from tools.fidelity.sample import lacking
from tools.fidelity.wire import Wire
from ws101.host.binary import all_nginx
from ws101.nginx import (
    access,
    bodies,
    build,
    builtins,
    config,
    forward,
    inherit,
    locations,
    maps,
    names,
    places,
    plan,
    realip,
    requests,
    rewrite,
    servers,
    state,
    trace,
    variables,
)
from ws101.nginx.build import Build
from ws101.nginx.config import Config, MemoryFiles
from ws101.nginx.targets import UriParts
from ws101.syntax import parse

DRAWN = 60

Sabotage = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True, slots=True)
class Recording:
    """What one nginx did with many requests to one configuration."""

    build: Build
    text: str
    pairs: tuple[Pair, ...]


@functools.cache
def recordings() -> tuple[Recording, ...]:
    """The cases and some drawn samples, asked of the oldest and the newest nginx here; made once."""
    found = sorted(all_nginx(), key=lambda binary: binary.build.version)
    binaries = {found[0].build.number: found[0], found[-1].build.number: found[-1]}
    made: list[Recording] = []
    for binary in binaries.values():
        samples = [case.sample for case in read_cases()], [draw_sample(f"sabotage/{number}") for number in range(DRAWN)]
        for group in samples:
            fit = [s for s in group if not lacking(binary.build, s.needs)]
            with tempfile.TemporaryDirectory() as folder:
                wire = Wire(Path(folder))
                try:
                    with Batch(binary, wire, fit) as batch:
                        made.append(Recording(binary.build, batch.text, tuple(batch.pairs())))
                finally:
                    wire.close()
    return tuple(made)


_parse = functools.cache(parse)


def contradicted(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The differences between the model as it is now and the recordings."""
    monkeypatch.setattr(config, "parse", _parse)
    for recording in recordings():
        seen_by_model = Config(MemoryFiles({"nginx.conf": recording.text.encode("latin-1")}), "nginx.conf")
        for pair in recording.pairs:
            answer = trace.trace(seen_by_model, pair.arrival, recording.build)
            for difference in differences(answer, pair.seen, dict(pair.placed.places), recording.build):
                yield f"{pair.placed.sample.seed} {pair.arrival.request.target}: {difference}"


def test_the_model_as_it_is_contradicts_no_recorded_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(contradicted(monkeypatch)) == []


def behaves(name: str, value: object) -> Sabotage:
    """Every version behaves alike."""
    return lambda m: m.setitem(build._CHANGES, name, (((0, 0, 0), value),))


def without(module: Any, name: str, value: object) -> Sabotage:
    """Something of a module is replaced."""
    return lambda m: m.setattr(module, name, value)


def around(module: Any, name: str, wrap: Callable[..., Any]) -> Sabotage:
    """A function of a module (or a method of a class) is replaced by one that is given the true one first."""
    true = getattr(module, name)

    def patched(*more: Any, **named: Any) -> Any:
        return wrap(true, *more, **named)

    return lambda m: m.setattr(module, name, patched)


def entry(table: dict[str, Any], name: str, wrap: Callable[..., Any]) -> Sabotage:
    """Like ``around``, for a function in a table."""
    true = table[name]
    return lambda m: m.setitem(table, name, lambda *more: wrap(true, *more))


def both(*sabotages: Sabotage) -> Sabotage:
    """Several at once."""

    def apply(monkeypatch: pytest.MonkeyPatch) -> None:
        for sabotage in sabotages:
            sabotage(monkeypatch)

    return apply


def _merged(_true: Any, scope: Any, name: str) -> Any:
    return tuple(placed for level in reversed(tuple(scope.outward)) for placed in level.all(name))


def _innermost_only(_true: Any, scope: Any, name: str) -> Any:
    return scope.all(name)


def _regexes_first(true: Any, self: Any, value: str) -> Any:
    if self._names is None:
        self._read()
    for regex in self._regexes if value else ():
        match = maps._search(regex, value)
        if match is not None:
            return maps._hit(regex.line, match)
    return true(self, value)


def _empty_reaches_regexes(true: Any, self: Any, value: str) -> Any:
    hit = true(self, value)
    if value or hit.origin is None or hit.origin.name != "default":
        return hit
    found = next((r for r in self._regexes if maps._search(r, value) is not None), None)
    return hit if found is None else maps._hit(found.line)


def _without_regexes(true: Any, scope: Any) -> Any:
    return replace_level(true(scope), regexes=[])


def _every_prefix_stops(true: Any, scope: Any) -> Any:
    level = true(scope)
    return replace_level(level, noregex=[True] * len(level.noregex))


def _no_prefix_stops(true: Any, scope: Any) -> Any:
    level = true(scope)
    return replace_level(level, noregex=[False] * len(level.noregex))


def _without_exact(true: Any, scope: Any) -> Any:
    return replace_level(true(scope), exact={})


def _regexes_backwards(true: Any, scope: Any) -> Any:
    level = true(scope)
    return replace_level(level, regexes=list(reversed(level.regexes)))


def replace_level(level: Any, **changed: Any) -> Any:
    """An index of locations with some of it changed."""
    return replace(level, **changed)


def _outer_regexes_first(true: Any, way: Any, uri: str, doubts: Any) -> Any:
    return true(list(reversed(way)), uri, doubts)


def _with_state(**changed: Any) -> Callable[..., Any]:
    """A step that sees a state in which something is always so."""

    def wrap(true: Any, state: Any, *more: Any, **named: Any) -> Any:
        kept = {name: getattr(state, name) for name in changed}
        for name, value in changed.items():
            setattr(state, name, value)
        try:
            return true(state, *more, **named)
        finally:
            for name, value in kept.items():
                setattr(state, name, value)

    return wrap


def _drops_args(true: Any, state: Any, template: Any, keeps_args: bool) -> None:
    true(state, template, False)


def _keeps_args(true: Any, state: Any, template: Any, keeps_args: bool) -> None:
    true(state, template, True)


def _keeps_captures(true: Any, state: Any, *more: Any, **named: Any) -> bool:
    before = state.captures
    matches: bool = true(state, *more, **named)
    if not matches:
        state.captures = before
    return matches


def _first_if_wins(true: Any, state: Any, placed: Any) -> bool:
    return state.scope.kind != "if-in-location" and bool(true(state, placed))


def _from_any_outer_level(true: Any, scope: Any, *more: Any) -> Any:
    return next((found for level in scope.outward if level.kind != "server" and (found := true(level, *more))), None)


def _passes_cleared(true: Any, state: Any, made: Any, line: Any, unknown: Any) -> Any:
    name, value, fate, *more = true(state, made, line, unknown)
    sent = made.taken.get(line.key)
    if sent is not None and not sent.text:
        value, fate = line.value, "passed"
    return (name, value, fate, *more)


def _keeps_the_method(true: Any, state: Any, page: Any, status: int) -> Any:
    method = state.method
    step = true(state, page, status)
    state.method = method
    return step


def _forgets_the_status(true: Any, state: Any, page: Any, status: int) -> Any:
    step = true(state, page, status)
    state.err_status = 0
    return step


def _access_backwards(true: Any, scope: Any) -> Any:
    rules, unread = true(scope)
    return tuple(reversed(rules)), unread


def _host_with_port(true: Any, state: Any) -> Any:
    return state.received.http_host or true(state)


def _wildcards_first(true: Any, self: Any, name: str) -> Any:
    exact, self._exact = self._exact, {}
    try:
        found = true(self, name)
    finally:
        self._exact = exact
    return found or true(self, name)


def _shortest_wildcard(self: Any, name: str) -> Any:
    ends = [name[at + 1 :] for at, char in enumerate(name) if char == "."]
    return next((self._heads[end][0] for end in reversed(ends) if end in self._heads), None)


def _never_cached(true: Any, seen: Any, name: str) -> Any:
    seen.resolvers[name] = replace(true(seen, name), keeps=False)
    return seen.resolvers[name]


def _always_cached(true: Any, seen: Any, name: str) -> Any:
    seen.resolvers[name] = replace(true(seen, name), keeps=True)
    return seen.resolvers[name]


def _with_more_rounds(true: Any, state: Any, step: str) -> Any:
    state.uri_changes += 3
    return true(state, step)


def _head_is_no_get(true: Any, state: Any) -> None:
    method, state.method = state.method, "OTHER" if state.method == "HEAD" else state.method
    true(state)
    state.method = method


def _in_the_location(true: Any, state: Any) -> Any:
    if state.scope.kind == "if-in-location":
        state.scope = state.scope.parent
    return true(state)


def _as_written(uri: str, *_more: Any) -> Any:
    path, _, args = uri.partition("?")
    return UriParts(path, args, False)


def _status_as_it_is(true: Any, *asked: Any) -> Any:
    denied = true(*asked)
    return replace(denied, status=404) if isinstance(denied, access.Denied) and denied.status == 500 else denied


SABOTAGES: dict[str, Sabotage] = {
    "header fields of outer levels are merged": around(plan, "effective_all", _merged),
    "header fields are not inherited": around(plan, "effective_all", _innermost_only),
    "settings are not inherited": around(
        plan, "effective", lambda true, s, n: true(s, n) if s.all(n) else inherit._UNSET
    ),
    "HTTP/1.0 stays the default": behaves("default_http_version", "1.0"),
    "HTTP/1.1 was always the default": behaves("default_http_version", "1.1"),
    "Connection: close stays the default": behaves("sends_connection_close", True),
    "Connection: close was never the default": behaves("sends_connection_close", False),
    "Host always comes first": behaves("host_first", True),
    "the client's Proxy-Connection is always passed": behaves("drops_proxy_connection", False),
    "repeated fields are always joined in $http_": behaves("joins_duplicate_headers", True),
    "repeated fields are never joined in $http_": behaves("joins_duplicate_headers", False),
    "hosts are never strict": behaves("strict_host", False),
    "hosts were always strict": behaves("strict_host", True),
    "a comma always begins a cookie": behaves("cookies_by_semicolon_alone", False),
    "Upgrade passes by default": without(plan, "_DEFAULTS", tuple(d for d in plan._DEFAULTS if d[0] != "Upgrade")),
    "TE passes by default": without(plan, "_DEFAULTS", tuple(d for d in plan._DEFAULTS if d[0] != "TE")),
    "defaults come before the user's fields": around(
        plan, "_fields", lambda true, *a, **n: tuple(sorted(true(*a, **n), key=lambda f: f.origin is not None))
    ),
    "an emptied field lets the client's pass": around(forward, "_kept_back", _passes_cleared),
    "an upgrade is tunnelled over HTTP/1.0 too": around(
        forward, "handshake_faults", lambda true, _version, *more: true("HTTP/1.1", *more)
    ),
    "a body is no obstacle": around(
        forward,
        "handshake_faults",
        lambda true, v, m, f, _length: true(v, m, tuple(h for h in f if h[0] != "Content-Length"), 0),
    ),
    "proxy_pass's URI is always prefixed": around(forward, "_target", _with_state(valid_location=True)),
    "the raw URI is always sent": around(forward, "_target", _with_state(valid_unparsed_uri=True)),
    "the raw URI is never sent": around(forward, "_target", _with_state(valid_unparsed_uri=False)),
    "a changed URI is not escaped": without(forward, "escape_uri", lambda text: text),
    "a URI is escaped only after internal redirects": around(
        forward, "_target", lambda true, s, p, u: true(_unquoted(s), p, u)
    ),
    "the body's length is not sent": entry(builtins.BUILTINS, "proxy_internal_body_length", lambda _true, _state: ""),
    "the cache changes no field": without(forward, "_caches", lambda _state: False),
    "the limit of a body is ignored": both(
        without(bodies, "body_limit", lambda _scope: (None, None)),
        without(trace, "body_limit", lambda _scope: (None, None)),
    ),
    "maps look at case": without(maps, "lower", lambda text: text),
    "a map's patterns come before its keys": around(maps.MapTable, "lookup", _regexes_first),
    "a map's patterns see empty values": around(maps.MapTable, "lookup", _empty_reaches_regexes),
    "exact names of locations are prefixes": around(locations, "_index", _without_exact),
    "patterns of locations are ignored": around(locations, "_index", _without_regexes),
    "patterns of locations are tried backwards": around(locations, "_index", _regexes_backwards),
    "^~ is ignored": around(locations, "_index", _no_prefix_stops),
    "every prefix is ^~": around(locations, "_index", _every_prefix_stops),
    "outer patterns come before inner ones": around(locations, "_come_back", _outer_regexes_first),
    "there is no automatic 301": without(locations, "auto_redirect", lambda _scope: False),
    "an if's proxy_pass redirects by 301 too": around(
        locations, "auto_redirect", lambda true, s: true(s) or any(map(true_pass, s.children("if")))
    ),
    "a nested location inherits proxy_pass": both(
        around(places, "own_handler", _from_any_outer_level), around(plan, "governing_handler", _from_any_outer_level)
    ),
    "rewrite drops the arguments": around(rewrite, "_change_uri", _drops_args),
    "rewrite keeps the arguments in spite of ?": around(rewrite, "_change_uri", _keeps_args),
    "captures are not escaped": without(rewrite, "escape_args", lambda text: text),
    "a failed match keeps the captures": around(rewrite, "_matches", _keeps_captures),
    "the first true if wins": around(rewrite, "_enter", _first_if_wins),
    "zero is true": around(
        rewrite, "_compare", lambda true, s, p, value, rest: true(s, p, value, rest) if rest else value != ""
    ),
    "rewrites may go on for longer": around(trace, "_run", _with_more_rounds),
    "an error page keeps the method": around(trace, "_error_page", _keeps_the_method),
    "an error page has its own status": around(trace, "_error_page", _forgets_the_status),
    "error pages have error pages": around(trace, "_finish", _with_state(error_page=False)),
    "access rules are read backwards": around(access, "_address_rules", _access_backwards),
    "satisfy is always all": around(access, "lower", lambda true, text: true(text).replace("any", "all")),
    "passwords are not asked for": without(access, "_by_password", lambda *_asked: False),
    "ports are not shown in redirects": around(
        trace, "_absolute", lambda true, s, loc: true(s, loc).replace(f":{s.arrival.port}/", "/")
    ),
    "redirects stay relative": without(trace, "_absolute", lambda _state, location: location),
    "slashes are never merged": around(requests, "normalise_uri", lambda true, t, _m=True, e=False: true(t, False, e)),
    "paths are not normalised": without(requests, "normalise_uri", _as_written),
    "fields with underscores pass": without(requests, "_VALID_NAME", requests._VALID_NAME_UNDERSCORES),
    "$host keeps its port": entry(builtins.BUILTINS, "host", _host_with_port),
    "wildcards come before exact server names": around(names.NameTable, "find", _wildcards_first),
    "the first server is the default one": without(servers.Group, "default", property(lambda self: self.servers[0])),
    "the shortest wildcard wins": without(names.NameTable, "_find_head", _shortest_wildcard),
    "GET in limit_except leaves HEAD out": around(trace, "_enter_scope", _head_is_no_get),
    "internal holds for its own level alone": around(
        places, "effective", lambda true, s, n: true(s, n) if n != "internal" or s.all(n) else inherit._UNSET
    ),
    "what return throws away stays": around(forward, "body_of", _with_state(discarded=False)),
    "a cleared URI flag comes back by a named location": around(forward, "_target", _with_state(valid_location=False)),
    "try_files runs in an if too": both(
        without(places, "_is_open", lambda _scope: False), entry(trace._STEPS, "try_files", _in_the_location)
    ),
    "a Location is forgotten": around(trace, "_end", _with_state(location=None)),
    "TLS names pick no server": around(trace, "trace", lambda true, c, a, b: true(c, replace(a, sni=None), b)),
    "geo takes the least specific network": without(maps.GeoTable, "lookup", lambda _self, _value: "D"),
    "variables are worked out at each use": around(variables, "_resolver", _never_cached),
    "variables are worked out once": around(variables, "_resolver", _always_cached),
    "auth_request is not asked": without(access, "_by_subrequest", lambda *_asked: False),
    "auth_request keeps the method": around(
        state.State, "subrequest", lambda true, s, u, a, _m, **b: true(s, u, a, s.method, **b)
    ),
    "auth_request takes every answer for yes": around(
        access, "_by_subrequest", lambda true, *asked: true(*asked) is not False
    ),
    "auth_request refuses with any status": around(access, "_by_subrequest", _status_as_it_is),
    "$request_method is the subrequest's": entry(builtins.BUILTINS, "request_method", lambda _true, s: s.method),
    "subrequests are asked for addresses too": around(trace, "check_access", _with_state(is_subrequest=False)),
    "mirror sends nothing": without(trace, "mirrored", lambda *_asked: None),
    "mirror sends no arguments": around(
        state.State, "subrequest", lambda true, s, u, _a, m, **b: true(s, u, "", m, **b)
    ),
    "copies have no body": around(
        state.State, "subrequest", lambda true, s, u, a, m, **_b: true(s, u, a, m, has_body=False)
    ),
    "nobody is believed": without(trace, "take_real_address", lambda *_asked: None),
    "everybody is believed": without(realip, "_holds", lambda *_asked: True),
    "proxies behind proxies are never believed": around(
        realip, "forwarded_address", lambda true, c, v, t, _r: true(c, v, t, False)
    ),
    "geo believes nobody": without(variables, "forwarded_address", lambda *_asked: None),
    "the first handler of a location counts": around(rewrite, "_latest", lambda _true, _scope, found: found[0]),
    "servers that are down are asked": without(forward, "_sent", lambda _upstream, made: made),
    "TLS is never refused": around(trace, "unspoken", lambda true, *a: None if (t := true(*a)) and not t.status else t),
    "another host than TLS asked for is fine": without(trace, "verifies_another", lambda *_asked: None),
}


def true_pass(scope: Any) -> bool:
    """Whether a proxy_pass stands in a scope."""
    return scope.first("proxy_pass") is not None


def _unquoted(state: Any) -> Any:
    return replace(state, received=replace(state.received, quoted_uri=False))


@pytest.fixture
def nothing_cached() -> Iterator[None]:
    """What functions of the model remember is forgotten before and after a sabotage."""
    _forget()
    yield
    _forget()


def _forget() -> None:
    modules = [module for name, module in sys.modules.items() if name.startswith("ws101.nginx.")]
    for cached in {id(thing): thing for module in modules for thing in vars(module).values()}.values():
        if isinstance(cached, functools._lru_cache_wrapper):
            cached.cache_clear()


@pytest.mark.usefixtures("nothing_cached")
@pytest.mark.parametrize("name", SABOTAGES)
def test_a_wrong_model_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    SABOTAGES[name](monkeypatch)
    assert next(contradicted(monkeypatch), None) is not None, f"nothing recorded contradicts: {name}"
