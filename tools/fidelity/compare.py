"""What the model says against what nginx did."""

from __future__ import annotations

from dataclasses import dataclass

from tools.fidelity.speech import protocol_of
from tools.fidelity.wire import Recorded, Seen
from ws101.http1 import Request
from ws101.nginx.build import Build
from ws101.nginx.inherit import effective_all
from ws101.nginx.outcome import Arrival, Forwarded, Outcome, Peer, Trace
from ws101.text import lower

__all__ = ["ASSUMED", "SUBREQUESTS", "Difference", "differences", "unknown_reasons"]

ASSUMED = (
    "whether there is ",
    "whether the password is right",
    "what the auth_request backend answers",
    "what the mirror backend answers",
    "whether a load balancer in front sends the PROXY protocol",
)
"""How the reasons begin that name a file or a password: the model takes them at their usual answer, and so does the
harness, which has no files, one password, lets every auth_request pass, and sends the PROXY protocol's line."""

SUBREQUESTS = "__SUB__"
"""The backend that the drawn locations for subrequests lead to."""

_PAGE = b"<hr><center>nginx"
_NO_BODY = (204, 304)
_TEXTLESS = {"refused", "redirected"}


@dataclass(frozen=True, slots=True)
class Difference:
    """One point in which model and nginx disagree."""

    what: str
    model: object
    nginx: object

    def __str__(self) -> str:
        return f"{self.what}: the model says {self.model!r}, nginx {self.nginx!r}"


def differences(trace: Trace, seen: Seen, places: dict[str, str], build: Build) -> list[Difference]:
    """Every point in which a prediction differs from what was seen; none where the model says it does not know."""
    del build
    outcome = trace.outcome
    if outcome.kind == "unknown":
        return []
    rest, found, switched = _without_subrequests(trace, seen, places)
    if switched and not seen.tunnel:
        return found
    if outcome.kind == "proxied":
        return found + _proxied(trace, outcome, seen, rest, places)
    if trace.arrival.tls and outcome.status == 400 and not seen.answer:
        return []
    if outcome.kind == "static":
        return found + _static(trace, outcome, seen, rest)
    found += [Difference("backend", None, rest)] if rest else []
    if outcome.kind == "closed":
        return found + ([Difference("answer", None, seen.answer)] if seen.status is not None else [])
    return found + _answered(trace.arrival, outcome, seen, bool(trace.unknown))


def _without_subrequests(
    trace: Trace, seen: Seen, places: dict[str, str]
) -> tuple[list[Recorded], list[Difference], bool]:
    """What backends got without what auth_request and mirror sent, and what of that is missing.

    And whether the backend of such a subrequest got a handshake and agreed, which ends the connection: the backend for
    subrequests never agrees, the others do.
    """
    rest, found, switched = list(seen.upstream), [], False
    for asked in trace.subrequests:
        forwarded = asked.outcome.forwarded
        if forwarded is None or asked.outcome.kind != "proxied":
            continue
        candidates = [item for item in rest if not _which(forwarded, places.get(item[0], item[0]))]
        fit = [item for item in candidates if not _spoken(forwarded, item[1])]
        if fit:
            rest.remove(fit[0])
            if has_upgrade(trace.arrival.request) and forwarded.tunnel and fit[0].name != SUBREQUESTS:
                switched = True
                break
        elif not _conflicts(forwarded):
            wanted = forwarded.request.encode() if forwarded.request else forwarded.headers
            found.append(Difference("subrequest", wanted, candidates or rest))
    for asked in trace.subrequests:
        if asked.outcome.kind == "unknown":
            rest = _without_one(rest, SUBREQUESTS)
    return rest, found, switched


def _without_one(recorded: list[Recorded], name: str) -> list[Recorded]:
    """What was recorded without the first that a backend got, if it got any."""
    at = next((number for number, item in enumerate(recorded) if item.name == name), None)
    return recorded if at is None else recorded[:at] + recorded[at + 1 :]


def _conflicts(forwarded: Forwarded) -> bool:
    """Whether nginx itself may fail to make the request."""
    return any("map's regular expression changes" in unknown.reason for unknown in forwarded.unknown)


def _spoken(forwarded: Forwarded, raw: bytes) -> list[Difference]:
    """The protocol and the bytes."""
    if forwarded.faults == ("protocol",) or protocol_of(raw):
        spoken, wanted = protocol_of(raw) or "proxy_pass", forwarded.handler.name
        return [] if spoken == wanted else [Difference("protocol", wanted, spoken)]
    return _bytes(forwarded, raw)


