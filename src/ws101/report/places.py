"""Where files lie for readers of a report: names that nginx knows turned into URIs and paths.

A repository holds ``deploy/nginx`` and the configuration calls it ``/etc/nginx``: a viewer can only open the former.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from urllib.parse import quote

from ws101.lazy import dataclass

__all__ = ["Places"]


@dataclass(frozen=True, slots=True)
class Places:
    """Where files lie.

    Args:
        base: The absolute folder that paths are relative to: the working directory, or the repository's root.
        located: A file's path on this disk for the name that nginx knows.
    """

    base: str
    located: Callable[[str], str] = str

    def path(self, name: str) -> str:
        """The path, relative to the base where the file lies below it."""
        inside, path = self._resolved(name)
        return path if inside else "/" + path

    def uri(self, name: str) -> tuple[str, bool]:
        """The percent-encoded URI of a file, and whether it is relative to the base (RFC 3986, section 2.1)."""
        inside, path = self._resolved(name)
        quoted = quote(path.encode("latin-1", "replace"), safe="/")
        return (quoted, True) if inside else (f"file:///{quoted}", False)

    @property
    def base_uri(self) -> str:
        """The base as a ``file:`` URI with a slash at its end."""
        path = self.base.strip("/")
        return f"file:///{quote(path.encode('latin-1', 'replace'), safe='/')}/" if path else "file:///"

    def _resolved(self, name: str) -> tuple[bool, str]:
        """Whether a file lies below the base, and its path, without a slash at its start."""
        path = posixpath.normpath(posixpath.join(self.base, self.located(name)))
        start = self.base.rstrip("/") + "/"
        return (True, path[len(start) :]) if path.startswith(start) else (False, path.lstrip("/"))
