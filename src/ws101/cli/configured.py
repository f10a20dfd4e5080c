"""``ws101.toml``: where it is found, and how the command line goes before it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ws101.cli.inputs import Inputs
from ws101.errors import InputError
from ws101.rules import Options

if TYPE_CHECKING:
    from ws101.settings import Settings

__all__ = ["FILE_NAME", "find_settings", "read_settings", "with_settings"]

FILE_NAME = "ws101.toml"
"""Its name."""


def find_settings(given: str | None, paths: Iterable[str]) -> Settings | None:
    """The settings of the file that was named, or the nearest in a folder above the first path or above this one;
    None if there is none.

    Args:
        given: ``--settings``.
        paths: What is to be checked; ``-`` is standard input.

    Raises:
        InputError: The named file is not there, or what it says makes no sense.
    """
    if given is not None:
        return read_settings(Path(given))
    first = next((Path(path).absolute() for path in paths if path != "-"), None)
    starts = [*([first] if first is not None else []), Path.cwd()]
    found = (folder / FILE_NAME for start in starts for folder in (start, *start.parents))
    path = next((path for path in found if path.is_file()), None)
    return None if path is None else read_settings(path)


def read_settings(path: Path) -> Settings:
    """The settings of a file.

    Raises:
        InputError: It can't be read, or what it says makes no sense.
    """
    from ws101.settings import parse_settings

    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read the settings: {error.strerror}", where=str(path)) from None
    except UnicodeDecodeError:
        raise InputError("the settings are not UTF-8", where=str(path)) from None
    return parse_settings(text, str(path))


def with_settings(options: Options, inputs: Inputs, settings: Settings | None) -> tuple[Options, Inputs]:
    """The command line's options, completed by the file's.

    Addresses and ignored rules add up; for the rest the command line goes first.
    """
    if settings is None:
        return options, inputs
    return (
        replace(
            options,
            urls=tuple(dict.fromkeys((*options.urls, *settings.urls))),
            heartbeat=settings.heartbeat if options.heartbeat is None else options.heartbeat,
            select=options.select or frozenset(settings.select),
            ignore=options.ignore | frozenset(settings.ignore),
        ),
        inputs if inputs.nginx or inputs.version else replace(inputs, version=settings.nginx_version),
    )
