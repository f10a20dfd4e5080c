"""What to try next: each experiment changes one thing, so that two answers tell what that thing does.

``plan`` is asked again after every round; an experiment is proposed once, and only where its answer can decide
something.  A site that works is asked once more at most, as a browser would ask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from ws101.diagnose.base import Experiment, Facts, Place
from ws101.http1 import Headers, Request
from ws101.lazy import lazy_pattern
from ws101.probes.endpoint import Endpoint
from ws101.text import lower

__all__ = ["CANDIDATES", "CONTROLS", "MOST", "VARIANTS", "own_origin", "plan", "restored", "with_field", "without"]

MOST = 48
"""How many experiments one diagnosis may make."""

_PORTS = {"ws": 80, "wss": 443, "http": 80, "https": 443}
_PLAIN = {"wss": "ws", "https": "http", "ws": "wss", "http": "https"}
_LOOPBACKS = {"127.0.0.1", "::1"}
_FORWARDED = ("x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-real-ip", "forwarded")
_SHAKE = ("connection", "upgrade", "sec-websocket-version", "sec-websocket-key")
_CREDENTIALS = ("cookie", "authorization")
_SID = lazy_pattern(r'"sid"\s*:\s*"([A-Za-z0-9_-]{1,128})"')


def plan(facts: Facts) -> tuple[Experiment, ...]:
    """The experiments to make next; none when everything that could decide has been tried."""
    if facts.site is None:
        return ()
    left = MOST - len(facts.results)
    found = {
        experiment.name: experiment
        for planner in (_PASSING if facts.works else _FAILING)
        for experiment in planner(facts)
        if experiment.name not in facts.results
    }
    return tuple(found.values())[:left]


def with_field(request: Request, name: str, value: str) -> Request:
    """A request with a header field in place of those of the same name, or at the end."""
    wanted = lower(name)
    kept = [(n, v) for n, v in request.headers if lower(n) != wanted]
    at = next((i for i, (n, _) in enumerate(request.headers) if lower(n) == wanted), len(kept))
    return replace(request, headers=(*kept[:at], (name, value), *kept[at:]))


def without(request: Request, *names: str) -> Request:
    """A request without some header fields."""
    gone = {lower(name) for name in names}
    return replace(request, headers=tuple(field for field in request.headers if lower(field[0]) not in gone))


def own_origin(endpoint: Endpoint) -> str:
    """The Origin of a page of the same site."""
    return f"{'https' if endpoint.tls else 'http'}://{endpoint.host_header}"


def _here(facts: Facts) -> Place:
    return Place(facts.endpoint)


def _at(facts: Facts, port: int, *, tls: bool) -> Place:
    """The site at another port or with another scheme, at the same address."""
    scheme = "wss" if tls else "ws"
    return Place(replace(facts.endpoint, scheme=scheme, port=port), insecure=tls, same_address=True)


def _moved(request: Request, place: Place) -> Request:
    return with_field(request, "Host", place.endpoint.host_header)


# what a site is asked that works


VARIANTS = frozenset(
    {"browser", "firefox", "own-origin", "no-origin", "no-cookies", "no-subprotocol", "connection-alone"}
)
"""Experiments that tell by being answered otherwise than the live handshake: only sound where that is steady."""

CONTROLS = ("control-1", "control-2", "control-3", "control-4")
"""The live handshake once more, so often that up to four backends in turn have answered."""


def _control(facts: Facts) -> Iterator[Experiment]:
    """Where a variant is answered otherwise: whether the live handshake itself is still answered as it was."""
    turned = any(facts.passed(name) != facts.works for name in VARIANTS & facts.results.keys())
    if turned and facts.sent is not None:
        for name in CONTROLS:
            yield Experiment(name, "the same handshake once more, for control", _here(facts), facts.sent)


def _as_a_browser(facts: Facts) -> Iterator[Experiment]:
    """The handshake as Firefox sends it from a page of the site; if that fails, each difference alone."""
    sent, here = facts.sent, _here(facts)
    if sent is None or facts.options.headers:
        return
    firefox = with_field(sent, "Connection", "keep-alive, Upgrade")
    origin = with_field(sent, "Origin", facts.options.origin or own_origin(facts.endpoint))
    both = with_field(firefox, "Origin", origin.header("Origin") or "")
    yield Experiment("browser", "the same handshake as Firefox sends it from a page of this site", here, both)
    if facts.failed("browser"):
        yield Experiment("firefox", "with Connection: keep-alive, Upgrade", here, firefox)
        if facts.options.origin is None:
            yield Experiment("own-origin", f"with Origin: {origin.header('Origin')}", here, origin)
            for place in facts.backends[:1]:
                yield Experiment("direct-own-origin", "the same, straight to the backend", place, _aimed(facts, origin))


def _plain_page(facts: Facts) -> Iterator[Experiment]:
    """A plain request, where the configuration says Connection: upgrade to every request."""
    fate = facts.forwarded.fate("Connection") if facts.forwarded else None
    if facts.sent is None or fate is None or fate.fate != "set" or fate.origin is None or not facts.backends:
        return
    if any("$" in arg for arg in fate.origin.args):
        return
    ordinary = with_field(without(facts.sent, *_SHAKE, "sec-websocket-extensions"), "Connection", "close")
    yield Experiment("plain", "a plain request without Upgrade", _here(facts), ordinary, tunnel=False)
    direct = _aimed(facts, ordinary)
    yield Experiment("direct-plain", "the same, straight to the backend", facts.backends[0], direct, tunnel=False)


def _every_peer(facts: Facts) -> Iterator[Experiment]:
    """Each address of the upstream, where there are several: one bad one makes every n-th handshake fail."""
    if facts.sent is None or len(facts.backends) < 2 or {p.endpoint.host for p in facts.backends} == _LOOPBACKS:
        return
    first, *others = facts.backends
    request = _aimed(facts, facts.sent)
    yield Experiment("direct", f"the same handshake straight to the backend, {first.shown}", first, request)
    yield from _peers(others, request)


def _peers(places: list[Place], request: Request) -> Iterator[Experiment]:
    for place in places[:3]:
        title = f"the same handshake straight to another address, {place.shown}"
        yield Experiment(f"peer-{place.shown}", title, place, request)


def _sticky(facts: Facts) -> Iterator[Experiment]:
    """Engine.IO's polling: a session opened by one request must be known to the next."""
    path = facts.endpoint.target.partition("?")[0]
    if facts.sent is None or ("socket.io" not in path and "engine.io" not in path):
        return
    ordinary = with_field(without(facts.sent, *_SHAKE, "sec-websocket-extensions"), "Connection", "close")
    polling = f"{path}?EIO=4&transport=polling"
    here = _here(facts)
    yield Experiment("polling", "a polling session is opened", here, replace(ordinary, target=polling), tunnel=False)
    opened = facts.results.get("polling")
    response = opened.handshake.response if opened and opened.handshake else None
    match = _SID.search(response.body) if response is not None and response.status == 200 else None
    if match:
        asked = replace(ordinary, method="POST", target=f"{polling}&sid={match[1]}", body="40")
        asked = with_field(with_field(asked, "Content-Type", "text/plain;charset=UTF-8"), "Content-Length", "2")
        for number in range(1, 5):
            yield Experiment(
                f"polling-{number}", "the session is used on another connection", here, asked, tunnel=False
            )


