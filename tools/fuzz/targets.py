"""What is fed with broken inputs, and what must hold for every one."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from tools.fuzz.inputs import STATEMENTS, configurations, mutate
from ws101.check import check
from ws101.fix import fix
from ws101.http1 import Request
from ws101.nginx.build import Build
from ws101.nginx.config import Config, MemoryFiles
from ws101.nginx.outcome import Arrival
from ws101.nginx.trace import forward, trace
from ws101.syntax import parse, tokens
from ws101.text import Source

BUILDS = (Build((1, 22, 1)), Build((1, 31, 4)))
_HEADERS = (
    ("Host", "chat.example.com"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Version", "13"),
)
REQUEST = Request("GET", "/ws/a?b=c", headers=_HEADERS)
WHOLE = configurations()


def draw_text(rng: random.Random) -> str:
    """A short text."""
    return mutate(rng, STATEMENTS[int(rng.random() * len(STATEMENTS))], 1 + int(rng.random() * 5))


def parser(text: str) -> None:
    """Parse a text and hold the tree against it."""
    source = Source("x", text)
    at = 0
    for _, start, end in tokens(source):
        assert start == at < end, "a gap between two tokens"
        at = end
    assert at == len(text), "the tokens do not reach the end"
    for directive in parse(source).walk():
        parent = directive.parent
        low, high = (parent.start, parent.end) if parent is not None else (0, len(text))
        assert low <= directive.start < directive.args_start <= directive.end <= high, "a directive outside its parent"
        if len(text) % 4:  # words are slow to work out: those of every fourth text will do
            continue
        words = directive.words
        assert words[0].value == directive.name, "the name is not the first word"
        assert tuple(word.value for word in words[1:]) == directive.args, "args and words differ"


def draw_files(rng: random.Random) -> dict[str, str]:
    """A whole configuration, one file of it broken."""
    files = dict(rng.choice(WHOLE))
    name = rng.choice(sorted(files)) if rng.random() < 0.3 else "/c/nginx.conf"
    files[name] = mutate(rng, files[name], 1 + int(rng.random() * 4))
    return files


def _config(files: dict[str, str]) -> Config:
    data = {name: text.encode("latin-1") for name, text in files.items()}
    return Config(MemoryFiles(data), "/c/nginx.conf")


def model(files: dict[str, str]) -> None:
    """Trace a request through a configuration, and forward it through every route."""
    config = _config(files)
    for tree in config.trees.values():
        parser(tree.source.text)
    for build in BUILDS:
        trace(config, Arrival(REQUEST, 18080), build)
        for route in config.routes():
            forward(route, REQUEST, build)


def rules(files: dict[str, str]) -> None:
    """Check a configuration by every rule and by nginx's verdicts."""
    check(_config(files), BUILDS)


def fixes(files: dict[str, str]) -> None:
    """Fix a configuration: no new problem, and what no edit names stays, so no fix may lose a brace."""
    config = _config(files)
    known = {problem.message for problem in config.problems}
    result = fix(config, BUILDS)
    new = {problem.message for problem in result.report.config.problems} - known
    assert not new, f"a fix broke the syntax: {new}"


Target = tuple[str, Callable[[random.Random], Any], Callable[[Any], None], int]
"""Name, how to draw an input, what to feed, and how often it runs for one run of the rarest."""

TARGETS: tuple[Target, ...] = (
    ("parser", draw_text, parser, 4000),
    ("model", draw_files, model, 10),
    ("rules", draw_files, rules, 3),
    ("fixes", draw_files, fixes, 1),
)
"""The mix."""
