"""``ws101 logs``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from ws101.cli.console import Console
from ws101.cli.options import conf_option, nginx_options, output_options
from ws101.errors import InputError

if TYPE_CHECKING:
    from ws101.cli.inputs import Inputs
    from ws101.host.logs import Log
    from ws101.nginx.config import Config

__all__ = ["command"]


@click.command()
@click.argument("paths", nargs=-1, metavar="[LOG]...")
@conf_option
@click.option("--log-format", metavar="FORMAT", help="The log_format of the access logs given; else it is combined.")
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
    from ws101.host.history import scan
    from ws101.logs import Tally
    from ws101.report.json.base import dump
    from ws101.report.json.logs import logs as as_json
    from ws101.report.terminal.logs import logs as as_text

    tally = Tally()
    form = latin1(log_format) if log_format else None
    given = [(path, form) for path in paths] or list(_named(Inputs(roots, nginx, nginx_version), conf))
    files = []
    for path, known in given:
        for one in (path,) if path == "-" or no_history or paths else _history(path):
            try:
                found = scan(one, tally, form=known)
                files.append((one, found.problem))
            except InputError as error:
                if paths:
                    raise
                files.append((one, error.message))
    if files and not tally.lines and all(problem for _, problem in files):
        raise InputError(f"none of the logs can be read: {files[0][1]}", where=files[0][0], help="run it with sudo")
    console = Console.of(sys.stdout, color)
    if output == "json":
        console.write_data(dump(as_json(tally, tuple(files))))
    else:
        console.write(as_text(tally, tuple(files), console.style))
    return 0


def _history(path: str) -> tuple[str, ...]:
    from ws101.host.history import rotated

    return rotated(path)


def _named(inputs: Inputs, conf: str | None) -> Iterator[tuple[str, str]]:
    """The logs that the configuration names, in every server and location, with their formats.

    Raises:
        InputError: If there is no configuration, or it names no log.
    """
    found: dict[str, str] = {}
    for config, default in _configurations(inputs, conf):
        for log in _logs_of(config, default):
            found.setdefault(log.path, log.form)
    if not found:
        raise InputError("no configuration of this machine names a log", help="name the logs: ws101 logs FILE...")
    yield from found.items()


def _configurations(inputs: Inputs, conf: str | None) -> Iterator[tuple[Config, str]]:
    from ws101.cli.machine import on_this_machine
    from ws101.host.process import error_log_of

    if conf is not None:
        yield inputs.load(conf).config, ""
        return
    for found in on_this_machine():
        log = error_log_of(found.master) if found.master else None
        yield inputs.load(found.conf).config, log or ""


def _logs_of(config: Config, default: str) -> Iterator[Log]:
    from ws101.host.logs import named_logs

    yield from named_logs(config, None, default=default)
    for scope in (*config.servers, *(route.location for route in config.routes())):
        yield from named_logs(config, scope, default=default)
