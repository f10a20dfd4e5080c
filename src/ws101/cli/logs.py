"""``ws101 logs``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from ws101.cli.console import Console
from ws101.cli.options import conf_option, nginx_options, output_options
from ws101.errors import InputError, Ws101Error

if TYPE_CHECKING:
    from ws101.cli.inputs import Inputs
    from ws101.host.logs import Choice, Log
    from ws101.logs import Tally
    from ws101.nginx.config import Config

__all__ = ["command"]


@click.command()
@click.argument("paths", nargs=-1, metavar="[LOG]...")
@conf_option
@click.option(
    "--log-format",
    metavar="FORMAT",
    help="The log_format of the access logs given; else one of the configuration, or combined.",
)
@click.option("--no-history", is_flag=True, help="Leave rotated logs out.")
@nginx_options
@output_options("json")
def command(
    *,
    paths: tuple[str, ...],
    conf: str | None,
    log_format: str | None,
    no_history: bool,
    roots: tuple[str, ...],
    nginx: str | None,
    nginx_version: str | None,
    output: str,
    color: str,
) -> int:
    r"""What do nginx's logs tell of WebSockets?  How long tunnels lived, what was answered, which limits were hit.

    LOG is an access or an error log, gzip-compressed or not, or - for standard input.  Without one, the logs that the
    configuration names are read, with those rotated away from them.

    \b
    ws101 logs
    ws101 logs /var/log/nginx/access.log /var/log/nginx/error.log
    ssh web1 cat /var/log/nginx/error.log | ws101 logs -
    """
    from ws101.cli.inputs import Inputs
    from ws101.cli.requests import latin1
    from ws101.logs import Tally
    from ws101.report.json.base import dump
    from ws101.report.json.logs import logs as as_json
    from ws101.report.terminal.logs import logs as as_text

    tally, inputs = Tally(), Inputs(roots, nginx, nginx_version)
    form = latin1(log_format) if log_format else None
    chosen = _given(paths, form, inputs, conf) if paths else _named(inputs, conf)
    files = _read_all(chosen, tally, history=not (paths or no_history), strict=bool(paths))
    read = [(path, problem) for path, problem in files if not problem.startswith(_LEFT_OUT)]
    told = tally.statuses or tally.told or tally.emerg[0]
    if read and not told and all(problem for _, problem in read):
        help_ = "" if tally.lines else "run it with sudo"
        raise InputError(f"none of the logs can be read: {read[0][1]}", where=read[0][0], help=help_)
    files += tuple((one, f"requests that stand in {other} too are counted twice") for one, other in chosen.overlapping)
    console = Console.of(sys.stdout, color)
    if output == "json":
        console.write_data(dump(as_json(tally, files)))
    else:
        console.write(as_text(tally, files, console.style))
    return 0


_LEFT_OUT = "left out: "
"""How the note about a log begins whose lines are read elsewhere."""


def _read_all(chosen: Choice, tally: Tally, *, history: bool, strict: bool) -> tuple[tuple[str, str], ...]:
    """Read the logs, each file once; what was read and what is to be said of it.

    Raises:
        InputError: If ``strict`` and one of them cannot be read.
    """
    from ws101.host.history import identity, rotated, scan

    files: list[tuple[str, str]] = []
    seen: dict[object, str] = {}
    for log in chosen.logs:
        for path in rotated(log.path) if history else (log.path,):
            same = seen.setdefault(identity(path), path)
            if same != path:
                files.append((path, f"{_LEFT_OUT}it is {same} under another name"))
                continue
            try:
                files.append((path, scan(path, tally, form=log.form, other_forms=log.other_forms).problem))
            except InputError as error:
                if strict:
                    raise
                files.append((path, error.message))
    copies = ((path, f"{_LEFT_OUT}everything in it stands in {other} too") for path, other in chosen.copies)
    return (*files, *copies)


def _given(paths: tuple[str, ...], form: str | None, inputs: Inputs, conf: str | None) -> Choice:
    """The logs that were named; without a format they may have any that a configuration at hand defines."""
    from ws101.host.logs import Choice, Log, formats_of
    from ws101.logs import COMBINED

    forms: tuple[str, ...] = ()
    if form is None:
        with contextlib.suppress(*(() if conf else (Ws101Error,))):
            forms = tuple(text for config, _ in _configurations(inputs, conf) for text in formats_of(config).values())
    return Choice(tuple(Log(path, form or COMBINED, tuple(dict.fromkeys(forms))) for path in dict.fromkeys(paths)))


def _named(inputs: Inputs, conf: str | None) -> Choice:
    """The logs that the configuration names, in every server and location, with their formats.

    Raises:
        InputError: If there is no configuration, or it names no log.
    """
    from ws101.host.logs import choose

    scopes = [logs for config, default in _configurations(inputs, conf) for logs in _scopes(config, default)]
    found = choose(scopes)
    if not found.logs:
        raise InputError("no configuration of this machine names a log", help="name the logs: ws101 logs FILE...")
    return found


def _configurations(inputs: Inputs, conf: str | None) -> Iterator[tuple[Config, str]]:
    from ws101.cli.machine import on_this_machine
    from ws101.host.process import error_log_of

    if conf is not None:
        yield inputs.load(conf).config, ""
        return
    for found in on_this_machine():
        log = error_log_of(found.master) if found.master else None
        yield inputs.load(found.conf).config, log or ""


def _scopes(config: Config, default: str) -> Iterator[tuple[Log, ...]]:
    """The logs of each scope that can answer; of the whole where there is none."""
    from ws101.host.logs import named_logs

    yield named_logs(config, None, default=default)
    for scope in (*config.servers, *(route.location for route in config.routes())):
        yield named_logs(config, scope, default=default)
