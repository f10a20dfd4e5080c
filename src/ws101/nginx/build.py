"""Which nginx: its version, its modules, and the one table of behaviour that differs between versions.

There is one model.  What changed between versions is a value looked up here, never a fork of the code.  A distribution
may patch its build, so what the binary says of itself (its modules) is preferred over the number where both speak.
"""

from __future__ import annotations

import re
from functools import lru_cache

from ws101.lazy import dataclass

__all__ = ["BOUNDARIES", "Build", "Version", "parse_version"]

Version = tuple[int, int, int]
"""A version in three numbers, for example ``(1, 22, 1)``."""

_CHANGES: dict[str, tuple[tuple[Version, object], ...]] = {
    "default_http_version": (((0, 0, 0), "1.0"), ((1, 29, 7), "1.1")),
    "sends_connection_close": (((0, 0, 0), True), ((1, 29, 7), False)),
    "host_first": (((0, 0, 0), False), ((1, 31, 4), True)),
    "drops_proxy_connection": (((0, 0, 0), False), ((1, 31, 0), True)),
    "one_proxy_authorization": (((0, 0, 0), False), ((1, 31, 0), True)),
    "forgets_arguments": (((0, 0, 0), False), ((1, 30, 1), True)),
    "cookies_by_semicolon_alone": (((0, 0, 0), False), ((1, 30, 1), True)),
    "joins_duplicate_headers": (((0, 0, 0), False), ((1, 23, 0), True)),
    "http2_upstream": (((0, 0, 0), False), ((1, 29, 4), True)),
    "implicit_keepalive": (((0, 0, 0), False), ((1, 29, 7), True)),
    "h2_refuses_upgrade": (((0, 0, 0), False), ((1, 31, 0), True)),
    "strict_host": (((0, 0, 0), False), ((1, 29, 4), True)),
    "h2_listener_serves_http1": (((0, 0, 0), False), ((1, 25, 1), True)),
    "http2_directive": (((0, 0, 0), False), ((1, 25, 1), True)),
    "handles_early_hints": (((0, 0, 0), False), ((1, 29, 0), True)),
    "server_resolve": (((0, 0, 0), False), ((1, 27, 3), True)),
    "request_port_variable": (((0, 0, 0), False), ((1, 29, 3), True)),
    "connect_is_405": (((0, 0, 0), False), ((1, 29, 3), True)),
    "add_header_inherit": (((0, 0, 0), False), ((1, 29, 3), True)),
    "limits_header_count": (((0, 0, 0), False), ((1, 29, 8), True)),
    "keepalive_order_free": (((0, 0, 0), False), ((1, 29, 7), True)),
    "strips_upgrade_for_h2": (((0, 0, 0), False), ((1, 31, 3), True)),
}

BOUNDARIES: tuple[Version, ...] = (
    (1, 22, 1),
    (1, 23, 0),
    (1, 25, 1),
    (1, 29, 3),
    (1, 29, 4),
    (1, 29, 7),
    (1, 31, 0),
    (1, 31, 3),
    (1, 31, 4),
)
"""One version for each range of equal behaviour: what an unknown version is compared across."""

_NEEDS_WITH = frozenset(
    "http_ssl http_v2 http_v3 http_realip http_addition http_sub http_dav http_flv http_mp4 http_gunzip "
    "http_gzip_static http_auth_request http_random_index http_secure_link http_slice http_stub_status http_xslt "
    "http_image_filter http_geoip http_perl stream mail stream_ssl stream_realip stream_geoip stream_ssl_preread "
    "mail_ssl http_degradation google_perftools".split()
)
"""Modules that are built only when asked for; all the others are there unless ``--without-...`` names them."""


@dataclass(frozen=True, slots=True)
class Build:
    """An nginx build.

    Args:
        version: Three numbers, for example ``(1, 22, 1)``.
        arguments: The configure arguments that ``-V`` prints; None if only the number is known.
        source: ``binary`` (it said so itself), ``option`` (the user did) or ``unknown`` (a representative of a range).
    """

    version: Version
    arguments: tuple[str, ...] | None = None
    source: str = "option"

    @classmethod
    def from_version_text(cls, text: str) -> Build | None:
        """Read what ``nginx -V`` prints (on standard error); None if it is not nginx's."""
        version = parse_version(text)
        if version is None:
            return None
        found = re.search(r"configure arguments:(.*)", text)
        return cls(version, tuple(found[1].split()) if found else None, "binary")

    @classmethod
    def representatives(cls) -> tuple[Build, ...]:
        """One build for each range of equal behaviour, for when the version is unknown."""
        return tuple(cls(version, None, "unknown") for version in BOUNDARIES)

    @property
    def number(self) -> str:
        """The version as text, for example ``1.22.1``."""
        return ".".join(map(str, self.version))

    def has_module(self, name: str) -> bool | None:
        """Whether a module is built in; None if the build's arguments are unknown.

        Args:
            name: As configure spells it without ``_module``: ``http_v2``, ``http_geo``, ``stream``.
        """
        if self.arguments is None:
            return None
        if name in _NEEDS_WITH:
            wanted = (f"--with-{name}_module", f"--with-{name}")
            return any(a.split("=")[0] in wanted for a in self.arguments)
        return f"--without-{name}_module" not in self.arguments

    def __hash__(self) -> int:
        return hash(self.version)

    @property
    def default_http_version(self) -> str:
        """proxy_http_version where nothing sets it: ``1.0``, from 1.29.7 on ``1.1``."""
        return str(_behaviour(self.version, "default_http_version"))

    def does(self, name: str) -> bool:
        """Whether this version shows a behaviour of the table, for example ``host_first``.

        Raises:
            KeyError: If the table has no such row.
        """
        return _behaviour(self.version, name) is True


@lru_cache(maxsize=1024)
def _behaviour(version: Version, name: str) -> object:
    """The value of a row of the table for a version."""
    value: object = None
    for since, new in _CHANGES[name]:
        if version >= since:
            value = new
    return value


def parse_version(text: str) -> Version | None:
    """The first ``1.22.1`` or ``nginx/1.22.1`` in a text, as numbers; two numbers get a zero."""
    found = re.search(r"(?:^|nginx/|version: \D*|\s)(\d+)\.(\d+)(?:\.(\d+))?", text)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None
