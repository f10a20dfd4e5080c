"""``ws101 diff`` for people: the routes whose outcome changes, and what changes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from ws101.changes import Compared, Comparison, RouteChange
from ws101.report.style import Style, wrap
from ws101.report.subject import Subject, condition
from ws101.report.texts import count, joined, shown_where
from ws101.text import printable

__all__ = ["diff", "meaning"]

_MOST = 60
_VERDICTS = {
    "refused": ("error", "nginx refuses this configuration"),
    "changed": ("warning", "requests get another outcome"),
    "unknown": ("unknown", "whether requests get another outcome depends on what only run time knows"),
    "settings": ("note", "the outcomes are the same, and directives differ that no outcome shows"),
    "same": ("good", "every request gets the same outcome"),
}
_CHANGES = {
    "changed": ("warning", "changed"),
    "added": ("added", "added"),
    "removed": ("removed", "removed"),
    "settings": ("note", "settings"),
    "unknown": ("unknown", "unknown"),
}
_WEBSOCKETS = {
    "broken": ("error", "a WebSocket handshake that arrived does not arrive any more"),
    "repaired": ("good", "a WebSocket handshake now arrives"),
    "unknown": ("unknown", "whether a WebSocket handshake arrives is unknown"),
}


def diff(item: Comparison, subject: Subject, style: Style) -> str:
    """Two configurations compared.

    Args:
        item: The comparison.
        subject: The new configuration, and the nginx versions.
        style: What the terminal can show.
    """
    counted = style.paint("dim", f"{_counted(item)}, read as {subject.nginx_line}")
    return "\n".join((_compared(item, style), "", counted))


def meaning(item: Comparison | None, style: Style, *, unknown: str = "") -> str:
    """What changes of files mean: the verdict, and every route that is not the same.

    Args:
        item: The comparison; None if what was before is not known.
        style: What the terminal can show.
        unknown: Why it is not known.
    """
    if item is None:
        first, *rest = wrap(f"what this means for routes is unknown: {unknown}", style.width)
        return "\n".join((style.paint("unknown", first), *rest))
    return _compared(item, style)


def _compared(item: Comparison, style: Style) -> str:
    role, said = _VERDICTS[item.class_]
    lines = [f"{style.paint(role, item.class_)}: {said}"]
    for problem in item.problems[:1]:
        place = f"{printable(problem.span.path)}:{problem.line}"
        lines += [f"  {printable(problem.message)}", f"  {style.paint('path', place)}"]
    touched = () if item.problems else item.touched
    for route in touched[:_MOST]:
        lines += ["", *_route(route, item, style)]
    if len(touched) > _MOST:
        lines += ["", f"and {len(touched) - _MOST} more routes (--format json lists them all)"]
    if item.around:
        lines += ["", style.paint("title", "Outside the servers")]
        lines += [line for clause in item.around[:_MOST] for line in _bullet(clause, style, 2)]
    return "\n".join(lines)


def _counted(item: Comparison) -> str:
    counted = Counter(route.change for route in item.routes)
    parts = [f"{number} {change}" for change, number in counted.most_common()]
    return f"{count(len(item.routes), 'route')}: {joined(parts)}" if parts else "no routes"


def _route(route: RouteChange, item: Comparison, style: Style) -> Iterator[str]:
    role, word = _CHANGES[route.change]
    server = route.server_names[0] if route.server_names and route.server_names[0] else joined(route.listen[:1])
    places = dict.fromkeys(
        filter(None, (shown_where(route.old, item.old.prefix), shown_where(route.new, item.new.prefix)))
    )
    head = style.paint("title", f"{printable(server)}  {printable(route.location)}")
    where = f" {style.glyph('arrow')} ".join(places)
    yield f"{style.paint(role, word)}  {head}  {style.paint('path', where)}"
    if route.websocket in _WEBSOCKETS:
        role, said = _WEBSOCKETS[route.websocket]
        yield f"  {style.paint(role, said)}"
    for kinds, clauses in _grouped(route.requests, item).items():
        yield f"  {kinds}"
        for clause in clauses:
            yield from _bullet(clause, style, 4)
    for clause in route.settings:
        yield from _bullet(clause, style, 2)


def _grouped(requests: Sequence[Compared], item: Comparison) -> dict[str, tuple[str, ...]]:
    """The clauses by the requests that they are about."""
    by_clauses: defaultdict[tuple[tuple[str, ...], str, str], list[str]] = defaultdict(list)
    for one in requests:
        clauses = one.differences or tuple(f"not known: {u.reason}" for u in one.unknown)
        versions = "" if one.builds == item.builds else f" on {condition(one.builds, item.builds)}"
        by_clauses[clauses, versions, one.request.target].append(one.kind)
    return {
        f"{joined(kinds)} of {printable(target)}{versions}": clauses
        for (clauses, versions, target), kinds in by_clauses.items()
    }


def _bullet(text: str, style: Style, indent: int) -> list[str]:
    first, *rest = wrap(printable(text, limit=400), style.width - indent - 2)
    lead = " " * indent
    return [f"{lead}{style.glyph('bullet')} {first}", *(f"{lead}  {line}" for line in rest)]
