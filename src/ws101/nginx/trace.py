"""``trace``: the way of a request through nginx, from the connection to the outcome.

Theory of operation.  The phases are nginx's (src/http/ngx_http_core_module.c): server rewrite, find location, location
rewrite, access, try_files, content.  Each step either ends the request or names the step that comes next, so internal
redirects, named locations and error pages are jumps, never recursion; nginx's own limit of ten bounds them.

What only run time knows (a file, a password, an auth_request) is taken at its usual answer, and listed under
``unknown``.  What cannot be taken either way makes the outcome ``unknown``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from ws101.http1 import Request
from ws101.nginx.access import check_access, mirrored, run_subrequest
from ws101.nginx.bodies import body_limit, kept_of_too_long
from ws101.nginx.build import Build
from ws101.nginx.builtins import server_address, server_name
from ws101.nginx.config import Config, Placed, Route, Scope, Unknown
from ws101.nginx.connection import begun, unspoken, verifies_another
from ws101.nginx.escapes import escape_uri, split_args
from ws101.nginx.forward import BadGateway, forwarded
from ws101.nginx.inherit import effective, effective_all, is_on
from ws101.nginx.locations import Found, find_location, location_name, named_location
from ws101.nginx.outcome import Arrival, Decision, Forwarded, Outcome, Trace
from ws101.nginx.places import place_of
from ws101.nginx.realip import take_real_address
from ws101.nginx.regex import RegexError, Undecided, compile_regex
from ws101.nginx.requests import ClientSettings, Received, Refused, client_settings, left_open, read_request
from ws101.nginx.rewrite import Returned, is_redirect, own_handler, run_script
from ws101.nginx.servers import Choice, Group, listeners, parse_listen
from ws101.nginx.state import State, Unanswerable
from ws101.nginx.variables import evaluate_text, remember_captures
from ws101.text import lower

__all__ = ["answer", "forward", "tls_port", "trace"]

Next = Outcome | str
_METHODS_OF_FILES = frozenset(("GET", "HEAD", "POST"))
_CLOSE = 444
_MISDIRECTED = "the host is another than TLS was asked for, and clients are verified"
_SHOWN = {494: 400, 495: 400, 496: 400, 497: 400}


def trace(config: Config, arrival: Arrival, build: Build) -> Trace:
    """What nginx does with a request that arrives on a connection."""
    group = listeners(config, build).group(arrival.address, arrival.port, arrival.unix)
    if group is None:
        where = f"unix:{arrival.unix}" if arrival.unix is not None else f"port {arrival.port}"
        step = ("connection", "refused", f"no server of this configuration listens on {where}", None)
        return Trace(arrival, (step,), Outcome("closed"))
    if not isinstance(group, Group):
        return Trace(arrival, (), Outcome("unknown"), (Unknown(group.reason),))
    chosen: list[tuple[Choice, ClientSettings]] = []
    first = group.find(lower(arrival.sni)) if arrival.tls and arrival.sni else None
    misdirected: list[Placed] = []

    def choose(host: str) -> tuple[Scope, ClientSettings]:
        choice = group.find(host)
        settings = client_settings(choice.server, build)
        chosen.append((choice, settings))
        if first is not None and (origin := verifies_another(choice.server, first, arrival, host)):
            misdirected.append(origin)
        return choice.server, settings

    default = first.server if first else group.default
    if ends := unspoken(group, arrival, build, default):
        refusal = ("connection", ends.kind, *ends.why)
        return Trace(arrival, (refusal,), Outcome(ends.kind, ends.status, server=default, scope=default))
    reading = client_settings(default, build)
    received = read_request(arrival.request, build, reading, choose)
    choice, own = chosen[-1] if chosen else (first, reading)
    server = choice.server if chosen and choice is not None else default
    if isinstance(received, Refused):
        state = State(config, build, arrival, _blank(arrival.request), server, server)
        if misdirected:
            received = Refused(421, _MISDIRECTED, 421)
        state.decide("request", str(received.status or "closed"), received.reason)
        return _done(state, _refused(state, received.status, received.code))
    state = State(config, build, arrival, received, server, server)
    if reading.unread or own.unread:
        state.left_open = left_open(received, reading, own)
        state.unknown += state.left_open
    _note_server(state, group, choice)
    begin = _first_step(state, group, misdirected)
    take_real_address(state, server)
    return _done(state, _run(state, begin))


def _done(state: State, outcome: Outcome) -> Trace:
    for copied in state.copies:
        sent = run_subrequest(state, copied, _run).forwarded
        if sent is not None and sent.tunnel is not False:
            mirror = effective(state.scope, "mirror").origin
            state.wonder(Unknown("what the mirror backend answers: taken as no 101, which ends the connection", mirror))
    return Trace(state.arrival, tuple(state.steps), outcome, tuple(state.unknown), tuple(state.subrequests))


def _blank(request: Request) -> Received:
    """What is known of a request that nginx could not read."""
    return Received(
        request.method,
        request.version,
        request.target,
        "",
        "",
        None,
        None,
        None,
        (),
        (),
        True,
        False,
        False,
        None,
        False,
        False,
        None,
    )


def _note_server(state: State, group: Group, choice: Choice | None) -> None:
    state.steps.append(partial(begun, group, choice))
    if choice is None:
        return
    if choice.captures is not None:
        remember_captures(state, choice.captures)
    if choice.unknown is not None:
        state.wonder(choice.unknown)


def _first_step(state: State, group: Group, misdirected: list[Placed]) -> str:
    """The step after the request was read; notes what the connection leaves open."""
    if group.proxy_protocol:
        state.decide("connection", "PROXY protocol", "the listener expects it first", group.listens[0])
        state.behind_proxy = True
        state.wonder(
            Unknown("whether a load balancer in front sends the PROXY protocol: taken as yes", group.listens[0])
        )
    if group.ssl and not state.arrival.tls:
        state.decide("request", "400", "client sent plain HTTP request to HTTPS port")
        return "plain_to_https"
    if misdirected:
        state.decide("request", "421", _MISDIRECTED, misdirected[0])
        return "misdirected"
    if state.arrival.tls and lower((verify := effective(state.server, "ssl_verify_client")).text or "") == "on":
        state.wonder(Unknown("whether the client shows a certificate: taken as yes", verify.origin))
    return "server_rewrite"


def _run(state: State, step: str) -> Outcome:
    """Go from step to step until the request ends."""
    jump: Next = step
    try:
        while isinstance(jump, str):
            jump = _STEPS[jump](state)
    except Unanswerable as unanswerable:
        state.wonder(unanswerable.unknown)
        return Outcome("unknown", server=state.server, scope=state.scope)
    return jump


def _server_rewrite(state: State) -> Next:
    state.scope = state.server
    returned = run_script(state, state.server)
    return _returned(state, returned) if returned else "find_location"


def _find_location(state: State) -> Next:
    state.handler, state.uri_changed = None, False
    found = find_location(state.server, state.uri, state.build)
    if found.unknown is not None:
        raise Unanswerable(found.unknown)
    scope = found.scope or state.server
    state.steps.append(partial(_located, found))
    for match in found.matches:
        remember_captures(state, match)
    state.scope = scope
    if not state.internal and (internal := _internal(state, scope)) is not None:
        state.decide("location", "404", "internal", internal)
        return _finish(state, 404)
    _enter_scope(state)
    if _too_large(state):
        return _finish(state, 413)
    if found.redirect:
        state.location = escape_uri(location_name(scope).name) + (f"?{state.args}" if state.args else "")
        state.decide("location", "301", "the location ends in / and the URI does not", scope.opener)
        return _finish(state, 301)
    return "location_rewrite"


def _internal(state: State, scope: Scope) -> Placed | None:
    """The ``internal`` that keeps clients out; one that an unread file in a location may hold is taken as not there."""
    setting = place_of(scope).internal
    if not isinstance(setting.value, Unknown):
        return setting.origin
    if setting.value.origin is not None and setting.value.origin.scope.kind == "location":
        state.wonder(setting.value)
    return None


def _located(found: Found) -> list[Decision]:
    """The locations that match too but lost, and the one that answers, as decisions."""
    made = [Decision("location", lost.scope.title, f"lost: {lost.why}", lost.scope.opener) for lost in found.lost]
    title, opener = (found.scope.title, found.scope.opener) if found.scope else ("(none)", None)
    return [*made, Decision("location", title, found.kind, opener)]


def _enter_scope(state: State) -> None:
    """limit_except replaces the location for the methods it does not list (ngx_http_update_location_config)."""
    place = place_of(state.scope)
    state.handler = place.handler or state.handler
    for allowed, placed in place.excepts:
        if state.method not in allowed:
            inner = state.scope.child(placed)
            state.decide("location", inner.title, f"{state.method} is not listed", placed)
            state.scope = inner
            state.handler = own_handler(inner) or state.handler


def _too_large(state: State) -> bool:
    length = state.received.content_length
    if not length or state.discarded:
        return False
    limit, origin = body_limit(state.scope)
    if limit is None or length <= limit:
        return False
    state.decide("access", "413", "client intended to send too large body", origin)
    state.discard()
    return True


def _location_rewrite(state: State) -> Next:
    if state.scope is not state.server:
        returned = run_script(state, state.scope)
        if returned:
            return _returned(state, returned)
    if not state.uri_changed:
        return "content" if place_of(state.scope).is_open else "access"
    state.uri_changes -= 1
    if state.uri_changes == 0:
        state.decide("rewrite", "500", "rewrite or internal redirection cycle")
        return _finish(state, 500)
    state.scope = state.server
    return "find_location"


def _access(state: State) -> Next:
    take_real_address(state, state.scope)
    denied = check_access(state, _run)
    return _finish(state, denied.status) if denied else "try_files"


def _try_files(state: State) -> Next:
    placed = state.scope.first("try_files")
    if placed is None or len(placed.args) < 2:
        return "mirror"
    *names, fallback = placed.args
    for name in names:
        shown = evaluate_text(state, name)
        if shown == state.fell_back_to != "":
            return _file(state, placed)
        if shown != "":
            what = shown.reason if isinstance(shown, Unknown) else shown
            state.wonder(Unknown(f"whether there is a file for {what}: taken as not there", placed))
    state.decide("content", fallback, "try_files: the last one", placed)
    if fallback.startswith("="):
        return _finish(state, int(fallback[1:] or 0))
    target = evaluate_text(state, fallback)
    if isinstance(target, Unknown):
        raise Unanswerable(target)
    state.fell_back_to = split_args(target)[0]
    return _jump(state, target)


def _mirror(state: State) -> Next:
    denied = mirrored(state, _chunks_too_long)
    return _finish(state, denied.status) if denied else "content"


def _chunks_too_long(state: State) -> bool:
    kept = kept_of_too_long(state)
    if kept is not None:
        state.discarded, state.read_length = True, kept
    return kept is not None


def _jump(state: State, target: str) -> Next:
    """An internal redirect to a URI or a named location."""
    state.uri_changes -= 1
    if state.uri_changes == 0:
        state.decide("rewrite", "500", "rewrite or internal redirection cycle")
        return _finish(state, 500)
    state.proxy_host, state.proxy_port, state.body_length = "", "", None
    if target.startswith("@") and not state.uri:
        state.decide("location", target, "empty URI in redirect to named location")
        return _finish(state, 500)
    if target.startswith("@"):
        scope = named_location(state.server, target)
        if scope is None:
            state.decide("location", target, "could not find named location")
            return _finish(state, 500)
        state.internal, state.uri_changed = True, False
        state.scope, state.handler = scope, own_handler(scope)
        state.decide("location", scope.title, "a named location", scope.opener)
        _enter_scope(state)
        return "location_rewrite"
    state.uri, state.args = split_args(target)
    state.internal, state.valid_unparsed_uri, state.valid_location = True, False, True
    state.handler = None
    return "server_rewrite"


def _content(state: State) -> Next:
    if state.handler is not None:
        return _proxied(state)
    code = place_of(state.scope).code
    if code is not None:
        raise Unanswerable(Unknown(f"{code.name} answers, which only run time knows", code))
    if state.method not in _METHODS_OF_FILES:
        state.decide("content", "405", "files are served to GET and HEAD only")
        return _finish(state, 405)
    return _file(state, None)


def _file(state: State, origin: Placed | None) -> Outcome:
    """A file is looked for; the last fallback of a try_files is taken to be there."""
    root = place_of(state.scope).root
    state.decide("content", "a file", "no handler: nginx looks for a file", origin or root)
    state.wonder(Unknown(f"whether there is a file for {state.uri}", root))
    return _end(state, "static", None)


def _proxied(state: State) -> Next:
    try:
        result = forwarded(state)
    except BadGateway as error:
        state.decide("upstream", str(error.status), error.reason, error.origin)
        end = _finish(state, error.status)
        return replace(end, forwarded=error.made) if isinstance(end, Outcome) else end
    for unknown in result.unknown:
        state.wonder(unknown)
    state.steps.append(partial(_passed_on, result))
    location = _absolute(state, state.location) if state.location is not None else None
    return Outcome("proxied", state.err_status or None, location, None, result, state.server, state.scope)


def _passed_on(sent: Forwarded) -> tuple[Decision]:
    """Where the request went, as a decision."""
    return (Decision("upstream", sent.upstream.url if sent.upstream else "?", sent.handler.name, sent.handler),)


def _returned(state: State, returned: Returned) -> Next:
    """An answer of the rewrite module (nginx: ngx_http_script_return_code, ngx_http_send_response)."""
    text = None if isinstance(returned.text, Unknown) else returned.text
    if is_redirect(returned.status):
        state.location = text
        return _finish(state, returned.status)
    if returned.text is None:
        return _finish(state, returned.status, kind="returned")
    return _end(state, "returned", state.err_status or returned.status, body=text)


def _end(state: State, kind: str, status: int | None, *, body: str | None = None) -> Outcome:
    """The end; a Location that was set on the way is still sent."""
    location = _absolute(state, state.location) if state.location is not None else None
    return Outcome(kind, status, location, body, server=state.server, scope=state.scope)


def _refused(state: State, status: int | None, error: int | None = None) -> Outcome:
    """An answer that nginx gives before it knows the location."""
    if status is None:
        return Outcome("closed", server=state.server, scope=state.server)
    pages = effective_all(state.server, "error_page")
    if isinstance(pages, Unknown) or any(_page_for(page, error or status) for page in pages):
        origin = None if isinstance(pages, Unknown) else pages[0]
        state.wonder(Unknown("what an error_page makes of a request that nginx could not read", origin))
        return Outcome("unknown", server=state.server, scope=state.server)
    return Outcome("refused", status, server=state.server, scope=state.server)


def _finish(state: State, status: int, kind: str = "refused") -> Next:
    """End with a status of nginx's own, or go to its error_page (nginx: ngx_http_special_response_handler)."""
    if status == _CLOSE:
        return Outcome("closed", server=state.server, scope=state.scope)
    pages = effective_all(state.scope, "error_page")
    if isinstance(pages, Unknown):
        raise Unanswerable(pages)
    page = next((p for p in pages if _page_for(p, status)), None)
    if page is not None and not state.error_page and state.uri_changes:
        state.error_page = is_on(effective(state.scope, "recursive_error_pages"), False) is not True
        return _error_page(state, page, status)
    return _end(state, "redirected" if is_redirect(status) else kind, _SHOWN.get(status, status))


