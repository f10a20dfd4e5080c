"""``ws101 undo``."""

from __future__ import annotations

import sys
import time

import click

from ws101.cli.console import Console
from ws101.cli.options import output_options

__all__ = ["command"]


@click.command()
@click.argument("change", required=False, default="")
@click.option("--list", "listing", is_flag=True, help="Show every change, the last one first.")
@output_options("json")
def command(*, change: str, listing: bool, output: str, color: str) -> int:
    r"""Take back what fix --apply changed: the last change, or CHANGE; nginx is reloaded.

    \b
    Examples:
      ws101 undo --list
      sudo ws101 undo
    """
    console = Console.of(sys.stdout, color)
    if listing:
        return _list(console, output)
    from ws101.cli.applying import as_json, class_of, ending_of, steps_of
    from ws101.host.transaction import undo

    outcome = undo(change=change)
    if output == "json":
        from ws101.report.json.base import dump
        from ws101.report.json.fix import undo as report

        console.write_data(dump(report(as_json(outcome, None, ()))))
    else:
        from ws101.report.terminal.fix import ending

        console.write(ending(steps_of(outcome), ending_of(outcome), (), console.style))
    return {"not-started": 2, "damaged": 2, "rolled-back": 1}.get(class_of(outcome), 0)


def _list(console: Console, output: str) -> int:
    from ws101.host.recovery import history

    changes = history()[::-1]
    if output == "json":
        from ws101.report.json.base import dump

        rows = [
            {"change": c.id, "at": c.at, "title": c.title, "state": c.state, "files": [f.path for f in c.files]}
            for c in changes
        ]
        console.write_data(dump({"schema": "ws101/undo/1", "changes": rows}))
        return 0
    from ws101.report.style import columns
    from ws101.text import printable

    table = [
        (c.id, time.strftime("%Y-%m-%d %H:%M", time.localtime(c.at)), c.state, printable(c.title)) for c in changes
    ]
    console.write("\n".join(columns(table)) or "no change was ever made")
    return 0
