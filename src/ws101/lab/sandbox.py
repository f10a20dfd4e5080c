"""A user's own configuration on a real nginx, on loopback alone: every proxied route asked, predicted against recorded.

Theory of operation.  The model says what leads to each route, and what becomes of it (``sandbox_routes``).  A copy of
the configuration is moved to loopback (``sandbox_staging``), with backends that record (``sandbox_backends``), and
nginx runs it in a folder of its own.  Then each request is made, and what arrived is held against what the model said
of the user's own files (``sandbox_compare``).  Those are only ever read.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import field, replace
from pathlib import Path
from typing import Self

from ws101.errors import InputError, NginxError, UsageError
from ws101.host.binary import NginxBinary
from ws101.lab.nginx import Nginx
from ws101.lab.sandbox_backends import Recorders, server_context
from ws101.lab.sandbox_certificates import make_certificates
from ws101.lab.sandbox_client import Door, Seen, ask, client_context, silences
from ws101.lab.sandbox_compare import Agreement, Attempt, compare
from ws101.lab.sandbox_moved import Moved
from ws101.lab.sandbox_routes import CREDENTIALS, Question, questions
from ws101.lab.sandbox_staging import PASSWORDS, Staged, Urls, directives_of, stage, url_keys
from ws101.lab.sandbox_tables import CERTIFICATES, TRUST, is_code
from ws101.lazy import dataclass
from ws101.nginx.config import Config, MemoryFiles, Placed, Route, Scope
from ws101.nginx.outcome import Trace
from ws101.nginx.proxyurl import ProxyUrl
from ws101.nginx.servers import listeners
from ws101.nginx.trace import trace
from ws101.rules.base.context import Context, Shared
from ws101.rules.base.options import Options
from ws101.syntax import Directive

__all__ = ["Idle", "Report", "Tried", "Wishes", "try_configuration"]

_ATTEMPTS = 3
_SOCKET_ROOM = 90
_REFUSED_FOR_RATE = (429, 503)
_SUBREQUEST_FAILED = (500, 502, 504)
_RATE_WAIT = 1.1
_RATE_RETRIES = 2
_CODE_MODULES = re.compile(r"lua|perl|njs|_js_|passenger|acme|mruby|php|wasm", re.IGNORECASE)
_OF_A_MODULE = re.compile(
    r"unknown directive \"\w+\"|dlopen\(\)|is not binary compatible|requires? (?:the )?ngx_", re.ASCII
)
_EMERG = re.compile(r"\[emerg\] (?:\d+#\d+: )?(.*)")
_PLACE = re.compile(r" in ([^\r\n]*:\d+)$")


@dataclass(frozen=True, slots=True)
class Wishes:
    """How to try.

    Args:
        limit: How many routes to try at most, those meant for WebSockets first.
        idle: Measure idle timeouts of up to so many seconds; 0: none.
        code: Whether code inside the configuration (Lua, Perl, njs) may run.
    """

    limit: int = 100
    idle: float = 0.0
    code: bool = False


@dataclass(frozen=True, slots=True)
class Idle:
    """How long a tunnel may stay silent, in seconds.

    Args:
        predicted: What the model says; None if it does not know, or there is no tunnel.
        measured: What was measured; None if it was not.
        agrees: Whether both agree; None if it was not measured.
    """

    predicted: float | None = None
    measured: float | None = None
    agrees: bool | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """A proxied route and what became of its requests.

    Args:
        question: The route, and what was asked.
        intent: ``intended``, ``possible`` or ``none``: whether it is meant for WebSockets.
        websocket, plain: The opening handshake and the plain request.
        idle: How long its tunnel may stay silent.
    """

    question: Question
    intent: str
    websocket: Attempt
    plain: Attempt
    idle: Idle = field(default_factory=Idle)

    @property
    def differs(self) -> bool:
        """Whether prediction and nginx disagree."""
        return Agreement.DIFFERS in (self.websocket.verdict, self.plain.verdict) or self.idle.agrees is False

    @property
    def fails(self) -> bool:
        """Whether it is meant for WebSockets and the handshake got no 101."""
        made = self.websocket.verdict in (Agreement.SAME, Agreement.OPEN)
        return self.intent == "intended" and made and self.websocket.status != 101


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a configuration.

    Args:
        config: The user's configuration.
        binary: The nginx that ran it.
        routes: Every proxied route up to the limit, in the configuration's order.
        beyond: How many routes are beyond the limit.
        counts: How many directives of a kind were moved, by words for people.
        left_out: What was left out or could not be moved: a sentence and the directive.
    """

    config: Config
    binary: NginxBinary
    routes: tuple[Tried, ...]
    beyond: int
    counts: Mapping[str, int]
    left_out: tuple[tuple[str, Placed], ...]

    @property
    def tried(self) -> int:
        """How many routes were asked."""
        return sum(Agreement.NOT_TRIED not in (row.websocket.verdict, row.plain.verdict) for row in self.routes)


