"""``State``: one request on its way through nginx, and the bookkeeping of the phases (nginx: ngx_http_request_t)."""

from __future__ import annotations

from copy import copy
from dataclasses import field

from ws101.lazy import dataclass
from ws101.nginx.build import Build
from ws101.nginx.config import Config, Placed, Scope, Unknown
from ws101.nginx.outcome import Arrival, Step, Trace
from ws101.nginx.regex import Match
from ws101.nginx.requests import Received
from ws101.syntax import Directive

__all__ = ["State", "Unanswerable"]


_URI_CHANGES = 11
"""One more than how often a request may change its URI (nginx: NGX_HTTP_MAX_URI_CHANGES)."""


class Unanswerable(Exception):
    """The outcome hangs on something that only run time knows."""

    def __init__(self, unknown: Unknown) -> None:
        super().__init__(unknown.reason)
        self.unknown = unknown


@dataclass(slots=True)
class State:
    """One request on its way through nginx.

    Args:
        config, build, arrival: What is asked.
        received: The request as nginx read it.
        server: The server block that answers.
        scope: The scope whose settings rule now (nginx's ``r->loc_conf``).
        quotes: Whether captures in ``set`` and ``if`` are escaped; None where versions and repaired builds differ.
        matches: How many regular expressions have left captures.
        body_length: Of what goes upstream; None without a body.
        read_length: Of a chunked body that was read.
        discarded: Whether nginx has thrown the client's body away.
        client: The client's address, as access rules and ``$remote_addr`` have it.
        has_real_address: Whether a trusted proxy has said it.
        behind_proxy: Whether the connection began with the PROXY protocol.
        is_subrequest: Whether auth_request or mirror made it of another.
        main_method: The method of the request that made it, which ``$request_method`` shows.
        has_body: Whether a subrequest has the body of its request.
        body_was_read: Whether the body was read before it is passed on.
        subrequests: What came of the subrequests that it made.
        left_open: What settings in unread files could change in the request as it was read.
        copies: The subrequests of mirror, which run once the request itself has gone as far as it can.
        forced: An ``if`` whose condition is taken as true, for asking about that block.
    """

    config: Config
    build: Build
    arrival: Arrival
    received: Received
    server: Scope
    scope: Scope
    method: str = ""
    uri: str = ""
    args: str = ""
    captures: Match | Unknown | None = None
    matches: int = 0
    quotes: bool | None = True
    values: dict[str, str | Unknown] = field(default_factory=dict)
    depth: int = 0
    rounds: int = 0
    internal: bool = False
    valid_unparsed_uri: bool = True
    valid_location: bool = True
    uri_changed: bool = False
    uri_changes: int = _URI_CHANGES
    error_page: bool = False
    fell_back_to: str = ""
    err_status: int = 0
    location: str | None = None
    handler: Placed | None = None
    forced: Directive | None = None
    proxy_host: str = ""
    proxy_port: str = ""
    body_length: int | Unknown | None = None
    read_length: int | None = None
    discarded: bool = False
    client: str | Unknown = ""
    has_real_address: bool = False
    behind_proxy: bool = False
    is_subrequest: bool = False
    main_method: str = ""
    has_body: bool = True
    body_was_read: bool = False
    subrequests: list[Trace] = field(default_factory=list)
    left_open: tuple[Unknown, ...] = ()
    copies: list[State] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    unknown: list[Unknown] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.method = self.method or self.received.method
        self.uri = self.uri or self.received.uri
        self.args = self.args or self.received.args
        self.client = self.client or self.arrival.client
        self.valid_unparsed_uri = self.received.valid_unparsed_uri

    def subrequest(self, uri: str, args: str, method: str, *, has_body: bool) -> State:
        """A subrequest as it starts: the fields and the variables of its request, all else anew.

        Source: src/http/ngx_http_core_module.c:ngx_http_subrequest.
        """
        made = copy(self)
        made.uri, made.args, made.method, made.has_body = uri, args, method, has_body
        made.main_method = self.method
        made.is_subrequest = made.internal = made.valid_location = True
        made.valid_unparsed_uri = made.uri_changed = made.error_page = False
        made.scope, made.handler, made.captures = self.server, None, None
        made.uri_changes, made.err_status, made.location, made.fell_back_to = _URI_CHANGES, 0, None, ""
        made.proxy_host, made.proxy_port, made.body_length = "", "", None
        made.steps, made.unknown, made.subrequests, made.copies = [], [], [], []
        return made

    def discard(self) -> None:
        """Throw the client's body away; a subrequest has none to throw away."""
        self.discarded = self.discarded or not self.is_subrequest

    def decide(self, step: str, chosen: str, why: str, origin: Placed | None = None) -> None:
        """Note a decision."""
        self.steps.append((step, chosen, why, origin))

    def wonder(self, unknown: Unknown) -> None:
        """Note something that only run time knows."""
        if unknown not in self.unknown:
            self.unknown.append(unknown)
