"""What nginx says of one directive by itself, for one or several builds; each distinct text is judged once."""

from __future__ import annotations

from typing import NamedTuple

from ws101.nginx.build import Build
from ws101.nginx.directives import HANDLED_BLOCKS, is_known, may_repeat, modules_are_known, verdict
from ws101.nginx.readings import BY_VERSION, FINE, Reading, read
from ws101.syntax import Directive

__all__ = ["Judge", "Judgement"]

_MET_NAMES = (
    "location listen upstream server proxy_pass root alias log_format access_log ssl_certificate limit_req "
    "limit_conn limit_req_zone limit_conn_zone proxy_cache_path proxy_cache events http proxy_set_header "
    "grpc_set_header fastcgi_param uwsgi_param scgi_param proxy_buffers proxy_buffer_size proxy_busy_buffers_size "
    "proxy_temp_file_write_size proxy_max_temp_file_size large_client_header_buffers ip_hash hash random "
    "ssl_reject_handshake include server_name proxy_redirect zone least_conn"
)
_MET = frozenset(_MET_NAMES.split(" "))
"""Directives that the blocks around them remember."""


_STRANGE_VARIABLES = ("echo_", "jwt_", "js_", "keyval_", "njs_")
"""How the variables of well-known added modules begin."""


class Judgement(NamedTuple):
    """The outcome for one text.

    Args:
        silent: Whether there is nothing to do at all.
        refusals: (message, the builds as bits, whether it is certain).
        once: The name under which a second one in the same block is refused.
        args: The arguments.
        reading: The variables it uses and defines.
    """

    silent: bool
    refusals: tuple[tuple[str, int, bool], ...] = ()
    once: str | None = None
    args: tuple[str, ...] = ()
    reading: Reading = FINE


class Judge:
    """Judges directives; remembers what it said of a text in a context.

    Args:
        builds: The nginx.
        loaded: The files that ``load_module`` names; None if unknown.
    """

    def __init__(self, builds: tuple[Build, ...], loaded: tuple[str, ...] | None) -> None:
        self.builds = builds
        self.loaded = loaded
        self.has_strangers = False
        self._texts: dict[str, dict[str, Judgement]] = {}
        self._heads: dict[tuple[str, str, bool, int], tuple[tuple[str, int, bool], ...]] = {}
        self._once: dict[str, bool] = {}

    def of(self, context: str) -> dict[str, Judgement]:
        """What was said in a context, by text."""
        return self._texts.setdefault(context, {})

    def judge(self, directive: Directive, context: str, text: str | None) -> Judgement:
        """Judge one directive, and remember it under its text if that is given."""
        found = self._judge(directive, context)
        if text is not None and directive.terminated:
            self._texts[context][text] = found
        return found

    def decides(self, build: Build, variable: str) -> bool:
        """Whether a build's own words tell that it has no variable of this name."""
        if build.arguments is None or self.loaded is None or self.loaded:
            return False
        return modules_are_known(build.arguments) and not variable.startswith(_STRANGE_VARIABLES)

    def _judge(self, directive: Directive, context: str) -> Judgement:
        if not directive.terminated:
            return Judgement(True)
        name, args = directive.name, directive.args
        refusals = self._head(directive, context, len(args))
        handled = context in HANDLED_BLOCKS
        reading = FINE
        if not refusals and not handled and is_known(name):
            reading, refusals = self._values(_key(name, context), args)
        elif not is_known(name) and not handled:
            self.has_strangers = True
            reading = Reading(None, (), tuple(arg[1:] for arg in args if arg.startswith("$")))
        once = name if not handled and not self._may_repeat(name, context) else None
        silent = not refusals and once is None and reading is FINE and name not in _MET and not handled
        return Judgement(silent and directive.block is None, refusals, once, args, reading)

    def _may_repeat(self, name: str, context: str) -> bool:
        if name not in self._once:
            self._once[name] = may_repeat(name)
        return self._once[name] or (name == "server" and context != "stream")

    def _head(self, directive: Directive, context: str, count: int) -> tuple[tuple[str, int, bool], ...]:
        """Name, context, end and number of arguments; a flag's value is judged anew each time."""
        key = (context, directive.name, directive.block is None, count)
        if key not in self._heads:
            said = [verdict(directive, context, build, self.loaded) for build in self.builds]
            found: dict[tuple[str, bool], int] = {}
            for at, one in enumerate(said):
                if one is not None:
                    found[one.message, one.certain] = found.get((one.message, one.certain), 0) | 1 << at
            result = tuple((message, mask, certain) for (message, certain), mask in found.items())
            if any("it must be" in message for message, _, _ in result):
                return result
            self._heads[key] = result
        known = self._heads[key]
        if not known and count == 1:
            return self._flag(directive, context)
        return known

    def _flag(self, directive: Directive, context: str) -> tuple[tuple[str, int, bool], ...]:
        one = verdict(directive, context, self.builds[0], self.loaded)
        return ((one.message, (1 << len(self.builds)) - 1, one.certain),) if one is not None else ()

    def _values(self, name: str, args: tuple[str, ...]) -> tuple[Reading, tuple[tuple[str, int, bool], ...]]:
        if name not in BY_VERSION:
            reading = read(name, args, self.builds[0])
            every = (1 << len(self.builds)) - 1
            return reading, ((reading.error, every, True),) if reading.error else ()
        masks: dict[str, int] = {}
        for at, build in enumerate(self.builds):
            reading = read(name, args, build)
            if reading.error:
                masks[reading.error] = masks.get(reading.error, 0) | 1 << at
        return FINE, tuple((message, mask, True) for message, mask in masks.items())


def _key(name: str, context: str) -> str:
    """The name under which a directive's values are read."""
    if context.startswith(("stream", "mail")):
        return ""
    return "peer" if name == "server" and context == "upstream" else name