def _page_for(page: Placed, status: int) -> bool:
    return str(status) in page.args[:-1]


def _error_page(state: State, page: Placed, status: int) -> Next:
    """nginx: ngx_http_send_error_page."""
    override = page.args[-2] if len(page.args) > 2 and page.args[-2].startswith("=") else None
    if override is not None and override != "=" and not (override[1:].isascii() and override[1:].isdigit()):
        raise Unanswerable(Unknown(f'nginx refuses this: invalid value "{override}"', page))
    code = _SHOWN.get(status, status) if override is None else int(override[1:] or 0)
    target = evaluate_text(state, page.args[-1])
    if isinstance(target, Unknown):
        raise Unanswerable(target)
    state.decide("content", target, f"error_page {status}", page)
    state.err_status = code
    if target.startswith("/"):
        state.method = state.method if state.method == "HEAD" else "GET"
    if target.startswith(("/", "@")):
        return _jump(state, target)
    state.location = target
    return _end(state, "redirected", code if override is not None and is_redirect(code) else 302)


def _absolute(state: State, location: str) -> str:
    """A Location that starts with / gets scheme, host and port (ngx_http_header_filter)."""
    scope = state.scope
    if not location.startswith("/") or is_on(effective(scope, "absolute_redirect"), True) is not True:
        return location
    own_name = is_on(effective(scope, "server_name_in_redirect"), False) is True
    host = server_name(state) if own_name else state.received.host
    if isinstance(host, Unknown):
        raise Unanswerable(host)
    if not host and not own_name:
        host = server_address(state)
        if isinstance(host, Unknown):
            raise Unanswerable(host)
    port = state.arrival.port if is_on(effective(scope, "port_in_redirect"), True) is True else None
    default = 443 if state.arrival.tls else 80
    shown_port = "" if port in (None, 0, default) else f":{port}"
    return f"{'https' if state.arrival.tls else 'http'}://{host}{shown_port}{location}"


