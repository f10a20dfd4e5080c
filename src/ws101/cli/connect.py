"""``ws101 connect``."""

from __future__ import annotations

import contextlib
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from ws101.cli.console import Console
from ws101.cli.options import conf_option, connection_options

if TYPE_CHECKING:
    from ws101.cli.talking import Screen
    from ws101.probes.talk import Act

__all__ = ["command"]


@click.command()
@click.argument("url")
@click.option("--execute", "-x", "executes", multiple=True, metavar="TEXT", help="Send this, then leave; repeatable.")
@click.option(
    "--wait", "-w", type=click.FloatRange(0), default=1.0, show_default=True, metavar="SECONDS",
    help="After the last input, leave when nothing has come for so long; inf stays.",
)  # fmt: skip
@connection_options
@click.option("--auth", metavar="USER:PASSWORD", help="Basic authentication.")
@click.option("--origin", metavar="ORIGIN", help="The Origin field.")
@click.option("--subprotocol", "subprotocols", multiple=True, metavar="NAME", help="Offer a subprotocol; repeatable.")
@click.option("--host", metavar="NAME", help="The Host field, instead of the URL's host.")
@click.option("--proxy", default="", metavar="URL", help="Go through this HTTP proxy.")
@click.option("--unix-socket", default="", metavar="PATH", help="Connect to this Unix socket.")
@click.option("--ca-file", default="", metavar="PATH", help="Trust the certificates in this file.")
@click.option("--cert", default="", metavar="PATH", help="The client's certificate.")
@click.option("--key", default="", metavar="PATH", help="The client's key.")
@click.option("--plain", is_flag=True, help="No line editing: read lines as they are.")
@click.option("--no-history", is_flag=True, help="Neither read nor write the history of what was typed.")
@conf_option
@click.option("--color", type=click.Choice(("auto", "always", "never")), default="auto", show_default=True)
def command(
    *,
    url: str,
    executes: tuple[str, ...],
    wait: float,
    headers: tuple[str, ...],
    insecure: bool,
    resolves: tuple[str, ...],
    timeout: float,
    auth: str | None,
    origin: str | None,
    subprotocols: tuple[str, ...],
    host: str | None,
    proxy: str,
    unix_socket: str,
    ca_file: str,
    cert: str,
    key: str,
    plain: bool,
    no_history: bool,
    conf: str | None,
    color: str,
) -> int:
    r"""Talk to the WebSocket at URL: type lines, or pipe them in.

    A line that begins with / is a command: /ping, /pong, /binary, /close, /save, /help.  From a pipe every line is a
    message.  If the handshake fails, the cause is looked for as ws101 URL would.

    \b
    ws101 connect wss://example.com/ws
    echo hi | ws101 connect wss://example.com/ws
    ws101 connect ws://127.0.0.1:3000/ -x '{"op": "status"}' --wait 3
    """
    from ws101.cli.network import network_of
    from ws101.cli.requests import latin1, parse_headers
    from ws101.cli.talking import Screen
    from ws101.host.client import open_talk
    from ws101.probes.endpoint import parse_ws_url
    from ws101.probes.handshake import HandshakeOptions
    from ws101.probes.talk import read_line

    endpoint, acts = parse_ws_url(url), tuple(map(read_line, executes))
    fields = parse_headers(headers + ((f"Authorization: {_basic(auth)}",) if auth else ()))
    network = network_of(
        resolves=resolves, insecure=insecure, timeout=timeout, proxy=proxy, unix_socket=unix_socket, ca_file=ca_file,
        client_cert=cert, client_key=key,
    )  # fmt: skip
    options = HandshakeOptions(
        origin=latin1(origin) if origin else None,
        subprotocols=tuple(map(latin1, subprotocols)),
        headers=fields,
        host=latin1(host) if host else None,
        timeout=timeout,
    )
    errors = Console.of(sys.stderr, color)
    seen, talk = open_talk(endpoint, options, network)
    if talk is None:
        given = {"headers": headers, "insecure": insecure, "resolves": resolves, "timeout": timeout, "conf": conf}
        return _explain(url, given | {"origin": origin, "subprotocols": subprotocols, "color": color}, errors)
    screen = Screen(talk, color, errors)
    screen.greet(endpoint.url, seen.handshake)
    return _converse(screen, acts, wait, editing=_editing(plain, executes), history=not no_history)


def _converse(screen: Screen, acts: tuple[Act, ...], wait: float, *, editing: bool, history: bool) -> int:
    """Talk until the end; the exit code."""
    from ws101.cli.talking import Lines

    try:
        if editing:
            from ws101.cli.prompting import converse

            converse(screen, history=history)
        else:
            Lines(screen, acts).talk(wait)
    finally:
        ending = screen.talk.finish()
    return screen.farewell(ending)


def _basic(auth: str) -> str:
    from base64 import b64encode

    return "Basic " + b64encode(auth.encode("utf-8", "surrogateescape")).decode("ascii")


def _editing(plain: bool, executes: tuple[str, ...]) -> bool:
    """Whether lines are edited here: a terminal on both sides, and the library for it."""
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    return terminal and not plain and not executes and find_spec("prompt_toolkit") is not None


def _explain(url: str, given: dict[str, object], errors: Console) -> int:
    """Why the handshake failed, said where it is in nobody's way: on standard error."""
    from ws101.cli.diagnose import command as diagnose

    context = click.get_current_context()
    with contextlib.redirect_stdout(errors.stream):
        code = context.invoke(diagnose, address=(url,), **given)
    return int(code) or 1
