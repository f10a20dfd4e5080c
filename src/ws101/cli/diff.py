"""``ws101 diff``."""

from __future__ import annotations

import sys

import click

from ws101.cli.console import Console
from ws101.cli.options import nginx_options, output_options

__all__ = ["command"]


@click.command()
@click.argument("old")
@click.argument("new")
@nginx_options
@output_options("json")
def command(
    *,
    old: str,
    new: str,
    roots: tuple[str, ...],
    nginx: str | None,
    nginx_version: str | None,
    output: str,
    color: str,
) -> int:
    r"""What a change means: the routes and requests whose outcome differs between two configurations.

    OLD and NEW are each nginx.conf, its folder, a part of a configuration, or an 'nginx -T' dump.

    \b
    Exit code: 0 the same, 1 something differs, 2 unknown.

    \b
    Examples:
      ws101 diff /etc/nginx ./nginx.new
      ssh web1 sudo nginx -T | ws101 diff - ./nginx
    """
    from ws101.changes import compare_configs
    from ws101.cli.inputs import Inputs

    inputs = Inputs(roots, nginx, nginx_version)
    before, after = inputs.load(old), inputs.load(new)
    found = compare_configs(before.config, after.config, after.builds)
    console = Console.of(sys.stdout, color)
    if output == "json":
        from ws101.report.json.base import dump
        from ws101.report.json.changes import diff as as_json

        console.write_data(dump(as_json(found, after.subject)))
    else:
        from ws101.report.terminal.changes import diff as as_text

        console.write(as_text(found, after.subject, console.style))
    return found.exit_code
