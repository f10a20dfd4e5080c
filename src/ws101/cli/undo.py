"""``ws101 undo``."""

from __future__ import annotations

import sys
import time

import click

from ws101.cli.console import Console
from ws101.cli.options import header_option, output_options
from ws101.errors import UsageError

__all__ = ["command"]


@click.command()
@click.argument("change", required=False, default="")
@click.option("--list", "listing", is_flag=True, help="Show every change with its proof, the last one first.")
@click.option("--recover", "recovering", is_flag=True, help="Finish or take back a change that was interrupted.")
@header_option
@output_options("json")
def command(*, change: str, listing: bool, recovering: bool, headers: tuple[str, ...], output: str, color: str) -> int:
    r"""Take back what fix --apply or apply changed: the last change, or CHANGE; nginx is reloaded.

    Every route that the change measured must answer as it did before the change; what does not is said.

    \b
    Examples:
      ws101 undo --list
      sudo ws101 undo
      sudo ws101 undo --recover
    """
    console = Console.of(sys.stdout, color)
    if listing + recovering + bool(change) > 1:
        raise UsageError("CHANGE, --list and --recover exclude each other", help="give one of them")
    if listing:
        return _list(console, output)
    if recovering:
        return _recover(console, output)
    from ws101.cli.applying import as_json, ending_of, exit_code, progress, show_advice, steps_of
    from ws101.cli.requests import parse_headers
    from ws101.host.transaction import undo
    from ws101.probes.handshake import HandshakeOptions

    options = HandshakeOptions(headers=parse_headers(headers))
    outcome = undo(change=change, options=options, on_measured=None if output == "json" else progress(console))
    if output == "json":
        from ws101.report.json.base import dump
        from ws101.report.json.fix import undo as report

        console.write_data(dump(report(as_json(outcome, None, ()))))
    else:
        from ws101.report.terminal.fix import ending

        console.write(ending(steps_of(outcome), ending_of(outcome), (), console.style))
        show_advice(outcome, console)
    return exit_code(outcome)


def _list(console: Console, output: str) -> int:
    from ws101.host.recovery import history

    changes = history()[::-1]
    if output == "json":
        from ws101.report.json.base import dump
        from ws101.report.json.fix import history as report

        console.write_data(dump(report(changes)))
        return 0
    from ws101.report.terminal.history import history as as_text

    shown = [(time.strftime("%Y-%m-%d %H:%M", time.localtime(change.at)), change) for change in changes]
    console.write(as_text(shown, console.style))
    return 0


def _recover(console: Console, output: str) -> int:
    from ws101.host.journal import state_folder
    from ws101.host.outcome import advice
    from ws101.host.recovery import recover
    from ws101.text import printable

    done = recover()
    if output == "json":
        from ws101.report.json.base import dump
        from ws101.report.json.fix import recovered

        console.write_data(dump(recovered(done)))
        return 2 if any(one.trouble for one in done) else 0
    for one in done:
        said = {
            "finished": "was proven before it was interrupted: finished",
            "cleaned": "had written nothing: cleaned up",
        }
        what = said.get(one.action, "the files are as they were, and nginx runs them" * (not one.trouble))
        console.write(f"{one.id}  {printable(what or one.trouble, limit=400)}")
        for line in advice(one.trouble, str(state_folder() / "changes" / one.id)) if one.trouble else ():
            console.write(f"  {console.style.paint('good', 'help')}: {printable(line, limit=400)}")
    if not done:
        console.write("no change was interrupted")
    return 2 if any(one.trouble for one in done) else 0
