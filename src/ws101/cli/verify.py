"""``ws101 verify``."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

import click

from ws101.cli.console import Console
from ws101.cli.options import connection_options, output_options

if TYPE_CHECKING:
    from ws101.host.dial import Network
    from ws101.http1 import Headers
    from ws101.probes.core import Observation
    from ws101.probes.endpoint import Endpoint
    from ws101.probes.handshake import HandshakeOptions
    from ws101.probes.verification import Step

__all__ = ["command"]

_EXIT_CODES = {"passed": 0, "failed": 1, "undecided": 2, "not-done": 2}


@click.command()
@click.argument("url")
@click.option("--browser", metavar="PATH", help="The browser: Chromium, Chrome or one of their kin.")
@click.option("--no-browser", is_flag=True, help="Leave the browser's step out; it is then reported as not done.")
@click.option("--message", metavar="TEXT", help="Send this text and wait for it; without it only a ping is sent.")
@connection_options
@click.option("--origin", metavar="ORIGIN", help="Open the socket from a page of this origin; else the socket's site.")
@click.option("--subprotocol", "subprotocols", multiple=True, metavar="NAME", help="Offer a subprotocol; repeatable.")
@click.option("--proxy", default="", metavar="URL", help="Go through this HTTP proxy.")
@output_options("json")
def command(
    *,
    url: str,
    browser: str | None,
    no_browser: bool,
    message: str | None,
    headers: tuple[str, ...],
    insecure: bool,
    resolves: tuple[str, ...],
    timeout: float,
    origin: str | None,
    subprotocols: tuple[str, ...],
    proxy: str,
    output: str,
    color: str,
) -> int:
    r"""Does the WebSocket at URL work?  A real browser, the header fields, and a client on the command line say.

    1. A real browser opens the socket: what its network panel and its console show.
    2. Upgrade: websocket stands in the request and in the answer.
    3. A command line client exchanges a frame: a ping and its pong, or the message given.

    \b
    ws101 verify wss://example.com/ws
    ws101 verify ws://example.com:8080/ws --resolve example.com:8080:127.0.0.1 --message hello
    """
    from ws101.cli.network import network_of
    from ws101.cli.requests import latin1, parse_headers
    from ws101.host.network import new_key
    from ws101.probes.endpoint import parse_ws_url
    from ws101.probes.handshake import HandshakeOptions
    from ws101.probes.verification import verification
    from ws101.report.json.base import dump
    from ws101.report.json.verify import verify as as_json
    from ws101.report.terminal.verify import verify as as_text

    endpoint, fields = parse_ws_url(url), parse_headers(headers)
    network = network_of(resolves=resolves, insecure=insecure, timeout=timeout, proxy=proxy)
    options = HandshakeOptions(
        origin=latin1(origin) if origin else None,
        subprotocols=tuple(map(latin1, subprotocols)),
        headers=fields,
        key=new_key(),
        timeout=timeout,
    )
    missing = _skipped() if no_browser else None
    seen = None
    if missing is None:
        seen, missing = _browse(browser, endpoint, url, network=network, options=options, message=message)
    found = verification(seen, missing, _exchange(endpoint, options, network, message))
    console = Console.of(sys.stdout, color)
    if output == "json":
        console.write_data(dump(as_json(endpoint.url, found)))
    else:
        again = shlex.join(("ws101", endpoint.url, *(part for r in resolves for part in ("--resolve", r))))
        console.write(as_text(endpoint.url, found, console.style, again=again))
    return _EXIT_CODES[found.state.value]


def _skipped() -> Step:
    from ws101.probes.verification import State, Step

    return Step("browser", State.NOT_DONE, "left out, as --no-browser says")


def _browse(
    given: str | None,
    endpoint: Endpoint,
    url: str,
    *,
    network: Network,
    options: HandshakeOptions,
    message: str | None,
) -> tuple[Observation | None, Step | None]:
    """What the browser saw, or the step that says why it did not run."""
    from ws101.errors import InputError
    from ws101.host.browser import BrowserOptions, find_browser, open_in_browser
    from ws101.probes.verification import State, Step

    program = find_browser(given)
    if program is None:
        remedy = "install chromium (sudo apt-get install chromium), or name one with --browser PATH"
        return None, Step("browser", State.NOT_DONE, "there is no browser on this machine", help=remedy)
    lacking = _beyond_browsers(options.headers)
    if lacking:
        reason = f"a page's script can't send {lacking}, as --header asks"
        return None, Step("browser", State.NOT_DONE, reason, help="a browser sends cookies, and no other field")
    wanted = BrowserOptions(
        origin=options.origin or "",
        subprotocols=options.subprotocols,
        message=message,
        cookies="; ".join(value for name, value in options.headers if name.lower() == "cookie"),
        timeout=options.timeout,
    )
    scheme = "wss" if endpoint.tls else "ws"
    address = scheme + url[url.index(":") :]
    try:
        return open_in_browser(program, endpoint, address, network, wanted), None
    except InputError as error:
        if given is not None:
            raise
        return None, Step("browser", State.NOT_DONE, f"{program}: {error.message}", help=error.help)


def _beyond_browsers(headers: Headers) -> str:
    """The header fields of which a browser gives a page's script no say."""
    return ", ".join(name for name, _ in headers if name.lower() not in ("cookie", "origin", "user-agent"))


def _exchange(endpoint: Endpoint, options: HandshakeOptions, network: Network, message: str | None) -> Observation:
    from ws101.host.network import observe
    from ws101.probes.echo import echo
    from ws101.probes.handshake import build_request
    from ws101.probes.ping import ping

    wait = min(options.timeout, 5.0)
    probe = (
        ping(endpoint, options, count=1, timeout=wait)
        if message is None
        else echo(endpoint, options, message=message, timeout=wait)
    )
    return observe(probe, endpoint, network, build_request(endpoint, options))
