"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = [
    "complete_rule",
    "conf_option",
    "connection_options",
    "header_option",
    "nginx_options",
    "output_options",
    "proof_options",
    "roots_option",
    "rule_options",
    "settings_option",
    "url_option",
]

_F = TypeVar("_F", bound=Callable[..., Any])


def _joined(*decorators: Callable[[_F], _F]) -> Callable[[_F], _F]:
    def decorate(function: _F) -> _F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


def complete_rule(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The rules whose name begins so, for shells."""
    from ws101.rules import RULES

    return [rule.name for rule in RULES if rule.name.startswith(incomplete)]


conf_option = click.option(
    "--conf",
    metavar="PATH",
    help="The configuration: nginx.conf, its folder, an 'nginx -T' dump, or - for standard input.",
)
"""``--conf``."""

roots_option = click.option(
    "--root",
    "roots",
    multiple=True,
    metavar="PREFIX=FOLDER",
    help="Where a copy of another machine's folder lies: /etc/nginx=./nginx.",
)
"""``--root``."""

header_option = click.option(
    "--header", "-H", "headers", multiple=True, metavar="'Name: value'", help="A header field to send; repeatable."
)
"""``--header``."""

nginx_options = _joined(
    roots_option,
    click.option("--nginx", "nginx", metavar="PATH", help="The nginx program to ask for its version."),
    click.option("--nginx-version", metavar="V", help="Read the configuration as this version does: 1.22.1."),
)
"""Which nginx, and where a copy of its files lies."""

connection_options = _joined(
    header_option,
    click.option("--insecure", "-k", is_flag=True, help="Accept any certificate."),
    click.option(
        "--resolve", "resolves", multiple=True, metavar="HOST:PORT:ADDR", help="Connect to ADDR for HOST:PORT."
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(0.1, 3600),
        default=10.0,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait for each step.",
    ),
)
"""How to connect."""


def output_options(*formats: str) -> Callable[[_F], _F]:
    """``--format`` with the formats a command has, and ``--color``."""
    return _joined(
        click.option(
            "--format", "output", type=click.Choice(("terminal", *formats)), default="terminal", show_default=True
        ),
        click.option("--color", type=click.Choice(("auto", "always", "never")), default="auto", show_default=True),
    )


url_option = click.option(
    "--url", "urls", multiple=True, metavar="URL", help="An address that is meant for WebSockets; repeatable."
)
"""``--url``."""

rule_options = _joined(
    click.option(
        "--select",
        multiple=True,
        metavar="RULE",
        shell_complete=complete_rule,
        help="Run only this rule; repeatable.",
    ),
    click.option(
        "--ignore",
        multiple=True,
        metavar="RULE",
        shell_complete=complete_rule,
        help="Leave this rule out; repeatable.",
    ),
)
"""Which rules run."""

settings_option = click.option(
    "--settings", metavar="FILE", help="The settings.  [default: the nearest ws101.toml in a folder above]"
)
"""``--settings``."""

proof_options = _joined(
    click.option(
        "--yes", "-y", is_flag=True, help="Apply without asking; where nobody sits at a terminal none is asked."
    ),
    click.option("--require-101", is_flag=True, help="When applying: accept nothing but a 101."),
    click.option("--unproven", is_flag=True, help="When applying: go on although the backend does not answer."),
    click.option(
        "--accept-gap", is_flag=True, help="When applying: allow a moment between two files when nginx could not start."
    ),
    click.option(
        "--test-command", metavar="COMMAND", help="When applying: instead of nginx -t; {conf} is the file to test."
    ),
    click.option("--reload-command", metavar="COMMAND", help="When applying: instead of a signal or systemd."),
)
"""How a change is applied."""
