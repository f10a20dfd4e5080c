"""``ws101 seal`` and ``ws101 drift`` for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ws101.manifest import Change, Drift, Manifest, Running
from ws101.report.style import Style, columns, wrap
from ws101.report.texts import count, seconds
from ws101.text import printable

__all__ = ["drift", "sealed"]

_MOST = 200
_ROLES = {
    "added": "added",
    "removed": "removed",
    "missing": "error",
    "unloaded": "removed",
    "content": "error",
    "truncated": "error",
    "line-ends": "warning",
    "mode": "warning",
    "owner": "warning",
    "link": "warning",
    "unreadable": "unknown",
}
_VERDICTS = {
    "clean": ("good", "nothing has changed since the seal"),
    "drift": ("error", "the files are not what was sealed"),
    "refused": ("error", "nginx refused its last reload: it runs an older configuration"),
    "stale": ("warning", "nginx has not loaded what is on the disk"),
    "unchecked": ("unknown", "not everything could be checked"),
}


def sealed(manifest: Manifest, main: str, target: str, signature: str, style: Style) -> str:
    """What was sealed.

    Args:
        manifest: What was sealed.
        main: The main file.
        target: Where the manifest was written.
        signature: Where the signature was written; empty if there is none.
        style: What the terminal can show.
    """
    files = count(len(manifest.entries), "file")
    lines = [f"{style.paint('good', 'sealed')}: {files} of {printable(main)} in {style.paint('path', target)}"]
    if signature:
        lines.append(f"signed: {style.paint('path', signature)}")
    return "\n".join((*lines, *_uncovered(manifest.uncovered, style)))


def _uncovered(items: Sequence[str], style: Style) -> Iterator[str]:
    if items:
        yield style.paint("unknown", "Not covered")
        for item in items:
            first, *rest = wrap(printable(item), style.width - 4)
            yield f"  {style.glyph('question')} {first}"
            yield from (f"    {line}" for line in rest)


def drift(item: Drift, style: Style, *, signed: str = "", meaning: str = "") -> str:
    """What has changed since the seal.

    Args:
        item: What was found.
        style: What the terminal can show.
        signed: What was said of the signature; empty if none was asked for.
        meaning: What the changes mean for routes; empty if there is nothing to say.
    """
    role, said = _VERDICTS[item.class_]
    lines = [f"{style.paint(role, item.class_)}: {said} ({count(len(item.new.entries), 'file')})"]
    lines += _changes(item.changes, style)
    if meaning:
        lines += ["", meaning]
    lines += _running(item, style)
    lines += _uncovered(item.new.uncovered, style)
    if signed:
        lines.append(f"signature: {printable(signed)}")
    return "\n".join(lines)


def _changes(changes: Sequence[Change], style: Style) -> list[str]:
    rows = [
        (
            style.paint(_ROLES[change.kind], change.kind),
            style.paint("path", printable(change.name)),
            printable(change.detail),
        )
        for change in changes[:_MOST]
    ]
    left = len(changes) - _MOST
    return [*columns(rows, indent=2), *([f"  and {left} more (--format json lists them all)"] if left > 0 else [])]


def _running(item: Drift, style: Style) -> list[str]:
    if item.running is None:
        return ["", f"{style.paint('title', 'Running')}: {printable(item.not_running)}"] if item.not_running else []
    run = item.running
    lines = ["", f"{style.paint('title', 'Running')}: {_program(run)}"]
    if run.replaced:
        lines.append("  the program on the disk is another one than the one that runs")
    if run.refused:
        first, *rest = wrap(f"the last reload was refused: {printable(run.refused)}", style.width - 2)
        lines += [f"  {style.paint('error', first)}", *(f"  {line}" for line in rest)]
    rows = [
        (style.paint("path", printable(s.name)), f"{s.what}, {seconds(s.after)} after the workers had started")
        for s in run.stale[:_MOST]
    ]
    lines += columns(rows, indent=2)
    if len(run.stale) > _MOST:
        lines.append(f"  and {len(run.stale) - _MOST} more")
    if run.stale:
        lines.append("  reload nginx to load them, or find out who changed them")
    return [*lines, *(f"  {style.glyph('question')} {printable(text)}" for text in run.unknown)]


def _program(run: Running) -> str:
    version = f" {run.version}" if run.version else ""
    return f"nginx{version}, process {run.pid}" + (f", {printable(run.program)}" if run.program else "")
