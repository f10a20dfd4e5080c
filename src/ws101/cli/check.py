"""``ws101 check``."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

import click

from ws101.cli.console import Console
from ws101.cli.inputs import Inputs, Loaded
from ws101.cli.options import nginx_options, output_options, rule_options, url_option

if TYPE_CHECKING:
    from ws101.check import CheckReport

__all__ = ["command", "exit_code", "fails"]

_RANKS = {"error": 0, "warning": 1, "note": 2, "never": -1}


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@url_option
@rule_options
@click.option(
    "--fail-on",
    type=click.Choice(tuple(_RANKS)),
    default="error",
    show_default=True,
    help="The level from which on the exit code is 1.",
)
@nginx_options
@output_options("json")
def command(
    *,
    paths: tuple[str, ...],
    urls: tuple[str, ...],
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    fail_on: str,
    roots: tuple[str, ...],
    nginx: str | None,
    nginx_version: str | None,
    output: str,
    color: str,
) -> int:
    r"""Every fault in a configuration that breaks a WebSocket, or will.

    PATH is nginx.conf, its folder, a part of a configuration, an 'nginx -T' dump, or - for standard input.

    \b
    Examples:
      ws101 check /etc/nginx
      ws101 check site.conf --url wss://example.com/ws
      ssh web1 sudo nginx -T | ws101 check -
    """
    from ws101.check import check
    from ws101.cli.ruling import options_of

    inputs, options = Inputs(roots, nginx, nginx_version), options_of(urls, select, ignore)
    loaded = [inputs.load(path) for path in paths]
    results = [(item, check(item.config, item.builds, options)) for item in loaded]
    console = Console.of(sys.stdout, color)
    if output == "json":
        from ws101.report.json.base import dump
        from ws101.report.json.check import check as as_json

        console.write_data(dump(as_json([(item.subject, report) for item, report in results])))
    else:
        from ws101.report.terminal.check import check as as_text

        texts = [as_text(i.subject, r, console.style, fix_command=_fix_command(i, urls)) for i, r in results]
        console.write("\n\n".join(texts))
    return max(exit_code(report, fail_on) for _, report in results)


def _fix_command(item: Loaded, urls: tuple[str, ...]) -> str:
    if item.disk is None:
        return ""
    return shlex.join(("ws101", "fix", item.subject.given, *(word for url in urls for word in ("--url", url))))


def exit_code(report: CheckReport, fail_on: str) -> int:
    """0 fine, 1 a finding of that level or a syntax problem, 2 nothing could be analysed."""
    if report.problems and not report.config.servers:
        return 2
    return 1 if report.problems or fails(report, fail_on) else 0


def fails(report: CheckReport, fail_on: str) -> bool:
    """Whether a finding is of the level, or worse."""
    return any(item.level.rank <= _RANKS[fail_on] for item in report.findings)