# what a site is asked that fails below HTTP


def _below(facts: Facts) -> Iterator[Experiment]:
    """No readable answer: the other scheme, other ports, the PROXY protocol, a certificate looked past."""
    failure, sent, here = facts.class_of("site"), facts.sent, _here(facts)
    if sent is None or facts.response is not None:
        return
    if failure == "certificate":
        yield Experiment(
            "unverified", "the same handshake, any certificate accepted", replace(here, insecure=True), sent
        )
    if failure in ("tls-plain-mismatch", "tls", "reset", "eof", "http2-only"):
        other = _at(facts, facts.endpoint.port, tls=not facts.endpoint.tls)
        title = f"the same handshake with {other.endpoint.scheme}:// on this port"
        yield Experiment("other-scheme", title, other, _moved(sent, other))
    if failure in ("eof", "reset"):
        preface = b"PROXY TCP4 127.0.0.1 127.0.0.1 65000 %d\r\n" % facts.endpoint.port
        title = "the same handshake after a header of the PROXY protocol"
        yield Experiment("proxy-protocol", title, replace(here, preface=preface), sent)
        yield Experiment("again", "the same handshake once more", here, sent, 0.2)
    if failure in ("refused", "unreachable", "timeout", "tls-plain-mismatch", "tls"):
        yield from _other_ports(facts, sent)


