"""What nginx remembers of the blocks it reads, and what it checks when one ends: locations, upstreams, listeners, maps.

``Http`` is told of each directive and each block in nginx's order.  At the end of ``http`` it checks what nginx checks
there: the merged settings, locations of one name, variables that nobody defines.

Source: src/http/ngx_http.c (ngx_http_block, ngx_http_add_listen, ngx_http_join_exact_locations),
src/http/ngx_http_core_module.c (ngx_http_core_location), src/http/ngx_http_upstream.c (ngx_http_upstream_add),
src/http/modules/ngx_http_map_module.c (ngx_http_map).
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from ws101.nginx.build import Build
from ws101.nginx.config import Config
from ws101.nginx.directives import HANDLED_BLOCKS, is_known, parse_size, variable_known
from ws101.nginx.judging import HEADERS, Judge, Judgement
from ws101.nginx.mapping import check_entry
from ws101.nginx.names import NameTable
from ws101.nginx.proxyurl import UrlError, parse_proxy_url
from ws101.nginx.readings import Reading, pattern, texts
from ws101.nginx.servers import Socket, parse_listen, refused_parameter
from ws101.syntax import Directive
from ws101.text import lower

__all__ = ["HERE", "Http", "Level", "Place", "Say"]

_NO_URI = (
    '"proxy_pass" cannot have URI part in location given by regular expression, or inside named location, or inside '
    '"if" statement, or inside "limit_except" block'
)
_BUFFERS = frozenset(
    (
        "proxy_buffers",
        "proxy_buffer_size",
        "proxy_busy_buffers_size",
        "proxy_temp_file_write_size",
        "proxy_max_temp_file_size",
    )
)
_CHANGEABLE = frozenset("args limit_rate proxy_host proxy_port msie modern_browser ancient_browser".split())
_PAGE = 4096
_LOG_OPTIONS = ("buffer=", "flush=", "gzip=", "if=")


Place = tuple[str, int]
"""A file and a line."""

HERE: Place = ("", -1)
"""Stands for the directive's own place."""


class Say(Protocol):
    """How a verdict is told."""

    def __call__(
        self,
        message: str,
        directive: Directive | None,
        *,
        mask: int = -1,
        certain: bool = True,
        place: Place | None = HERE,
    ) -> None:
        """Tell one: nginx's words, the directive, the builds as bits, and the place nginx prints, if any."""


class Level:
    """A block while it is read.

    Attributes:
        context: Where its directives stand.
        opener: The directive that opened it; None for the outermost.
        parent: The block around it.
        args: The opener's arguments.
        seen: What may stand once, and did.
        name: A location's prefix, pattern or name.
        exact, regex, named: What kind of location it is.
        locations: The locations directly inside: name, whether exact, the directive, the level.
        values: The settings that are compared at the end, by name.
        names: The keys of a map.
    """

    __slots__ = (
        *("args", "context", "exact", "locations", "name", "named", "names", "opener", "parent", "regex", "seen"),
        "values",
    )

    def __init__(
        self, context: str, opener: Directive | None, parent: Level | None, args: tuple[str, ...] = ()
    ) -> None:
        self.context = context
        self.opener = opener
        self.parent = parent
        self.args = args
        self.seen: set[str] = set()
        self.name = ""
        self.exact = self.regex = self.named = False
        self.locations: list[tuple[str, bool, Directive, Level]] = []
        self.values: dict[str, tuple[str, ...]] = {}
        self.names: NameTable[bool] | None = None


_CLOSED: set[str] = set()
"""What closed blocks have seen: nobody asks, and there are tens of thousands."""

_Head = tuple[str, str, bool, bool, bool]
"""What is wrong with a location's head, its name, and whether it is exact, a pattern, named."""


class _Met(NamedTuple):
    """A directive in its block."""

    directive: Directive
    level: Level
    args: tuple[str, ...]


