"""A copy of a configuration that can run on loopback alone: every edit that moves it, and no other.

Theory of operation.  Each directive that reaches out of the configuration (to an address, a file that is written, a
certificate, a backend) has one function here that says what stands in its place.  An edit stays on its lines, so the
numbers in nginx's messages hold; every other byte stays as it is.  The files are written flat, each under a number,
and each ``include`` names those that it meant.

Source: src/http/ngx_http_core_module.c (listen), src/http/modules/ngx_http_proxy_module.c (proxy_pass).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from ipaddress import ip_network

from ws101.edit import quote, set_arg
from ws101.host.process import compiled
from ws101.lab.sandbox_moved import Moved
from ws101.lab.sandbox_tables import (
    BLOCKS_DROPPED,
    CERTIFICATES,
    CONTEXTS,
    DROPPED,
    OTHER_PASSES,
    TRUST,
    WRITTEN,
)
from ws101.lazy import dataclass
from ws101.nginx.config import Config, Placed, Scope
from ws101.nginx.directives import is_known
from ws101.nginx.outcome import Upstream
from ws101.nginx.proxyurl import ProxyUrl, UrlError, parse_proxy_url
from ws101.nginx.references import reference
from ws101.nginx.servers import parse_listen
from ws101.nginx.upstreams import find_block
from ws101.syntax import Directive
from ws101.text import Edit, Span, apply, lower

__all__ = ["PASSWORDS", "Staged", "Urls", "directives_of", "stage", "url_keys"]

PASSWORDS = "passwords"
"""The file that stands for every auth_basic_user_file."""

_TEMP_PATHS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
_ROOM = "8192"
_REST = "ws101_rest"
_ONLY_NAMED = ("resolve", "service=")
_DEFAULT_SERVER = "0.0.0.0:80"


@dataclass(frozen=True, slots=True)
class Staged:
    """A configuration that was moved.

    Args:
        files: The text of each file by its name in the sandbox's folder; ``nginx.conf`` is the main one.
        left_out: What was left out, and what could not be moved: a sentence and the directive.
        counts: How many directives of a kind were moved, by words for people.
    """

    files: Mapping[str, str]
    left_out: tuple[tuple[str, Placed], ...]
    counts: Mapping[str, int] = field(default_factory=dict)


Urls = Mapping[Directive, Mapping[str, ProxyUrl]]
"""What each proxy_pass with variables comes out as in the requests to come, by the evaluated text."""


def directives_of(config: Config) -> Iterator[Placed]:
    """Every directive of a configuration that nginx reads as one; blocks that are left out are not entered."""
    stack = [config.main]
    while stack:
        scope = stack.pop()
        stack += _cut_out(scope)
        if scope.kind not in CONTEXTS:
            continue
        for placed in scope:
            yield placed
            if placed.directive.block is not None and placed.name not in BLOCKS_DROPPED:
                stack.append(scope.child(placed))


def _cut_out(scope: Scope) -> tuple[Scope, ...]:
    """The block that a part of a configuration was cut from, seen from the one around it."""
    made = [inner for kind in ("http", "server", "location") for inner in scope.config._blocks(scope, kind)]
    return tuple(inner for inner in made if inner.opener is None)


def stage(config: Config, moved: Moved, urls: Urls, version_text: str, modules: Callable[[str], bool]) -> Staged:
    """Move a configuration.

    Args:
        config: The configuration.
        moved: Gives the places.
        urls: Of each proxy_pass with variables.
        version_text: What ``nginx -V`` printed: where its relative names start.
        modules: Whether the nginx has a module, by configure's name without ``_module``.

    Raises:
        InputError: There is more to move than can be.
        NetworkError: No port can be had.
    """
    stager = _Stager(config, moved, urls, compiled(version_text).prefix, modules)
    for placed in directives_of(config):
        stager.visit(placed)
    return stager.finish()


class _Stager:
    def __init__(self, config: Config, moved: Moved, urls: Urls, prefix: str, modules: Callable[[str], bool]) -> None:
        self.config = config
        self.moved = moved
        self.urls = urls
        self.prefix = prefix if prefix.startswith("/") else ""
        self.modules = modules
        self.edits: dict[Directive, Edit] = {}
        self.inserts: dict[str, list[Edit]] = {}
        self.left_out: dict[Directive, tuple[str, Placed]] = {}
        self.counts: dict[str, int] = {}
        self.maps: list[str] = []
        self.written = 0
        self.hash_settings: dict[str, Placed] = {}
        self.names = {path: f"conf/{n}-{posixpath.basename(path)[-60:]}" for n, path in enumerate(config.sources)}

    # What is done to each directive ---------------------------------------------------------------------------------

    def visit(self, placed: Placed) -> None:
        """Note what is to be done to one directive; a directive of a file that is included twice is seen twice."""
        directive, name = placed.directive, placed.name
        if directive in self.edits or not directive.closed:
            return
        if name in BLOCKS_DROPPED and directive.block is not None:
            self._drop(placed, BLOCKS_DROPPED[name])
        elif name in DROPPED and directive.block is None:
            self._drop(placed, DROPPED[name] if not name.endswith("_verify") or placed.args[:1] == ("on",) else "")
        elif name == "server" and placed.scope.kind == "http":
            self._server(placed)
        elif placed.args and directive.block is None:
            self._simple(placed)
        if not is_known(name):
            what = f"{name} is of a module that ws101 does not know: it is kept, and what it reaches is not known"
            self.left_out.setdefault(directive, (what, placed))

    def _simple(self, placed: Placed) -> None:
        """A directive with arguments and no block."""
        name = placed.name
        known = _BY_NAME.get(name)
        if name == "server" and placed.scope.kind == "upstream":
            self._peer(placed)
        elif known is not None:
            known(self, placed)
        elif name in WRITTEN:
            self._write_elsewhere(placed)
        elif name in CERTIFICATES or name in TRUST:
            self._certificate(placed)
        elif name in OTHER_PASSES:
            self._other_pass(placed)
        else:
            self._make_absolute(placed)

    def _drop(self, placed: Placed, why: str) -> None:
        self._replace(placed.directive, "")
        if why:
            self.left_out[placed.directive] = (f"{placed.name} is left out: {why}", placed)

    def _listen(self, placed: Placed) -> None:
        """The same flags at other addresses; one directive for each address that it means."""
        listen = parse_listen(placed.args)
        if listen.error:
            return
        places = [str(self.moved.listener(socket)) for socket in listen.sockets]
        flags = [flag for flag in placed.args[1:] if self.moved.has_ipv6 or not flag.startswith("ipv6only=")]
        lines = ["; ".join(" ".join(map(quote, ("listen", place, *flags))) for place in places)]
        if len(places) == 1 and len(flags) == len(placed.args) - 1:
            self.edits[placed.directive] = set_arg(placed.directive, 0, places[0])
        else:
            self._replace(placed.directive, lines[0] + ";")
        self._count("listener")

    def _server(self, placed: Placed) -> None:
        """A server without ``listen`` gets the default one, written out (nginx: ngx_http_core_server)."""
        scope = placed.scope.child(placed)
        if not scope.all("listen") and not scope.opaque:
            directive, place = placed.directive, self._default_listener()
            at = Span(directive.source.path, directive.block_start + 1, directive.block_start + 1)
            inserts = self.inserts.setdefault(directive.source.path, [])
            if all(known.span != at for known in inserts):
                inserts.append(Edit(at, f" listen {place};"))

    def _default_listener(self) -> str:
        return str(self.moved.listener(parse_listen((_DEFAULT_SERVER,)).sockets[0]))

    def _peer(self, placed: Placed) -> None:
        """A server of an upstream block."""
        address, *parameters = placed.args
        kept = [text for text in parameters if not text.startswith(_ONLY_NAMED)]
        place = self.moved.backend(address)
        if len(kept) == len(parameters):
            self.edits[placed.directive] = set_arg(placed.directive, 0, place)
        else:
            self._replace(placed.directive, " ".join(map(quote, ("server", place, *kept))) + ";")
        self._count("backend")

    def _proxy_pass(self, placed: Placed) -> None:
        """A literal URL keeps its scheme and path; one with variables goes through a map of what they come out as."""
        text = placed.args[0]
        if "$" in text:
            self._variable_pass(placed)
            return
        try:
            url = parse_proxy_url(text)
        except UrlError:
            return
        if find_block(self.config, url) is None:
            self.edits[placed.directive] = set_arg(placed.directive, 0, self._moved_url(url))
            self._count("backend")

    def _moved_url(self, url: ProxyUrl) -> str:
        place = self.moved.backend(url.address)
        self.moved.stands_for(int(place.rpartition(":")[2]), url.host_header)
        return f"{'https' if url.tls else 'http'}://{place}{url.uri}"

    def _variable_pass(self, placed: Placed) -> None:
        known = self.urls.get(placed.directive, {})
        variable = f"$ws101_moved_{len(self.maps)}"
        entries = []
        for text, url in known.items():
            if "$" in url.uri:
                continue
            scheme, block = "https" if url.tls else "http", find_block(self.config, url)
            moved = self._moved_url(url) if block is None else f"{scheme}://{url.host}{url.uri}"
            entries.append((text, moved + (f"${_REST}" if text.startswith("~") else "")))
        inside = "".join(f" {quote(key, _QUOTE)} {quote(value, _QUOTE)};" for key, value in entries)
        nowhere = f"http://127.0.0.1:{self.moved.nowhere}"
        self.maps.append(f"map {quote(placed.args[0], _QUOTE)} {variable} {{ volatile; default {nowhere};{inside} }}")
        self.edits[placed.directive] = set_arg(placed.directive, 0, variable)
        self._count("backend")
        if not entries:
            what = "where this leads is known only at run time: in the sandbox it leads nowhere"
            self.left_out[placed.directive] = (what, placed)

    def _other_pass(self, placed: Placed) -> None:
        self.edits[placed.directive] = set_arg(
            placed.directive, 0, f"{OTHER_PASSES[placed.name]}127.0.0.1:{self.moved.nowhere}"
        )

    def _resolver(self, placed: Placed) -> None:
        """Names are looked up where nobody answers."""
        kept = [text for text in placed.args if text.startswith(("valid=", "ipv6=", "ipv4=", "status_zone="))]
        self._replace(placed.directive, " ".join(("resolver", f"127.0.0.1:{self.moved.nowhere}", *kept)) + ";")
        self.left_out[placed.directive] = ("resolver leads nowhere: no name is looked up", placed)

    def _addresses_only(self, placed: Placed) -> None:
        """Names that nginx would look up while it starts are left out."""
        text = placed.args[0]
        try:
            known = text == "unix:" or ip_network(text, strict=False) is not None
        except ValueError:
            known = False
        if not known:
            self._drop(placed, "no name is looked up")

    def _write_elsewhere(self, placed: Placed) -> None:
        target = placed.args[0]
        if target in ("off", "stderr") or target.startswith("memory:"):
            return
        staged = f"{self.moved.folder}/written{self.written}"
        self.written += 1
        if "$" not in target and not target.startswith("syslog:"):
            self.moved.file(staged, target)
        self.edits[placed.directive] = set_arg(placed.directive, 0, staged)
        self._count("file that nginx writes")

    def _certificate(self, placed: Placed) -> None:
        """Generated ones; of a server's both kinds, so on one line there may be two directives."""
        if not placed.args[0]:
            return
        names = CERTIFICATES.get(placed.name, ("all.pem",))
        kept = placed.args[1:]
        words = [" ".join((placed.name, f"{self.moved.folder}/{name}", *kept)) for name in names]
        self._replace(placed.directive, "; ".join(words) + ";")
        self._count("certificate or key")

    def _passwords(self, placed: Placed) -> None:
        self.edits[placed.directive] = set_arg(placed.directive, 0, f"{self.moved.folder}/{PASSWORDS}")
        self._count("password file")

    def _hash_setting(self, placed: Placed) -> None:
        """Maps of whole URLs need more room than most configurations ask for."""
        if placed.scope.kind == "http":
            self.hash_settings[placed.name] = placed

    def _folder(self, placed: Placed) -> None:
        """What is served stays where it is; a relative name starts in nginx's own prefix."""
        name = placed.args[0]
        if not name.startswith(("/", "$")):
            self.edits[placed.directive] = set_arg(placed.directive, 0, posixpath.join(self.prefix, name))

    def _make_absolute(self, placed: Placed) -> None:
        """A file that is read stays where it is; a relative name is made absolute."""
        found = reference(placed.directive)
        if found is None or not found.name or found.name.startswith("/"):
            return
        base = self.prefix if found.in_prefix else self.config.prefix
        at = placed.args.index(found.name)
        self.edits[placed.directive] = set_arg(placed.directive, at, posixpath.join(base, found.name))

    def _include(self, directive: Directive) -> str:
        """The staged files that an include means; what is missing keeps its name, for nginx to say so."""
        found = self.config.included.get(directive)
        if found is None:
            return directive.source.text[directive.start : directive.end]
        names = (f"{self.moved.folder}/{self.names[n]}" if n in self.names else n for n in found)
        return " ".join(f"include {quote(name, _QUOTE)};" for name in names)

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def _replace(self, directive: Directive, text: str) -> None:
        """Put a text in a directive's place, with as many line ends as there were."""
        lost = directive.source.text.count("\n", directive.start, directive.end)
        self.edits[directive] = Edit(directive.span, text + "\n" * lost)

    # Putting it together --------------------------------------------------------------------------------------------

    def finish(self) -> Staged:
        """The staged files."""
        self._includes_elsewhere()
        self._settings_of_http()
        by_path = {path: list(self.inserts.get(path, ())) for path in self.names}
        for edit in self.edits.values():
            by_path[edit.span.path].append(edit)
        files = {}
        for path, source in self.config.sources.items():
            files[self.names[path]] = apply(source.text, _outermost(by_path[path]))
            self.moved.file(f"{self.moved.folder}/{self.names[path]}", path)
        files["nginx.conf"] = self._main()
        return Staged(files, tuple(self.left_out.values()), self.counts)

    def _includes_elsewhere(self) -> None:
        """Includes inside maps, types and the like, whose entries are no directives."""
        for directive in self.config.included:
            if directive not in self.edits and directive.closed:
                self._replace(directive, self._include(directive))

    def _settings_of_http(self) -> None:
        http = self.config.http
        for placed in self.hash_settings.values() if self.maps else ():
            self.edits[placed.directive] = set_arg(placed.directive, 0, _ROOM)
        if http is not None and http.opener is not None:
            directive = http.opener.directive
            at = Span(directive.source.path, directive.block_start + 1, directive.block_start + 1)
            self.inserts.setdefault(directive.source.path, []).append(Edit(at, self._extra(http)))

    def _extra(self, http: Scope) -> str:
        """What the http block needs besides: places to write to instead of the built-in ones, and the maps."""
        there = {placed.name for placed in http}
        names = [f"{n}_temp_path" for n in _TEMP_PATHS if self.modules(f"http_{n}") or n == "client_body"]
        lines = [f"{name} {self.moved.folder}/{name};" for name in names if name not in there]
        lines += [] if "access_log" in there else ["access_log off;"]
        if self.maps:
            sizes = ("map_hash_bucket_size", "map_hash_max_size")
            lines += [f"{size} {_ROOM};" for size in sizes if size not in self.hash_settings]
            lines += self.maps
        return " " + " ".join(lines)

    def _main(self) -> str:
        """nginx's main file: the user's own, or the blocks around what was cut out of one."""
        inner = f"include {quote(f'{self.moved.folder}/{self.names[self.config.path]}', _QUOTE)};"
        fragment = self.config.fragment
        if not fragment:
            return inner + "\n"
        http = self.config.http
        assert http is not None
        if fragment == "location":
            inner = f"location / {{ {inner} }}"
        if fragment in ("location", "server"):
            listens = "" if self.config.servers[0].all("listen") else f"listen {self._default_listener()}; "
            inner = f"server {{ {listens}{inner} }}"
        return f"events {{ }}\nhttp {{{self._extra(http)} {inner} }}\n"


