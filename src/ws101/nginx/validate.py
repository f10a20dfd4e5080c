"""nginx's verdict on a whole configuration: what ``nginx -t`` refuses, in its words, on its line, in its order.

Theory of operation.  nginx reads a configuration once, from the first byte of the main file to its last, following
each include where it stands; at the end of ``http`` it merges the levels, builds the trees of locations, and last of
all looks for variables nobody defines.  It stops at the first fault.  The walk here takes the same way and goes on
after a fault, so the first verdict is nginx's own, and the later ones are what it would say next.

How it is fast: what a statement says by itself depends on its text and its context alone, so each distinct text is
judged once (``judging``).  What depends on its neighbours (a second one of its kind, a location inside a location) is
kept for each block while it is walked (``blocks``).  Nothing here recurses.

Source: src/core/ngx_conf_file.c (ngx_conf_handler), src/http/ngx_http.c (ngx_http_block).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ws101.lazy import dataclass
from ws101.nginx.blocks import HERE, Http, Level, Place
from ws101.nginx.build import Build
from ws101.nginx.config import Config
from ws101.nginx.directives import HANDLED_BLOCKS, inner_context
from ws101.nginx.judging import Judge, Judgement
from ws101.syntax import MAX_PROBLEMS, Directive, Problem, Tree, uncollected
from ws101.text import Span

__all__ = ["Refusal", "validate"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason why nginx refuses the configuration.

    Args:
        message: nginx's words, without the trailing " in file:line".
        span: The place to show to people.
        line: The line nginx prints; None if it prints no place.
        file: The file nginx prints: the span's, or that of ``http`` for what it finds at the end of it.
        builds: The nginx that refuse it; all that were asked, or some.
        certain: False if a module that is perhaps there, or a file that could not be read, may know better.
        directive: The directive it is about; None for what is wrong with the text itself.
    """

    message: str
    span: Span
    line: int | None
    file: str
    builds: tuple[Build, ...]
    certain: bool = True
    directive: Directive | None = None


@dataclass(slots=True)
class _File:
    """A file that is being read: the syntax problems nginx has not come to yet."""

    tree: Tree
    problems: list[Problem]

    @property
    def next_stop(self) -> int | None:
        return self.problems[-1].offset if self.problems else None


@dataclass(slots=True)
class _Frame:
    """Directives that are being walked: a block's, or those of a file that is included in it."""

    rest: Iterator[Directive]
    level: Level
    file: _File
    whole_file: bool
    via: Directive | None = None


def validate(config: Config, builds: Sequence[Build]) -> tuple[Refusal, ...]:
    """What nginx refuses, in the order in which it would say so; the first is the one ``nginx -t`` prints.

    Garbage gets little more than ``MAX_PROBLEMS`` of them.

    Args:
        config: The configuration.
        builds: The nginx; several if the version is unknown.
    """
    with uncollected():
        walk = _Walk(config, tuple(builds))
        found = walk.run()
        del walk.http  # it knows the walk: both would wait for the garbage collector
        return found


