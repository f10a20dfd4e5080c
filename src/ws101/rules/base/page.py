"""A rule's manual page: its docstring, parsed.

The first paragraph is the summary.  Then come sections, each a title alone on its line with an indented body: *Why it
matters*, *Bad* and *Good* (any number, in turn), *Fix safety*, *References*.  A title may end with colons.

An example is one or several whole files.  Comments of the form ``# key: value`` before the first line of configuration
say how it is to be read::

    # file: NAME      what follows is this file (default: nginx.conf)
    # url: URL        a URL that is told to be a WebSocket's
    # nginx: <1.29.7  the versions for which it holds (also >=, and both: >=1.25.1 <1.29.7)
    # style: quick    the fix style that leads from Bad to Good
    # proof: idle     what a real nginx shows (default handshake: it fails on Bad and works on Good)
    # unsafe: yes     the fix needs --unsafe
    # fix: none       no edit leads from Bad to Good: the advice is in words
    # module: NAME    an nginx module it needs, as configure spells it: http_fastcgi
    # refused: TEXT   nginx's words, if it refuses Bad

A Good example inherits the keys of its Bad example, and may name another url; several Good examples may follow one Bad
example.
"""

from __future__ import annotations

import inspect
from dataclasses import field, replace

from ws101.lazy import dataclass, lazy_pattern
from ws101.nginx.build import Build, parse_version

__all__ = ["Page", "Pair", "Sample", "parse_page", "version_holds"]

_TITLES = ("Why it matters", "Bad", "Good", "Fix safety", "References")
_KEY = lazy_pattern(r"# (file|url|nginx|style|proof|unsafe|refused|module|fix): *(.*)")
_CONDITION = lazy_pattern(r"(<|>=)(\d+\.\d+(?:\.\d+)?)")
DEFAULT_FILE = "nginx.conf"


@dataclass(frozen=True, slots=True)
class Sample:
    """One example.

    Args:
        files: Name and text of each file (latin-1 of its UTF-8 bytes, as everywhere), the main file first.
        urls: URLs told to be WebSockets'.
        nginx: The version condition; empty for every version.
        style: The fix style.
        proof: What a real nginx shows: ``handshake`` (it fails, and works), ``idle`` (the tunnel is cut),
            ``answer`` (the 101 lacks Upgrade), ``firefox`` (its handshake fails), ``arrival`` (what reaches the backend
            is no valid handshake), ``refused`` (by ``nginx -t``), ``accepted`` (nothing that a handshake shows).
        refused: nginx's words, if it refuses the file.
        unsafe: Whether the fix has to be asked for.
        module: A module it needs.
        fixable: Whether the fix leads to Good.
    """

    files: tuple[tuple[str, str], ...]
    urls: tuple[str, ...] = ()
    nginx: str = ""
    style: str = "map"
    proof: str = "handshake"
    refused: str = ""
    unsafe: bool = False
    module: str = ""
    fixable: bool = True

    def holds_for(self, build: Build) -> bool:
        """Whether the example is about this version."""
        return version_holds(self.nginx, build)


@dataclass(frozen=True, slots=True)
class Pair:
    """A Bad example and the Good one that the fix makes of it; both carry the pair's own conditions."""

    bad: Sample
    good: Sample


@dataclass(frozen=True, slots=True)
class Page:
    """A manual page.

    Args:
        summary: The first paragraph, on one line.
        details: The paragraphs before the first section.
        why: *Why it matters*.
        pairs: The examples.
        fix_safety: When the fix is unsafe; empty if it never is.
        references: One a line.
    """

    summary: str
    details: str = ""
    why: str = ""
    pairs: tuple[Pair, ...] = ()
    fix_safety: str = ""
    references: tuple[str, ...] = field(default=())


def version_holds(condition: str, build: Build) -> bool:
    """Whether a build satisfies a condition such as ``>=1.25.1 <1.29.7``.

    Raises:
        ValueError: If the condition can't be read.
    """
    for part in condition.split():
        match = _CONDITION.fullmatch(part)
        version = parse_version(match[2]) if match else None
        if match is None or version is None:
            raise ValueError(f"not a version condition: {part}")
        if (build.version < version) != (match[1] == "<"):
            return False
    return True


def parse_page(docstring: str) -> Page:
    """Read a page.

    Raises:
        ValueError: If an example is malformed.
    """
    sections = _sections(inspect.cleandoc(docstring))
    head, _, details = sections[0][1].partition("\n\n")
    texts = {title: body for title, body in sections[1:] if title not in ("Bad", "Good")}
    return Page(
        summary=" ".join(head.split()),
        details=details.strip(),
        why=texts.get("Why it matters", ""),
        pairs=tuple(_pairs([s for s in sections if s[0] in ("Bad", "Good")])),
        fix_safety=texts.get("Fix safety", ""),
        references=tuple(line for line in texts.get("References", "").splitlines() if line),
    )


def _sections(text: str) -> list[tuple[str, str]]:
    """Title and dedented body of each section; the head comes first, without a title."""
    found: list[tuple[str, list[str]]] = [("", [])]
    for line in text.splitlines():
        title = line.rstrip(":")
        if title in _TITLES:
            found.append((title, []))
        else:
            found[-1][1].append(line)
    return [(title, inspect.cleandoc("\n" + "\n".join(lines)).strip("\n")) for title, lines in found]


def _pairs(sections: list[tuple[str, str]]) -> list[Pair]:
    pairs: list[Pair] = []
    bad: Sample | None = None
    for title, body in sections:
        if title == "Bad":
            bad = _sample(body, None)
        elif bad is None:
            raise ValueError("a Good example needs a Bad one before it")
        else:
            good = _sample(body, bad)
            pairs.append(Pair(replace(good, files=bad.files, urls=bad.urls), good))
    return pairs


def _latin(text: str) -> str:
    return text.encode("utf-8").decode("latin-1")


def _sample(body: str, base: Sample | None) -> Sample:
    keys: dict[str, list[str]] = {}
    files: list[tuple[str, list[str]]] = []
    for line in body.splitlines():
        match = _KEY.fullmatch(line)
        if match and match[1] == "file":
            files.append((match[2], []))
        elif match and not any(files[-1][1] if files else ()):
            keys.setdefault(match[1], []).append(match[2])
        else:
            if not files:
                files.append((DEFAULT_FILE, []))
            files[-1][1].append(line)
    if not files:
        raise ValueError("an example has no configuration")
    start = base or Sample(())
    return Sample(
        files=tuple((name, _latin("\n".join(lines).strip("\n") + "\n")) for name, lines in files),
        urls=tuple(keys.get("url", start.urls)),
        nginx=keys.get("nginx", [start.nginx])[0],
        style=keys.get("style", [start.style])[0],
        proof=keys.get("proof", [start.proof])[0],
        refused=keys.get("refused", [start.refused])[0],
        unsafe=keys.get("unsafe", ["yes" if start.unsafe else "no"])[0] == "yes",
        module=keys.get("module", [start.module])[0],
        fixable=keys.get("fix", ["" if start.fixable else "none"])[0] != "none",
    )