class Http:
    """What nginx knows while it reads ``http``, and its checks.

    Args:
        config: The configuration.
        builds: The nginx that are asked.
        judge: Who judges single directives.
        say: Told of each refusal.
    """

    def __init__(self, config: Config, builds: tuple[Build, ...], judge: Judge, say: Say) -> None:
        self.config = config
        self.builds = builds
        self.judge = judge
        self.say = say
        self.opaque = False
        self._is_fragment = config.fragment not in (None, "main")
        self.uses: dict[str, Directive] = {}
        self.defined: set[str] = set()
        self._merge_errors: list[tuple[str, Directive]] = []
        self._servers: list[Level] = []
        self._heads: dict[tuple[str, ...], _Head] = {}
        self._http_headers: dict[str, list[tuple[Directive, tuple[str, ...]]]] = {}
        self._buffers: list[Level] = []
        self._sockets: dict[Socket, list[int]] = {}
        self._upstreams: dict[str, bool] = {}
        self._ports: dict[str, tuple[int, Directive]] = {}
        self._primaryless: list[tuple[str, Directive]] = []
        self._formats = {"combined"}
        self._zones: set[str] = set()
        self._caches: set[str] = set()
        self._cache_uses: list[tuple[str, Directive]] = []
        self._zone_uses: dict[str, Directive] = {}

    # --- directives ---------------------------------------------------------------------------------------------------

    def meet(self, directive: Directive, level: Level, judgement: Judgement, via: Directive | None) -> None:
        """One directive that by itself is fine; ``via`` is the include that its file was read through."""
        if level.names is not None:
            self._entry(directive, level, judgement.args, via)
            return
        name, args = directive.name, judgement.args
        reading = judgement.reading
        if not is_known(name):
            self.defined.update(map(lower, reading.defines))
            return
        self._reads(directive, reading)
        if name in HEADERS:
            self._header(directive, level, args)
            judgement.done = level.context != "http"
        elif name in _BUFFERS:
            if not level.values.keys() & _BUFFERS:
                self._buffers.append(level)
            level.values[name] = args
        else:
            step = _STEPS.get(name)
            if step is not None:
                step(self, _Met(directive, level, args))
            judgement.done = step is None

    def _reads(self, directive: Directive, reading: Reading) -> None:
        for name in reading.uses:
            self.uses.setdefault(name, directive)
        for name in reading.defines:
            self._define(name, directive)

    def _define(self, written: str, directive: Directive) -> None:
        """nginx: ngx_http_add_variable."""
        name = lower(written)
        self.defined.add(name)
        if name not in _CHANGEABLE and not name.startswith(("ssl_", "geoip_", "http_", "arg_", "cookie_", "upstream_")):
            masks = [variable_known(name, b.version, b) is True for b in self.builds]
            mask = sum(1 << at for at, known in enumerate(masks) if known)
            if mask and not _is_family(name):
                self.say(f'the duplicate "{name}" variable', directive, mask=mask)

    def _header(self, directive: Directive, level: Level, args: tuple[str, ...]) -> None:
        """A header field for the backend: compiled only when the levels are merged."""
        level.values.setdefault(directive.name, ())
        if level.context == "http":
            self._http_headers.setdefault(directive.name, []).append((directive, args))
        else:
            self._compile_header(directive, args)

    def _compile_header(self, directive: Directive, args: tuple[str, ...]) -> None:
        reading = texts(*args[:2] if directive.name.endswith("_param") else args[1:2])
        self._reads(directive, reading)
        if reading.error:
            self._merge_errors.append((reading.error, directive))

    def _entry(self, directive: Directive, level: Level, args: tuple[str, ...], via: Directive | None) -> None:
        """A line of map and its like; what is wrong with a value is told where the block's own file stands."""
        error, reading = check_entry(level, directive, args)
        if error:
            self.say(error, directive)
        elif reading.error:
            self.say(reading.error, via or directive)
        self._reads(directive, reading)

    def _listen(self, met: _Met) -> None:
        listen = parse_listen(met.args)
        if listen.error:
            self.say(listen.error, met.directive)
            return
        for number, build in enumerate(self.builds):
            if refused := refused_parameter(met.args, build):
                self.say(refused, met.directive, mask=1 << number)
        met.level.seen.add("listen")
        if "quic" in listen.flags:
            return
        options = any("=" in a or a in ("bind", "deferred", "reuseport") for a in met.args[1:])
        number = len(self._servers)
        for socket in listen.sockets:
            known = self._sockets.get(socket)
            if known is None:
                self._sockets[socket] = [number, int(listen.default), int(options)]
                continue
            if known[0] == number:
                self.say(f"a duplicate listen {socket}", met.directive)
                return
            if options and known[2]:
                self.say(f"duplicate listen options for {socket}", met.directive)
                return
            if listen.default and known[1]:
                self.say(f"a duplicate default server for {socket}", met.directive)
                return
            known[:] = [number, known[1] | listen.default, known[2] | options]

    def _proxy_pass(self, met: _Met) -> None:
        if "$" in met.args[0]:
            return
        try:
            url = parse_proxy_url(met.args[0])
        except UrlError:
            return
        key = lower(url.host)
        if not url.is_unix:
            if self._upstreams.get(key) and not url.no_port:
                self.say(f'upstream "{url.host}" may not have port {url.port}', met.directive)
                return
            if not url.no_port:
                self._ports.setdefault(key, (url.port, met.directive))
        if url.uri and (met.level.context != "location" or met.level.regex or met.level.named):
            self.say(_NO_URI, met.directive)

    def _root(self, met: _Met) -> None:
        other = "alias" if met.directive.name == "root" else "root"
        if other in met.level.seen:
            said = f'"{met.directive.name}" directive is duplicate, "{other}" directive was specified earlier'
            self.say(said, met.directive)
            return
        if met.directive.name == "alias" and met.level.named:
            self.say('the "alias" directive cannot be used inside the named location', met.directive)
        for variable in ("document_root", "realpath_root"):
            if f"${variable}" in met.args[0] or f"${{{variable}}}" in met.args[0]:
                self.say(
                    f'the ${variable} variable cannot be used in the "{met.directive.name}" directive', met.directive
                )

    def _log_format(self, met: _Met) -> None:
        if met.args[0] in self._formats:
            self.say(f'duplicate "log_format" name "{met.args[0]}"', met.directive)
        self._formats.add(met.args[0])

    def _access_log(self, met: _Met) -> None:
        if met.args[0] == "off":
            if len(met.args) > 1:
                self.say(f'invalid parameter "{met.args[1]}"', met.directive)
            return
        path = texts(met.args[0])
        self._reads(met.directive, path)
        if path.error:
            self.say(path.error, met.directive)
        elif len(met.args) > 1 and met.args[1] not in self._formats and not (self.opaque or self._is_fragment):
            self.say(f'unknown log format "{met.args[1]}"', met.directive)
        elif wrong := next((a for a in met.args[2:] if not a.startswith(_LOG_OPTIONS) and a != "gzip"), None):
            self.say(f'invalid parameter "{wrong}"', met.directive)

    def _zone(self, met: _Met) -> None:
        self._zones |= {a[5:].partition(":")[0] for a in met.args if a.startswith("zone=")}

    def _zone_use(self, met: _Met) -> None:
        name = met.directive.name
        zones = [a[5:] for a in met.args if a.startswith("zone=")] if name == "limit_req" else [met.args[0]]
        for zone in zones:
            self._zone_uses.setdefault(zone, met.directive)
            if f"{name} {zone}" in met.level.seen:
                self.say(f'"{name}" directive is duplicate', met.directive)
            met.level.seen.add(f"{name} {zone}")

    def _cache(self, met: _Met) -> None:
        if met.directive.name.endswith("_path"):
            self._caches |= {a[10:].partition(":")[0] for a in met.args if a.startswith("keys_zone=")}
        elif met.args[0] != "off" and "$" not in met.args[0]:
            self._cache_uses.append((met.args[0], met.directive))

    def _peer(self, met: _Met) -> None:
        if met.level.context == "upstream":
            met.level.values["server"] = ()
            if "backup" not in met.args[1:]:
                met.level.values["primary"] = ()
            if "backup" in met.args[1:] and met.level.values.keys() & {"ip_hash", "hash", "random"}:
                self.say('balancing method does not support parameter "backup"', met.directive)

    def _once(self, met: _Met) -> None:
        """A block that may stand once."""
        if met.directive.name in met.level.seen:
            self.say(f'"{met.directive.name}" directive is duplicate', met.directive)
        met.level.seen.add(met.directive.name)

    def _method(self, met: _Met) -> None:
        met.level.values[met.directive.name] = ()

    # --- blocks -------------------------------------------------------------------------------------------------------

    def open_synthetic(self, level: Level) -> None:
        """A block that a fragment was cut from."""
        if level.context == "server":
            self._servers.append(level)

    def open(self, level: Level) -> None:
        """A block's ``{``."""
        context, opener = level.context, level.opener
        assert opener is not None
        if context == "location":
            self._location(level, opener)
        elif context == "server":
            self._servers.append(level)
        elif context == "upstream":
            self._upstream(level, opener)
        elif context in HANDLED_BLOCKS:
            level.names = NameTable()

    def _location(self, level: Level, opener: Directive) -> None:
        head = self._heads.get(level.args)
        if head is None:
            head = self._heads[level.args] = _read_head(level.args)
        error, level.name, level.exact, level.regex, level.named = head
        parent = level.parent
        assert parent is not None
        if not error and level.regex:
            compiled = pattern(level.name, caseless=level.args[0].startswith("~*"))
            error = compiled.error or ""
            self._reads(opener, compiled)
        if not error and parent.context == "location":
            error = _nesting(level, parent)
        if error:
            self.say(error, opener)
        elif not level.regex and not level.named:
            parent.locations.append((level.name, level.exact, opener, level))

    def _upstream(self, level: Level, opener: Directive) -> None:
        if not level.args:
            return
        name = level.args[0]
        key = lower(name)
        if key in self._upstreams:
            self.say(f'duplicate upstream "{name}"', opener)
        elif key in self._ports:
            port, where = self._ports[key]
            place = f"{where.source.path}:{where.stop_line}"
            self.say(f'upstream "{name}" may not have port {port} in {place}', opener)
        self._upstreams[key] = True

    def close(self, level: Level) -> None:
        """A block's ``}``."""
        opener = level.opener
        assert opener is not None
        if level.context == "upstream" and "server" not in level.values and not self.opaque:
            self.say("no servers are inside upstream", opener, place=_end(opener))
        elif level.context == "upstream" and "primary" not in level.values and not self.opaque:
            self._primaryless.append((level.args[0] if level.args else "", opener))
        elif level.context == "server" and "listen" not in level.seen:
            self._sockets.setdefault(Socket("0.0.0.0", 80), [len(self._servers), 0, 0])  # noqa: S104
        elif level.context == "http":
            self._finish(_end(opener))
        level.seen = _CLOSED

    # --- the end ------------------------------------------------------------------------------------------------------

    def finish_main(self, main: Level) -> None:
        """The end of the main file."""
        if self._is_fragment:
            self._finish(None)
            return
        if "events" not in main.seen and not self.opaque:
            self.say('no "events" section in configuration', None)
        if not self.opaque:
            for name, directive in self._zone_uses.items():
                if name not in self._zones:
                    self.say(f'zero size shared memory zone "{name}"', directive, place=None)

    def _finish(self, end: Place | None) -> None:
        for family, lines in self._http_headers.items():
            if any(family not in server.values for server in self._servers):
                for directive, args in lines:
                    self._compile_header(directive, args)
        for name, opener in self._primaryless:
            self.say(f'no servers in upstream "{name}"', opener)
        for name, directive in self._cache_uses if not (self.opaque or self._is_fragment) else ():
            if name not in self._caches:
                self.say(f'"{directive.name}" zone "{name}" is unknown', directive, place=end)
        for message, directive in self._merge_errors:
            self.say(message, directive, place=end)
        for level in self._buffers:
            self._check_buffers(level, end)
        for server in self._servers:
            self._duplicate_locations(server)
        self._unknown_variables()

    def _check_buffers(self, level: Level, end: Place | None) -> None:
        message = _buffers_error(level) if level.context != "http" or self._servers else None
        if message:
            self.say(message, next(iter(self._places(level)), None), place=end)

    def _places(self, level: Level) -> tuple[Directive, ...]:
        return (level.opener,) if level.opener is not None else ()

    def _duplicate_locations(self, server: Level) -> None:
        """nginx sorts them by name and looks at neighbours; inner ones come first."""
        order: list[Level] = []
        stack = [server]
        while stack:
            level = stack.pop()
            order.append(level)
            stack.extend(inner for _, _, _, inner in level.locations)
        for level in reversed(order):
            if len(level.locations) > 1:
                known: set[tuple[str, bool]] = set()
                for name, exact, directive, _ in level.locations:
                    if (name, exact) in known:
                        self.say(f'duplicate location "{name}"', directive)
                    known.add((name, exact))
        for level in order:  # blocks that know each other would wait for the garbage collector
            level.locations.clear()

    def _unknown_variables(self) -> None:
        for name, directive in self.uses.items():
            if name in self.defined:
                continue
            mask, certain = self._unknown(name)
            if mask:
                self.say(f'unknown "{name}" variable', directive, mask=mask, certain=certain, place=None)

    def _unknown(self, name: str) -> tuple[int, bool]:
        mask, certain = 0, not self.opaque and not self.judge.has_strangers and not self._is_fragment
        for at, build in enumerate(self.builds):
            # A family's bare prefix counts as one of the family.
            if variable_known(name + "x" * name.endswith("_"), build.version, build) is False:
                mask |= 1 << at
                certain = certain and self.judge.decides(build, name)
        return mask, certain


