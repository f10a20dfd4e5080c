"""``check``: run the rules over a configuration, and answer for every route whether a WebSocket would get through.

Several nginx versions may be asked at once, when the version is unknown.  A finding that holds for some of them says
for which; an answer that differs between them is unknown, never fine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace

from ws101.findings import Finding, Level
from ws101.lazy import dataclass
from ws101.nginx.build import Build
from ws101.nginx.config import Config, Placed, Route, Scope, Unknown
from ws101.rules import RULES
from ws101.rules.base.aims import Aim, location_of
from ws101.rules.base.context import Answer, Context, Shared
from ws101.rules.base.options import Options
from ws101.rules.base.registry import Rule
from ws101.rules.base.remarks import Remark
from ws101.syntax import Problem, uncollected
from ws101.text import Span

__all__ = ["SUPPRESSION", "CheckReport", "Entry", "RouteRow", "check", "version_condition"]

SUPPRESSION = "suppression"
"""The name of findings about ``# ws101: ignore[...]`` comments themselves."""

_SUPPRESSION_CODE = "WS100"
_PROTOCOLS = frozenset(("fastcgi", "grpc", "memcached", "scgi", "uwsgi"))
_TABLE_BEHAVIOURS = ("sends_connection_close", "http2_upstream")


@dataclass(frozen=True, slots=True)
class Entry:
    """A finding and what it is about.

    Args:
        finding: The finding.
        places: The scopes that have the fault.
        bites: When it shows, see ``ws101.rules.base.registry.Bites``.
        builds: The nginx versions that have it.
        refused: Whether nginx refuses the configuration for it.
        refusal: What nginx says then, if the finding says it all; empty if not.
        garbled: Whether nothing else can be told of the places.
        spared: Those of the places that a WebSocket may reach on another way.
    """

    finding: Finding
    places: tuple[Scope, ...]
    bites: int
    builds: tuple[Build, ...]
    refused: bool = False
    refusal: str = ""
    garbled: bool = False
    spared: tuple[Scope, ...] = ()


@dataclass(frozen=True, slots=True)
class RouteRow:
    """One line of the table "would a WebSocket get through here?".

    Args:
        listen: The addresses of the server.
        server_names: The names of the server.
        location: The location's arguments, for example ``/ws`` or ``~ ^/ws``; an ``if`` in it follows.
        file: The file that holds it.
        line: The line it starts on.
        upstream: Where it leads, as a URL.
        websocket: ``intended``, ``possible`` or ``none``.
        tunnel: Whether an opening handshake that reaches this route arrives as a valid one; None if undecidable.
        through: The answer: it arrives, and no error found here keeps it from the route or its 101 from the client;
            None if undecidable, or if it depends on the way in.
        rules: The rules that found something here.
        instead: What nginx does with a handshake that it does not hand on; a clause, empty if it does.
    """

    listen: tuple[str, ...]
    server_names: tuple[str, ...]
    location: str
    file: str
    line: int
    upstream: str | None
    websocket: str
    tunnel: bool | None
    through: bool | None
    rules: tuple[str, ...] = ()
    instead: str = ""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What the rules found.

    Args:
        entries: The findings and what they are about, the first to bite first.
        suppressed: Findings that a comment silences.
        routes: Every proxied route.
        problems: What nginx would refuse to read.
        unknown: What cannot be known, and why.
        aims: The routes that are or may be meant for WebSockets.
        config: The configuration that was looked at.
        builds: The nginx versions it was looked at for.
    """

    entries: tuple[Entry, ...]
    suppressed: tuple[Entry, ...]
    routes: tuple[RouteRow, ...]
    problems: tuple[Problem, ...]
    unknown: tuple[Unknown, ...]
    aims: tuple[Aim, ...]
    config: Config = field(repr=False)
    builds: tuple[Build, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings, the first to bite first."""
        return tuple(entry.finding for entry in self.entries)

    @property
    def unsaid(self) -> tuple[Problem, ...]:
        """The problems that no finding speaks of."""
        said = {entry.refusal for entry in self.entries}
        return tuple(item for item in self.problems if item.message not in said)

    @property
    def has_errors(self) -> bool:
        """Whether a finding is an error."""
        return any(finding.level is Level.ERROR for finding in self.findings)