def _other_ports(facts: Facts, sent: Request) -> Iterator[Experiment]:
    """The ports at which the configuration offers this name, and the schemes' own."""
    usual = ((443, True), (80, False)) if not facts.ports else ()
    for port, tls in (*facts.ports, *usual)[:4]:
        if (port, tls) != (facts.endpoint.port, facts.endpoint.tls):
            place = _at(facts, port, tls=tls)
            title = f"the same handshake at {place.endpoint.scheme}://{place.endpoint.host_header}"
            yield Experiment(f"port-{port}", title, replace(place, same_address=False), _moved(sent, place))


# what a site is asked that answers something else than 101


def _variants(facts: Facts) -> Iterator[Experiment]:
    """The handshake with less in it, or with what a page of the site would send."""
    sent, here, options = facts.sent, _here(facts), facts.options
    if sent is None or facts.response is None or (facts.status == 101 and not options.subprotocols):
        return
    if options.subprotocols:
        bare = without(sent, "Sec-WebSocket-Protocol")
        yield Experiment("no-subprotocol", "the same handshake without Sec-WebSocket-Protocol", here, bare)
    if facts.status in (101, 301, 302, 303, 307, 308, 404, 413, 504):
        return
    if sent.header("Origin") is not None:
        yield Experiment("no-origin", "the same handshake without Origin", here, without(sent, "Origin"))
    own = own_origin(facts.endpoint)
    if sent.header("Origin") != own and facts.status in (400, 401, 403, 500) and not facts.by_nginx:
        yield Experiment("own-origin", f"with Origin: {own}", here, with_field(sent, "Origin", own))
    if any(sent.header(name) is not None for name in _CREDENTIALS) or _size(sent) > 3000:
        bare = without(sent, *_CREDENTIALS, *_bulky(sent))
        yield Experiment("no-cookies", "the same handshake without cookies and credentials", here, bare)
    if sent.header("Connection") not in (None, "Upgrade"):
        plain = with_field(sent, "Connection", "Upgrade")
        yield Experiment("connection-alone", "with Connection: Upgrade alone", here, plain)


def _size(request: Request) -> int:
    return len(request.target) + sum(len(name) + len(value) + 4 for name, value in request.headers)


def _bulky(request: Request) -> tuple[str, ...]:
    return tuple(name for name, value in request.headers if len(value) > 1000)


def _by_status(facts: Facts) -> Iterator[Experiment]:
    """What the status suggests."""
    sent, here = facts.sent, _here(facts)
    if sent is None or facts.response is None:
        return
    if facts.status in (429, 500, 502, 503, 504) and facts.class_of("site") != "timeout":
        pause = 1.5 if facts.status in (429, 503) else 0.1
        yield Experiment("again", "the same handshake once more, after a pause", here, sent, pause)
    if facts.class_of("site") == "tls-plain-mismatch":
        other = _at(facts, facts.endpoint.port, tls=True)
        yield Experiment("other-scheme", "the same handshake with wss:// on this port", other, _moved(sent, other))
    if facts.class_of("site") == "redirect":
        yield from _followed(facts, sent)
    elif not facts.endpoint.tls and 400 <= (facts.status or 0) < 500:
        yield from _encrypted(facts, sent)


