"""ws101: from 400 to 101 - why a WebSocket fails behind nginx, what to change, and the proof that it works.

The public names are resolved on first use (PEP 562), so ``import ws101`` costs next to nothing::

    import ws101

    config = ws101.load("/etc/nginx/nginx.conf")
    for route in config.routes():
        print(route.location.title)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ws101.errors import Ws101Error
    from ws101.findings import Finding, Fix, Level, Safety
    from ws101.host.loading import load
    from ws101.http1 import Request, Response
    from ws101.nginx.build import Build
    from ws101.nginx.config import Config, Route, Unknown
    from ws101.nginx.outcome import Arrival, Trace
    from ws101.nginx.trace import forward, trace
    from ws101.text import Edit, Source, Span

__version__ = "0.1.0"

_HOMES = {
    "Arrival": "ws101.nginx.outcome",
    "Build": "ws101.nginx.build",
    "Config": "ws101.nginx.config",
    "Edit": "ws101.text",
    "Finding": "ws101.findings",
    "Fix": "ws101.findings",
    "Level": "ws101.findings",
    "Request": "ws101.http1",
    "Response": "ws101.http1",
    "Route": "ws101.nginx.config",
    "Safety": "ws101.findings",
    "Source": "ws101.text",
    "Span": "ws101.text",
    "Trace": "ws101.nginx.outcome",
    "Unknown": "ws101.nginx.config",
    "Ws101Error": "ws101.errors",
    "forward": "ws101.nginx.trace",
    "load": "ws101.host.loading",
    "trace": "ws101.nginx.trace",
}
"""Public name -> the module it is defined in."""

__all__ = [
    "Arrival",
    "Build",
    "Config",
    "Edit",
    "Finding",
    "Fix",
    "Level",
    "Request",
    "Response",
    "Route",
    "Safety",
    "Source",
    "Span",
    "Trace",
    "Unknown",
    "Ws101Error",
    "forward",
    "load",
    "trace",
]


def __getattr__(name: str) -> object:
    """Import a public name's module on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
