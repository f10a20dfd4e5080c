"""Variables and the values made of them: text, or ``Unknown`` with the reason.

Theory of operation.  Values are evaluated as nginx evaluates them: a variable is worked out once and kept, unless it
is one of those that nginx asks again every time (``$uri``, ``$args``, ``volatile`` maps); a regular expression in a map
sets ``$1`` for what follows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from ws101.lazy import dataclass
from ws101.nginx.builtins import BUILTINS, PREFIXES, RUN_TIME, is_cacheable
from ws101.nginx.config import Config, Placed, Unknown
from ws101.nginx.maps import GeoTable, MapTable, SplitClients, geo_tables, map_tables, split_tables
from ws101.nginx.realip import forwarded_address
from ws101.nginx.regex import Match, Undecided
from ws101.nginx.state import State
from ws101.nginx.templates import Template, Variable, parse_template
from ws101.text import lower

__all__ = ["CAPTURE_CONFLICT", "declared_variables", "evaluate", "evaluate_text", "remember_captures", "variable"]

CAPTURE_CONFLICT = Unknown("a map's regular expression changes a capture in the middle of the value that uses it")
"""nginx works a value out twice, for its length and for its bytes; where the two differ, versions without a repair of
2026 write past the end, and those with it answer 500."""

_MAX_DEPTH = 100
_MAX_ROUNDS = 100_000
_MAX_LENGTH = 1 << 20
_REGEX_CONTEXTS = ("server_name", "location", "rewrite", "if")
_SETS_VARIABLE = {
    "set": 0,
    "auth_request_set": 0,
    "js_set": 0,
    "js_var": 0,
    "perl_set": 0,
    "set_by_lua": 0,
    "set_by_lua_file": 0,
    "set_by_lua_block": 0,
    "set_random": 0,
    "set_if_empty": 0,
    "set_unescape_uri": 0,
    "set_escape_uri": 0,
    "auth_jwt_claim_set": 0,
    "auth_jwt_header_set": 0,
    "userid_name": -1,
}
_OUTER = ("server", "location", "if", "limit_except", "map")
_TELLING = frozenset((*_SETS_VARIABLE, *_REGEX_CONTEXTS, *_OUTER))
"""The directives that may declare a variable, or hold one that does."""

_RUN_TIME_SETTERS = frozenset(_SETS_VARIABLE) - {"set", "userid_name"}


def evaluate_text(state: State, text: str) -> str | Unknown:
    """The value of a directive's argument."""
    return evaluate(state, parse_template(text))


def evaluate(state: State, template: Template) -> str | Unknown:
    """The value of a template (nginx: ngx_http_complex_value)."""
    if template.only is not None:
        return variable(state, template.only)
    if template.is_literal:
        return template.literal
    if template.error:
        return Unknown(template.error)
    matches = state.matches
    value = _joined(state, template)
    if state.matches == matches or isinstance(value, Unknown):
        return value
    again = _joined(state, template)
    if isinstance(again, str) and len(again) != len(value):
        return CAPTURE_CONFLICT
    return again


def _joined(state: State, template: Template) -> str | Unknown:
    """The parts of a template, worked out from left to right.

    nginx does it twice, to know the length and for the bytes; a map's regular expression may change captures between.
    """
    parts: list[str] = []
    for part in template.parts:
        if isinstance(part, str):
            parts.append(part)
            continue
        value = variable(state, part.name) if isinstance(part, Variable) else _capture(state, part)
        if isinstance(value, Unknown):
            return value
        parts.append(value)
    joined = "".join(parts)
    return joined if len(joined) <= _MAX_LENGTH else Unknown("the value grows beyond a megabyte")


def _capture(state: State, number: int) -> str | Unknown:
    if isinstance(state.captures, Unknown):
        return state.captures
    groups = state.captures.groups if state.captures else ()
    return (groups[number] or "") if number < len(groups) else ""


def remember_captures(state: State, match: Match) -> None:
    """Let ``$1`` and the named captures of a successful match be seen (nginx: ngx_http_regex_exec)."""
    state.matches += 1
    state.captures = match if len(match.groups) > 1 else Match((match.groups[0],), ())
    for name, value in match.named:
        state.values[name.lower()] = value or ""


def variable(state: State, name: str) -> str | Unknown:
    """The value of a variable by its lower-case name; one that is not found is empty.

    Source: src/http/ngx_http_variables.c:ngx_http_get_flushed_variable.
    """
    known = state.values.get(name)
    if known is not None:
        return known
    resolver: _Resolver = state.config.resolvers.get(name) or _resolver(state.config, name)  # type: ignore[assignment]
    try:
        value = resolver.work_out(state) or ""
    except Undecided as undecided:
        return Unknown(undecided.reason)
    if resolver.keeps and (value or name != "content_length"):
        state.values[name] = value
    return value


@dataclass(frozen=True, slots=True)
class _Resolver:
    """How a variable is worked out, and whether nginx keeps the value for the rest of the request."""

    work_out: Callable[[State], str | Unknown | None]
    keeps: bool


def _resolver(config: Config, name: str) -> _Resolver:
    """Find out where a variable comes from: a table of the configuration, nginx itself, or a directive."""
    found = _from_table(config, name) or _built_in(name) or _Resolver(partial(_declared, name=name), False)
    config.resolvers[name] = found
    return found


