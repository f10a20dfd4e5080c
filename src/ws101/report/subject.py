"""What a report is about: a configuration, and the nginx versions it was read for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ws101.lazy import dataclass
from ws101.nginx.build import BOUNDARIES, Build
from ws101.nginx.config import Config
from ws101.text import Source

__all__ = ["Subject", "condition"]


@dataclass(frozen=True, slots=True)
class Subject:
    """A configuration as it was given.

    Args:
        config: The configuration.
        builds: One build if the version is known, else one for each range of equal behaviour.
        source: How the version is known: ``binary``, ``option`` or ``unknown``.
        program: The nginx that was asked; empty if none was.
        given: The path as it was typed.
    """

    config: Config
    builds: tuple[Build, ...]
    source: str
    program: str = ""
    given: str = ""

    @property
    def version(self) -> str | None:
        """The nginx version; None if it is unknown."""
        return self.builds[0].number if self.source != "unknown" else None

    @property
    def sources(self) -> Mapping[str, Source]:
        """Every file that was read, by path."""
        return self.config.sources

    @property
    def nginx_line(self) -> str:
        """Which nginx this holds for, for people."""
        if self.source == "binary":
            return f"nginx {self.version} ({self.program} -V)"
        if self.source == "option":
            return f"nginx {self.version} (--nginx-version)"
        return f"nginx of any version since {self.builds[0].number} (--nginx-version tells which)"


def condition(builds: Iterable[Build], every: Sequence[Build] = ()) -> str:
    """The versions that some of the representatives stand for, in words: ``nginx before 1.29.7``.

    Args:
        builds: Those it holds for.
        every: All that were compared; `BOUNDARIES` if empty.
    """
    versions = [b.version for b in every] if every else list(BOUNDARIES)
    mine = {b.version for b in builds}
    if mine >= set(versions):
        return "every nginx version"
    parts, start = [], None
    for at, version in enumerate([*versions, None]):
        inside = version in mine
        if inside and start is None:
            start = at
        elif not inside and start is not None:
            parts.append(_range(versions, start, at))
            start = None
    return "nginx " + " or ".join(parts)


def _range(versions: Sequence[tuple[int, int, int]], start: int, stop: int) -> str:
    names = [".".join(map(str, version)) for version in versions]
    if start == 0:
        return f"before {names[stop]}"
    return f"{names[start]} and newer" if stop == len(names) else f"from {names[start]} to before {names[stop]}"
