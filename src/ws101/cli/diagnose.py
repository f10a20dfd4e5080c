"""``ws101 diagnose``, also behind the front door: ``ws101 URL``."""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING

import click

from ws101.cli.console import Console
from ws101.cli.group import program_path
from ws101.cli.inputs import Inputs, Loaded
from ws101.cli.options import conf_option, connection_options, nginx_options, output_options
from ws101.cli.pasted import Pasted, read_pasted
from ws101.errors import InputError, UsageError
from ws101.host.files import name_of
from ws101.text import printable

if TYPE_CHECKING:
    from ws101.diagnose import Diagnosis
    from ws101.host.doctor import Case
    from ws101.probes.endpoint import Endpoint

__all__ = ["apply_command", "command"]

_EXIT_CODES = {"works": 0, "degraded": 0, "broken": 1, "unknown": 2}


@click.command()
@click.argument("address", nargs=-1, required=True, metavar="URL")
@conf_option
@click.option("--no-conf", is_flag=True, help="Look from outside: take no configuration of this machine.")
@click.option("--direct", metavar="URL", help="The backend's own address, to compare with.")
@click.option("--offline", is_flag=True, help="Open no connection: the configuration speaks, and logs.")
@connection_options
@click.option("--origin", metavar="ORIGIN", help="The Origin field, as a browser on that site sends it.")
@click.option("--subprotocol", "subprotocols", multiple=True, metavar="NAME", help="Offer a subprotocol; repeatable.")
@click.option(
    "--idle",
    is_flag=False,
    flag_value=75.0,
    default=0.0,
    metavar="SECONDS",
    type=click.FloatRange(0, 3600),
    help="Measure how long a tunnel may stay silent: 75, or this many seconds.",
)
@click.option(
    "--heartbeat",
    is_flag=False,
    flag_value=30.0,
    default=0.0,
    metavar="SECONDS",
    type=click.FloatRange(0, 3600),
    help="Listen for the server's heartbeat: 30, or this many seconds.",
)
@click.option("--error-log", "error_logs", multiple=True, metavar="PATH", help="An error log to read; repeatable.")
@click.option("--access-log", "access_logs", multiple=True, metavar="PATH", help="An access log to read; repeatable.")
@click.option("--html", "page", metavar="FILE", help="Write the diagnosis as a page too, to be read elsewhere.")
@nginx_options
@output_options("json")
def command(
    *,
    address: tuple[str, ...],
    conf: str | None,
    no_conf: bool,
    direct: str | None,
    offline: bool,
    headers: tuple[str, ...],
    insecure: bool,
    resolves: tuple[str, ...],
    timeout: float,
    origin: str | None,
    subprotocols: tuple[str, ...],
    idle: float,
    heartbeat: float,
    error_logs: tuple[str, ...],
    access_logs: tuple[str, ...],
    page: str | None,
    roots: tuple[str, ...],
    nginx: str | None,
    nginx_version: str | None,
    output: str,
    color: str,
) -> int:
    r"""Why does the WebSocket at URL fail?  Verdict, causes with file and line, and the fix.

    URL may be the line from the browser's console.  The configuration of this machine's nginx is found by itself.

    \b
    Examples:
      ws101 wss://example.com/ws
      ws101 "WebSocket connection to 'wss://example.com/ws' failed: ..."
      ssh web1 sudo nginx -T | ws101 wss://example.com/ws --conf -
    """
    pasted = _read(address)
    from ws101.cli.network import network_of
    from ws101.cli.progress import Progress
    from ws101.cli.requests import latin1, parse_headers
    from ws101.host.doctor import Case, examine
    from ws101.probes.endpoint import parse_ws_url
    from ws101.probes.handshake import HandshakeOptions

    endpoint = parse_ws_url(pasted.url)
    _check(page, connecting=bool(direct or idle or heartbeat), offline=offline)
    loaded = _load(Inputs(roots, nginx, nginx_version), conf, endpoint, offline=offline, no_conf=no_conf)
    options = HandshakeOptions(
        origin=latin1(origin) if origin else None,
        subprotocols=tuple(map(latin1, subprotocols)),
        headers=parse_headers(headers),
        timeout=timeout,
    )
    case = Case(
        endpoint,
        options,
        network_of(resolves=resolves, insecure=insecure, timeout=timeout),
        direct=parse_ws_url(direct) if direct else None,
        page=pasted.page,
        symptom=pasted.symptom,
        idle=idle,
        heartbeat=heartbeat,
    )
    if loaded is not None:
        loaded = _with_running(loaded, told=bool(nginx or nginx_version))
        case = _with_configuration(case, loaded, look_up=not offline)
    case = _with_logs(case, loaded, error_logs, access_logs, offline=offline)
    with Progress.on(sys.stderr) as progress:
        found = examine(case, offline=offline, progress=progress.show)
    _write_page(page, found, loaded, pasted, case)
    _report(found, loaded, pasted, output, Console.of(sys.stdout, color))
    return _EXIT_CODES[found.verdict]


