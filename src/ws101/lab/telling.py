"""The story, told live: from 400 to 101 on a real nginx.  Everything shown is measured while it is told."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

from ws101.fix import FixResult, fix
from ws101.host.doctor import arrival_of, predict
from ws101.host.files import DiskFiles
from ws101.host.network import handshake, plain, run
from ws101.host.outcome import Applied
from ws101.host.process import compiled, master_of
from ws101.host.proof import LiveProof, watch
from ws101.host.target import Target
from ws101.host.transaction import Transaction
from ws101.lab.story import Deployment
from ws101.lazy import dataclass
from ws101.nginx.config import Config
from ws101.probes.core import Observation
from ws101.probes.echo import echo
from ws101.probes.ping import ping
from ws101.report.diff import diff_lines, paint_diff
from ws101.report.style import Style, wrap
from ws101.report.terminal.hops import hop_rows, hops
from ws101.rules.base.options import Options
from ws101.text import Edit, Span, printable

__all__ = ["tell"]

Say = Callable[[str], None]

_BROKEN = 400
"""How the story's application refuses what is no opening handshake."""


def tell(story: Deployment, say: Say, style: Style) -> bool:
    """Tell the story of a deployment; whether every step went as it should.

    Args:
        story: The broken site, standing.
        say: Gets each line as soon as it is known.
        style: What the terminal can show.
    """
    teller = _Teller(story, say, style)
    return all(step() for step in (teller.broken, teller.fixing, teller.applying, teller.proven))


@dataclass(slots=True)
class _Scene:
    """What one step found that a later one needs."""

    config: Config
    page_before: int | None = None
    fixed: FixResult | None = None