class _Walk:
    def __init__(self, config: Config, builds: tuple[Build, ...]) -> None:
        self.config = config
        self.builds = builds
        self.found: list[Refusal] = []
        self.seen: set[tuple[str, int, str]] = set()
        self.judge = Judge(builds, _loaded_modules(config))
        self.http = Http(config, builds, self.judge, self._say)
        self.includes: dict[tuple[str, int], list[Problem]] = {}
        for problem in config.include_problems:
            self.includes.setdefault((problem.span.path, problem.span.start), []).append(problem)
        self.stack: list[_Frame] = []
        self.open: set[str] = set()

    def run(self) -> tuple[Refusal, ...]:
        main = self._outermost()
        self._open_file(self.config.path, main)
        while self.stack and len(self.found) < MAX_PROBLEMS:
            frame = self.stack[-1]
            opened = self._step(frame)
            if not opened:
                self.stack.pop()
                if frame.whole_file:
                    self.open.remove(frame.file.tree.source.path)
                    self._syntax(frame.file, None)
                elif frame.level.opener is not None:
                    self._close(frame)
        if not self.stack:
            self.http.finish_main(main)
        return tuple(self.found)

    def _outermost(self) -> Level:
        """The level the main file stands in; a fragment's blocks around it are made up."""
        level = Level("main", None, None)
        wanted = self.config.fragment or "main"
        for kind in ("http", "server", "location"):
            if wanted == level.context:
                break
            level = Level(kind, None, level)
            self.http.open_synthetic(level)
        return level

    def _open_file(self, path: str, level: Level, via: Directive | None = None) -> bool:
        tree = self.config.trees.get(path)
        if tree is None or path in self.open:
            return False
        self.open.add(path)
        self.stack.append(_Frame(iter(tree.directives), level, _File(tree, list(reversed(tree.problems))), True, via))
        return True

    def _step(self, frame: _Frame) -> bool:
        """Walk on until a block or a file is opened; whether one was."""
        level, file = frame.level, frame.file
        judged = self.judge.of(level.context)
        text = file.tree.source.text
        seen = level.seen
        for directive in frame.rest:
            if file.problems and directive.head_stop >= file.problems[-1].offset:
                self._syntax(file, directive.head_stop)
            end = directive.end if directive.block is None else directive.head_stop
            key = text[directive.start : end]
            judgement = judged.get(key)
            if judgement is None:
                judgement = self.judge.judge(directive, level.context, key)
            if judgement.silent:
                continue
            once = judgement.once
            if once is not None and (judgement.late or not judgement.refusals):
                if once in seen:
                    self._say(f'"{once}" directive is duplicate', directive)
                    continue
                seen.add(once)
            if judgement.done and judgement.header:
                level.values[judgement.header] = ()
            if judgement.plain or (judgement.done and directive.block is None):
                continue
            if self._handle(frame, directive, judgement):
                return True
            if judgement.refusals and len(self.found) >= MAX_PROBLEMS:
                break
        return False

    def _handle(self, frame: _Frame, directive: Directive, judgement: Judgement) -> bool:
        """Refusals and effects of one directive; whether a block or file was opened."""
        level = frame.level
        for message, mask, certain in judgement.refusals:
            self._say(message, directive, mask=mask, certain=certain)
        if directive.name == "include" and directive.block is None:
            return self._include(directive, level)
        if not judgement.refusals and not judgement.done:
            self.http.meet(directive, level, judgement, frame.via)
        if directive.block is None or level.context in HANDLED_BLOCKS:
            return False
        inner = Level(inner_context(directive.name, level.context), directive, level, judgement.args)
        self.http.open(inner)
        self.stack.append(_Frame(iter(directive.block), inner, frame.file, False))
        return True

    def _include(self, directive: Directive, level: Level) -> bool:
        for problem in self.includes.get((directive.source.path, directive.start), ()):
            self._add(Refusal(problem.message, problem.span, directive.stop_line, directive.source.path, self.builds))
        found = self.config.included.get(directive, ())
        if any(path not in self.config.trees for path in found):
            self.http.opaque = True
        opened = [self._open_file(path, level, directive) for path in reversed(found)]
        return any(opened)

    def _close(self, frame: _Frame) -> None:
        """A block's ``}``."""
        opener = frame.level.opener
        assert opener is not None
        if frame.file.problems and opener.end > frame.file.problems[-1].offset:
            self._syntax(frame.file, opener.end - 1)
        if opener.closed:
            self.http.close(frame.level)

    def _syntax(self, file: _File, until: int | None) -> None:
        """Tell the syntax problems that nginx meets before an offset; all that are left, if it is None."""
        while file.problems and (until is None or file.problems[-1].offset <= until):
            problem = file.problems.pop()
            self._add(Refusal(problem.message, problem.span, problem.line, problem.span.path, self.builds))

    def _say(
        self,
        message: str,
        directive: Directive | None,
        *,
        mask: int = -1,
        certain: bool = True,
        place: Place | None = HERE,
    ) -> None:
        """Add a refusal; nginx names the directive's ``;`` or ``{`` unless another place is given."""
        builds = self.builds if mask == -1 else tuple(b for at, b in enumerate(self.builds) if mask >> at & 1)
        if directive is None:
            span = Span(self.config.path, 0, 0)
        else:
            span = directive.head_span
            place = (directive.source.path, directive.stop_line) if place is HERE else place
        file, line = (span.path, None) if place is None or place is HERE else place
        self._add(Refusal(message, span, line, file, builds, certain, directive))

    def _add(self, refusal: Refusal) -> None:
        key = (refusal.span.path, refusal.span.start, refusal.message)
        if key not in self.seen:
            self.seen.add(key)
            self.found.append(refusal)


def _loaded_modules(config: Config) -> tuple[str, ...] | None:
    """The files that ``load_module`` names; None if an include of the main level could not be read."""
    if config.fragment not in (None, "main") or config.main.opaque:
        return None
    return tuple(arg for placed in config.main.all("load_module") for arg in placed.args)