def _encrypted(facts: Facts, sent: Request) -> Iterator[Experiment]:
    """The same over TLS, which nothing on the way can read: where the site has such a port."""
    usual = (443,) if facts.endpoint.port == 80 and not facts.ports else ()
    for port in (*(port for port, tls in facts.ports if tls), *usual)[:1]:
        place = replace(_at(facts, port, tls=True), same_address=False)
        yield Experiment("encrypted", f"the same handshake over TLS, port {port}", place, _moved(sent, place))


_LOCATION = lazy_pattern(r"(?:(https?|wss?):)?//([^/?#:]+|\[[^\]]*\])(?::(\d{1,5}))?([^#]*)")


def _followed(facts: Facts, sent: Request) -> Iterator[Experiment]:
    """The place that a redirect names, if it is on the same host."""
    location = facts.response.header("Location") if facts.response else None
    match = _LOCATION.fullmatch(location or "")
    if location and location.startswith("/") and not location.startswith("//"):
        place, target = _here(facts), location.partition("#")[0]
    elif match and lower(match[2]).strip("[]") == facts.endpoint.host:
        tls = match[1] in ("https", "wss") if match[1] else facts.endpoint.tls
        place = _at(facts, int(match[3] or (443 if tls else 80)), tls=tls)
        place, target = replace(place, same_address=False), match[4] or "/"
    else:
        return
    request = replace(_moved(sent, place), target=target)
    yield Experiment("redirected", "the same handshake at the address that the redirect names", place, request)


def _plain_compared(facts: Facts) -> Iterator[Experiment]:
    """From outside: whether the answer changes at all where Upgrade is left out."""
    if facts.sent is None or facts.backends or facts.by_nginx or facts.status not in (400, 404, 426, 505):
        return
    ordinary = with_field(without(facts.sent, *_SHAKE, "sec-websocket-extensions"), "Connection", "close")
    yield Experiment("plain", "a plain request without Upgrade", _here(facts), ordinary, tunnel=False)


# what the backend is asked


def _aimed(facts: Facts, request: Request) -> Request:
    """A request with the target that nginx makes of it, or that the user names for the backend."""
    told = facts.backends[0].endpoint.target if facts.backends else "/"
    if told != "/":
        return replace(request, target=told)
    forwarded = facts.forwarded
    return replace(request, target=forwarded.request.target) if forwarded and forwarded.request else request


def _direct(facts: Facts) -> Iterator[Experiment]:
    """The same handshake straight to the backend; and the request that the model predicts, exactly."""
    sent, forwarded = facts.sent, facts.forwarded
    if sent is None or not facts.backends or _ended_below(facts):
        return
    first, *others = facts.backends
    request = _aimed(facts, sent)
    yield Experiment("direct", f"the same handshake straight to the backend, {first.shown}", first, request)
    if forwarded and forwarded.request and "direct" in facts.results and facts.class_of("direct") not in _DEAD:
        title = "the request that nginx makes of it, as predicted, straight to the backend"
        yield Experiment("replay", title, first, forwarded.request)
    yield from _peers(others, request)
    yield from _backend_scheme(facts, first, request)


def _backend_scheme(facts: Facts, place: Place, request: Request) -> Iterator[Experiment]:
    failure = facts.class_of("direct")
    unanswered = failure == "timeout" and facts.results["direct"].connection is not None and place.endpoint.tls
    if not (failure in ("tls-plain-mismatch", "tls", "eof", "reset") or unanswered) or place.unix:
        return
    scheme = _PLAIN[place.endpoint.scheme]
    other = replace(place, endpoint=replace(place.endpoint, scheme=scheme))
    title = f"straight to the backend {'with' if other.endpoint.tls else 'without'} TLS"
    yield Experiment("direct-other-scheme", title, other, request)


def _ended_below(facts: Facts) -> bool:
    """Whether the site cannot even be talked to, so that the backend is not the question."""
    below = ("dns", "refused", "unreachable", "certificate", "client-certificate", "tls", "proxy", "http2-only")
    return facts.class_of("site") in below


_DEAD = ("dns", "refused", "unreachable", "timeout", "tls", "certificate")
"""Failures after which the backend need not be asked again in other words."""

Restore = Callable[[Request, Request], Request]


