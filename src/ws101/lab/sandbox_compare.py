"""What the model says of the user's own configuration against what happened in the sandbox."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from enum import StrEnum

from ws101.errors import InputError
from ws101.http1 import Request, decode_request
from ws101.lab.sandbox_backends import Recorded
from ws101.lab.sandbox_client import Seen
from ws101.lazy import dataclass
from ws101.nginx.outcome import Forwarded, Trace
from ws101.probes.masking import mask_headers
from ws101.text import lower

__all__ = ["Agreement", "Attempt", "compare", "expected_status"]

_MAY_BE_FILES = frozenset((200, 206, 301, 302, 304, 403, 404, 405))
_SENT = ("set", "default", "passed")


class Agreement(StrEnum):
    """Whether a request went as predicted; ``OPEN`` is what the model does not know, and never counts as fine."""

    SAME = "as-predicted"
    DIFFERS = "differs"
    OPEN = "not-predicted"
    NOT_TRIED = "not-tried"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request and what became of it.

    Args:
        verdict: Whether it went as predicted.
        status: What the client got; None without an answer.
        predicted: The status that the model says; None if it says none.
        tunnel: Whether bytes went through a tunnel and back.
        differences: Lines of a diff: ``-`` predicted, ``+`` recorded, in the user's own words; secrets masked.
        reason: Why it was not tried or not predicted, or a remark; empty if there is nothing to say.
        recorded: The request that reached a backend, in the user's own words; None if none did.
    """

    verdict: Agreement
    status: int | None = None
    predicted: int | None = None
    tunnel: bool = False
    differences: tuple[str, ...] = ()
    reason: str = ""
    recorded: Request | None = None


def compare(
    trace: Trace,
    staged: Trace,
    seen: Seen,
    recorded: Sequence[Recorded],
    *,
    original: Callable[[str], str],
    ports: Collection[int],
    nowhere: int = 0,
) -> Attempt:
    """Hold one request's result against its prediction.

    Args:
        trace: What the model says of the user's configuration.
        staged: What it says of the copy: tells what differs only because things were moved.
        seen: What the client got.
        recorded: What reached backends meanwhile.
        original: Puts the user's own words back into a text.
        ports: Where the predicted backend's places are; empty if anywhere.
        nowhere: The port for what no backend stands for.
    """
    outcome = trace.outcome
    status, predicted = seen.status, expected_status(trace)
    if seen.problem:
        return Attempt(Agreement.DIFFERS, None, predicted, differences=(f"+ {seen.problem}",))
    if _goes_elsewhere(trace, staged):
        other = "in the sandbox it goes another way, because something could not be moved"
        return Attempt(Agreement.OPEN, status, predicted, seen.tunnel, reason=other)
    if nowhere in ports and outcome.kind == "proxied":
        other = "the backend's name is made of what was moved, so in the sandbox nobody stands for it"
        return Attempt(Agreement.OPEN, status, predicted, seen.tunnel, reason=other)
    if outcome.kind == "unknown":
        arrived = _restored(_mine(recorded, (), None), original)
        return Attempt(Agreement.OPEN, status, None, seen.tunnel, reason=_why(trace), recorded=arrived)
    if outcome.kind == "proxied" and outcome.forwarded is not None:
        return _proxied(trace, staged, seen, recorded, original=original, ports=ports)
    arrived = _restored(_mine(recorded, (), None), original)
    if arrived is not None and not trace.subrequests:
        lines = ("- no request to a backend", *_lines(arrived, "+ "))
        return Attempt(Agreement.DIFFERS, status, predicted, seen.tunnel, lines, recorded=arrived)
    if outcome.kind == "static" and status not in _MAY_BE_FILES:
        return Attempt(Agreement.OPEN, status, None, seen.tunnel, reason="what is there on the disk tells the answer")
    wrong = _wrong_answer(trace, staged, seen, original)
    return Attempt(Agreement.DIFFERS if wrong else Agreement.SAME, status, predicted, seen.tunnel, wrong)


def _goes_elsewhere(trace: Trace, staged: Trace) -> bool:
    """Whether the copy takes another way than the user's configuration: its prediction proves nothing then."""
    mine, other = trace.outcome, staged.outcome
    if mine.kind != other.kind or mine.forwarded is None or other.forwarded is None:
        return mine.kind != other.kind
    return mine.forwarded.handler.directive.line != other.forwarded.handler.directive.line


def expected_status(trace: Trace) -> int | None:
    """The client's status, with backends that answer 101 to a handshake and 200 to all else; None if unknown."""
    outcome = trace.outcome
    forwarded = outcome.forwarded
    if outcome.status is not None or forwarded is None:
        return outcome.status
    if forwarded.tunnel is None:
        return None
    asked = any(lower(name) == "upgrade" for name, _ in trace.arrival.request.headers)
    return 101 if forwarded.tunnel and asked else 200


def _wrong_answer(trace: Trace, staged: Trace, seen: Seen, original: Callable[[str], str]) -> tuple[str, ...]:
    """The lines of the answer that are not as predicted; nginx itself gave it."""
    outcome = trace.outcome
    if outcome.kind == "closed":
        return () if seen.response is None else ("- closed without an answer", f"+ {seen.status}")
    if outcome.kind == "static":
        return ()
    if outcome.status != seen.status:
        return (f"- {outcome.status}", f"+ {seen.status or 'no answer'}")
    location = seen.response.header("Location") if seen.response is not None else None
    shown = None if location is None else original(location)
    moved = location is not None and location == staged.outcome.location
    if outcome.location in (shown, location) or moved or trace.unknown:
        return ()
    return (f"- Location: {outcome.location}", f"+ Location: {shown}")