_STEPS: dict[str, Callable[[State], Next]] = {
    "misdirected": lambda state: _finish(state, 421),
    "plain_to_https": lambda state: _finish(state, 497),
    "server_rewrite": _server_rewrite,
    "find_location": _find_location,
    "location_rewrite": _location_rewrite,
    "access": _access,
    "try_files": _try_files,
    "mirror": _mirror,
    "content": _content,
}


def answer(route: Route, request: Request, build: Build) -> Trace:
    """What a route does with a request that has reached it; no server or location is selected.

    It came with TLS if the server takes TLS anywhere: many redirect what comes without.  The server's rewrite
    directives run first, then the location's own; an ``if`` block's condition is taken as true.
    """
    key = ("answer", request, build)
    memo = route.location.memo
    if key not in memo:
        memo[key] = _answer(route, request, build)
    return memo[key]  # type: ignore[return-value]  # the memo of this key holds nothing else


def _answer(route: Route, request: Request, build: Build) -> Trace:
    config, server = route.server.config, route.server
    port = tls_port(server)
    arrival = Arrival(request) if port is None else Arrival(request, port, tls=True)
    received = _received_by(server, request, build)
    if isinstance(received, Refused):
        state = State(config, build, arrival, _blank(request), server, server)
        state.decide("request", str(received.status or "closed"), received.reason)
        return _done(state, _refused(state, received.status, received.code))
    state = State(config, build, arrival, received, server, server)
    return _done(state, _run_in(state, route))


