"""``ws101 diagnose --html``: a diagnosis as one page that opens anywhere and loads nothing."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.diagnose import Diagnosis, Observed, RootCause
from ws101.diagnose.base import Tried
from ws101.lazy import dataclass
from ws101.probes.attribution import Answerer
from ws101.report.diff import diff_lines, paint_diff
from ws101.report.excerpt import Mark, excerpt
from ws101.report.html.base import Markup, colored, element, escaped, joined, row, table, told
from ws101.report.html.look import POLICY, STYLE
from ws101.report.html.measured import Logbook, logbook, silence, timeline
from ws101.report.html.way import way, wire
from ws101.report.style import Style
from ws101.report.subject import Subject
from ws101.report.terminal.diagnose import gathered
from ws101.report.terminal.probe import ANSWERED
from ws101.report.texts import seconds, shown_where

__all__ = ["MARKER", "Cover", "diagnose"]

MARKER = '<meta name="generator" content="ws101">'
"""By this a page is known as one of ours."""

_PAINTED = Style(color=True, width=100)
_MEANING = {
    "works": "The WebSocket works",
    "degraded": "It works, and will bite",
    "broken": "The WebSocket is broken",
    "unknown": "Whether it works is not known",
}


@dataclass(frozen=True, slots=True)
class Cover:
    """What stands around a diagnosis.

    Args:
        made: When it was made, in words.
        version: Which ws101 made it.
        apply_command: The command that applies the fixes; empty if there is none to offer.
        pasted: The browser's line, if one was given.
        logs: What the access logs say; None if none was read.
    """

    made: str = ""
    version: str = ""
    apply_command: str = ""
    pasted: str = ""
    logs: Logbook | None = None


def diagnose(found: Diagnosis, subject: Subject | None, cover: Cover) -> str:
    """The page, whole.

    Args:
        found: The diagnosis.
        subject: The configuration; None without one.
        cover: What stands around it.
    """
    fixes = tuple(_fixes(found, subject, cover.apply_command))
    sections = (
        ("cause", _causes_title(found), _causes(found, subject)),
        ("fix", "The fix", joined(fixes)),
        ("way", "The way of the handshake", way(found, subject)),
        ("time", "How long the handshake took", timeline(found)),
        ("silence", "How long the tunnel may stay silent", silence(found, subject.config.prefix if subject else "")),
        ("logs", "How tunnels ended, by the logs", logbook(cover.logs)),
        ("wire", "On the wire", wire(found)),
        ("tried", "What was tried", _tried(found)),
        ("unknown", "What is not known", _unknown(found, subject)),
    )
    shown = (_section(name, title, body) for name, title, body in sections if body)
    body = joined((_header(found, cover), element("main", *shown), _footer(subject, cover)))
    return f"{_head(found)}<body>\n{body}\n</body>\n</html>\n"


def _head(found: Diagnosis) -> str:
    title = element("title", f"{found.verdict}: ", told(found.url))
    policy = element("meta", http_equiv="Content-Security-Policy", content=POLICY)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'{policy}\n{MARKER}\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f"{title}\n<style>{STYLE}</style>\n</head>\n"
    )


def _section(name: str, title: str, body: Markup) -> Markup:
    return element("section", element("h2", title, id=name), body, aria_labelledby=name)


def _header(found: Diagnosis, cover: Cover) -> Markup:
    lines = [element("p", found.verdict, class_="verdict"), element("h1", told(found.url))]
    lead = told(found.root_causes[0].message) if found.root_causes and found.verdict != "works" else Markup()
    said = joined((_MEANING[found.verdict], ": ", lead)) if lead else _MEANING[found.verdict]
    lines.append(element("p", said, ".", class_="lead"))
    lines.append(element("p", _status(found.observed), class_="dim"))
    if cover.pasted:
        lines.append(element("p", "The browser said: ", element("q", told(cover.pasted)), class_="dim"))
    if found.agrees is False:
        lines.append(element("p", "This is not what the configuration says should happen."))
    return element("header", *lines, class_=found.verdict)


def _status(seen: Observed | None) -> Markup:
    if seen is None:
        return Markup("No connection was opened: this is what the configuration says.")
    if seen.status is None:
        return joined(("No answer: ", told(seen.message), "."))
    steps = (seen.timings.dns, seen.timings.tcp, seen.timings.tls, seen.timings.http)
    total = seconds(sum(step for step in steps if step is not None))
    who = ANSWERED[Answerer(seen.answered_by)]
    return joined(
        (element("strong", told(f"{seen.status} {seen.reason}".rstrip())), f", answered by {who} in {total}.")
    )


def _causes_title(found: Diagnosis) -> str:
    if found.verdict in ("works", "degraded") and found.root_causes:
        return "What to know"
    return "The cause" if len(found.root_causes) < 2 else "The causes, the first to bite first"


def _causes(found: Diagnosis, subject: Subject | None) -> Markup:
    if not found.root_causes:
        none = "Nothing stands against it." if found.verdict == "works" else "No cause could be named."
        return joined((element("p", none), _question(found)))
    return joined((*(_cause(item, subject) for item in found.root_causes), _question(found)))


def _question(found: Diagnosis) -> Markup:
    if not found.next_question:
        return Markup()
    return element("p", element("strong", "Next: "), told(found.next_question), class_="help next")


def _cause(cause: RootCause, subject: Subject | None) -> Markup:
    level, sure = cause.level.value, cause.confidence
    badges = joined((element("span", level, class_=f"badge {level}"), element("code", told(cause.rule)),
                     element("span", sure, class_="badge sure")), " ")  # fmt: skip
    parts = [element("p", badges), element("h3", told(cause.message))]
    if cause.span is not None and subject is not None:
        lines = excerpt(subject.sources, [Mark(cause.span, role=level)], _PAINTED, context=2)
        parts.append(_pre(colored(lines), "the place in the configuration"))
    if cause.evidence:
        parts.append(element("ul", *(element("li", told(clause)) for clause in cause.evidence)))
    if cause.help and (cause.fix is None or cause.help != cause.fix.title):
        parts.append(element("p", element("strong", "Help: "), told(cause.help), class_="help"))
    return element("div", *parts, class_="cause")


def _pre(body: Markup, label: str) -> Markup:
    """Preformatted text that can be scrolled with the keyboard."""
    return element("pre", body, tabindex="0", role="region", aria_label=label)


def _fixes(found: Diagnosis, subject: Subject | None, command: str) -> Iterator[Markup]:
    """Each fix as a diff, and the command that applies them."""
    fixes = [*dict.fromkeys(cause.fix for cause in found.root_causes if cause.fix is not None)]
    for fix in fixes:
        parts = [element("h3", told(fix.title))]
        if fix.reason:
            badge = element("span", fix.safety.value, class_="badge warning")
            parts.append(element("p", badge, " ", told(fix.reason)))
        lines = paint_diff(diff_lines(subject.sources if subject else {}, fix.edits), _PAINTED)
        parts.append(_pre(colored(lines), "the change as a diff"))
        yield element("div", *parts, class_="fix")
    if command and fixes:
        yield element("p", "Apply it, with a proof and a way back: ", element("code", command), class_="remark")


def _tried(found: Diagnosis) -> Markup:
    """Every request that was made, and which of them decided."""
    deciding = {name for cause in found.root_causes for name in cause.decided_by}
    if not found.tried:
        return Markup()
    rows = (_one_tried(item, times, decided=item.name in deciding) for item, times in gathered(found.tried))
    caption = "Each differs from the handshake in one thing; together they decide the cause."
    return table(caption, _TRIED, rows, "tried")


_TRIED = ("request", "answer", "took")


def _one_tried(item: Tried, times: int, *, decided: bool) -> Markup:
    sign = element("span", "✓" if item.passed else "✗", class_="tick-good" if item.passed else "tick-bad",
                   role="img", aria_label="passed" if item.passed else "failed")  # fmt: skip
    mark = (" ", element("span", "decided", class_="badge sure")) if decided else ()
    again = f", {times} times" if times > 1 else ""
    name = joined((sign, " ", told(item.title), again, *mark))
    return row(_TRIED, (name, told(item.answer), seconds(item.seconds)), ("th",))


def _unknown(found: Diagnosis, subject: Subject | None) -> Markup:
    items = [_doubt(told(item.reason), shown_where(item.origin)) for item in found.unknown]
    if found.observed is None:
        items.append(Markup("what the live site answers: no connection was opened"))
    if subject is None:
        items.append(Markup("what nginx's configuration says: none was at hand"))
    kept = dict.fromkeys(items)
    if not kept:
        return element("p", "Nothing that was needed was left open.")
    return element("ul", *(element("li", item) for item in kept), class_="plain")


def _doubt(reason: Markup, where: str) -> Markup:
    return joined((reason, " ", element("span", where, class_="mono path"))) if where else reason


def _footer(subject: Subject | None, cover: Cover) -> Markup:
    lines = []
    if subject is not None:
        lines.append(
            joined((element("span", told(subject.config.path), class_="mono"), f", read as {subject.nginx_line}"))
        )
    by = " ".join(filter(None, ("Made by ws101", cover.version, cover.made and f"on {cover.made}")))
    lines.append(escaped(f"{by}. Secrets are masked: *** stands for a value that was there."))
    return element("footer", *(element("p", line) for line in lines))
