"""A sample: a small configuration on addresses of its own, and the requests it is asked with.

Its text holds places that are filled in when it is put beside others: ``__ADDR__`` and ``__PORT__`` (where it
listens), ``__TLS__`` (a second port), ``__WILD__`` (a port of its own), ``__UNIX__`` (a socket's path), ``__N__`` (a
number that makes its names unique), ``__B0__`` to ``__B2__`` (backends on TCP), ``__SOCK__`` (a backend on a unix
socket), ``__P0__`` and ``__P1__`` (the ports of the first two), ``__SUB__`` (a backend for subrequests), ``__DNS__`` (a
name server that knows names in ``dns.test``), ``__DEAD__`` (nothing listens there), ``__ROOT__`` (a folder),
``__PASS__`` (a file of passwords).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tools.fidelity.conf import Node, render
from ws101.http1 import Request
from ws101.nginx.build import Build, parse_version

__all__ = ["PROXY_LINE", "Ask", "Sample", "filled", "lacking"]


PROXY_LINE = "PROXY TCP4 {} 192.0.2.1 5000 443\r\n"
"""What a load balancer that speaks the PROXY protocol sends first, with the client's address to fill in."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request and the connection it comes on.

    Args:
        request: What is sent, with places to fill in.
        to: The place it goes to: ``__PORT__``, ``__TLS__``, ``__WILD__`` or ``__UNIX__``.
        client: The client's address.
        tls: Whether it is encrypted.
        sni: The name asked for in TLS.
        first: The line of the PROXY protocol that goes before everything else; "" without.
    """

    request: Request
    to: str = "__PORT__"
    client: str = "127.0.0.1"
    tls: bool = False
    sni: str | None = None
    first: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """A configuration and requests.

    Args:
        seed: What it was drawn from, to draw it again.
        http: Directives at http level: maps, upstreams.
        servers: Its server blocks.
        asks: The requests.
        needs: Modules that the nginx must have, as ``Build.has_module`` spells them, or the version it must have.
        run_time: Whether it holds what only run time knows.
    """

    seed: str
    http: tuple[Node, ...]
    servers: tuple[Node, ...]
    asks: tuple[Ask, ...]
    needs: frozenset[str] = field(default_factory=frozenset)
    run_time: bool = False

    @property
    def text(self) -> str:
        """The configuration, with places to fill in."""
        return render(self.http, 4) + render(self.servers, 4)


def lacking(build: Build, needs: frozenset[str]) -> tuple[str, ...]:
    """What a build lacks of the modules and the version that are needed."""
    return tuple(name for name in sorted(needs) if _lacks(build, name))


def _lacks(build: Build, name: str) -> bool:
    since = parse_version(name)
    return build.version < since if since else build.has_module(name) is False


def filled(text: str, places: Mapping[str, str]) -> str:
    """A text with its places filled in."""
    if "__" in text:
        for place, value in places.items():
            text = text.replace(place, value)
    return text