def check(
    config: Config,
    builds: Sequence[Build],
    options: Options | None = None,
    *,
    rules: Sequence[Rule] = RULES,
    table: bool = True,
) -> CheckReport:
    """Run the rules.

    Args:
        config: The configuration.
        builds: The nginx it runs on; several if that is unknown (``Build.representatives()``).
        options: What the user asks for.
        rules: The rules to run.
        table: Whether to work out the table of routes.

    Raises:
        UsageError: If a told URL is no WebSocket's URL.
    """
    with uncollected():
        return _check(Shared(config, tuple(builds), options or Options()), rules, table=table)


def _check(shared: Shared, rules: Sequence[Rule], *, table: bool) -> CheckReport:
    """What the rules find, in order."""
    config, options = shared.config, shared.options
    contexts = tuple(Context(shared, build) for build in shared.builds)
    wanted = [r for r in rules if (not options.select or r.name in options.select) and r.name not in options.ignore]
    numbers = {path: number for number, path in enumerate(config.sources)}
    entries = sorted(_collect(contexts, wanted), key=lambda entry: _order(numbers, entry))
    kept, silenced, about = _suppress(entries, shared.remarks, {rule.name for rule in wanted}, shared.builds)
    kept = _legible(kept)
    rows, undecided = _table(contexts, kept) if table else ((), ())
    problems, doubts = _verdicts(shared)
    said = tuple(dict.fromkeys(entry.refusal for entry in kept if entry.refusal))
    unsure = dict.fromkeys((*config.unknown, *doubts, *(item for item in undecided if not _repeats(item, doubts))))
    unknown = tuple(item for item in unsure if not any(words in item.reason for words in said))
    return CheckReport((*kept, *about), silenced, rows, problems, unknown, contexts[0].aims, config, shared.builds)