def try_configuration(
    config: Config, binary: NginxBinary, wishes: Wishes | None = None, said: Callable[[str], None] | None = None
) -> Report:
    """Run a configuration in a sandbox and ask every proxied route.

    Args:
        config: The configuration; its files are only read, and have been.
        binary: The nginx to run it on.
        wishes: How to try.
        said: Gets a few words before each step that takes time.

    Raises:
        InputError: There is nothing to try: no server, no proxied route, or more than can be moved.
        UsageError: It holds code that may connect anywhere, and that is not wished.
        NginxError: nginx refuses it; the message and the place are those of the user's files.
    """
    wishes = wishes or Wishes()
    tell = said or (lambda _: None)
    _refuse_early(config, binary, wishes)
    routes, beyond, intents = _chosen(config, binary, wishes.limit)
    tell(f"looking for a request to each of {len(routes)} routes")
    asked = questions(config, binary.build, routes)
    with _Sandbox(config, binary, asked) as sandbox:
        tell("asking nginx")
        rows = [sandbox.tried(question, intents[question.route.location]) for question in asked]
        if wishes.idle:
            tell(f"measuring idle timeouts up to {wishes.idle:g} s")
            rows = sandbox.timed(rows, wishes.idle)
        return Report(config, binary, tuple(rows), beyond, sandbox.staged.counts, sandbox.staged.left_out)


def _refuse_early(config: Config, binary: NginxBinary, wishes: Wishes) -> None:
    """What nginx must not even be asked, or need not."""
    for problem in config.include_problems:
        if problem.message.endswith("includes itself"):
            raise InputError(
                f"{problem.message}: nginx never gets to its end", where=f"{problem.span.path}:{problem.line}"
            )
    if not config.servers and not any(tree.problems for tree in config.trees.values()):
        raise InputError("there is no server in this configuration", where=config.path, help="name the main nginx.conf")
    code = next((placed for placed in directives_of(config) if is_code(placed.name)), None)
    if code is not None and not wishes.code and _knows_code(config, binary):
        raise UsageError(
            f"{code.name} runs code of yours, which may connect to anything from inside the sandbox",
            where=code.where,
            help="if it may run: --with-code",
        )


def _knows_code(config: Config, binary: NginxBinary) -> bool:
    """Whether nginx could run code: it is built in, or a module for it is loaded; else nginx refuses the directive."""
    built_in = (word for word in binary.version_text.split() if "dynamic" not in word and word.startswith("--"))
    loaded = (arg for placed in config.main.all("load_module") for arg in placed.args)
    return any(_CODE_MODULES.search(word.rpartition("/")[2]) for word in (*built_in, *loaded))


def _chosen(config: Config, binary: NginxBinary, limit: int) -> tuple[tuple[Route, ...], int, dict[Scope, str]]:
    """The routes to try, how many there are besides, and what each is meant for."""
    context = Context(Shared(config, (binary.build,), Options()), binary.build)
    aims = {aim.scope: "intended" if aim.intent.is_sure else "possible" for aim in context.aims}
    routes = context.shared.proxied
    if not routes and not any(tree.problems for tree in config.trees.values()):
        raise InputError("no route of this configuration is proxied: there is nothing to try", where=config.path)
    intents = {route.location: aims.get(route.location, "none") for route in routes}
    order = {"intended": 0, "possible": 1, "none": 2}
    first = sorted(range(len(routes)), key=lambda at: order[intents[routes[at].location]])[:limit]
    return tuple(routes[at] for at in sorted(first)), max(0, len(routes) - limit), intents


