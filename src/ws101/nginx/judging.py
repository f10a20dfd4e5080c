"""What nginx says of one directive by itself, for one or several builds; each distinct text is judged once."""

from __future__ import annotations

from ws101.nginx.build import Build
from ws101.nginx.directives import HANDLED_BLOCKS, is_known, may_repeat, modules_are_known, rows, verdict
from ws101.nginx.readings import BY_VERSION, FINE, Reading, read
from ws101.syntax import Directive

__all__ = ["HEADERS", "Judge", "Judgement", "Refused"]

_MET_NAMES = (
    "limit_except location listen upstream server proxy_pass root alias log_format access_log ssl_certificate "
    "limit_req limit_conn limit_req_zone limit_conn_zone proxy_cache_path proxy_cache events http "
    "proxy_set_header grpc_set_header fastcgi_param uwsgi_param scgi_param proxy_buffers proxy_buffer_size "
    "proxy_busy_buffers_size proxy_temp_file_write_size proxy_max_temp_file_size large_client_header_buffers "
    "ip_hash hash random ssl_reject_handshake include server_name proxy_redirect zone least_conn"
)
_MET = frozenset(_MET_NAMES.split(" "))
"""Directives that the blocks around them remember."""


_OF_FLAGS = 'it must be "on" or "off"'
HEADERS = frozenset(("proxy_set_header", "grpc_set_header", "fastcgi_param", "uwsgi_param", "scgi_param"))
"""Header fields and parameters for a backend: compiled only when the levels are merged."""

Refused = tuple[str, int, bool]
"""A message, the builds as bits, whether it is certain."""

_STRANGE_VARIABLES = ("echo_", "jwt_", "js_", "keyval_", "njs_")
"""How the variables of well-known added modules begin."""


class Judgement:
    """The outcome for one text in one context.

    Attributes:
        silent: Whether there is nothing to do at all.
        plain: Whether it is fine, and all there is to do is to notice a second one.
        done: Whether it was met before and does not matter to its neighbours: nothing new then.
        refusals: (message, the builds as bits, whether it is certain).
        late: Whether the refusals are about its values, which nginx reads after it looked for a first one.
        once: The name under which a second one in the same block is refused.
        header: The directive's name, if it is a header field for a backend.
        args: The arguments.
        reading: The variables it uses and defines.
    """

    __slots__ = ("args", "done", "header", "late", "once", "plain", "reading", "refusals", "silent")

    def __init__(
        self,
        args: tuple[str, ...] = (),
        refusals: tuple[Refused, ...] = (),
        reading: Reading = FINE,
        once: str | None = None,
        *,
        late: bool = False,
        plain: bool = True,
    ) -> None:
        self.args = args
        self.refusals = refusals
        self.reading = reading
        self.once = once
        self.late = late
        self.plain = plain
        self.silent = plain and once is None
        self.done = False
        self.header: str | None = None


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
        self._heads: dict[tuple[str, str, bool, int], tuple[Refused, ...]] = {}
        self._once: dict[str, bool] = {}
        self._flags: dict[str, bool] = {}

    def of(self, context: str) -> dict[str, Judgement]:
        """What was said in a context, by text."""
        return self._texts.setdefault(context, {})

    def judge(self, directive: Directive, context: str, text: str) -> Judgement:
        """Judge one directive, and remember it under its text."""
        found = self._judge(directive, context)
        if directive.terminated:
            self._texts[context][text] = found
        return found

    def decides(self, build: Build, variable: str) -> bool:
        """Whether a build's own words tell that it has no variable of this name."""
        if build.arguments is None or self.loaded is None or self.loaded:
            return False
        return modules_are_known(build.arguments) and not variable.startswith(_STRANGE_VARIABLES)

    def _judge(self, directive: Directive, context: str) -> Judgement:
        if not directive.terminated:
            return Judgement()
        name, args = directive.name, directive.args
        refusals = self._head(directive, context, len(args))
        if context in HANDLED_BLOCKS:
            return Judgement(args, refusals, plain=False)
        reading, late = FINE, False
        if not is_known(name):
            self.has_strangers = True
            reading = Reading(None, (), tuple(arg[1:] for arg in args if arg.startswith("$")))
        elif not refusals and rows(name, context):
            reading, refusals = self._values(_key(name, context), args)
            late = bool(refusals)
        elif refusals and refusals is not self._heads.get((context, name, directive.block is None, len(args))):
            late = True
        once = None if self._may_repeat(name, context) else name
        plain = not refusals and reading is FINE and name not in _MET and directive.block is None
        found = Judgement(args, refusals, reading, once, late=late, plain=plain)
        found.header = name if name in HEADERS and context != "http" else None
        return found

    def _may_repeat(self, name: str, context: str) -> bool:
        if name not in self._once:
            self._once[name] = may_repeat(name)
        return self._once[name] or (name == "server" and context != "stream")

    def _head(self, directive: Directive, context: str, count: int) -> tuple[Refused, ...]:
        """Name, context, end and number of arguments; and a flag's value, which is judged anew each time."""
        key = (context, directive.name, directive.block is None, count)
        known = self._heads.get(key)
        if known is None or (not known and count == 1 and self._is_flag(directive.name)):
            found: dict[tuple[str, bool], int] = {}
            for at, build in enumerate(self.builds):
                one = verdict(directive, context, build, self.loaded)
                if one is not None:
                    found[one.message, one.certain] = found.get((one.message, one.certain), 0) | 1 << at
            said = tuple((message, mask, certain) for (message, certain), mask in found.items())
            if any(_OF_FLAGS in message for message, _, _ in said):
                return said
            known = self._heads[key] = said
        return known

    def _is_flag(self, name: str) -> bool:
        found = self._flags.get(name)
        if found is None:
            found = self._flags[name] = any(row.kind == "flag" for row in rows(name))
        return found

    def _values(self, name: str, args: tuple[str, ...]) -> tuple[Reading, tuple[Refused, ...]]:
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
