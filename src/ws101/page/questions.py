"""The questions that the page asks: ``Desk`` holds what was dropped, and each question is one function, JSON to JSON.

::

    {"ask": "look", "main": "nginx/nginx.conf", "folder": "/etc/nginx", "nginx": "1.22.1", "urls": []}

An answer is an object; one with ``error`` says what was wrong with the question.  File names, here and in answers, are
text for people and keys at once: a byte that is no UTF-8 stands as its lone surrogate.  Contents (a diff, a manifest,
fixed files) are latin-1: one character is one byte.
"""

from __future__ import annotations

import gc
import hashlib
import io
import ipaddress
import json
import posixpath
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field

from ws101.check import CheckReport, check
from ws101.errors import InputError, UsageError, Ws101Error
from ws101.fix import FixResult, fix, judged
from ws101.http1 import Request
from ws101.lazy import dataclass, lazy_pattern
from ws101.manifest import Drift, Manifest, compare, format_manifest, is_manifest, parse_manifest
from ws101.nginx.build import Build, parse_version
from ws101.nginx.config import Config, MemoryFiles
from ws101.nginx.outcome import Arrival
from ws101.page import shapes
from ws101.page.intake import FOLDER, Dropped, is_binary, mains, mounted, unpack
from ws101.page.sums import entry, survey
from ws101.probes.endpoint import Endpoint, parse_ws_url
from ws101.probes.handshake import HandshakeOptions, build_request
from ws101.report.diff import paint_diff, text_diff_lines
from ws101.report.json.base import Json, dump
from ws101.report.json.check import check as check_json
from ws101.report.style import PLAIN
from ws101.report.subject import Subject
from ws101.report.texts import as_json_text
from ws101.report.variants import trace_all
from ws101.rules.base.options import Options
from ws101.text import BLANKS, Source, printable

__all__ = ["Desk", "arrival", "builds_of"]

_EPOCH = (1980, 1, 1, 0, 0, 0)
_MAGIC = lazy_pattern(r"[*?\[]")
_TYPICAL = frozenset(
    (
        *("http", "events", "server", "location", "upstream", "map", "geo", "include", "listen", "server_name"),
        *("user", "worker_processes", "pid", "load_module", "error_log", "access_log", "stream", "mail", "return"),
        *("rewrite", "set", "if", "add_header", "root", "index", "try_files", "daemon", "master_process", "types"),
    )
)
"""Directives of which a file that nginx reads has at least one at its top."""


