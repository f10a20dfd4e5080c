"""The manifest of what was dropped, as ``ws101 seal`` writes it; the digests come from whoever computed them."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterator, Mapping

from ws101.manifest import Entry, Manifest
from ws101.nginx.config import Config
from ws101.nginx.references import reference
from ws101.page.intake import FOLDER
from ws101.syntax import Directive

__all__ = ["entry", "survey"]

_ENDS = 4096
_NUL_TAIL = 512


def entry(name: str, data: bytes, digest: str) -> Entry:
    """A file's entry in a manifest.

    Args:
        name: As it is to stand in the manifest.
        data: Its bytes.
        digest: SHA-256 of them, in hexadecimal.
    """
    unix = hashlib.sha256(data.replace(b"\r\n", b"\n")).hexdigest() if b"\r\n" in data else ""
    last = data[-_ENDS:]
    unfinished = bool(last) and not last.endswith(b"\n") and b"\0" not in data[:_ENDS] + last
    trouble = ""
    if not last:
        trouble = "it is empty"
    elif last.endswith(b"\0" * min(len(last), _NUL_TAIL)):
        trouble = "it ends in NUL bytes, as after a crash of the machine"
    return Entry(name, digest, len(data), unix, unfinished=unfinished, trouble=trouble)


def survey(config: Config, files: Mapping[str, bytes], digests: Mapping[str, str], folder: str = "") -> Manifest:
    """The manifest of everything that nginx loads, as far as it was dropped; the rest is named as not covered.

    Args:
        config: The configuration.
        files: All files by their names on the server.
        digests: SHA-256 of each of them.
        folder: The configuration's folder, if it is known and not only assumed.
    """
    loaded = dict.fromkeys(config.sources)
    uncovered: set[str] = set()
    for path, tree in config.trees.items():
        for directive in tree.walk():
            for name, lack in _named(directive, config):
                if name in files:
                    loaded[name] = None
                elif lack:
                    shown = " ".join((directive.name, *(_without_secret(arg) for arg in directive.args)))
                    uncovered.add(f"{_relative(path, config.prefix)}: {shown}: {lack}")
    entries = tuple(sorted((_entry(path, config, files, digests) for path in loaded), key=lambda item: item.name))
    main = _relative(config.path, config.prefix)
    return Manifest(main, entries, folder, tuple(sorted(uncovered)))


def _entry(path: str, config: Config, files: Mapping[str, bytes], digests: Mapping[str, str]) -> Entry:
    return entry(_relative(path, config.prefix), files[path], digests[path])


def _named(directive: Directive, config: Config) -> Iterator[tuple[str, str]]:
    """The absolute name of a file that a directive names, or none; and what is to be said if it was not given."""
    if directive.name == "include":
        yield from ((name, "it was not given") for name in config.included.get(directive, ()))
        return
    found = reference(directive)
    if found is None:
        return
    if found.name and (found.name.startswith("/") or not found.in_prefix):
        yield posixpath.join(config.prefix, found.name), "it was not given"
    elif found.name:
        yield "", "nginx's prefix is not known (--prefix)"
    if found.unknown:
        yield "", found.unknown


def _without_secret(arg: str) -> str:
    return "data:..." if arg.startswith("data:") else arg


def _relative(path: str, folder: str = FOLDER) -> str:
    inside = folder.rstrip("/") + "/"
    return path[len(inside) :] if path.startswith(inside) and len(path) > len(inside) else path
