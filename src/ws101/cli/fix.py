"""``ws101 fix``."""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING

import click

from ws101.cli.console import Console
from ws101.cli.group import program_path
from ws101.cli.inputs import Inputs, Loaded
from ws101.cli.options import (
    header_option,
    nginx_options,
    output_options,
    proof_options,
    rule_options,
    settings_option,
    url_option,
)
from ws101.errors import UsageError

if TYPE_CHECKING:
    from ws101.fix import FixResult

__all__ = ["command"]


@click.command()
@click.argument("path", required=False)
@url_option
@click.option("--write", is_flag=True, help="Edit the files.")
@click.option("--apply", "applying", is_flag=True, help="Edit, test, reload, prove; or put everything back.")
@click.option(
    "--style",
    "form",
    type=click.Choice(("map", "quick")),
    default="map",
    show_default=True,
    help="One map for all, or a literal in the location.",
)
@click.option("--idle-timeout", default="86400s", show_default=True, metavar="TIME", help="For proxy_read_timeout.")
@click.option("--unsafe", is_flag=True, help="Also fixes that change other requests.")
@rule_options
@proof_options
@header_option
@settings_option
@nginx_options
@output_options("json")
def command(
    *,
    path: str | None,
    urls: tuple[str, ...],
    write: bool,
    applying: bool,
    form: str,
    idle_timeout: str,
    unsafe: bool,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    yes: bool,
    require_101: bool,
    unproven: bool,
    accept_gap: bool,
    test_command: str | None,
    reload_command: str | None,
    headers: tuple[str, ...],
    settings: str | None,
    roots: tuple[str, ...],
    nginx: str | None,
    nginx_version: str | None,
    output: str,
    color: str,
) -> int:
    r"""The fix as a diff.  Without --write or --apply nothing is changed.

    Without PATH, the configuration of this machine's nginx that answers at --url.

    \b
    Examples:
      ws101 fix /etc/nginx --url wss://example.com/ws
      ws101 fix site.conf --write
      sudo ws101 fix /etc/nginx --url wss://example.com/ws --apply
    """
    from ws101.cli.configured import find_settings, with_settings
    from ws101.cli.ruling import options_of
    from ws101.fix import fix

    if write and applying:
        raise UsageError("--write and --apply exclude each other", help="--apply writes, reloads and proves")
    told = find_settings(settings, (path,) if path is not None else ())
    given = Inputs(roots, nginx, nginx_version)
    options, inputs = with_settings(options_of(urls, select, ignore, form, idle_timeout), given, told)
    asked = (*(word for url in urls for word in ("--url", url)), *(("--settings", settings) if settings else ()))
    urls = options.urls
    loaded = _load(path, urls, inputs)
    result = fix(loaded.config, loaded.builds, options, unsafe=unsafe)
    out, notes = Console.of(sys.stdout, color), Console.of(sys.stderr, color)
    if told is not None and output == "terminal":
        notes.write(notes.style.paint("dim", f"settings: {told.path}"))
    if applying and result.texts:
        from ws101.cli.applying import apply_and_report
        from ws101.cli.changing import ApplyOptions
        from ws101.cli.requests import parse_headers
        from ws101.probes.handshake import HandshakeOptions

        how = ApplyOptions(
            urls,
            HandshakeOptions(headers=parse_headers(headers)),
            require_101,
            unproven,
            tuple(shlex.split(test_command or "")),
            tuple(shlex.split(reload_command or "")),
            accept_gap,
        )
        return apply_and_report(loaded, result, how, out=out, console=notes, output=output, yes=yes)
    written = _write(loaded, result) if write and result.texts else ()
    _report(loaded, result, written=written, asked=asked, out=out, notes=notes, output=output)
    return 1 if result.has_errors or result.report.problems else 0


def _load(path: str | None, urls: tuple[str, ...], inputs: Inputs) -> Loaded:
    if path is not None:
        return inputs.load(path)
    if not urls:
        raise UsageError("what is to be fixed?", help="give PATH, or --url of the WebSocket that fails here")
    from ws101.probes.endpoint import parse_ws_url

    return inputs.load_conf(None, parse_ws_url(urls[0]))


def _write(loaded: Loaded, result: FixResult) -> tuple[str, ...]:
    from ws101.cli.writing import write_files

    return write_files(loaded, result)


def _report(
    loaded: Loaded,
    result: FixResult,
    *,
    written: tuple[str, ...],
    asked: tuple[str, ...],
    out: Console,
    notes: Console,
    output: str,
) -> None:
    """The diff on standard output, what there is to say about it on standard error."""
    if output == "json":
        from ws101.report.json.base import dump
        from ws101.report.json.fix import fixed

        out.write_data(dump(fixed(result, loaded.subject, written=written)))
        return
    from ws101.cli.showing import show_diff
    from ws101.report.terminal.fix import notes as as_text

    show_diff(loaded, result, out)
    commands = [("written", path) for path in written] or _next(loaded, result, asked)
    notes.write(as_text(result, loaded.subject, notes.style, commands=commands))


def _next(loaded: Loaded, result: FixResult, asked: tuple[str, ...]) -> list[tuple[str, str]]:
    """What can be done with a diff that nginx accepts, with the program's full path where sudo will drop PATH."""
    if loaded.disk is None or not result.texts or result.report.problems:
        return []
    words = ("fix", loaded.config.path, *asked)
    sudo = () if os.geteuid() == 0 else ("sudo",)
    write = ("edit the files", shlex.join(("ws101", *words, "--write")))
    if loaded.config.fragment not in (None, "main"):
        return [write]  # no nginx runs a part of a configuration
    return [
        write,
        ("and reload with proof", shlex.join((*sudo, *shlex.split(program_path()), *words, "--apply"))),
    ]