def _proxied(
    trace: Trace,
    staged: Trace,
    seen: Seen,
    recorded: Sequence[Recorded],
    *,
    original: Callable[[str], str],
    ports: Collection[int],
) -> Attempt:
    forwarded = trace.outcome.forwarded
    assert forwarded is not None
    status, predicted = seen.status, expected_status(trace)
    expected = staged.outcome.forwarded.request if staged.outcome.forwarded is not None else None
    found = _mine(recorded, ports, expected.encode() if expected is not None else None)
    if found is None:
        missing = ("- a request to the backend", f"+ none arrived, the client got {status or 'no answer'}")
        return Attempt(Agreement.DIFFERS, status, predicted, seen.tunnel, missing)
    arrived = _restored(found, original)
    lines = _differences(forwarded, arrived, original(found.raw.decode("latin-1")))
    reason = ""
    if lines and _as_moved(staged, found):
        lines, reason = (), f"other than on your machine, because it was moved: {_names(lines)}"
    if ports and found.port not in ports:
        lines = (*lines, f"- to {forwarded.upstream.name if forwarded.upstream else 'its backend'}", "+ to another one")
    if forwarded.upstream is not None and forwarded.upstream.tls != found.tls:
        lines = (*lines, f"{'-' if forwarded.upstream.tls else '+'} through TLS")
    if predicted is not None and predicted != status:
        lines = (*lines, f"- answer {predicted}", f"+ answer {status or 'none'}")
    if status == 101 and not seen.tunnel:
        lines = (*lines, "- bytes after the 101 come back", "+ they do not")
    verdict = Agreement.DIFFERS if lines else Agreement.OPEN if predicted is None else Agreement.SAME
    if verdict is Agreement.OPEN or (not reason and forwarded.request is None):
        reason = f"not compared: {_why(trace)}"
    return Attempt(verdict, status, predicted, seen.tunnel, lines, reason, arrived)


def _differences(forwarded: Forwarded, arrived: Request | None, raw: str) -> tuple[str, ...]:
    """What differs from the prediction; nothing where nothing can be compared."""
    if arrived is not None:
        return _against(forwarded, arrived)
    if forwarded.request is None or forwarded.request.encode().decode("latin-1") == raw:
        return ()
    return ("+ what arrived is no HTTP/1 request",)


def _as_moved(staged: Trace, found: Recorded) -> bool:
    """Whether it is what is predicted of the copy, as far as that is known."""
    forwarded = staged.outcome.forwarded
    if forwarded is None:
        return False
    if forwarded.request is not None:
        return forwarded.request.encode() == found.raw
    arrived = _restored(found, str)
    return arrived is not None and not _against(forwarded, arrived)


def _mine(recorded: Sequence[Recorded], ports: Collection[int], expected: bytes | None) -> Recorded | None:
    """The request that belongs to the one that was asked, not to a subrequest of it."""
    if not recorded:
        return None
    exact = (one for one in recorded if one.raw == expected)
    there = (one for one in reversed(recorded) if one.port in ports)
    return next(exact, None) or next(there, None) or recorded[-1]


def _restored(found: Recorded | None, original: Callable[[str], str]) -> Request | None:
    if found is None:
        return None
    try:
        return decode_request(original(found.raw.decode("latin-1")).encode("latin-1"))
    except (InputError, UnicodeEncodeError):
        return None


def _against(forwarded: Forwarded, arrived: Request) -> tuple[str, ...]:
    """What differs between the predicted request and the one that arrived; of one not known whole, its fields."""
    if forwarded.request is not None:
        return _diff(forwarded.request, arrived)
    unsure = {lower(fate.name) for fate in forwarded.headers if fate.fate == "unknown"}
    known = tuple((f.name, f.value) for f in forwarded.headers if f.fate in _SENT and lower(f.name) not in unsure)
    rest = tuple((name, value) for name, value in arrived.headers if lower(name) not in unsure)
    line = Request(arrived.method, arrived.target, arrived.version)
    return _diff(
        Request(line.method, line.target, line.version, known), Request(line.method, line.target, line.version, rest)
    )


def _diff(predicted: Request, arrived: Request) -> tuple[str, ...]:
    """The lines that differ, masked; none if the heads are equal byte for byte: bodies are what the client sent."""
    if replace(predicted, body="").encode() == replace(arrived, body="").encode():
        return ()
    old, new = _lines(predicted, ""), _lines(arrived, "")
    found: list[str] = []
    for tag, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            found += [f"- {line}" for line in old[a:b]] + [f"+ {line}" for line in new[c:d]]
    return tuple(found) or ("- what is masked here", "+ is another value")


def _lines(request: Request, start: str) -> tuple[str, ...]:
    fields = mask_headers(request.headers)
    return (
        f"{start}{request.method} {request.target} {request.version}",
        *(f"{start}{n}: {v}" for n, v in fields),
    )


def _names(lines: Sequence[str]) -> str:
    """The header fields of a diff's lines, for people."""
    names = dict.fromkeys(line[2:].partition(":")[0] if ": " in line else "the request line" for line in lines)
    return ", ".join(names)


def _why(trace: Trace) -> str:
    """What could not be known: of what is forwarded the first thing, else what the model stopped at."""
    forwarded = trace.outcome.forwarded
    reasons = (*(forwarded.unknown if forwarded is not None else ()), *reversed(trace.unknown))
    return reasons[0].reason if reasons else ""