def _end(opener: Directive) -> Place:
    """The place of a block's closing brace."""
    return opener.source.path, opener.source.line(opener.end - 1)


def _is_family(name: str) -> bool:
    return name.startswith(("sent_http_", "sent_trailer_", "proxy_protocol_tlv_"))


def _read_head(args: tuple[str, ...]) -> _Head:
    """A location's head (ngx_http_core_location): what is wrong with it, its name, and its kind."""
    if len(args) == 2:
        modifier, name = args
        if modifier not in ("=", "^~", "~", "~*"):
            return f'invalid location modifier "{modifier}"', name, False, False, False
        return "", name, modifier == "=", modifier[0] == "~", False
    word = args[0] if args else ""
    modifier = next((m for m in ("=", "^~", "~*", "~") if word.startswith(m)), "")
    return "", word[len(modifier) :], modifier == "=", modifier[:1] == "~", word.startswith("@")


def _nesting(level: Level, parent: Level) -> str:
    if parent.exact:
        return f'location "{level.name}" cannot be inside the exact location "{parent.name}"'
    if parent.named:
        return f'location "{level.name}" cannot be inside the named location "{parent.name}"'
    if level.named:
        return f'named location "{level.name}" can be on the server level only'
    if not level.regex and not level.name.startswith(parent.name):
        return f'location "{level.name}" is outside location "{parent.name}"'
    return ""