class _Teller:
    def __init__(self, story: Deployment, say: Say, style: Style) -> None:
        self.story = story
        self.say = say
        self.style = style
        self.scene = _Scene(self._load())

    def _load(self) -> Config:
        return Config(DiskFiles(()), str(self.story.conf), complete=True)

    def _short(self, text: str) -> str:
        """A text with paths below the site's folder relative to it."""
        return printable(text.rstrip("\n").replace(f"{self.story.root}/nginx/", ""))

    def _title(self, number: int, name: str, text: str) -> None:
        self.say("")
        self.say(self.style.paint("title", f"{number} {name}") + f"  {text}")
        self.say("")

    def _tick(self, good: bool, text: str) -> bool:
        mark = self.style.paint("good", self.style.glyph("tick")) if good else self.style.paint("error", "FAILED")
        self.say(f"  {mark} {text}")
        return good

    # 1 ------------------------------------------------------------------------------------------------------------

    def broken(self) -> bool:
        """The site as deployed: 400, and why."""
        story = self.story
        version = story.binary.build.number
        self._title(1, "BROKEN", f"the site as deployed, behind a real nginx {version}")
        self.scene.page_before = _status(plain(story.page, (), story.network))
        seen, result = handshake(story.endpoint, network=story.network)
        recorded = story.app.take()
        predicted = predict(self.scene.config, arrival_of(story.endpoint, result.request), (story.binary.build,))
        forwarded = predicted.outcome.forwarded
        if result.status is None or forwarded is None or forwarded.request is None:
            return self._tick(False, f"expected an answer of the application: {seen.message}")
        failed = "Error during WebSocket handshake: Unexpected response code"
        self.say(f"  WebSocket connection to '{story.url}' failed:")
        self.say(f"  {failed}: {self.style.paint('error', str(result.status))}")
        self.say("")
        rows = hop_rows(result.request, forwarded, version, f"{story.root}/nginx")
        for text in hops(rows, self.style):
            self.say(text)
        self.say("")
        if result.status != _BROKEN:
            return self._tick(False, f"the application was to refuse with {_BROKEN}")
        same = bool(recorded) and recorded[-1] == forwarded.request.encode()
        return self._tick(same, "predicted request = recorded request, byte for byte")

    # 2 ------------------------------------------------------------------------------------------------------------

    def fixing(self) -> bool:
        """The smallest fix, as a diff."""
        story = self.story
        self._title(2, "FIX", "the smallest change that lets the handshake through")
        options = Options(urls=(story.url,))
        self.scene.fixed = fixed = fix(self.scene.config, (story.binary.build,), options)
        for applied in fixed.applied:
            finding, level = applied.finding, applied.finding.level.value
            source = self.scene.config.sources.get(finding.span.path)
            line = source.line(finding.span.start) if source else 1
            place = self._short(f"{finding.span.path}:{line}")
            self.say(f"  {self.style.paint(level, f'{level}[{finding.rule}]')} {place}")
            for text in wrap(printable(finding.message), self.style.width - 4):
                self.say(f"    {text}")
            self.say(f"    {self.style.paint('good', 'fix:')} {printable(applied.fix.title)}")
        self.say("")
        diff = diff_lines(self.scene.config.sources, _edits(self.scene.config, fixed))
        for text in paint_diff((self._short(part) for part in diff), self.style):
            self.say(f"  {text}")
        self.say("")
        done = bool(fixed.texts) and not fixed.has_errors
        return self._tick(done, "every plain request keeps its outcome: the model compared every route")

    # 3 ------------------------------------------------------------------------------------------------------------

    def applying(self) -> bool:
        """Back up, test, write, reload, prove; an open socket must not notice."""
        story, fixed = self.story, self.scene.fixed
        assert fixed is not None
        self._title(3, "APPLY", "back up, nginx -t, write, reload, prove; roll back if it is not proven")
        master = master_of(story.nginx.pid)
        if master is None:
            return self._tick(False, "the running nginx is not to be seen in /proc")
        target = Target.of(master, compiled(story.binary.version_text))
        proof = LiveProof(watch(fixed.config, story.binary.build, (), (story.url,)))
        with story.open_dashboard() as dashboard:
            outcome = Transaction(target, _changes(self.scene.config, fixed), proof, state=story.root / "state").run()
            for step in outcome.steps:
                self.say(f"  {step.name:<12} {step.seconds * 1000:6.0f} ms  {self._short(step.detail)}")
            self.say("")
            if not isinstance(outcome, Applied):
                return self._tick(False, f"not applied: {outcome.reason}")
            self._tick(outcome.proven, f"proven: {outcome.reason}")
            dashboard.send("still there?")
            return self._tick(dashboard.recv(timeout=5) == "still there?", "an open socket survived the reload")

    # 4 ------------------------------------------------------------------------------------------------------------

    def proven(self) -> bool:
        """101, a message, pings, the plain page, and the checksums."""
        story = self.story
        self._title(4, "101", f"{story.url}")
        seen, result = handshake(story.endpoint, network=story.network)
        good = self._tick(seen.passed, _status_line(seen))
        for name, value in result.headers:
            self.say(f"      {printable(name)}: {printable(value)}")
        said = run(echo(story.endpoint), story.endpoint, story.network)
        good &= self._tick(said.passed and said.detail("echoed") is True, f"a message came back: {said.message}")
        pinged = run(ping(story.endpoint), story.endpoint, story.network)
        good &= self._tick(pinged.passed, f"ping and pong: {pinged.message}{_round_trips(pinged)}")
        page = _status(plain(story.page, (), story.network))
        good &= self._tick(page == self.scene.page_before, f"the plain page answers {page}, as before")
        self.say("")
        for path in sorted(self._load().sources):
            digest = hashlib.sha256(DiskFiles(()).read(path)).hexdigest()
            self.say(f"  {self.style.paint('dim', digest)}  {self._short(path)}")
        return good


def _round_trips(seen: Observation) -> str:
    """The times of pings, in milliseconds."""
    figures = [(name, seen.detail(name)) for name in ("min", "mean", "max")]
    shown = [f"{name} {value * 1000:.2f} ms" for name, value in figures if isinstance(value, float)]
    return f" ({', '.join(shown)})" if shown else ""


def _status(seen: Observation) -> int | None:
    return seen.handshake.status if seen.handshake else None


def _status_line(seen: Observation) -> str:
    response = seen.handshake.response if seen.handshake else None
    return f"{response.version} {response.status} {response.reason}" if response else seen.message


def _edits(config: Config, fixed: FixResult) -> Iterator[Edit]:
    for path, text in fixed.texts.items():
        old = config.sources[path].text if path in config.sources else ""
        yield Edit(Span(path, 0, len(old)), text)


def _changes(config: Config, fixed: FixResult) -> dict[str, tuple[bytes | None, bytes | None]]:
    """What the transaction is to change, by file."""
    return {
        path: (config.sources[path].data if path in config.sources else None, text.encode("latin-1"))
        for path, text in fixed.texts.items()
    }
