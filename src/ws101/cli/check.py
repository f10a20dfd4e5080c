"""``ws101 check``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ws101.cli.console import Console
from ws101.cli.inputs import Inputs, Loaded
from ws101.cli.options import nginx_options, output_options, rule_options, settings_option, url_option
from ws101.errors import UsageError
from ws101.syntax import uncollected

if TYPE_CHECKING:
    from ws101.check import CheckReport

    Results = Sequence[tuple[Loaded, CheckReport]]

__all__ = ["command", "exit_code", "fails"]

_RANKS = {"error": 0, "warning": 1, "note": 2, "never": -1}


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@url_option
@rule_options
@click.option(
    "--fail-on",
    type=click.Choice(tuple(_RANKS)),
    help="The level from which on the exit code is 1.  [default: error]",
)
@click.option("--statistics", is_flag=True, help="How often each rule found something, instead of where.")
@click.option(
    "--context",
    type=click.Choice(("main", "http", "server", "location")),
    help="The block that a part of a configuration was cut from.  [default: found from the text]",
)
@settings_option
@nginx_options
@output_options("json", "sarif", "github")
@uncollected()
def command(
    *,
    paths: tuple[str, ...],
    urls: tuple[str, ...],
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    fail_on: str | None,
    statistics: bool,
    context: str | None,
    settings: str | None,
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
    from ws101.cli.configured import find_settings, with_settings
    from ws101.cli.ruling import options_of
    from ws101.fix import judged

    if statistics and output != "terminal":
        raise UsageError("--statistics is for people", help=f"leave out --format {output}, or count what it lists")
    inputs, options = Inputs(roots, nginx, nginx_version, context), options_of(urls, select, ignore)
    told = find_settings(settings, paths)
    options, inputs = with_settings(options, inputs, told)
    level = fail_on or (told.fail_on if told else None) or "error"
    loaded = [inputs.load(path) for path in paths]
    results = [(item, judged(check(item.config, item.builds, options), options)) for item in loaded]
    code = max(exit_code(report, level) for _, report in results)
    console = Console.of(sys.stdout, color)
    if output == "terminal":
        console.write(_for_people(results, console, urls, statistics=statistics, settings=told.path if told else ""))
    else:
        console.write_data(_for_programs(results, output, code))
    return code


def _for_people(results: Results, console: Console, urls: tuple[str, ...], *, statistics: bool, settings: str) -> str:
    from ws101.report.terminal.check import check
    from ws101.report.terminal.statistics import statistics as as_statistics

    style = console.style
    if statistics:
        texts = [as_statistics([(item.subject, report) for item, report in results], style)]
    else:
        texts = [check(i.subject, r, style, fix_command=_fix_command(i, urls)) for i, r in results]
    text = "\n\n".join(texts)
    return f"{text}\n{style.paint('dim', f'settings: {settings}')}" if settings else text


def _for_programs(results: Results, output: str, code: int) -> str | Iterable[str]:
    """The report in a format that a program reads."""
    from ws101.host.files import name_of
    from ws101.report.json.base import dump, pieces
    from ws101.report.places import Places

    about = [(item.subject, report) for item, report in results]
    if output == "json":
        from ws101.report.json.check import check

        return pieces(check(about))

    disk = next((item.disk for item, _ in results if item.disk is not None), None)
    places = Places(name_of(Path.cwd()), disk.disk_name if disk is not None else str)
    if output == "github":
        from ws101.report.github import github

        return github(about, places) + "\n"
    from ws101.report.sarif import sarif

    return dump(sarif(about, places, code))


def _fix_command(item: Loaded, urls: tuple[str, ...]) -> str:
    if item.disk is None:
        return ""
    return shlex.join(("ws101", "fix", item.subject.given, *(word for url in urls for word in ("--url", url))))


def exit_code(report: CheckReport, fail_on: str) -> int:
    """0 fine, 1 a finding of that level or a syntax problem, 2 nothing could be analysed."""
    if report.problems and not report.config.servers:
        is_explained = any(item.rule != "config-syntax-error" for item in report.findings)
        return 1 if is_explained and fails(report, fail_on) else 2
    return 1 if report.problems or fails(report, fail_on) else 0


def fails(report: CheckReport, fail_on: str) -> bool:
    """Whether a finding is of the level, or worse."""
    return any(item.level.rank <= _RANKS[fail_on] for item in report.findings)