def _bytes_of(text: str) -> str:
    """Text of the page as latin-1 text of its UTF-8 bytes."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode("latin-1")


def builds_of(text: str) -> tuple[Build, ...]:
    """The nginx versions that a question is about: every one if the text is empty.

    Raises:
        UsageError: It is no version.
    """
    if not text.strip():
        return Build.representatives()
    number = parse_version(text.strip())
    if number is None:
        raise UsageError(f"{printable(text, limit=40)} is not a version of nginx", help="write it as 1.22.1")
    return (Build(number),)


def arrival(endpoint: Endpoint) -> Arrival:
    """The opening handshake for an address, on its connection, as ``ws101 explain`` asks it."""
    made = build_request(endpoint, HandshakeOptions())
    literal = _literal(endpoint.host)
    name = endpoint.host if endpoint.tls and literal is None else None
    request = Request(made.method, made.target, made.version, made.headers)
    return Arrival(request, port=endpoint.port, address=literal, tls=endpoint.tls, sni=name)


def _literal(host: str) -> str | None:
    try:
        return str(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class _Case:
    """A configuration that was looked at.

    Args:
        subject: The configuration and the versions.
        files: Every file under its name on the server.
        names: The name in the drop of each of them.
        options: What the rules were asked.
        report: What they said.
    """

    subject: Subject
    files: Mapping[str, bytes]
    names: Mapping[str, str]
    options: Options
    report: CheckReport


@dataclass(slots=True)
class Desk:
    """One drop, and the questions about it.

    Usage: ``add`` each file, then ask ``open``, hash what ``contents`` gives, ask ``sums``, then anything.
    """

    _given: list[tuple[str, bytes]] = field(default_factory=list)
    _dropped: Dropped = field(default_factory=lambda: Dropped({}))
    _digests: dict[str, str] = field(default_factory=dict)
    _sealed: tuple[str, str] = ("", "")
    _case: _Case | None = None
    _fixed: FixResult | None = None

    def add(self, name: str, data: bytes) -> None:
        """Take one file that was dropped; a manifest is kept to compare with.

        Args:
            name: Its path in the drop.
            data: Its bytes.
        """
        text = data.decode("latin-1") if len(data) < 4 << 20 else ""
        if is_manifest(text):
            self._sealed = (_bytes_of(name), text)
        else:
            self._given.append((_bytes_of(name), data))

    def contents(self, name: str) -> bytes:
        """The bytes of a file that was taken, for its digest.

        Raises:
            KeyError: There is none of this name.
        """
        return self._dropped.files[_bytes_of(name)]

    def ask(self, question: str) -> str:
        """Answer a question, see the module; an answer always comes, an error in it if need be."""
        try:
            asked = json.loads(question)
            answer = _QUESTIONS[asked["ask"]](self, asked)
        except Ws101Error as error:
            answer = {"error": {"message": str(error.message), "where": error.where, "help": error.help}}
        except RecursionError:
            what = "it is nested more deeply than this page can follow"
            answer = {"error": {"message": what, "where": "", "help": "use the command: ws101 check"}}
        return json.dumps(answer)

    def open(self, _asked: Json) -> Json:
        """``open``: take apart what was added. Which files there are, which were refused, which can be the main one."""
        given, self._given = self._given, []
        if given or not self._dropped.files:
            self._digests, self._case, self._fixed = {}, None, None
            self._dropped = Dropped({})
            if not given and self._sealed[1]:
                raise InputError("there is a manifest and no configuration", help="drop the configuration as well")
            self._dropped = unpack(given)
        files = self._dropped.files
        candidates = tuple(files)[:1] if self._dropped.is_dump else mains(files)
        return {
            "files": [
                {"name": as_json_text(name), "size": len(data), "binary": is_binary(data)}
                for name, data in files.items()
            ],
            "refused": [{"name": as_json_text(item.name), "why": item.why} for item in self._dropped.refused],
            "mains": [as_json_text(name) for name in candidates],
            "dump": self._dropped.is_dump,
            "manifest": as_json_text(self._sealed[0]) or None,
        }

    def sums(self, asked: Json) -> Json:
        """``sums``: remember the digests of the files, by name; those that are left out are computed here."""
        told = {_bytes_of(name): digest for name, digest in asked.get("digests", {}).items()}
        for name, data in self._dropped.files.items():
            self._digests[name] = told.get(name) or hashlib.sha256(data).hexdigest()
        return {"digests": {as_json_text(name): digest for name, digest in self._digests.items()}}

    def look(self, asked: Json) -> Json:
        """``look``: the findings, the table of routes, and what could not be known."""
        self._case = self._fixed = None
        case = self._case = self._looked(asked)
        unseen = () if self._dropped.is_dump else tuple(_unseen(case))
        shown = shapes.look(case.subject, case.report, unseen)
        loaded = [as_json_text(case.names[path]) for path in case.subject.sources if path in case.names]
        return {**shown, "loaded": loaded}

    def more(self, asked: Json) -> Json:
        """``more``: the next findings, ``from`` the given number on."""
        case = self._now()
        return {"findings": shapes.findings(case.subject, case.report, int(asked["from"]))}

    def report(self, _asked: Json) -> Json:
        """``report``: the findings as ``ws101 check --format json`` writes them, as text."""
        case = self._now()
        return {
            "report": dump(check_json([(case.subject, case.report)]))
            .encode("utf-8", "surrogateescape")
            .decode("latin-1")
        }

    def _looked(self, asked: Json) -> _Case:
        main, folder = _bytes_of(asked["main"]), _bytes_of(asked.get("folder") or FOLDER)
        builds = builds_of(asked.get("nginx") or "")
        options = Options(urls=tuple(url for url in asked.get("urls", ()) if url.strip()))
        for url in options.urls:
            parse_ws_url(url)
        here = mounted(self._dropped.files, main, folder)
        inside = posixpath.dirname(here.main) if len(here.files) > 1 and not self._dropped.is_dump else None
        collects = gc.isenabled()
        gc.disable()  # of the many objects that are made here, few become garbage before the end
        try:
            config = Config(MemoryFiles(here.files), here.main, inside=inside)
            _require_nginx(config)
            source = "option" if asked.get("nginx") else "unknown"
            subject = Subject(config, builds, source, given=asked["main"])
            report = judged(check(config, builds, options), options)
        finally:
            if collects:
                gc.enable()
        return _Case(subject, here.files, here.names, options, report)

    def explain(self, asked: Json) -> Json:
        """``explain``: what nginx does with the opening handshake for ``url``, step by step."""
        subject = self._now().subject
        endpoint = parse_ws_url(asked["url"].strip())
        variants = trace_all(subject.config, arrival(endpoint), subject.builds, exact=False)
        return shapes.explain(endpoint.url, subject, variants)

    def mend(self, asked: Json) -> Json:
        """``mend``: the fixes as a diff, and the fixed files; with ``unsafe`` also those that change other requests.

        ``diff`` is exact, for ``patch``; ``shown`` are its lines with secrets masked.
        """
        case = self._now()
        result = self._fixed = fix(
            case.subject.config, case.subject.builds, case.options, unsafe=bool(asked.get("unsafe"))
        )
        base = case.subject.config.prefix.rstrip("/") + "/"
        sources = {
            _below(path, base): Source(_below(path, base), item.text) for path, item in case.subject.sources.items()
        }
        texts = {_below(path, base): text for path, text in result.texts.items()}
        lines = list(text_diff_lines(sources, texts))
        diff = {"diff": "".join(lines), "shown": paint_diff(lines, PLAIN)}
        return {**shapes.mend(result, texts), **diff, "folder": as_json_text(base[:-1])}

    def bundle(self, _asked: Json) -> Json:
        """``bundle``: the fixed files as one zip archive, in latin-1; the same files give the same bytes."""
        case, result = self._now(), self._fixed
        if result is None or not result.texts:
            raise InputError("there are no fixed files", help="ask for the fix first")
        base, out = case.subject.config.prefix.rstrip("/") + "/", io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, text in sorted(result.texts.items()):
                name = _below(path, base).lstrip("/").encode("latin-1").decode("utf-8", "replace")
                archive.writestr(zipfile.ZipInfo(name, _EPOCH), text.encode("latin-1"), zipfile.ZIP_DEFLATED)
        return {"zip": out.getvalue().decode("latin-1")}

    def seal(self, _asked: Json) -> Json:
        """``seal``: the manifest of all that nginx loads, as far as it was dropped."""
        manifest = self._manifest(self._now())
        return {
            "manifest": format_manifest(manifest),
            "files": len(manifest.entries),
            "uncovered": [printable(line) for line in manifest.uncovered],
        }

    def _manifest(self, case: _Case) -> Manifest:
        digests = {place: self._digests[name] for place, name in case.names.items()}
        folder = case.subject.config.prefix if self._dropped.is_dump else ""
        return survey(case.subject.config, case.files, digests, folder)

    def compare(self, asked: Json) -> Json:
        """``compare``: a manifest (``text``, in latin-1, or the one that was dropped) against what was dropped."""
        case = self._now()
        name, text = (_bytes_of(asked.get("name", "")), asked["text"]) if asked.get("text") else self._sealed
        old, new = parse_manifest(text, where=printable(name, limit=200)), self._manifest(case)
        paths = {item: posixpath.normpath(posixpath.join(case.subject.config.prefix, item)) for item in old.by_name}
        there = {item: path for item, path in paths.items() if path in case.files and item not in new.by_name}
        present = [entry(item, case.files[path], self._digests[case.names[path]]) for item, path in there.items()]
        changes = compare(old.content_only, new.content_only, present=present)
        return shapes.drift(Drift(old, new, changes), as_json_text(name))

    def _now(self) -> _Case:
        if self._case is None:
            raise InputError("there is no configuration yet", help="drop nginx.conf, its folder, or nginx -T's output")
        return self._case


_QUESTIONS: Mapping[str, Callable[[Desk, Json], Json]] = {
    "open": Desk.open,
    "sums": Desk.sums,
    "look": Desk.look,
    "more": Desk.more,
    "report": Desk.report,
    "explain": Desk.explain,
    "mend": Desk.mend,
    "bundle": Desk.bundle,
    "seal": Desk.seal,
    "compare": Desk.compare,
}


def _below(path: str, base: str) -> str:
    return path.removeprefix(base)


def _unseen(case: _Case) -> Iterator[str]:
    """Includes with a wildcard that match nothing here, in folders of which nothing was dropped."""
    config = case.subject.config
    for directive, found in config.included.items():
        pattern = posixpath.join(config.prefix, directive.args[0])
        if not found:
            folder = _MAGIC.split(pattern)[0].rpartition("/")[0] + "/"
            if not any(path.startswith(folder) and path != config.path for path in case.files):
                yield f"{pattern} was not given, so what it includes is unknown"


def _require_nginx(config: Config) -> None:
    """Refuse what is no nginx configuration at all.

    Raises:
        InputError: The main file is empty, binary, or holds nothing that nginx knows.
    """
    tree = config.trees[config.path]
    where = printable(config.path, limit=200)
    if not tree.source.text.strip(BLANKS):
        raise InputError("there is nothing in it", where=where, help="give an nginx configuration")
    known = any(d.name in _TYPICAL or d.name.startswith("proxy_") for d in tree.directives)
    if is_binary(tree.source.data) or not known:
        remedy = "give nginx.conf, its folder, or the output of nginx -T"
        raise InputError("this is not an nginx configuration", where=where, help=remedy)