def _restored_shake(replayed: Request, sent: Request) -> Request:
    request = replace(without(replayed, *_SHAKE), version=sent.version)
    added = tuple(field for field in sent.headers if lower(field[0]) in _SHAKE)
    return replace(request, headers=(*request.headers, *added))


def _restored_fields(names: tuple[str, ...]) -> Restore:
    def restore(replayed: Request, sent: Request) -> Request:
        added = tuple(field for field in sent.headers if lower(field[0]) in names)
        return replace(without(replayed, *names), headers=(*without(replayed, *names).headers, *added))

    return restore


def _restored_host(replayed: Request, sent: Request) -> Request:
    return with_field(replayed, "Host", sent.header("Host") or "")


RESTORED: tuple[tuple[str, str, Restore], ...] = (
    ("handshake", "HTTP/1.1, Connection and Upgrade as the client sent them", _restored_shake),
    ("connection", "Connection as the client sent it", _restored_fields(("connection",))),
    ("host", "Host as the client sent it", _restored_host),
    ("target", "the path as the client sent it", lambda replayed, sent: replace(replayed, target=sent.target)),
    ("forwarded", "no X-Forwarded-* and their like", lambda replayed, _: without(replayed, *_FORWARDED)),
    ("origin", "Origin as the client sent it", _restored_fields(("origin",))),
    ("credentials", "cookies and credentials as the client sent them", _restored_fields(_CREDENTIALS)),
    ("subprotocol", "Sec-WebSocket-Protocol as the client sent it", _restored_fields(("sec-websocket-protocol",))),
)
"""The parts in which nginx's request can differ from the client's, and how each is put back."""


def restored(facts: Facts) -> Iterator[Experiment]:
    """nginx's request with one part put back as the client sent it: the one that then works is the cause.

    Asked where the client's own request works at the backend and nginx's does not.
    """
    sent = facts.sent
    predicted = facts.forwarded.request if facts.forwarded else None
    if sent is None or predicted is None or not facts.backends:
        return
    if not facts.failed("replay") or not (facts.passed("direct") or facts.status_of("direct") == 404):
        return
    for name, title, restore in RESTORED:
        changed = restore(predicted, sent)
        if changed != predicted:
            what = f"the predicted request with {title}"
            yield Experiment(f"restore-{name}", what, facts.backends[0], changed)


def _bare(sent: Request, version: str, connection: str, *, upgrade: bool) -> Request:
    request = with_field(replace(sent, version=version), "Connection", connection)
    return request if upgrade else without(request, "Upgrade")


def _candidate(version: str, connection: str, *, upgrade: bool) -> Callable[[Request], Request]:
    return lambda sent: _bare(sent, version, connection, upgrade=upgrade)


CANDIDATES: tuple[tuple[str, str, str, Callable[[Request], Request]], ...] = (
    ("as-unset", "upgrade-not-forwarded", "as nginx before 1.29.7 sends it when nothing is set: HTTP/1.0, close",
     _candidate("HTTP/1.0", "close", upgrade=False)),
    ("as-unset-11", "upgrade-not-forwarded", "as nginx sends it over HTTP/1.1 when nothing else is set",
     lambda sent: without(sent, "Upgrade", "Connection")),
    ("as-close-11", "upgrade-not-forwarded", "over HTTP/1.1 with Connection: close and without Upgrade",
     _candidate("HTTP/1.1", "close", upgrade=False)),
    ("as-http10", "missing-http-version", "with Upgrade and Connection, over HTTP/1.0",
     _candidate("HTTP/1.0", "upgrade", upgrade=True)),
    ("as-no-connection", "missing-connection-header", "with Upgrade, and Connection: close",
     _candidate("HTTP/1.1", "close", upgrade=True)),
    ("as-no-upgrade", "missing-upgrade-header", "with Connection: upgrade and without Upgrade",
     _candidate("HTTP/1.1", "upgrade", upgrade=False)),
    ("as-keep-alive", "connection-keep-alive", "with Connection: keep-alive",
     _candidate("HTTP/1.1", "keep-alive", upgrade=True)),
)  # fmt: skip
"""What a proxy may have made of the handshake: name, cause, words, and the request; the most frequent first."""