class _Sandbox:
    """The folder, the backends and the nginx of one configuration; everything is gone after the block."""

    staged: Staged

    def __init__(self, config: Config, binary: NginxBinary, asked: Sequence[Question]) -> None:
        self._config = config
        self._binary = binary
        self._asked = asked
        self._stack = ExitStack()
        self._client: ssl.SSLContext | None = None

    def __enter__(self) -> Self:
        try:
            self._folder = _private_folder(self._stack)
            self._stack.callback(_end_what_is_left, self._folder)
            context = self._make_files()
            self._recorders = self._stack.enter_context(Recorders(context))
            self._nginx = self._running()
            self._stack.callback(self._nginx.stop)
            self._copy = self._read_copy()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _make_files(self) -> ssl.SSLContext | None:
        """The files that stand for the user's own; what the backends speak TLS with."""
        (self._folder / PASSWORDS).write_text("{}:{{PLAIN}}{}\n".format(*CREDENTIALS))
        if not _uses_tls(self._config, self._binary):
            return None
        make_certificates(self._folder, dhparam=self._config.uses("ssl_dhparam"))
        pair = (self._folder / "ec.pem", self._folder / "ec.key")
        self._client = client_context(*pair)
        return server_context(*pair)

    def _running(self) -> Nginx:
        """nginx with the copy; other ports are taken if somebody else was quicker."""
        for attempt in range(_ATTEMPTS):
            self._moved = Moved(self._folder, self._recorders)
            self.staged = stage(
                self._config,
                self._moved,
                _urls(self._asked),
                self._binary.version_text,
                lambda name: self._binary.build.has_module(name) is not False,
            )
            (self._folder / "conf").mkdir(exist_ok=True)
            nginx = Nginx(self.staged.files, binary=self._binary, directory=self._folder)
            accepted, words = nginx.test()
            if not accepted:
                raise self._refused(words)
            try:
                nginx.start()
            except NginxError as error:
                nginx.stop()
                if "Address already in use" in error.message and attempt + 1 < _ATTEMPTS:
                    continue
                raise self._refused(error.message) from error
            except BaseException:
                nginx.stop()
                raise
            return nginx
        raise AssertionError("the last attempt returns or raises")

    def _refused(self, words: str) -> NginxError:
        """nginx's own words with the user's files in them."""
        found = _EMERG.search(words)
        said = self._moved.original((found[1] if found else words).strip())
        place = _PLACE.search(said)
        what = said[: place.start()] if place else said
        help_ = ""
        if _OF_A_MODULE.search(what):
            which = f"nginx {self._binary.build.number} ({self._binary.path})"
            help_ = f"{which} lacks the module for it, if it is no slip; --nginx names another"
        elif self._config.fragment:
            help_ = "only a part of a configuration was given; try the main nginx.conf"
        return NginxError(f"nginx refuses this configuration: {what}", where=place[1] if place else "", help=help_)

    def _read_copy(self) -> Config:
        """The copy as the model sees it."""
        files = {f"{self._folder}/{name}": text.encode("latin-1") for name, text in self.staged.files.items()}
        return Config(MemoryFiles(files), f"{self._folder}/nginx.conf")

    def tried(self, question: Question, intent: str) -> Tried:
        """Ask one route."""
        if question.group is None or question.websocket is None or question.plain is None:
            none = Attempt(Agreement.NOT_TRIED, reason=question.reason)
            return Tried(question, intent, none, none)
        door = self._moved.door(question.group)
        websocket = self._attempt(question.websocket, door)
        plain = self._attempt(question.plain, door)
        forwarded = question.websocket.outcome.forwarded
        idle = Idle(forwarded.idle_timeout if forwarded is not None and forwarded.tunnel else None)
        return Tried(question, intent, websocket, plain, idle)

    def _attempt(self, predicted: Trace, door: Door) -> Attempt:
        """One request; again after a while where nginx's own limits refuse it."""
        unusable = _unusable(predicted)
        if unusable:
            return Attempt(Agreement.NOT_TRIED, reason=unusable)
        counted = any(d.step == "access" and d.chosen == "counted" for d in predicted.decisions)
        attempt = self._once(predicted, door)
        for _ in range(_RATE_RETRIES if counted else 0):
            if attempt.verdict is not Agreement.DIFFERS or attempt.status not in _REFUSED_FOR_RATE:
                break
            time.sleep(_RATE_WAIT)
            attempt = self._once(predicted, door)
        why = _assumed(predicted, attempt, counted=counted) if attempt.verdict is Agreement.DIFFERS else ""
        return replace(attempt, verdict=Agreement.OPEN, differences=(), reason=why) if why else attempt

    def _once(self, predicted: Trace, door: Door) -> Attempt:
        arrival = predicted.arrival
        here = "::1" if ":" in door.address else "127.0.0.1"
        moved = replace(
            arrival,
            port=door.port or None,
            address=door.address or None,
            unix=door.unix or None,
            client="unix:" if door.unix else here,
        )
        staged = trace(self._copy, moved, self._binary.build)
        for sub in staged.subrequests:
            self._recorders.plain |= _asked_of(sub)
        self._recorders.take()
        seen = ask(door, arrival.request, sni=arrival.sni, context=self._client)
        self._require_nginx(seen)
        ports = {port for port, _ in _asked_of(staged)}
        taken, place = self._recorders.take(), self._moved
        return compare(predicted, staged, seen, taken, original=place.original, ports=ports, nowhere=place.nowhere)

    def _require_nginx(self, seen: Seen) -> None:
        if seen.response is None:
            try:
                _ = self._nginx.pid
            except NginxError:
                raise NginxError(f"nginx ended while it was asked: {self._nginx.error_log()[-300:].strip()}") from None

    def timed(self, rows: Sequence[Tried], longest: float) -> list[Tried]:
        """The rows with their short idle timeouts measured, all at once."""
        opened: dict[int, int] = {}
        tunnels = []
        for at, row in enumerate(rows):
            sock = self._tunnel(row) if row.idle.predicted is not None and row.idle.predicted <= longest else None
            if sock is not None:
                opened[sock.fileno()] = at
                tunnels.append(sock)
        found = list(rows)
        for number, measured in silences(tunnels, longest + _slack(longest)).items():
            row = rows[opened[number]]
            found[opened[number]] = replace(row, idle=_held(row.idle, measured))
        return found

    def _tunnel(self, row: Tried) -> socket.socket | None:
        """A new tunnel through a route that has one."""
        question = row.question
        if not row.websocket.tunnel or question.group is None or question.websocket is None:
            return None
        arrival = question.websocket.arrival
        door = self._moved.door(question.group)
        return ask(door, arrival.request, sni=arrival.sni, context=self._client, keep=True).sock


