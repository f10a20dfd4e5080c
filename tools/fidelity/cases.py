"""Cases: readable files under ``tests/cases``, each a configuration, requests, and what nginx does with them.

A file is a sentence about what it shows, then sections::

    --- conf
    server {
        listen __ADDR__:__PORT__;
        location / { proxy_pass http://__B0__; }
    }

    --- ask
    GET /a HTTP/1.1
    Host: x.test

    --- expect 1.22.1 1.25.4
    __B0__ gets
    GET /a HTTP/1.0
    Host: __B0__
    Connection: close

    the client gets 200

``--- expect`` without versions holds for all.  Versions that no real nginx here has are asked of the model alone.
``--- ask`` may name ``to PLACE``, ``from ADDRESS``, ``tls``, ``sni NAME`` and ``proxied ADDRESS`` (the PROXY protocol
names that client); ``--- needs MODULE`` or a version keeps builds out that lack it.  Bytes that are not printable stand
as ``\\xNN``.

``python -m tools.fidelity.cases FILE...`` writes what every real nginx within reach does (and the model, for 1.30.4 and
1.31.4) into the files, to be read and judged by a person.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tools.fidelity.batch import Batch, Pair
from tools.fidelity.compare import SUBREQUESTS, has_upgrade
from tools.fidelity.sample import PROXY_LINE, Ask, Sample, lacking
from tools.fidelity.speech import protocol_of
from tools.fidelity.wire import Seen, Wire
from ws101.host.binary import NginxBinary, all_nginx
from ws101.http1 import Request
from ws101.nginx.build import Build, parse_version
from ws101.nginx.outcome import Outcome, Trace
from ws101.nginx.trace import trace

__all__ = ["FOLDER", "Answered", "Case", "Question", "answers", "described", "read_case", "read_cases"]

FOLDER = Path(__file__).resolve().parents[2] / "tests" / "cases"
MODEL_ONLY = ("1.30.4", "1.31.4")
_SECTION = re.compile(r"(?m)^--- *(\w+)(.*)\n")
_ESCAPED = re.compile(r"\\x([0-9a-f]{2})")
_PAGE = b"<hr><center>nginx"


@dataclass(frozen=True, slots=True)
class Question:
    """A request, and what is expected: for all versions (key "") or by version."""

    ask: Ask
    head: str
    text: str
    expected: dict[str, str]

    def wanted(self, version: str) -> str | None:
        """What is expected of a version; None if the case does not say."""
        return self.expected.get(version, self.expected.get(""))


@dataclass(frozen=True, slots=True)
class TextSample(Sample):
    """A sample whose configuration is given as text."""

    conf: str = ""

    @property
    def text(self) -> str:
        """The configuration, with places to fill in."""
        return self.conf


@dataclass(frozen=True, slots=True)
class Case:
    """A file of ``tests/cases``."""

    path: Path
    title: str
    conf: str
    needs: frozenset[str]
    questions: tuple[Question, ...]

    @property
    def sample(self) -> Sample:
        """What is put into a batch."""
        asks = tuple(question.ask for question in self.questions)
        return TextSample(self.path.stem, (), (), asks, self.needs, conf=self.conf)


@dataclass(frozen=True, slots=True)
class Answered:
    """A question, what a real nginx did, what the model says of it, and of versions that only the model knows."""

    case: Case
    question: Question
    nginx: str
    model: str
    others: dict[str, str]


def read_case(path: Path) -> Case:
    """Read a case file.

    Raises:
        ValueError: It has no configuration, or an expectation stands before every request.
    """
    text = path.read_text(encoding="ascii")
    pieces = _SECTION.split(text)
    title, conf, needs = pieces[0].strip(), "", set()
    questions: list[Question] = []
    for kind, words, body in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
        if kind == "conf":
            conf = _raw(body)
        elif kind == "needs":
            needs |= set(words.split())
        elif kind == "ask":
            questions.append(Question(_ask(words.split(), _raw(body)), words.strip(), body, {}))
        elif questions:
            questions[-1].expected.update(dict.fromkeys(words.split() or [""], body.strip("\n")))
        else:
            raise ValueError(f"{path}: an expectation before every request")
    if not conf:
        raise ValueError(f"{path}: no configuration")
    return Case(path, title, conf, frozenset(needs), tuple(questions))


def read_cases() -> tuple[Case, ...]:
    """Every case file, by name."""
    return tuple(read_case(path) for path in sorted(FOLDER.glob("*.case")))


def _raw(text: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)


def _shown(text: str) -> str:
    return "".join(c if c == "\n" or " " <= c <= "~" else f"\\x{ord(c):02x}" for c in text)


def _ask(words: list[str], text: str) -> Ask:
    head, _, body = text.strip("\n").partition("\n\n")
    first, *lines = head.split("\n")
    method, target, version = first.split(" ")[0], first[first.find(" ") + 1 : first.rfind(" ")], first.split(" ")[-1]
    fields = tuple((name, value) for name, _, value in (line.partition(": ") for line in lines))
    options = dict(pairwise(words))
    body = body.replace("\n", "\r\n") if "chunked" in head else body
    body += "\r\n\r\n" if "chunked" in head else ""
    request = Request(method, target, version, fields, body)
    where, client = options.get("to", "__PORT__"), options.get("from", "127.0.0.1")
    first = PROXY_LINE.format(options["proxied"]) if "proxied" in options else ""
    return Ask(request, where, client, "tls" in words, options.get("sni"), first)


def answers(binary: NginxBinary, cases: Sequence[Case], folder: Path) -> Iterator[Answered]:
    """Ask a real nginx and the model every question of those cases whose modules it has."""
    build = binary.build
    fit = [case for case in cases if not lacking(build, case.needs)]
    wire = Wire(folder)
    try:
        for start in range(0, len(fit), 200):
            chosen = {case.path.stem: case for case in fit[start : start + 200]}
            with Batch(binary, wire, [case.sample for case in chosen.values()]) as batch:
                if batch.refused:
                    first = batch.refused[0]
                    raise ValueError(f"{first.sample.seed}: nginx {build.number} refuses it: {first.message}")
                for pair in batch.pairs():
                    case = chosen[pair.placed.sample.seed]
                    question = next(q for q in case.questions if q.ask is pair.ask)
                    answer = trace(batch.config, pair.arrival, build)
                    others = {
                        version: described(
                            trace(batch.config, pair.arrival, Build(parse_version(version) or (0, 0, 0))), pair
                        )
                        for version in MODEL_ONLY
                    }
                    yield Answered(case, question, _real(pair, answer), described(answer, pair), others)
    finally:
        wire.close()


def _real(pair: Pair, answer: Trace) -> str:
    """What nginx did; the folder is empty, so a file that is looked for is not there."""
    return seen_as_text(pair, answer.outcome.kind == "static" and pair.seen.status in (403, 404))


def seen_as_text(pair: Pair, is_file: bool = False) -> str:
    """What a real nginx did, in the words of a case; what is no HTTP/1 counts as no answer."""
    seen = pair.seen
    asked = "".join(_asked(item.data) for item in seen.upstream if item.name == SUBREQUESTS)
    rest = [item for item in seen.upstream if item.name != SUBREQUESTS]
    if rest:
        name, raw, _ = rest[-1]
        protocol = protocol_of(raw)
        said = _spoken_to(name, protocol, _got(seen)) if protocol else _forwarded(name, raw, _got(seen))
    elif is_file:
        said = "a file is looked for"
    elif seen.status is None:
        said = "the connection is closed"
    else:
        text = None if _PAGE in seen.body else seen.body.decode("latin-1")
        said = _answer(seen.status, seen.header("Location"), text or None)
    return _in_places(said + asked, pair)


def described(answer: Trace, pair: Pair) -> str:
    """What the model says, in the words of a case."""
    asked = [item.outcome.forwarded for item in answer.subrequests if item.outcome.kind == "proxied"]
    texts = [_asked(item.request.encode()) for item in asked if item is not None and item.request is not None]
    said = _described(answer)
    return said if said == "unknown" else _in_places(said + "".join(texts), pair)


def _described(answer: Trace) -> str:
    outcome, forwarded = answer.outcome, answer.outcome.forwarded
    if outcome.kind == "proxied" and forwarded is not None:
        request, upstream = forwarded.request, forwarded.upstream
        got = _would_get(answer, outcome)
        if upstream is not None and forwarded.faults == ("protocol",):
            return _spoken_to(upstream.peers[0].address.removeprefix("unix:"), forwarded.handler.name, got)
        if request is None or upstream is None:
            return "unknown"
        return _forwarded(upstream.peers[0].address.removeprefix("unix:"), request.encode(), got)
    if outcome.kind == "static":
        return "a file is looked for"
    if outcome.kind in ("closed", "unknown"):
        return "the connection is closed" if outcome.kind == "closed" else "unknown"
    if outcome.kind == "returned" and outcome.body is None and answer.unknown:
        return "unknown"
    is_head = answer.arrival.request.method == "HEAD"
    text = outcome.body if outcome.kind == "returned" and not is_head and outcome.status not in (204, 304) else None
    return _answer(outcome.status, outcome.location, text or None)


def _lines(raw: bytes) -> str:
    """A request for reading."""
    head, _, body = raw.decode("latin-1").partition("\r\n\r\n")
    return head.replace("\r\n", "\n") + (f"\n\n{body}" if body else "")


def _forwarded(name: str, raw: bytes, got: str) -> str:
    return f"{name} gets\n{_lines(raw)}\n\nthe client gets {got}"


def _spoken_to(name: str, protocol: str, got: str) -> str:
    return f"{name} is spoken to by {protocol}\n\nthe client gets {got}"


def _asked(raw: bytes) -> str:
    return f"\n\n{SUBREQUESTS} is asked\n{_lines(raw)}"


def _got(seen: Seen) -> str:
    location = seen.header("Location")
    return f"{seen.status}{' and a tunnel' if seen.tunnel else ''}" + (f", Location: {location}" if location else "")


def _would_get(answer: Trace, outcome: Outcome) -> str:
    forwarded = outcome.forwarded
    tunnel = bool(forwarded and forwarded.tunnel) and has_upgrade(answer.arrival.request)
    status = outcome.status or (101 if tunnel else 200)
    return f"{status}{' and a tunnel' if tunnel else ''}" + (
        f", Location: {outcome.location}" if outcome.location else ""
    )


def _answer(status: int | None, location: str | None, text: str | None) -> str:
    parts = [f"nginx answers {status}"]
    if location is not None:
        parts.append(f"Location: {location}")
    return ", ".join(parts) + (f"\n{text}" if text else "")


def _in_places(text: str, pair: Pair) -> str:
    """Addresses put back to the names of the places."""
    for place in ("__ADDR__", "__B0__", "__B1__", "__B2__", "__SOCK__", "__UNIX__", "__SUB__"):
        text = text.replace(pair.placed.places[place], place)
    for place in ("__PORT__", "__TLS__"):
        text = re.sub(rf"(?<!\d){pair.placed.places[place]}(?!\d)", place, text)
    text = re.sub(rf"\b(group|kept){pair.placed.places['__N__']}\b", r"\1__N__", text)
    return _shown(text)


def _record(paths: Sequence[Path]) -> None:
    cases = tuple(map(read_case, paths))
    found: dict[tuple[Path, int], dict[str, str]] = {}
    for binary in all_nginx():
        with tempfile.TemporaryDirectory() as folder:
            for answered in answers(binary, cases, Path(folder)):
                number = answered.case.questions.index(answered.question)
                by_version = found.setdefault((answered.case.path, number), {})
                by_version |= {binary.build.number: answered.nginx} | answered.others
                if answered.nginx != answered.model:
                    print(
                        f"{answered.case.path.name} {binary.build.number}\n"
                        f"NGINX {answered.nginx}\nMODEL {answered.model}\n"
                    )
    for case in cases:
        case.path.write_text(_written(case, found), encoding="ascii")


def _written(case: Case, found: dict[tuple[Path, int], dict[str, str]]) -> str:
    parts = [f"{case.title}\n"]
    parts += [f"--- needs {' '.join(sorted(case.needs))}\n"] if case.needs else []
    parts.append(f"--- conf\n{_shown(case.conf).strip(chr(10))}\n")
    for number, question in enumerate(case.questions):
        by_version = dict(question.expected) | found.get((case.path, number), {})
        by_version.pop("", None)
        parts.append(f"--- ask {question.head}".rstrip() + f"\n{question.text.strip(chr(10))}\n")
        groups: dict[str, list[str]] = {}
        for version in sorted(by_version, key=lambda v: parse_version(v) or (0, 0, 0)):
            groups.setdefault(by_version[version], []).append(version)
        for text, versions in groups.items():
            label = "" if len(groups) == 1 else " " + " ".join(versions)
            parts.append(f"--- expect{label}\n{text}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    _record([Path(name) for name in sys.argv[1:]])