def tls_port(server: Scope) -> int | None:
    """The port of the first ``listen`` of a server that takes TLS, also by the old ``ssl on``; None without one."""
    key = "tls port"
    if key not in server.memo:
        all_do = effective(server, "ssl").text == "on"
        read = (parse_listen(line.args) for line in server.all("listen"))
        taking = (one for one in read if "quic" not in one.flags and (all_do or "ssl" in one.flags))
        server.memo[key] = next((s.port for one in taking for s in one.sockets if s.port is not None), None)
    return server.memo[key]  # type: ignore[return-value]  # the memo of this key holds nothing else


def _received_by(server: Scope, request: Request, build: Build) -> Received | Refused:
    """A request as a server reads it; worked out once for all its routes."""
    key = ("received", request, build)
    memo = server.memo
    if key not in memo:
        settings = client_settings(server, build)
        memo[key] = read_request(request, build, settings, lambda _host: (server, settings))
    return memo[key]  # type: ignore[return-value]  # the memo of this key holds nothing else


def _run_in(state: State, route: Route) -> Outcome:
    scope = route.location
    try:
        returned = run_script(state, state.server)
        if returned:
            after = _returned(state, returned)
            return after if isinstance(after, Outcome) else _run(state, after)
        outer = scope.parent if scope.kind in ("if-in-location", "limit_except") and scope.parent else scope
        state.uri_changed = False
        state.scope, state.handler = outer, own_handler(outer)
        state.internal = state.internal or _internal(state, outer) is not None or location_name(outer).modifier == "@"
        _capture(state, outer)
        if scope.kind == "limit_except":
            state.scope, state.handler = scope, own_handler(scope) or state.handler
        elif scope.kind == "if-in-location" and scope.opener is not None:
            state.forced = scope.opener.directive
    except Unanswerable as unanswerable:
        state.wonder(unanswerable.unknown)
        return Outcome("unknown", server=state.server, scope=scope)
    return _run(state, "location_rewrite")


def _capture(state: State, scope: Scope) -> None:
    """The captures of a regular expression location, or why there are none."""
    name = location_name(scope)
    if name.modifier not in ("~", "~*"):
        return
    try:
        match = compile_regex(name.name, caseless=name.modifier == "~*").search(state.uri)
    except (RegexError, Undecided) as error:
        state.captures = Unknown(str(error), scope.opener)
        return
    if match is None:
        state.captures = Unknown(f"{state.uri} does not match {scope.title}", scope.opener)
    else:
        remember_captures(state, match)


def forward(route: Route, request: Request, build: Build) -> Forwarded | None:
    """What a route sends upstream for a request; None if it does not forward it.

    Computed once for a route, a request and a build, and shared by all who ask.
    """
    return answer(route, request, build).outcome.forwarded