def _assumed(predicted: Trace, attempt: Attempt, *, counted: bool) -> str:
    """What the model took for granted and the sandbox may not have given, if that tells an answer; else empty."""
    if counted and attempt.status in _REFUSED_FOR_RATE:
        return "limit_req or limit_conn refused it"
    if predicted.subrequests and attempt.status in _SUBREQUEST_FAILED:
        return "what auth_request or mirror asks is not answered here as it should be"
    return ""


def _unusable(predicted: Trace) -> str:
    """Why a request says nothing here: its proxy_pass comes out as what no backend can be put in the place of."""
    if predicted.outcome.forwarded is not None:
        return ""
    ends = (d for d in predicted.decisions if d.step == "upstream" and d.origin is not None)
    found = next((d for d in ends if d.origin is not None and "$" in "".join(d.origin.args)), None)
    return f"nginx finds no backend for it: {found.why}" if found is not None else ""


def _held(idle: Idle, measured: float | None) -> Idle:
    assert idle.predicted is not None
    agrees = measured is not None and abs(measured - idle.predicted) <= _slack(idle.predicted)
    return Idle(idle.predicted, measured, agrees)


def _slack(predicted: float) -> float:
    """Seconds that a measured timeout may be off: a busy machine, and the time that opening the others took."""
    return 0.7 + predicted / 10


def _asked_of(found: Trace) -> set[tuple[int, str]]:
    """The ports and the target of what a request to the copy is forwarded to."""
    forwarded = found.outcome.forwarded
    if forwarded is None or forwarded.upstream is None:
        return set()
    target = forwarded.request.target if forwarded.request is not None else ""
    ends = (peer.address.rpartition(":")[2] for peer in forwarded.upstream.peers)
    return {(int(port), target) for port in ends if port.isdecimal()}


def _urls(asked: Iterable[Question]) -> Urls:
    """What each proxy_pass with variables comes out as, in the requests to come and in what they ask on the way."""
    found: dict[Directive, dict[str, ProxyUrl]] = {}
    todo = [known for question in asked for known in (question.websocket, question.plain) if known is not None]
    while todo:
        known = todo.pop()
        todo += known.subrequests
        forwarded = known.outcome.forwarded
        if forwarded is None or forwarded.upstream is None or "$" not in "".join(forwarded.handler.args):
            continue
        target = forwarded.request.target if forwarded.request is not None else None
        found.setdefault(forwarded.handler.directive, {}).update(url_keys(forwarded.upstream, target))
    return found


def _uses_tls(config: Config, binary: NginxBinary) -> bool:
    """Whether anything of it speaks TLS."""
    if any(group.ssl for group in listeners(config, binary.build).groups):
        return True
    if any(config.uses(name) for name in (*CERTIFICATES, *TRUST)):
        return True
    return any("https:" in source.text for source in config.sources.values())


def _private_folder(stack: ExitStack) -> Path:
    """A new folder of mode 0700, with a name short enough for unix sockets in it; gone with the stack.

    It is removed twice, since the first time may be interrupted.
    """
    usual = tempfile.gettempdir()
    where = usual if len(usual) + len("/ws101-try-12345678") < _SOCKET_ROOM else "/tmp"  # noqa: S108
    folder = tempfile.TemporaryDirectory(prefix="ws101-try-", dir=where)
    stack.callback(shutil.rmtree, folder.name, ignore_errors=True)
    return Path(stack.enter_context(folder)).resolve()


def _end_what_is_left(folder: Path) -> None:
    """End the workers of a master that was killed: they live on, in the sandbox's folder."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").readlink() == folder and int(process.name) != os.getpid():
                os.kill(int(process.name), signal.SIGKILL)