def _static(trace: Trace, outcome: Outcome, seen: Seen, rest: list[Recorded]) -> list[Difference]:
    """The folder is empty, so every file is missing; an error_page or a try_files for that is run time's business."""
    tried = any(d.origin is not None and d.origin.name == "try_files" for d in trace.decisions)
    pages = effective_all(outcome.scope, "error_page") if outcome.scope else ()
    named = {arg for page in pages for arg in page.args} if isinstance(pages, tuple) else set()
    if (seen.status in (403, 404, 405) and not rest) or named & {"403", "404", "405"} or tried:
        return []
    return [Difference("static", "403, 404 or 405", rest or seen.answer)]


def _answered(arrival: Arrival, outcome: Outcome, seen: Seen, unknown: bool) -> list[Difference]:
    found: list[Difference] = []
    if outcome.status != seen.status:
        found.append(Difference("status", outcome.status, seen.status or seen.answer))
    location = seen.header("Location")
    if outcome.location != location and not unknown:
        found.append(Difference("Location", outcome.location, location))
    if arrival.request.method == "HEAD" or seen.status in _NO_BODY or (outcome.kind == "returned" and unknown):
        return found
    if outcome.kind in _TEXTLESS or outcome.body is None:
        if outcome.status is not None and outcome.status >= 300 and _PAGE not in seen.body and seen.body:
            found.append(Difference("page", "nginx's own", seen.body))
    elif outcome.body.encode("latin-1") != seen.body:
        found.append(Difference("text", outcome.body.encode("latin-1"), seen.body))
    return found


def _proxied(
    trace: Trace, outcome: Outcome, seen: Seen, rest: list[Recorded], places: dict[str, str]
) -> list[Difference]:
    forwarded = outcome.forwarded
    if forwarded is None:
        return [Difference("forwarded", None, rest)]
    if _conflicts(forwarded):
        return []
    looked_up = [unknown.reason for unknown in trace.unknown if unknown.reason.endswith("looked up at run time")]
    if looked_up and not any(".dns.test" in reason for reason in looked_up):
        return []
    if len(rest) != 1:
        return [Difference("backend", forwarded.upstream and forwarded.upstream.url, rest or seen.answer)]
    name, raw, tls = rest[0]
    found = _which(forwarded, places.get(name, name))
    if forwarded.upstream is not None and forwarded.upstream.tls != tls:
        found.append(Difference("TLS", forwarded.upstream.tls, tls))
    found += _spoken(forwarded, raw)
    if outcome.location != seen.header("Location"):
        found.append(Difference("Location", outcome.location, seen.header("Location")))
    return found + _tunnel(trace, outcome, forwarded, seen)


def _which(forwarded: Forwarded, reached: str) -> list[Difference]:
    peers = forwarded.upstream.peers if forwarded.upstream else ()
    addresses = {_address(peer) for peer in peers if not peer.down}
    return [] if not peers or reached in addresses else [Difference("backend", sorted(addresses), reached)]


def _address(peer: Peer) -> str:
    """The address of a peer; the harness's name server gives all names of ``dns.test`` the same."""
    host, _, port = peer.address.rpartition(":")
    return f"127.0.0.1:{port}" if host.endswith(".dns.test") else peer.address.removeprefix("unix:")


def _bytes(forwarded: Forwarded, raw: bytes) -> list[Difference]:
    if forwarded.request is not None:
        expected = forwarded.request.encode()
        return [] if expected == raw else [Difference("bytes", expected, raw)]
    head, _, _ = raw.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")[1:]
    known = [f"{h.name}: {h.value}" for h in forwarded.headers if h.fate in ("set", "default", "passed")]
    open_names = {lower(h.name) for h in forwarded.headers if h.fate == "unknown"}
    rest = [line for line in lines if lower(line.partition(":")[0]) not in open_names]
    known = [line for line in known if lower(line.partition(":")[0]) not in open_names]
    return [] if rest == known else [Difference("known header fields", known, rest)]


def _tunnel(trace: Trace, outcome: Outcome, forwarded: Forwarded, seen: Seen) -> list[Difference]:
    status = outcome.status
    if forwarded.tunnel is None:
        return []
    switched = b"Switching" in seen.answer[:40] or seen.tunnel
    if forwarded.tunnel:
        asked = has_upgrade(trace.arrival.request)
        return [] if seen.tunnel == asked else [Difference("tunnel", asked, seen.answer)]
    if switched and status is None:
        return [Difference("tunnel", forwarded.faults, seen.answer)]
    expected = 200 if status is None else status
    return [] if seen.status == expected else [Difference("status", expected, seen.answer)]


def has_upgrade(request: Request) -> bool:
    """Whether the client asks for a switch at all: without that, nginx relays no tunnel."""
    return any(lower(name) == "upgrade" for name, _ in request.headers)


def unknown_reasons(trace: Trace) -> tuple[str, ...]:
    """Why the model does not know all of it."""
    forwarded = trace.outcome.forwarded
    return (*(u.reason for u in trace.unknown), *(u.reason for u in (forwarded.unknown if forwarded else ())))