def _buffers_error(level: Level) -> str | None:
    """What is wrong with the sizes of proxy buffers, merged (ngx_http_proxy_merge_loc_conf)."""
    values: dict[str, tuple[str, ...]] = {}
    at: Level | None = level
    while at is not None:
        values = {**at.values, **values}
        at = at.parent
    count, each = values.get("proxy_buffers", ("8", str(_PAGE)))
    number, one = int(count), parse_size(each) or 0
    first = parse_size(values.get("proxy_buffer_size", (str(_PAGE),))[0]) or 0
    if number < 2:
        return 'there must be at least 2 "proxy_buffers"'
    largest = max(first, one)
    of = 'the maximum of the value of "proxy_buffer_size" and one of the "proxy_buffers"'
    busy = parse_size(values["proxy_busy_buffers_size"][0]) if "proxy_busy_buffers_size" in values else 2 * largest
    if (busy or 0) < largest:
        return f'"proxy_busy_buffers_size" must be equal to or greater than {of}'
    if (busy or 0) > (number - 1) * one:
        return '"proxy_busy_buffers_size" must be less than the size of all "proxy_buffers" minus one buffer'
    written = values.get("proxy_temp_file_write_size")
    if written is not None and (parse_size(written[0]) or 0) < largest:
        return f'"proxy_temp_file_write_size" must be equal to or greater than {of}'
    limit = values.get("proxy_max_temp_file_size")
    if limit is not None and 0 < (parse_size(limit[0]) or 0) < largest:
        return (
            '"proxy_max_temp_file_size" must be equal to zero to disable temporary files usage or must be equal to or '
            f"greater than {of}"
        )
    return None


_STEPS = {
    "events": Http._once,
    "http": Http._once,
    "limit_except": Http._once,
    "listen": Http._listen,
    "proxy_pass": Http._proxy_pass,
    "root": Http._root,
    "alias": Http._root,
    "log_format": Http._log_format,
    "access_log": Http._access_log,
    "limit_req_zone": Http._zone,
    "limit_conn_zone": Http._zone,
    "limit_req": Http._zone_use,
    "limit_conn": Http._zone_use,
    "server": Http._peer,
    "proxy_cache_path": Http._cache,
    "proxy_cache": Http._cache,
    "ip_hash": Http._method,
    "hash": Http._method,
    "random": Http._method,
}
