"""``ws101 apply``."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

import click

from ws101.cli.console import Console
from ws101.cli.options import header_option, nginx_options, output_options, proof_options, url_option

if TYPE_CHECKING:
    from ws101.cli.changing import Change
    from ws101.report.json.base import Json

__all__ = ["command"]


@click.command()
@click.argument("folder", metavar="DIR")
@click.option("--to", "main", metavar="CONF", help="The running main file; else that of the nginx that runs here.")
@url_option
@proof_options
@header_option
@nginx_options
@output_options("json")
def command(
    *,
    folder: str,
    main: str | None,
    urls: tuple[str, ...],
    yes: bool,
    require_101: bool,
    unproven: bool,
    accept_gap: bool,
    test_command: str | None,
    reload_command: str | None,
    headers: tuple[str, ...],
    roots: tuple[str, ...],
    nginx: str | None,
    nginx_version: str | None,
    output: str,
    color: str,
) -> int:
    r"""Make the running configuration what it is in DIR, a whole copy of its folder that was changed: with proof.

    Only files that nginx loads as configuration are written; one that is missing in DIR is removed.  A symlink is made
    or removed itself: that turns a site on or off.  Routes that the change leaves alone must answer as before, those
    that it changes must deliver what their backend answers.

    \b
    Examples:
      cp -a /etc/nginx new && edit new/...
      ws101 diff /etc/nginx new
      sudo ws101 apply new --url wss://example.com/ws
    """
    from ws101.cli.applying import as_json, carry_out, exit_code
    from ws101.cli.changing import ApplyOptions
    from ws101.cli.copied import change_from, running_main
    from ws101.cli.inputs import Inputs
    from ws101.cli.requests import parse_headers
    from ws101.cli.showing import differences, show_lines
    from ws101.probes.handshake import HandshakeOptions

    out, notes = Console.of(sys.stdout, color), Console.of(sys.stderr, color)
    loaded = Inputs(roots, nginx, nginx_version).load(main or running_main())
    change = change_from(loaded, folder)
    diffs = differences(change.edits)
    human = output != "json"
    if human:
        show_lines([line for lines in diffs.values() for line in lines], out)
    if not change.edits:
        if human:
            notes.write("nothing to change: nginx loads the same files from both")
        else:
            _dump(out, change, diffs, None)
        return 0
    how = ApplyOptions(
        urls,
        HandshakeOptions(headers=parse_headers(headers)),
        require_101,
        unproven,
        tuple(shlex.split(test_command or "")),
        tuple(shlex.split(reload_command or "")),
        accept_gap,
    )
    outcome, proof = carry_out(change, how, console=notes, human=human, yes=yes)
    if not human:
        _dump(out, change, diffs, as_json(outcome, proof, ()))
    return exit_code(outcome, proof)


def _dump(out: Console, change: Change, diffs: dict[str, list[str]], ending: Json | None) -> None:
    from ws101.report.json.base import dump
    from ws101.report.json.fix import applied

    created = {name for name, (old, _) in change.edits.items() if old is None}
    out.write_data(dump(applied(diffs, created, ending)))
