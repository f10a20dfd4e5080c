"""What ``ws101 lab try`` says: a table for people, ``ws101/try/1`` for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ws101.lab.sandbox import Report, Tried
from ws101.lab.sandbox_compare import Agreement, Attempt
from ws101.nginx.config import Config, Placed, Unknown
from ws101.report.json.base import Json, request, unknown
from ws101.report.style import Style, columns, cut, wrap
from ws101.report.texts import as_json_text, count, joined, seconds
from ws101.rules.base.aims import location_of
from ws101.text import printable

__all__ = ["as_json", "as_text", "exit_code"]

_ROLES = {Agreement.SAME: "good", Agreement.DIFFERS: "error", Agreement.OPEN: "unknown", Agreement.NOT_TRIED: "unknown"}
_LEGEND = {
    Agreement.SAME: ("tick", "as predicted, each header field at the backend"),
    Agreement.DIFFERS: ("changed", "not as predicted"),
    Agreement.OPEN: ("question", "not predicted: only run time knows"),
}
_PLURAL = {
    "listener": "listeners",
    "backend": "backends",
    "certificate or key": "certificates and keys",
    "password file": "password files",
    "file that nginx writes": "files that nginx writes",
}
"""What is counted, in this order, and the words for more than one."""

_MOST_ROWS = 60
_MOST_LEFT_OUT = 12


def exit_code(report: Report) -> int:
    """0 as predicted, 1 where nginx differs or a route meant for WebSockets got no 101, 2 where nothing was tried."""
    if report.routes and not report.tried:
        return 2
    return int(any(row.differs or row.fails for row in report.routes))


def as_text(report: Report, style: Style) -> str:
    """The table, the differences, and what was moved.

    Args:
        report: What came of it.
        style: What the terminal can show.
    """
    first = sorted(range(len(report.routes)), key=lambda at: not (report.routes[at].differs or report.routes[at].fails))
    rows = [report.routes[at] for at in sorted(first[:_MOST_ROWS])]
    lines = _table(rows, len(report.routes) - len(rows), report.config, style)
    for row in rows:
        lines += _differences(row, report.config, style)
    lines += ["", *_moved(report, style), "", *_closing(report, style)]
    return "\n".join(lines)


def _table(rows: Sequence[Tried], more: int, config: Config, style: Style) -> list[str]:
    heads = ("server", "location", "WebSocket", "plain", "idle timeout", "")
    table = [tuple(style.paint("dim", head) for head in heads)]
    notes: list[str] = []
    for row in rows:
        name, location = (cut(printable(text), 30, style) for text in (_server(row), _location(row)))
        note = _note(row)
        mark = ""
        if note:
            notes += [note] if note not in notes else []
            mark = style.paint("dim", f"[{notes.index(note) + 1}]")
        cells = (_cell(row.websocket, style, fails=row.fails), _cell(row.plain, style), _idle(row, style))
        place = style.paint("path", printable(_place(row, config)))
        table.append((name, location, *cells, f"{place} {mark}".rstrip()))
    rest = [f"  and {more} more (--format json lists them all)"] if more else []
    lines = [*columns(table, indent=2), *rest, "", *_legend(rows, style)]
    for number, note in enumerate(notes, 1):
        first, *others = wrap(f"[{number}] {printable(note)}", style.width - 8)
        lines += [style.paint("dim", f"  {first}"), *(style.paint("dim", f"      {line}") for line in others)]
    return lines


def _legend(rows: Sequence[Tried], style: Style) -> Iterator[str]:
    """What the signs say, of those that are there."""
    there = {attempt.verdict for row in rows for attempt in (row.websocket, row.plain)}
    texts = [f"{style.glyph(sign)} {text}" for verdict, (sign, text) in _LEGEND.items() if verdict in there]
    if texts:
        yield style.paint("dim", "  " + f" {style.glyph('dot')} ".join(texts))


def _cell(attempt: Attempt, style: Style, *, fails: bool = False) -> str:
    """A status, and whether it came out as predicted."""
    role = "error" if fails else _ROLES[attempt.verdict]
    if attempt.verdict == Agreement.NOT_TRIED:
        return style.paint(role, "not tried")
    status = "no answer" if attempt.status is None else str(attempt.status)
    sign = style.glyph(
        {Agreement.SAME: "tick", Agreement.DIFFERS: "changed", Agreement.OPEN: "question"}[attempt.verdict]
    )
    return style.paint(role, f"{status} {sign} no 101" if fails else f"{status} {sign}")


def _idle(row: Tried, style: Style) -> str:
    idle = row.idle
    if idle.predicted is None:
        return "-"
    if idle.agrees is None:
        return seconds(idle.predicted)
    measured = "longer" if idle.measured is None else seconds(idle.measured)
    text = f"{seconds(idle.predicted)}, measured {measured}"
    return style.paint("good" if idle.agrees else "error", text)


def _note(row: Tried) -> str:
    """What there is to say about a route, in one line."""
    parts = []
    if row.fails:
        faults = _faults(row)
        parts.append(f"meant for WebSockets, and no 101{f': {faults}' if faults else ''}")
    traces = [trace for trace in (row.question.websocket, row.question.plain) if trace is not None]
    tried = row.websocket.verdict is not Agreement.NOT_TRIED
    if tried and all(trace.outcome.forwarded is None and trace.outcome.kind != "unknown" for trace in traces):
        parts.append("no backend is asked: nginx itself answers")
    parts += dict.fromkeys(filter(None, (row.websocket.reason, row.plain.reason)))
    return "; ".join(parts)


def _faults(row: Tried) -> str:
    found = row.question.websocket.outcome.forwarded if row.question.websocket is not None else None
    return joined(found.faults) if found is not None else ""


def _differences(row: Tried, config: Config, style: Style) -> Iterator[str]:
    """The requests of a row that were not as predicted, each with a small diff."""
    for what, attempt in (("opening handshake", row.websocket), ("plain request", row.plain)):
        if not attempt.differences:
            continue
        yield ""
        title = f"{printable(_location(row))} ({printable(_place(row, config))}): the {what} is not as predicted"
        yield style.paint("title", title)
        yield f"  {style.paint('removed', '- predicted')}  {style.paint('added', '+ recorded')}"
        for line in attempt.differences:
            yield "    " + style.paint("removed" if line.startswith("-") else "added", printable(line))


def _moved(report: Report, style: Style) -> Iterator[str]:
    """What the sandbox changed, and what it left out."""
    counts = [(what, report.counts[what]) for what in _PLURAL if what in report.counts]
    counted = joined(f"{number} {_PLURAL[what]}" if number > 1 else f"1 {what}" for what, number in counts)
    yield from wrap(f"moved into the sandbox: {counted or 'nothing'}; everything else as it is", style.width)
    told: dict[str, list[str]] = {}
    for what, placed in report.left_out:
        told.setdefault(what, []).append(_where(placed, report.config))
    for what, places in list(told.items())[:_MOST_LEFT_OUT]:
        more = f" and {len(places) - 1} more" if len(places) > 1 else ""
        yield f"  {style.glyph('bullet')} {printable(what)} ({style.paint('path', printable(places[0]))}{more})"
    if len(told) > _MOST_LEFT_OUT:
        yield f"  and {len(told) - _MOST_LEFT_OUT} more (--format json lists them all)"


def _closing(report: Report, style: Style) -> Iterator[str]:
    """The sum of it all."""
    differ = sum(row.differs for row in report.routes)
    failed = sum(row.fails for row in report.routes)
    open_ = sum(Agreement.OPEN in (row.websocket.verdict, row.plain.verdict) for row in report.routes)
    untried = len(report.routes) - report.tried
    said = ", all as predicted" if report.tried and not (differ or open_) else ""
    parts = [style.paint("good" if said else "title", f"{count(report.tried, 'route')} tried{said}")]
    if differ:
        parts.append(style.paint("error", f"{differ} not as predicted"))
    if failed:
        parts.append(style.paint("error", f"{failed} meant for WebSockets without a 101"))
    parts += [style.paint("unknown", f"{open_} not predicted in full")] if open_ else []
    parts += [style.paint("unknown", f"{untried} not tried")] if untried else []
    yield f"{'; '.join(parts)} {style.glyph('dot')} nginx {report.binary.build.number} ({report.binary.path})"
    if failed:
        yield f"why, and what to change: {style.paint('code', 'ws101 check ' + printable(report.config.path))}"
    if report.beyond:
        yield (
            f"{count(report.beyond, 'route')} beyond the limit: not tried "
            f"({style.paint('code', f'--limit {len(report.routes) + report.beyond}')} tries all)"
        )


def _server(row: Tried) -> str:
    server = row.question.route.server
    names = [arg for placed in server.all("server_name") for arg in placed.args if arg not in ("", "_")]
    if names:
        return f"{names[0]} +{len(names) - 1}" if len(names) > 1 else names[0]
    return "listen " + next((placed.args[0] for placed in server.all("listen") if placed.args), "*:80")


def _location(row: Tried) -> str:
    scope = row.question.route.location
    outer = location_of(scope)
    title = " ".join(outer.opener.args) if outer.opener is not None else "location"
    return title if scope is outer else f"{title} {scope.title}"


def _place(row: Tried, config: Config) -> str:
    opener = row.question.route.location.opener or row.question.route.handler
    return _where(opener, config) if opener is not None else ""


def _where(placed: Placed, config: Config) -> str:
    return placed.where.removeprefix(config.prefix.rstrip("/") + "/")


def as_json(report: Report) -> Json:
    """``ws101/try/1``."""
    return {
        "schema": "ws101/try/1",
        "nginx": {"version": report.binary.build.number, "source": "binary", "program": report.binary.path},
        "routes": [_route(row) for row in report.routes],
        "beyond_limit": report.beyond,
        "moved": dict(report.counts),
        "left_out": [unknown(Unknown(what, placed)) for what, placed in report.left_out],
    }


def _route(row: Tried) -> Json:
    route = row.question.route
    opener = route.location.opener or route.handler
    handler = route.handler
    return {
        "server_names": [as_json_text(arg) for placed in route.server.all("server_name") for arg in placed.args],
        "location": as_json_text(_location(row)),
        "file": as_json_text(opener.directive.source.path) if opener is not None else None,
        "line": opener.directive.line if opener is not None else None,
        "upstream": as_json_text(handler.args[0]) if handler is not None and handler.args else None,
        "intent": row.intent,
        "websocket": _attempt(row.websocket, row.question.websocket is not None),
        "plain": _attempt(row.plain, row.question.plain is not None),
        "idle_timeout": {
            "predicted": row.idle.predicted,
            "measured": None if row.idle.measured is None else round(row.idle.measured, 2),
            "agrees": row.idle.agrees,
        },
    }


def _attempt(attempt: Attempt, made: bool) -> Json:
    return {
        "verdict": attempt.verdict,
        "status": attempt.status,
        "predicted_status": attempt.predicted,
        "tunnel": attempt.tunnel if made else None,
        "differences": [as_json_text(line) for line in attempt.differences],
        "reason": as_json_text(attempt.reason) or None,
        "recorded": request(attempt.recorded),
    }
