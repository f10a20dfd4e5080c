"""``ws101 rule``."""

from __future__ import annotations

import sys
from difflib import get_close_matches

import click

from ws101.cli.console import Console
from ws101.cli.options import complete_rule, output_options
from ws101.errors import UsageError

__all__ = ["command"]


@click.command()
@click.argument("name", required=False, shell_complete=complete_rule)
@output_options("json")
def command(*, name: str | None, output: str, color: str) -> int:
    r"""The page of a rule: what it finds, why it matters, a bad and a good configuration. Without NAME, all rules.

    \b
    ws101 rule
    ws101 rule upgrade-not-forwarded
    """
    from ws101.report.json import rule as json
    from ws101.report.json.base import dump
    from ws101.report.terminal import rule as terminal
    from ws101.rules import RULES

    console = Console.of(sys.stdout, color)
    chosen = [item for item in RULES if name is None or name.lower() in (item.name, item.code.lower())]
    if not chosen and name is not None:
        close = get_close_matches(name, [item.name for item in RULES], n=1)
        raise UsageError(
            f"there is no rule {name}", help=f"did you mean {close[0]}?" if close else "ws101 rule lists them"
        )
    if output == "json":
        console.write_data(dump(json.rules(chosen)))
    elif name is None:
        console.write(terminal.rules(chosen, console.style))
    else:
        console.write(terminal.rule(chosen[0], console.style))
    return 0
