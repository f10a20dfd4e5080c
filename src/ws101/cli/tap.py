"""``ws101 tap``."""

from __future__ import annotations

import sys
import time

import click

from ws101.cli.console import Console
from ws101.cli.ending import Ending
from ws101.cli.options import output_options
from ws101.errors import UsageError

__all__ = ["command"]


@click.command()
@click.argument("listen")
@click.option("--to", "backend", required=True, metavar="BACKEND", help="Where the bytes go: HOST:PORT or unix:PATH.")
@click.option("--count", type=click.IntRange(0), default=0, metavar="N", help="End after so many connections.")
@output_options("json")
def command(*, listen: str, backend: str, count: int, output: str, color: str) -> int:
    r"""Stand between two hops and show each request as it arrives there, and the answer; no byte is changed.

    LISTEN is a port of this machine (9000, 127.0.0.1:9000, or unix:PATH).  Put it between nginx and the backend by
    pointing proxy_pass to it, or in front of nginx.  Ctrl-C ends it.

    \b
    ws101 tap 9000 --to 127.0.0.1:3000      then: proxy_pass http://127.0.0.1:9000;
    ws101 tap 8080 --to 127.0.0.1:80        then: ws101 probe ws://127.0.0.1:8080/ws --host example.com
    """
    from ws101.host.tap import Tap, parse_listen, parse_to

    place, goal = parse_listen(listen), parse_to(backend)
    if place == goal and place.port != 0:
        raise UsageError("the tap would pass on to itself", where=str(place), help="listen at another port")
    tap = Tap(place, goal, count=count)
    tap.start()
    console, errors = Console.of(sys.stdout, color), Console.of(sys.stderr, color)
    with Ending() as ending:
        try:
            errors.write(f"listening at {tap.place}, passing on to {tap.to}; Ctrl-C ends it")
            while not ending.asked() and (heard := tap.heard()) is not None:
                if output == "json":
                    from ws101.report.json.tap import tap_line

                    console.write_data(tap_line(heard))
                else:
                    from ws101.report.terminal.tap import heard as as_text

                    console.write(as_text(heard, console.style, stamp=_stamp()))
        except KeyboardInterrupt:
            pass
        finally:
            ending.only_remember()
            tap.stop()
    if tap.unseen:
        errors.write(f"{tap.unseen} events passed unshown: they came faster than they could be written")
    return 0


def _stamp() -> str:
    now = time.time()
    return time.strftime("%H:%M:%S", time.localtime(now)) + f".{int(now * 1000) % 1000:03d}"