def _legible(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """Without what was read out of words that ran together."""
    garbled = {place for entry in entries if entry.garbled for place in entry.places}
    if not garbled:
        return entries
    return tuple(e for e in entries if e.refused or not e.places or not garbled.issuperset(e.places))


def _repeats(item: Unknown, doubts: Sequence[Unknown]) -> bool:
    """Whether a doubt about a route says what a doubt about the same line says already."""
    if item.origin is None:
        return False
    said = (d.reason for d in doubts if d.origin is not None and d.origin.directive is item.origin.directive)
    return any(item.reason in reason for reason in said)


def _verdicts(shared: Shared) -> tuple[tuple[Problem, ...], tuple[Unknown, ...]]:
    """What nginx refuses surely and in every version, in its order; and what it may refuse, once for each message."""
    config, builds = shared.config, shared.builds
    problems: list[Problem] = []
    doubts: dict[str, Unknown] = {}
    for refusal in shared.refusals:
        span = refusal.span
        line = refusal.line or config.sources[span.path].line(span.start)
        condition = version_condition(refusal.builds, builds)
        if refusal.certain and not condition:
            problems.append(Problem(refusal.message, span, line, span.start))
            continue
        what = "a module or a file that is not known here may know better"
        reason = f"nginx may refuse this: {refusal.message} ({condition or what})"
        origin = Placed(refusal.directive, config.main) if refusal.directive is not None else None
        doubts.setdefault(reason, Unknown(reason, origin))
    return tuple(problems), tuple(doubts.values())


def version_condition(holding: Iterable[Build], everything: Sequence[Build]) -> str:
    """For which of the versions something holds, in words; empty if for all.

    Args:
        holding: The versions for which it holds.
        everything: All that were asked, each the first of a range of equal behaviour.
    """
    ordered = sorted(everything, key=lambda build: build.version)
    numbers = {build.version for build in holding}
    flags = [build.version in numbers for build in ordered]
    if all(flags):
        return ""
    ranges: list[str] = []
    start = 0
    while start < len(flags):
        end = start
        while end < len(flags) and flags[end] == flags[start]:
            end += 1
        if flags[start]:
            ranges.append(_range(ordered, start, end))
        start = end
    return "with nginx " + " and ".join(ranges)


def _range(ordered: Sequence[Build], start: int, end: int) -> str:
    if start == 0:
        return f"before {ordered[end].number}"
    if end == len(ordered):
        return f"{ordered[start].number} or later"
    return f"from {ordered[start].number} to before {ordered[end].number}"


def _collect(contexts: Sequence[Context], rules: Sequence[Rule]) -> Iterator[Entry]:
    """The findings of all versions, one for each fault."""
    entries: dict[tuple[str, Span, str], Entry] = {}
    for context in contexts:
        for rule in rules:
            for found, finding in rule.check(context):
                key = (rule.name, finding.span, finding.message)
                entry = Entry(
                    finding,
                    found.places,
                    rule.bites,
                    (context.build,),
                    found.refused,
                    found.refusal,
                    found.garbled,
                    found.spared,
                )
                entries[key] = _merged(entries[key], entry) if key in entries else entry
    everything = [context.build for context in contexts]
    for entry in entries.values():
        condition = version_condition(entry.builds, everything)
        message = f"{entry.finding.message} ({condition})" if condition else entry.finding.message
        yield replace(entry, finding=replace(entry.finding, message=message))


def _merged(known: Entry, more: Entry) -> Entry:
    """One fault, seen in several places or versions."""
    level = min(known.finding.level, more.finding.level, key=lambda level: level.rank)
    return Entry(
        replace(known.finding, level=level),
        tuple(dict.fromkeys((*known.places, *more.places))),
        known.bites,
        tuple(dict.fromkeys((*known.builds, *more.builds))),
        known.refused,
        known.refusal,
        known.garbled,
        tuple(dict.fromkeys((*known.spared, *more.spared))),
    )


def _order(numbers: Mapping[str, int], entry: Entry) -> tuple[int, int, int, int, str]:
    """The worst level first; of one level what bites first, then as written."""
    finding = entry.finding
    at = numbers.get(finding.span.path, len(numbers))
    return finding.level.rank, entry.bites, at, finding.span.start, finding.code


def _suppress(
    entries: Sequence[Entry], remarks: Sequence[Remark], rules: set[str], builds: tuple[Build, ...]
) -> tuple[tuple[Entry, ...], tuple[Entry, ...], tuple[Entry, ...]]:
    """The entries that stay, those that a comment silences, and what is wrong with the comments."""
    ignores = [remark for remark in remarks if remark.kind == "ignore"]
    used: set[tuple[Remark, str]] = set()
    kept: list[Entry] = []
    silenced: list[Entry] = []
    for entry in entries:
        name = entry.finding.rule
        by = [r for r in ignores if name in r.names and r.rest and _covers(r, entry)]
        used.update((remark, name) for remark in by)
        (silenced if by else kept).append(entry)
    about = tuple(
        Entry(Finding(SUPPRESSION, _SUPPRESSION_CODE, Level.WARNING, message, remark.span), (), 99, builds)
        for remark in remarks
        for message in _complaints(remark, rules, used)
    )
    return tuple(kept), tuple(silenced), about


def _covers(remark: Remark, entry: Entry) -> bool:
    span = entry.finding.span
    target, around = remark.target, remark.around
    if span.path == remark.span.path:
        if target is not None and target.start <= span.start < target.end:
            return True
        if around is not None and span.start == around.start:
            return True
    openers = [location_of(place).opener for place in entry.places]
    return bool(openers) and all(o is not None and o.directive in (target, around) for o in openers)


def _complaints(remark: Remark, rules: set[str], used: set[tuple[Remark, str]]) -> Iterator[str]:
    if remark.kind not in ("ignore", "websocket", "heartbeat"):
        yield f"ws101 knows no remark {remark.kind}: it knows websocket, heartbeat TIME and ignore[RULE] REASON"
    elif remark.kind == "ignore" and (not remark.names or not remark.rest):
        yield "a suppression needs a rule and a reason: # ws101: ignore[RULE] REASON"
    elif remark.kind == "ignore":
        names = (name for name in remark.names if (remark, name) not in used)
        known = {rule.name for rule in RULES}
        yield from (_idle(name, known) for name in names if name in rules or name not in known)


def _idle(name: str, known: set[str]) -> str:
    """A suppression that silences nothing."""
    return f"nothing here to ignore for {name}" if name in known else f"there is no rule {name} to ignore"


def _table(contexts: Sequence[Context], entries: Sequence[Entry]) -> tuple[tuple[RouteRow, ...], tuple[Unknown, ...]]:
    """The table of routes, and what could not be decided."""
    first = contexts[0]
    intents = {aim.scope: "intended" if aim.intent.is_sure else "possible" for aim in first.aims}
    found: dict[Scope, list[Entry]] = {}
    for entry in entries:
        for place in entry.places:
            found.setdefault(place, []).append(entry)
    views = _distinct(contexts)
    servers: dict[Scope, tuple[tuple[str, ...], tuple[str, ...]]] = {}
    rows: list[RouteRow] = []
    unknown: list[Unknown] = []
    for route in first.shared.proxied:
        handler = route.handler
        opener = route.location.opener or handler  # a part cut out of a location has no opener
        if opener is None:
            continue
        here = found.get(route.location, ())
        tunnel, answered, doubts = _tunnel(views, route)
        through, barred = _through(first, route, tunnel, here)
        meant = intents.get(route.location, "none")
        if meant != "none":
            unknown += (*(doubts if through is None else ()), *barred)
        if route.server not in servers:
            servers[route.server] = (_listens(route.server), _names(route.server))
        listen, names = servers[route.server]
        rows.append(
            RouteRow(
                listen,
                names,
                _title(route.location),
                opener.directive.source.path,
                opener.directive.line,
                _address_of(handler, answered.upstream),
                meant,
                tunnel,
                through,
                tuple(dict.fromkeys(entry.finding.rule for entry in here)),
                answered.instead,
            )
        )
    return tuple(rows), tuple(unknown)


def _distinct(contexts: Sequence[Context]) -> tuple[Context, ...]:
    """One context for each range of versions that forward handshakes alike."""
    found: dict[tuple[object, ...], Context] = {}
    for context in contexts:
        build = context.build
        key = (build.default_http_version, *(build.does(name) for name in _TABLE_BEHAVIOURS))
        found.setdefault(key, context)
    return tuple(found.values())


def _tunnel(views: Sequence[Context], route: Route) -> tuple[bool | None, Answer, tuple[Unknown, ...]]:
    """Whether a handshake gets through, what becomes of it in the first version, and why that can't be said."""
    answers = [(view, view.answer(route)) for view in views]
    first = answers[0][1]
    results = {result.tunnel for _, result in answers}
    if len(results) > 1:
        yes = [view.build for view, result in answers if result.tunnel]
        condition = version_condition(yes, [view.build for view in views]) or "with every version"
        place = _title(route.location)
        what = f"whether a WebSocket gets through {place} depends on nginx's version: it does {condition}"
        return None, first, (Unknown(what, route.location.opener),)
    tunnel = results.pop()
    return tunnel, first, (first.unknown if tunnel is None else ())


def _through(
    context: Context, route: Route, tunnel: bool | None, entries: Iterable[Entry]
) -> tuple[bool | None, tuple[Unknown, ...]]:
    """Whether a WebSocket gets through, beyond its handshake's arrival, and why that can't be said."""
    errors = [entry for entry in entries if entry.finding.level is Level.ERROR] if tunnel is not False else []
    if not errors:
        return tunnel, ()
    place = _title(route.location)
    doubts: list[Unknown] = []
    for entry in errors:
        on = version_condition(entry.builds, context.builds)
        if not on and route.location not in entry.spared:
            return False, ()
        how = f"nginx's version: it does not {on}" if on else "the way that it takes"
        what = f"whether a WebSocket gets through {place} depends on {how} ({entry.finding.rule})"
        doubts.append(Unknown(what, route.location.opener))
    return None, () if tunnel is None else tuple(doubts)


def _address_of(handler: Placed | None, upstream: str | None) -> str | None:
    """Where a route leads: the upstream's URL; the address as written where there is none, or another protocol."""
    protocol = handler.name.removesuffix("_pass") if handler is not None else ""
    other = protocol in _PROTOCOLS
    if upstream is not None and not other:
        return upstream
    if handler is None or not handler.args:
        return None
    address = handler.args[0]
    return address if "://" in address or not other else f"{protocol}://{address}"


def _title(scope: Scope) -> str:
    location = location_of(scope)
    title = " ".join(location.opener.args) if location.opener is not None else ""
    return title if scope is location else f"{title} {scope.title}"


def _listens(server: Scope) -> tuple[str, ...]:
    return tuple(_address(placed) for placed in server.all("listen") if placed.args) or ("*:80",)


def _address(placed: Placed) -> str:
    text = placed.args[0]
    if text.startswith("unix:"):
        return text
    if text.isdigit():
        return f"*:{text}"
    return text if ":" in text.rpartition("]")[2] else f"{text}:80"


def _names(server: Scope) -> tuple[str, ...]:
    return tuple(name for placed in server.all("server_name") for name in placed.args)
