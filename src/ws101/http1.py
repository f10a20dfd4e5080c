"""HTTP/1 message heads: ``Request`` and ``Response``, encoded and decoded (RFC 9112).

One ``Request`` type stands in three places: what a probe sends, what the model predicts that nginx sends upstream, and
what a backend of the lab recorded.  So the proof of the model is one ``==``.

All text is latin-1: one character is one byte.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Headers", "Request", "Response"]

Headers = tuple[tuple[str, str], ...]
"""Header fields in the order and case they have on the wire."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it stands on the wire.

    Args:
        method: For example ``GET``.
        target: The request target, byte for byte (RFC 9112 section 3.2).
        version: ``HTTP/1.0`` or ``HTTP/1.1``.
        headers: Header fields in wire order and case.
        body: The body's bytes as text, with any transfer coding as it stands on the wire.
    """

    method: str
    target: str
    version: str = "HTTP/1.1"
    headers: Headers = ()
    body: str = ""

    def encode(self) -> bytes:
        """The request's bytes: ``METHOD SP target SP version CRLF``, ``name: value CRLF``..., ``CRLF``, body."""
        lines = [f"{self.method} {self.target} {self.version}\r\n"]
        lines += [f"{name}: {value}\r\n" for name, value in self.headers]
        return ("".join(lines) + "\r\n" + self.body).encode("latin-1")

    def header(self, name: str) -> str | None:
        """The first value of a header field, by case-insensitive name; None if absent."""
        return _first(self.headers, name)

    def values(self, name: str) -> tuple[str, ...]:
        """All values of a header field, by case-insensitive name."""
        return tuple(v for n, v in self.headers if n.lower() == name.lower())


@dataclass(frozen=True, slots=True)
class Response:
    """A response head and as much of the body as was read."""

    version: str
    status: int
    reason: str = ""
    headers: Headers = ()
    body: str = ""

    def header(self, name: str) -> str | None:
        """The first value of a header field, by case-insensitive name; None if absent."""
        return _first(self.headers, name)


def _first(headers: Headers, name: str) -> str | None:
    wanted = name.lower()
    return next((value for key, value in headers if key.lower() == wanted), None)
