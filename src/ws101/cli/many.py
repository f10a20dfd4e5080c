"""``ws101 probe --many``: what the options mean, nginx's error log meanwhile, and the reload."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ws101.cli.console import Console
from ws101.errors import ApplyError, InputError, UsageError
from ws101.lazy import dataclass

if TYPE_CHECKING:
    from ws101.host.dial import Network
    from ws101.host.process import LogMark, Master
    from ws101.probes.endpoint import Endpoint
    from ws101.probes.handshake import HandshakeOptions

__all__ = ["Wanted", "many_options", "run_many"]

_F = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The options of ``--many``.

    Args:
        number: ``--many``.
        rate: ``--rate``.
        limit: ``--limit``.
        hold: ``--hold``.
        reload: ``--reload``.
        yes: ``--yes``.
    """

    number: int
    rate: float
    limit: int
    hold: float
    reload: bool = False
    yes: bool = False


_OPTIONS = (
    click.option(
        "--many", type=click.IntRange(1), is_flag=False, flag_value=50, metavar="[N]",
        help="Open N connections (50 unless told) and hold them.",
    ),
    click.option(
        "--rate", type=click.FloatRange(0), default=50.0, show_default=True, metavar="R",
        help="With --many: new connections a second; 0 for as fast as they are answered.",
    ),
    click.option(
        "--limit", type=click.IntRange(1), default=1000, show_default=True, metavar="N",
        help="With --many: the most that may be asked for.",
    ),
    click.option(
        "--hold", type=click.FloatRange(0), default=5.0, show_default=True, metavar="SECONDS",
        help="With --many: how long to hold them after the last was opened.",
    ),
    click.option("--reload", is_flag=True, help="On nginx's host: reload nginx while many are held."),
    click.option("--yes", is_flag=True, help="With --reload: it may be done, without asking."),
)  # fmt: skip


def many_options(function: _F) -> _F:
    """The options of ``--many``, handed to the command as ``crowd``: a `Wanted`, or None if they are not given."""

    @functools.wraps(function)
    def command(
        *, many: int | None, rate: float, limit: int, hold: float, reload: bool, yes: bool, **others: Any
    ) -> Any:
        wanted = Wanted(many or 50, rate, limit, hold, reload, yes) if many is not None or reload else None
        return function(crowd=wanted, **others)

    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def run_many(
    endpoint: Endpoint, options: HandshakeOptions, network: Network, wanted: Wanted, *, output: str, color: str
) -> int:
    """Open many connections, hold them, report.

    Returns:
        The exit code: 0 if all were opened and stood to the end, 1 if not, 2 if not even one could be tried.

    Raises:
        UsageError: If more are asked for than ``--limit`` allows, or the reload was not permitted.
        InputError: If there is no nginx of this machine to reload.
    """
    from ws101.host.many import address_of, hold_many, open_files
    from ws101.host.network import handshake
    from ws101.probes.crowding import Plan, cause_of
    from ws101.report.json.base import dump
    from ws101.report.json.many import many as as_json
    from ws101.report.terminal.many import many as as_text

    _refuse(wanted)
    master = _master(endpoint)
    reload = _permitted(master, wanted) if wanted.reload else None
    scout, _ = handshake(endpoint, options, network)
    if not scout.passed or scout.connection is None:
        help = f"look for the cause first: ws101 {endpoint.url}"
        raise InputError(f"not even one handshake succeeds: {scout.message}", where=endpoint.url, help=help)
    open_files(wanted.number)
    mark = _mark(master)
    console = Console.of(sys.stdout, color)
    plan = Plan(wanted.number, wanted.rate, wanted.hold)
    address = address_of(scout.connection.address)
    found = hold_many(endpoint, options, network, address, plan, meanwhile=reload, tick=_progress(output))
    first = found.first
    logged = _lines(mark)
    cause = cause_of(first.refusal, here=first.here, standing=found.opened, logged=logged) if first else None
    how = f"HUP to the master {master.pid}" if reload is not None and master is not None else None
    if output == "json":
        console.write_data(dump(as_json(endpoint.url, found, cause, how)))
    else:
        console.write(as_text(endpoint.url, found, cause, how, console.style))
    return 0 if found.good else 1


def _refuse(wanted: Wanted) -> None:
    if wanted.number > wanted.limit:
        raise UsageError(
            f"--many {wanted.number} is more than --limit {wanted.limit}",
            help=f"so many connections may stop a server: if that is meant, add --limit {wanted.number}",
        )


def _master(endpoint: Endpoint) -> Master | None:
    """The running nginx of this machine that answers there, if one does."""
    from ws101.cli.inputs import Inputs

    loaded = Inputs().find(endpoint)
    return loaded.found.master if loaded is not None and loaded.found is not None else None


def _permitted(master: Master | None, wanted: Wanted) -> Callable[[], str]:
    """The reload, once it was said that it may be done.

    Raises:
        UsageError: If it may not.
        InputError: If there is nothing to reload.
    """
    from ws101.host.process import may_signal

    if master is None:
        raise InputError("no running nginx of this machine answers there", help="--reload works on nginx's own host")
    if not may_signal(master):
        raise ApplyError(f"no permission to signal the nginx master {master.pid}", help="run it with sudo")
    if not wanted.yes:
        if not sys.stdin.isatty():
            raise UsageError("--reload reloads the running nginx", help="say that it may: --yes")
        click.confirm(f"Reload the running nginx (master {master.pid})?", abort=True, err=True)
    known = master

    def reload() -> str:
        from ws101.host.process import LogMark, error_log_of, send_reload, wait_reloaded
        from ws101.host.workers import children

        log = error_log_of(known)
        mark = LogMark.at_end(log) if log else None
        old = children(known.pid)
        send_reload(known)
        seen = wait_reloaded(known.pid, old, log=mark)
        return "new workers serve" if seen.done else f"it did not go through: {seen.reason}"

    return reload


def _mark(master: Master | None) -> LogMark | None:
    from ws101.host.process import LogMark, error_log_of

    path = error_log_of(master) if master is not None else None
    return LogMark.at_end(path) if path else None


def _lines(mark: LogMark | None) -> tuple[str, ...]:
    return tuple(mark.since().split("\n")) if mark is not None else ()


def _progress(output: str) -> Callable[[int, int], None] | None:
    """A line on standard error that is written over, where a person looks at it."""
    if output != "terminal" or not (sys.stderr.isatty() and sys.stdout.isatty()):
        return None

    def show(standing: int, failed: int) -> None:
        sys.stderr.write(f"\r{standing} stand, {failed} failed \r")
        sys.stderr.flush()

    return show