def _candidates(facts: Facts) -> Iterator[Experiment]:
    """Without a configuration: the backend that takes the handshake itself gets what a proxy may have made of it."""
    if facts.forwarded is not None or facts.sent is None or not facts.passed("direct"):
        return
    place = facts.backends[0]
    for name, _, title, change in CANDIDATES:
        yield Experiment(name, f"straight to the backend, {title}", place, change(facts.sent))
    other = with_field(facts.sent, "Host", place.endpoint.host_header)
    yield Experiment("as-own-host", "straight to the backend, with the backend's own Host", place, other)
    proxied = replace(facts.sent, headers=(*facts.sent.headers, ("X-Forwarded-For", "127.0.0.1")))
    yield Experiment("as-forwarded", "straight to the backend, with X-Forwarded-For", place, proxied)


def _backend_wishes(facts: Facts) -> Iterator[Experiment]:
    """The backend refuses the handshake itself: other Host, Origin, scheme said, or path."""
    sent = facts.sent
    failure = facts.class_of("direct")
    if sent is None or not facts.backends or failure not in ("status", "redirect", "authentication"):
        return
    if facts.equals("direct") is False and facts.by_nginx:
        return
    place, request = facts.backends[0], _aimed(facts, sent)
    status = facts.status_of("direct")
    own = with_field(request, "Host", place.endpoint.host_header)
    if status in (400, 403, 404, 421):
        yield Experiment("direct-own-host", "straight to the backend, with its own Host", place, own)
    if status in (400, 403):
        origin = with_field(request, "Origin", own_origin(facts.endpoint))
        yield Experiment("direct-own-origin", "straight to the backend, with the site's own Origin", place, origin)
        if request.header("Origin") is not None:
            bare = without(request, "Origin")
            yield Experiment("direct-no-origin", "straight to the backend, without Origin", place, bare)
    if failure == "redirect" or status in (400, 403):
        said: Headers = (("X-Forwarded-Proto", "https"),)
        told = replace(without(request, "X-Forwarded-Proto"), headers=(*request.headers, *said))
        yield Experiment("direct-https", "straight to the backend, with X-Forwarded-Proto: https", place, told)
    if status in (400, 404, 426):
        yield from _other_paths(facts, place, request)


def _other_paths(facts: Facts, place: Place, request: Request) -> Iterator[Experiment]:
    """Paths at which the backend may have its WebSocket: the client's, and the one below the location."""
    path, mark, query = request.target.partition("?")
    scope = facts.predicted.outcome.scope if facts.predicted else None
    prefix = scope.opener.args[-1] if scope is not None and scope.opener and scope.opener.args else ""
    found = {facts.endpoint.target.partition("?")[0]}
    if prefix.startswith("/") and path.startswith(prefix) and prefix != "/":
        found.add("/" + path[len(prefix) :].lstrip("/"))
    if path != "/":
        found.add(path[:-1] if path.endswith("/") else f"{path}/")
        found.add("/" + path.strip("/").partition("/")[2])
    for number, other in enumerate(sorted(found - {path})[:4], 1):
        title = f"straight to the backend, path {other}"
        yield Experiment(f"path-{number}", title, place, replace(request, target=f"{other}{mark}{query}"))


def _straight_to_nginx(facts: Facts) -> Iterator[Experiment]:
    """nginx itself, past whatever stands in front of it: where the configuration is this machine's."""
    place = facts.nginx
    if place is None or facts.sent is None:
        return
    title = f"the same handshake straight to nginx on this machine, {place.shown}"
    yield Experiment("nginx-here", title, place, facts.sent)


Planner = Callable[[Facts], Iterator[Experiment]]

_PASSING: tuple[Planner, ...] = (_as_a_browser, _plain_page, _every_peer, _sticky, _control)
_FAILING: tuple[Planner, ...] = (
    *(
        _below,
        _by_status,
        _direct,
        _variants,
        _plain_compared,
        _straight_to_nginx,
        restored,
        _candidates,
        _backend_wishes,
        _sticky,
        _control,
    ),
)