def _from_table(config: Config, name: str) -> _Resolver | None:
    """A variable that map, geo or split_clients defines."""
    if (table := map_tables(config).get(name)) is not None:
        return _Resolver(partial(_in_turn, name=name, work_out=partial(_map_value, table=table)), not table.volatile)
    if (geo := geo_tables(config).get(name)) is not None:
        return _Resolver(partial(_in_turn, name=name, work_out=partial(_geo_value, table=geo)), True)
    if (split := split_tables(config).get(name)) is not None:
        return _Resolver(partial(_in_turn, name=name, work_out=partial(_split_value, table=split)), True)
    return None


def _built_in(name: str) -> _Resolver | None:
    """A variable that nginx itself has."""
    builtin = BUILTINS.get(name)
    if builtin is not None:
        return _Resolver(builtin, is_cacheable(name))
    for prefix, lookup in PREFIXES:
        if name.startswith(prefix) and len(name) > len(prefix):
            rest = name[len(prefix) :]
            return _Resolver(partial(_of_family, lookup, rest), is_cacheable(prefix))
    if name in RUN_TIME:
        unknown = Unknown(f"${name} is known only at run time")
        return _Resolver(lambda _state: unknown, True)
    return None


def _in_turn(state: State, *, name: str, work_out: Callable[[State], str | Unknown]) -> str | Unknown:
    """A value that is made of others; nginx stops a circle of them after a hundred rounds."""
    if state.depth >= _MAX_DEPTH:
        return Unknown(f'cycle while evaluating variable "{name}"')
    if state.rounds >= _MAX_ROUNDS:
        return Unknown(f"${name} takes too long to work out: variables are made of variables too often")
    state.depth += 1
    state.rounds += 1
    try:
        return work_out(state)
    finally:
        state.depth -= 1


def _of_family(lookup: Callable[[State, str], str | Unknown | None], rest: str, state: State) -> str | Unknown | None:
    """A variable of a family such as ``$http_*``, by the rest of its name."""
    return lookup(state, rest)


def _map_value(state: State, *, table: MapTable) -> str | Unknown:
    source = evaluate_text(state, table.source)
    if isinstance(source, Unknown):
        _lose_captures(state, table, source)
        return source
    try:
        hit = table.lookup(source)
    except Undecided as undecided:
        _lose_captures(state, table, Unknown(undecided.reason))
        raise
    if hit.captures is not None:
        remember_captures(state, hit.captures)
    return evaluate_text(state, hit.value) if hit.value is not None else ""


def _lose_captures(state: State, table: MapTable, why: Unknown) -> None:
    """A pattern that may have matched may have left captures."""
    if not table.patterns:
        return
    state.matches += 1
    state.captures = why
    for pattern in table.patterns:
        for name in _capture_names(pattern):
            state.values[name] = why


def _geo_value(state: State, *, table: GeoTable) -> str | Unknown:
    source = variable(state, table.source) if table.source else state.client
    if isinstance(source, Unknown):
        return source
    said = (
        [value for name, value in state.received.headers if lower(name) == "x-forwarded-for"] if table.proxies else ()
    )
    found = forwarded_address(source, said, table.proxies, table.proxy_recursive) if said else None
    return table.lookup(found or source)


def _split_value(state: State, *, table: SplitClients) -> str | Unknown:
    source = evaluate_text(state, table.source)
    return source if isinstance(source, Unknown) else table.lookup(source)


def _declared(state: State, *, name: str) -> str | Unknown:
    """A variable that only directives make: empty until they have run, unknown if code makes it."""
    setter = declared_variables(state.config).get(name)
    if setter is None:
        if any(scope.opaque for scope in state.scope.outward):
            return Unknown(f"${name} may be defined in a file that could not be read")
        return Unknown(f'unknown "{name}" variable')
    if setter.name in _RUN_TIME_SETTERS:
        return Unknown(f"${name} is set at run time by {setter.name}", setter)
    return ""


def declared_variables(config: Config) -> dict[str, Placed]:
    """The variables that directives make, besides map, geo and split_clients, by lower-case name."""
    key = "declared variables"
    if key not in config.main.memo:
        config.main.memo[key] = dict(_declarations(config))
    return config.main.memo[key]  # type: ignore[return-value]  # the memo of this key holds nothing else


def _declarations(config: Config) -> Iterator[tuple[str, Placed]]:
    http = config.http
    stack = [http] if http else []
    while stack:
        scope = stack.pop()
        if scope.kind != "map" and _TELLING.isdisjoint(scope.index):
            continue
        for placed in scope:
            name = placed.name
            if name in _SETS_VARIABLE and placed.args and placed.args[0].startswith("$"):
                yield placed.args[0][1:].lower(), placed
            elif name in _REGEX_CONTEXTS:
                for arg in placed.args:
                    yield from ((found, placed) for found in _capture_names(arg))
            if placed.directive.block is not None and name in _OUTER:
                stack.append(scope.child(placed))
            if scope.kind == "map" and name.startswith("~"):
                yield from ((found, placed) for found in _capture_names(name))


def _capture_names(pattern: str) -> Iterator[str]:
    """The names of ``(?<name>`` and ``(?P<name>`` groups."""
    for opening in ("(?<", "(?P<"):
        at = pattern.find(opening)
        while at >= 0:
            start = at + len(opening)
            end = pattern.find(">", start)
            if end > start and pattern[start] not in "=!":
                yield pattern[start:end].lower()
            at = pattern.find(opening, start)