_QUOTE = '"'
_BY_NAME: dict[str, Callable[[_Stager, Placed], None]] = {
    "listen": _Stager._listen,
    "proxy_pass": _Stager._proxy_pass,
    "resolver": _Stager._resolver,
    "auth_basic_user_file": _Stager._passwords,
    "set_real_ip_from": _Stager._addresses_only,
    "debug_connection": _Stager._addresses_only,
    "root": _Stager._folder,
    "alias": _Stager._folder,
    "map_hash_bucket_size": _Stager._hash_setting,
    "map_hash_max_size": _Stager._hash_setting,
}


def _outermost(edits: Sequence[Edit]) -> list[Edit]:
    """The edits without those inside a block that is left out."""
    kept: list[Edit] = []
    end = -1
    for edit in sorted(edits, key=lambda e: (e.span.start, e.span.end > e.span.start, -e.span.end)):
        if edit.span.start >= end:
            kept.append(edit)
            end = max(end, edit.span.end)
    return kept


def url_keys(upstream: Upstream, target: str | None) -> Iterator[tuple[str, ProxyUrl]]:
    """The texts that a proxy_pass with variables may have come out as, if a request went to an upstream with a target.

    nginx takes the path of such a URL whole, or, where there is none, the request's own: which it was is not told.
    The texts are in lower case, as maps compare them.  Where the target is not known, one is a regular expression that
    takes any; only there, since its captures take the place of the request's own.
    """
    scheme, address = ("https" if upstream.tls else "http"), upstream.name
    hosts = [address, f"{address}:{443 if upstream.tls else 80}"]
    if upstream.peers and upstream.peers[0].address.startswith("unix:") and upstream.block is None:
        hosts = [f"{upstream.peers[0].address}:", upstream.peers[0].address]
    for host in hosts:
        try:
            url = parse_proxy_url(f"{scheme}://{host}")
        except UrlError:
            continue
        if target is None:
            yield f"~*^{re.escape(f'{scheme}://{host}')}(?<{_REST}>[/?].*)?$", url
            continue
        for uri in dict.fromkeys(("", target, target[1:] if target.startswith("/?") else target)):
            yield lower(f"{scheme}://{host}{uri}"), replace(url, uri=uri)
