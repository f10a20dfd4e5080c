"""``ws101 page``."""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path

import click

from ws101.cli.console import Console

__all__ = ["command"]

_NAME = "ws101.html"
_HEAD = b"<!doctype html>"
_OURS = b"<title>ws101:"
_CHECKOUT = Path(__file__).resolve().parents[3]
_WHERE = "build it in a checkout of ws101 with make page: it is dist/ws101.html there"


@click.command()
@click.option(
    "--output", "-o", "target", default=_NAME, show_default=True, metavar="FILE", help="Where to write the page."
)
def command(*, target: str) -> int:
    r"""Write the offline page: one HTML file that reads a configuration in the browser and uploads nothing.

    \b
    Examples:
      ws101 page
      ws101 page -o /srv/www/ws101.html
    """
    from ws101.errors import InputError, UsageError
    from ws101.host.files import name_of
    from ws101.host.writing import write_atomic
    from ws101.text import printable

    data = _carried()
    if data is None:
        raise InputError("this installation does not carry the page", help=_WHERE)
    path = Path(target).absolute()
    shown = printable(name_of(str(path)))
    if path.is_dir():
        raise UsageError("there is a folder of this name", where=shown, help="name a file with -o")
    if not path.parent.is_dir():
        raise UsageError(
            "there is no such folder to write to", where=shown, help="make it, or name another file with -o"
        )
    try:
        old = path.read_bytes() if path.exists() else None
    except OSError as error:
        raise InputError(f"what is there cannot be read: {error.strerror}", where=shown) from None
    if old and not (old.startswith(_HEAD) and _OURS in old[:4096]):
        raise UsageError("the file that is to be written is there, and is no page of ws101", where=shown,
                         help="name another file with -o")  # fmt: skip
    if old != data:
        write_atomic(name_of(str(path)), data, expected=old)
    console = Console.of(sys.stdout, "auto")
    console.write(f"{shown}: {len(data) / 1e6:.1f} MB; open it in a browser")
    return 0


def _carried() -> bytes | None:
    """The page: from the package, or in a checkout from where ``make page`` puts it; None if it is nowhere."""
    packed = files("ws101").joinpath("page", _NAME)
    if packed.is_file():
        return packed.read_bytes()
    built = _CHECKOUT / "dist" / _NAME
    here = (_CHECKOUT / "pyproject.toml").is_file() and built.is_file()
    return built.read_bytes() if here else None
