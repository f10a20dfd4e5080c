"""``State``: one request on its way through nginx, and the bookkeeping of the phases (nginx: ngx_http_request_t)."""

from __future__ import annotations

from dataclasses import field

from ws101.lazy import dataclass
from ws101.nginx.build import Build
from ws101.nginx.config import Config, Placed, Scope, Unknown
from ws101.nginx.outcome import Arrival, Step
from ws101.nginx.regex import Match
from ws101.nginx.requests import Received
from ws101.syntax import Directive

__all__ = ["State", "Unanswerable"]


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
    uri_changes: int = 11
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
    steps: list[Step] = field(default_factory=list)
    unknown: list[Unknown] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.method = self.method or self.received.method
        self.uri = self.uri or self.received.uri
        self.args = self.args or self.received.args
        self.valid_unparsed_uri = self.received.valid_unparsed_uri

    def decide(self, step: str, chosen: str, why: str, origin: Placed | None = None) -> None:
        """Note a decision."""
        self.steps.append((step, chosen, why, origin))

    def wonder(self, unknown: Unknown) -> None:
        """Note something that only run time knows."""
        if unknown not in self.unknown:
            self.unknown.append(unknown)