def _check(page: str | None, *, connecting: bool, offline: bool) -> None:
    """Whether all that is wanted can be done: said before anything is asked.

    Raises:
        UsageError: It cannot; or the page cannot be written.
    """
    if page is not None:
        from ws101.cli.reporting import check_target

        check_target(page)
    if connecting and offline:
        raise UsageError(
            "--direct, --idle and --heartbeat need a connection, and --offline opens none", help="leave one of them out"
        )


def _load(inputs: Inputs, conf: str | None, endpoint: Endpoint, *, offline: bool, no_conf: bool) -> Loaded | None:
    """The configuration that was named, or that of this machine; None without one.

    Raises:
        UsageError: If options exclude each other.
    """
    if no_conf and (conf or offline):
        raise UsageError("--no-conf excludes --conf and --offline", help="leave one of them out")
    if conf or offline:
        return inputs.load_conf(conf, endpoint, look_up=not offline)
    return None if no_conf else inputs.find(endpoint)


def _read(address: tuple[str, ...]) -> Pasted:
    """The address in the arguments.

    Raises:
        UsageError: If there is none.
    """
    line = " ".join(address)
    pasted = read_pasted(line)
    if pasted is not None:
        return pasted
    if len(address) == 1 and "://" in line:
        return Pasted(line)  # an address of another scheme: its reader says what is wrong
    raise UsageError(
        "there is no address in this", where=line[:100], help="paste the whole line, or give wss://HOST/PATH"
    )


def _with_running(loaded: Loaded, *, told: bool) -> Loaded:
    """With the nginx of this machine that runs this very configuration, if one does and it was named by hand.

    Args:
        loaded: The configuration.
        told: Whether the version was told: then it is not that of the program that runs.
    """
    from dataclasses import replace

    from ws101.cli.machine import on_this_machine

    if loaded.found is not None or loaded.disk is None or loaded.disk.roots:
        return loaded
    running = (found for found in on_this_machine() if found.master is not None)
    found = next((found for found in running if found.conf == loaded.config.path), None)
    if found is None or told:
        return replace(loaded, found=found)
    subject = replace(loaded.subject, builds=(found.binary.build,), source="binary", program=found.binary.path)
    return replace(loaded, found=found, subject=subject)


def _with_configuration(case: Case, loaded: Loaded, *, look_up: bool) -> Case:
    from dataclasses import replace

    from ws101.cli.judging import findings_on
    from ws101.cli.machine import stale_files
    from ws101.diagnose import Surroundings
    from ws101.host.doctor import is_here
    from ws101.host.surroundings import look_around
    from ws101.nginx.outcome import Forwarded

    found = loaded.found
    master = found.master.pid if found and found.master else None
    stale = stale_files(found, loaded.config) if found else ()

    def around(forwarded: Forwarded | None) -> Surroundings:
        return look_around(loaded.config, forwarded, master=master, stale=stale, look_up=look_up)

    here = loaded.disk is not None and is_here(case.endpoint.host, look_up=look_up)
    on_this_machine = here or found is not None
    return replace(
        case,
        config=loaded.config,
        builds=loaded.builds,
        judge=lambda trace: findings_on(trace, loaded, case.endpoint.url),
        here=on_this_machine,
        around=around if on_this_machine else None,
    )


