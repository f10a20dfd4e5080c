"""What the file itself says to ws101, in comments.

::

    location /ws {            # ws101: websocket
    location /feed {          # ws101: heartbeat 20s
    location /status {        # ws101: ignore[read-timeout] reports every second

A remark at the end of a line speaks of the directive on that line, a remark on a line of its own of the directive after
it; either also of the block it stands in.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from ws101.lazy import dataclass, lazy_pattern
from ws101.nginx.config import Config
from ws101.syntax import Directive, Tree, comments
from ws101.text import Span

__all__ = ["Remark", "read_remarks", "seconds"]

_MARK = "ws101:"
_REMARK = lazy_pattern(r"#+[ \t]*ws101:[ \t]*([a-z-]+)(?:\[([^\]]*)\])?[ \t]*(.*)")
_TIME = lazy_pattern(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}


@dataclass(frozen=True, slots=True)
class Remark:
    """One comment.

    Args:
        kind: ``websocket``, ``heartbeat``, ``ignore``, or whatever word stands there.
        names: What stands in brackets, split at commas.
        rest: What follows.
        span: The comment.
        target: The directive it speaks of; None at the end of a block.
        around: The block directive it stands in; None at the top of a file.
    """

    kind: str
    names: tuple[str, ...]
    rest: str
    span: Span
    target: Directive | None
    around: Directive | None

    @property
    def location(self) -> Directive | None:
        """The location it speaks of: the target if it is one, else the nearest around it."""
        if self.target is not None and self.target.name == "location":
            return self.target
        around = self.around
        while around is not None and around.name != "location":
            around = around.parent
        return around

    @property
    def block(self) -> Directive | None:
        """The block it speaks of: the target if it is a block, else the one around it."""
        if self.target is not None and self.target.block is not None:
            return self.target
        return self.around


def seconds(text: str) -> float | None:
    """A time such as ``20s`` or ``1m`` in seconds; None if it is none."""
    match = _TIME.fullmatch(text)
    return float(match[1]) * _UNITS[match[2]] if match else None


def read_remarks(config: Config) -> tuple[Remark, ...]:
    """All remarks of all files that nginx loads."""
    return tuple(remark for tree in config.trees.values() for remark in _of_tree(tree))


def _of_tree(tree: Tree) -> Iterator[Remark]:
    text = tree.source.text
    for span in comments(tree.source, _MARK):
        match = _REMARK.fullmatch(text[span.start : span.end].rstrip(" \t\r"))
        if match:
            names = tuple(name.strip() for name in (match[2] or "").split(",") if name.strip())
            target, around = _places(tree, span.start)
            yield Remark(match[1], names, match[3], span, target, around)


def _places(tree: Tree, offset: int) -> tuple[Directive | None, Directive | None]:
    """The directive that a comment speaks of, and the block around it."""
    around: Directive | None = None
    siblings = tree.directives
    while True:
        at = bisect_right(siblings, offset, key=lambda d: d.start)
        before = siblings[at - 1] if at else None
        if before is None or before.end <= offset or before.block is None or offset < before.head_stop:
            break
        around, siblings = before, before.block
    line = tree.source.line
    if before is not None and line(max(before.end - 1, before.start)) == line(offset):
        return before, around
    if around is not None and line(around.head_stop) == line(offset):
        return around, around
    return (siblings[at] if at < len(siblings) else None), around
