"""``ws101 probe``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from ws101.cli.console import Console
from ws101.cli.options import connection_options, output_options
from ws101.cli.requests import latin1, parse_headers

if TYPE_CHECKING:
    from ws101.probes.core import Observation

__all__ = ["command", "exit_code"]


@click.command()
@click.argument("url")
@connection_options
@click.option("--origin", metavar="ORIGIN", help="The Origin field, as a browser on that site sends it.")
@click.option("--subprotocol", "subprotocols", multiple=True, metavar="NAME", help="Offer a subprotocol; repeatable.")
@click.option("--extensions", default="", metavar="VALUE", help="Sec-WebSocket-Extensions: permessage-deflate.")
@click.option(
    "--connection", default="Upgrade", metavar="VALUE", help="The Connection field: 'keep-alive, Upgrade' is Firefox's."
)
@click.option("--http-version", type=click.Choice(("1.0", "1.1")), default="1.1", help="The version to speak.")
@click.option("--host", metavar="NAME", help="The Host field, instead of the URL's host.")
@click.option("--http", "plain", is_flag=True, help="Send a plain request instead of an opening handshake.")
@click.option("--proxy", default="", metavar="URL", help="Go through this HTTP proxy.")
@click.option("--unix-socket", default="", metavar="PATH", help="Connect to this Unix socket.")
@click.option("--ca-file", default="", metavar="PATH", help="Trust the certificates in this file.")
@click.option("--cert", default="", metavar="PATH", help="The client's certificate.")
@click.option("--key", default="", metavar="PATH", help="The client's key.")
@click.option("--ipv4", "-4", "family", flag_value=4, type=int, help="Use IPv4 alone.")
@click.option("--ipv6", "-6", "family", flag_value=6, type=int, help="Use IPv6 alone.")
@output_options("json")
def command(
    *,
    url: str,
    headers: tuple[str, ...],
    insecure: bool,
    resolves: tuple[str, ...],
    timeout: float,
    origin: str | None,
    subprotocols: tuple[str, ...],
    extensions: str,
    connection: str,
    http_version: str,
    host: str | None,
    plain: bool,
    proxy: str,
    unix_socket: str,
    ca_file: str,
    cert: str,
    key: str,
    family: int | None,
    output: str,
    color: str,
) -> int:
    r"""One opening handshake with URL: what was sent, what came back, how long it took, and what is wrong with it.

    \b
    ws101 probe wss://example.com/ws
    ws101 probe ws://127.0.0.1:3000/ws --header 'Authorization: Bearer ...'
    """
    from ws101.cli.network import network_of
    from ws101.host import network as sockets
    from ws101.probes.handshake import HandshakeOptions
    from ws101.report.json import probe as json
    from ws101.report.json.base import dump
    from ws101.report.terminal.probe import probe

    endpoint, fields = sockets.parse_ws_url(url), parse_headers(headers)
    network = network_of(
        resolves=resolves, insecure=insecure, timeout=timeout, proxy=proxy, unix_socket=unix_socket,
        family=family or 0, ca_file=ca_file, client_cert=cert, client_key=key,
    )  # fmt: skip
    if plain:
        seen = sockets.plain(endpoint, fields, network, timeout=timeout)
    else:
        options = HandshakeOptions(
            origin=latin1(origin) if origin else None,
            subprotocols=tuple(map(latin1, subprotocols)),
            extensions=latin1(extensions),
            headers=fields,
            version=f"HTTP/{http_version}",
            connection=latin1(connection),
            host=latin1(host) if host else None,
            timeout=timeout,
        )
        seen, _ = sockets.handshake(endpoint, options, network)
    console = Console.of(sys.stdout, color)
    if output == "json":
        console.write_data(dump(json.probe(endpoint.url, seen)))
    else:
        console.write(probe(endpoint.url, seen, console.style))
    return exit_code(seen)


def exit_code(seen: Observation) -> int:
    """0 passed, 1 failed, 2 if nothing could be sent, or nothing was decided."""
    if seen.passed:
        return 0
    return 1 if seen.transcript and seen.verdict.value == "failed" else 2