def _with_logs(
    case: Case, loaded: Loaded | None, errors: tuple[str, ...], access: tuple[str, ...], *, offline: bool
) -> Case:
    """The logs that were named; without any, those that the configuration of this machine names.

    Raises:
        InputError: If a log that was named is not there.
    """
    from dataclasses import replace

    from ws101.host.logs import Log, Logs, formats_of, named_logs, shutdown_timeout
    from ws101.host.process import compiled, error_log_of
    from ws101.logs import COMBINED

    found = loaded.found if loaded else None
    forms = tuple(formats_of(loaded.config).values()) if loaded else ()
    named = [*(Log(path) for path in errors), *(Log(path, COMBINED, forms) for path in access)]
    for log in named:
        if not os.path.exists(log.path):  # noqa: PTH110 - a name may hold any byte
            raise InputError("there is no such log", where=log.path, help="name a file that nginx writes")
    if named:
        return replace(case, logs=Logs.of(named, shutdown=shutdown_timeout(loaded.config) if loaded else None))
    if loaded is None or not case.here:
        unread = offline and loaded is not None and named_logs(loaded.config, None)
        return replace(case, logs=Logs.left(_LOGS_ELSEWHERE)) if unread else case
    paths = compiled(found.binary.version_text) if found else None
    prefix = found.master.prefix(paths) if found and found.master and paths else ""
    default = (error_log_of(found.master) if found and found.master else None) or ""
    return replace(case, logs=Logs.of_configuration(loaded.config, prefix=prefix, default=default))


_LOGS_ELSEWHERE = (
    "what the logs say: no nginx of this machine is seen to run this configuration, so those that it names were not "
    "read; --access-log and --error-log name logs"
)


def _write_page(path: str | None, found: Diagnosis, loaded: Loaded | None, pasted: Pasted, case: Case) -> None:
    if path is None:
        return
    from ws101.cli.reporting import write_page

    subject = loaded.subject if loaded else None
    write_page(path, found, subject, case, apply_command=_command_for(found, loaded), pasted=_said(pasted))
    Console.of(sys.stderr).write(f"The report is in {printable(name_of(path))}")


def _said(pasted: Pasted) -> str:
    """The browser's line as bytes in latin-1, secrets masked."""
    from ws101.cli.requests import latin1
    from ws101.probes.masking import mask

    return mask(latin1(pasted.line))


def _command_for(found: Diagnosis, loaded: Loaded | None) -> str:
    """The command that applies the fixes; empty if there is none, or nothing that it could write to."""
    fixable = any(cause.fix is not None for cause in found.root_causes)
    return apply_command(loaded, found.url) if loaded and fixable else ""


def _report(found: Diagnosis, loaded: Loaded | None, pasted: Pasted, output: str, console: Console) -> None:
    subject = loaded.subject if loaded else None
    if output == "json":
        from ws101.report.json.base import dump
        from ws101.report.json.diagnose import diagnose as as_json

        console.write_data(dump(as_json(found, subject)))
        return
    from ws101.report.terminal.diagnose import diagnose as as_text

    apply = _command_for(found, loaded)
    console.write(as_text(found, subject, console.style, apply_command=apply, pasted=_said(pasted)))


def apply_command(loaded: Loaded, url: str) -> str:
    """The command that applies the fix, with the program's full path, since sudo drops PATH; empty if it can't."""
    if loaded.disk is None:
        return ""
    sudo = () if os.geteuid() == 0 else ("sudo",)
    return shlex.join((*sudo, *shlex.split(program_path()), "fix", loaded.config.path, "--url", url, "--apply"))
