"""A unified diff of edits, exact to the byte, in time that depends on the edits and not on the file.

Only LF ends a line here, as in nginx: CR, NEL and form feeds stay inside their lines, so ``patch`` can apply it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher

from ws101.report.excerpt import mask_config
from ws101.report.style import Style
from ws101.text import Edit, Source, Span, apply, printable

__all__ = ["diff_lines", "link_diff_lines", "paint_diff", "text_diff_lines", "unified"]

_CONTEXT = 3
_LONG = 4000
"""Lines from which on frequent ones (``}``) are not matched: the diff gets longer, and is done in linear time."""
_NO_NEWLINE = "\\ No newline at end of file\n"


def unified(sources: Mapping[str, Source], edits: Iterable[Edit]) -> str:
    """The diff as text for ``patch``, latin-1; empty if nothing changes.

    Args:
        sources: The files by path; one that is not there is created.
        edits: Edits of any number of files.
    """
    return "".join(diff_lines(sources, edits))


def diff_lines(sources: Mapping[str, Source], edits: Iterable[Edit]) -> Iterator[str]:
    """The diff line by line, each with its line end."""
    by_path: dict[str, list[Edit]] = {}
    for edit in edits:
        by_path.setdefault(edit.span.path, []).append(edit)
    for path, mine in by_path.items():
        source = sources.get(path)
        body = list(_hunks(source or Source(path, ""), mine))
        if body:
            yield f"--- {path if source else '/dev/null'}\n"
            yield f"+++ {path}\n"
            yield from body


def text_diff_lines(sources: Mapping[str, Source], texts: Mapping[str, str]) -> Iterator[str]:
    """The diff from the old texts to new ones (latin-1), line by line, where the edits are not at hand.

    Args:
        sources: The old files by path; one that is not there is created.
        texts: The new text of each changed file, by path.
    """
    for path, text in texts.items():
        source = sources.get(path)
        edit = _changed_middle(source.text if source else "", text, path)
        yield from diff_lines(sources, (edit,))


def link_diff_lines(path: str, target: str, *, made: bool) -> Iterator[str]:
    """The diff of a symlink that is made or removed, as git writes it; ``patch`` takes it too.

    Args:
        path: Its name.
        target: Where it points.
        made: Whether it is made; else it is removed.
    """
    yield f"diff --git {path} {path}\n"
    yield f"{'new' if made else 'deleted'} file mode 120000\n"
    yield f"--- {'/dev/null' if made else path}\n"
    yield f"+++ {path if made else '/dev/null'}\n"
    yield f"@@ {'-0,0 +1' if made else '-1 +0,0'} @@\n"
    yield _marked("+" if made else "-", target)


def _changed_middle(old: str, new: str, path: str) -> Edit:
    """What is between the lines that both texts begin and end with, as one edit."""
    before, after = _lines(old), _lines(new)
    shortest = min(len(before), len(after))
    head = next((i for i in range(shortest) if before[i] != after[i]), shortest)
    tail = next((i for i in range(shortest - head) if before[-1 - i] != after[-1 - i]), shortest - head)
    start = sum(map(len, before[:head]))
    stop = len(old) - sum(map(len, before[len(before) - tail :]))
    return Edit(Span(path, start, stop), "".join(after[head : len(after) - tail]))


def _hunks(source: Source, edits: Sequence[Edit]) -> Iterator[str]:
    shift = 0
    for start, end, first in _regions(source, edits):
        inside = [e for e in edits if start <= e.span.start and e.span.end <= end]
        moved = [Edit(Span(e.span.path, e.span.start - start, e.span.end - start), e.text) for e in inside]
        old = _lines(source.text[start:end])
        new = _lines(apply(source.text[start:end], moved))
        for group in SequenceMatcher(None, old, new, autojunk=len(old) > _LONG).get_grouped_opcodes(_CONTEXT):
            yield from _hunk(group, old, new, first, shift)
        shift += len(new) - len(old)


def _regions(source: Source, edits: Sequence[Edit]) -> list[tuple[int, int, int]]:
    """Stretches of whole lines around the edits, each with the number of its first line."""
    last = max(1, source.line(len(source.text)) - (1 if source.text.endswith("\n") else 0))
    found: list[list[int]] = []
    for edit in sorted(edits, key=lambda e: (e.span.start, e.span.end)):
        low = max(1, min(source.line(edit.span.start), last) - _CONTEXT)
        high = min(last, source.line(edit.span.end) + _CONTEXT)
        if found and low <= found[-1][1] + 1:
            found[-1][1] = max(found[-1][1], high)
        else:
            found.append([low, high])
    return [(_line_start(source, low), _line_start(source, high + 1), low) for low, high in found]


def _line_start(source: Source, line: int) -> int:
    """Offset of a 1-based line; the text's end for a line after the last."""
    if line <= 1:
        return 0
    low, high = 0, len(source.text)
    while low < high:
        middle = (low + high) // 2
        if source.line(middle) < line:
            low = middle + 1
        else:
            high = middle
    return low


def _lines(text: str) -> list[str]:
    parts = text.split("\n")
    lines = [part + "\n" for part in parts[:-1]]
    return [*lines, parts[-1]] if parts[-1] else lines


def _hunk(
    group: Sequence[tuple[str, int, int, int, int]], old: list[str], new: list[str], first: int, shift: int
) -> Iterator[str]:
    a, b = (group[0][1], group[-1][2]), (group[0][3], group[-1][4])
    yield f"@@ -{_range(a, first)} +{_range(b, first + shift)} @@\n"
    for tag, old_from, old_to, new_from, new_to in group:
        if tag == "equal":
            yield from (_marked(" ", line) for line in old[old_from:old_to])
            continue
        yield from (_marked("-", line) for line in old[old_from:old_to])
        yield from (_marked("+", line) for line in new[new_from:new_to])


def _range(part: tuple[int, int], first: int) -> str:
    """``start,length``; an empty range names the line before it (POSIX diff -u)."""
    length = part[1] - part[0]
    start = first + part[0] - (0 if length else 1)
    return str(start) if length == 1 else f"{start},{length}"


def _marked(sign: str, line: str) -> str:
    return f"{sign}{line}" if line.endswith("\n") else f"{sign}{line}\n{_NO_NEWLINE}"


_ROLES = {"+": "added", "-": "removed", "@": "gutter"}


def paint_diff(lines: Iterable[str], style: Style) -> list[str]:
    """The diff for a terminal: coloured, control characters escaped, secrets masked."""
    shown = []
    for line in lines:
        head = line.startswith(("--- ", "+++ "))
        text = printable(mask_config(line).rstrip("\r\n"))
        role = "title" if head else _ROLES.get(line[:1], "")
        shown.append(style.paint(role, text) if role else text)
    return shown
