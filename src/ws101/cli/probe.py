"""``ws101 probe``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from ws101.cli.console import Console
from ws101.cli.many import Wanted, many_options, run_many
from ws101.cli.options import conf_option, connection_options, output_options
from ws101.cli.requests import latin1, parse_headers
from ws101.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ws101.cli.predicting import Prediction
    from ws101.host.dial import Network
    from ws101.probes.core import Observation, Probe
    from ws101.probes.endpoint import Endpoint
    from ws101.probes.handshake import HandshakeOptions

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
@click.option("--http", is_flag=True, help="Send a plain request instead of an opening handshake.")
@click.option("--echo", is_flag=True, help="Then: send a message; is any answered?")
@click.option("--ping", is_flag=True, help="Then: three pings; how long is the round trip?")
@click.option("--close", is_flag=True, help="Then: a close frame; does the server take part in closing?")
@click.option("--large", is_flag=True, help="Then: a message of 1 MiB; does it come back?")
@click.option(
    "--idle",
    is_flag=False,
    flag_value=75.0,
    metavar="SECONDS",
    type=click.FloatRange(0.1, 3600),
    help="Then: stay silent for 75 seconds, or this many; is the tunnel cut, by whom?",
)
@click.option(
    "--ping-every",
    metavar="SECONDS",
    type=click.FloatRange(0.05, 3600),
    help="With --idle: send a ping this often instead of staying silent.",
)
@conf_option
@click.option("--predict", is_flag=True, help="With --idle: say what the configuration says, and measure nothing.")
@click.option(
    "--heartbeat",
    is_flag=False,
    flag_value=30.0,
    metavar="SECONDS",
    type=click.FloatRange(0.1, 3600),
    help="Then: listen for the server's heartbeat for 30 seconds, or this many; then play dead.",
)
@click.option("--proxy", default="", metavar="URL", help="Go through this HTTP proxy.")
@click.option("--unix-socket", default="", metavar="PATH", help="Connect to this Unix socket.")
@click.option("--ca-file", default="", metavar="PATH", help="Trust the certificates in this file.")
@click.option("--cert", default="", metavar="PATH", help="The client's certificate.")
@click.option("--key", default="", metavar="PATH", help="The client's key.")
@click.option("--ipv4", "-4", "family", flag_value=4, type=int, help="Use IPv4 alone.")
@click.option("--ipv6", "-6", "family", flag_value=6, type=int, help="Use IPv6 alone.")
@many_options
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
    ping_every: float | None,
    conf: str | None,
    predict: bool,
    proxy: str,
    unix_socket: str,
    ca_file: str,
    cert: str,
    key: str,
    family: int | None,
    crowd: Wanted | None,
    output: str,
    color: str,
    **measured: float | None,
) -> int:
    r"""One opening handshake with URL: what was sent, what came back, how long it took, and what is wrong with it.

    With --echo, --ping, --close, --large, --idle or --heartbeat the tunnel is measured after it.  With --idle and
    --conf what the configuration says is told at once, and compared with what is measured.

    \b
    ws101 probe ws://127.0.0.1:3000/ws --header 'Authorization: Bearer ...'
    ws101 probe wss://example.com/ws --idle --conf /etc/nginx
    ws101 probe wss://example.com/ws --many 200 --rate 20 --hold 60
    """
    from dataclasses import replace

    from ws101.cli.network import network_of
    from ws101.host import network as sockets
    from ws101.probes.handshake import HandshakeOptions

    name, seconds = _chosen(measured, crowd)
    _refuse_without_idle(name, ping_every, conf, output, predict=predict)
    endpoint, fields = sockets.parse_ws_url(url), parse_headers(headers)
    network = network_of(
        resolves=resolves, insecure=insecure, timeout=timeout, proxy=proxy, unix_socket=unix_socket,
        family=family or 0, ca_file=ca_file, client_cert=cert, client_key=key,
    )  # fmt: skip
    options = HandshakeOptions(
        origin=latin1(origin) if origin else None, subprotocols=tuple(map(latin1, subprotocols)),
        extensions=latin1(extensions), headers=fields, version=f"HTTP/{http_version}", connection=latin1(connection),
        host=latin1(host) if host else None, timeout=timeout,
    )  # fmt: skip
    prediction = _predicted(conf, endpoint, options, output, color, predict=predict)
    if predict:
        return 0
    if crowd is not None:
        return run_many(endpoint, options, network, crowd, output=output, color=color)
    if name == "http":
        seen = sockets.plain(endpoint, fields, network, timeout=timeout)
    elif name == "handshake":
        seen, _ = sockets.handshake(endpoint, options, network)
    else:
        options = replace(options, key=sockets.new_key())
        seen = _measured(name, seconds, endpoint, options, network=network, every=ping_every)
        seen = _compared(seen, prediction, seconds)
    _report(endpoint.url, seen, name, output=output, color=color)
    return exit_code(seen)


def _predicted(
    conf: str | None, endpoint: Endpoint, options: HandshakeOptions, output: str, color: str, *, predict: bool
) -> Prediction | None:
    """What the configuration says of a silent tunnel, if that is asked for; for people it is told at once."""
    if conf is None and not predict:
        return None
    from ws101.cli.inputs import Inputs
    from ws101.cli.predicting import predict_idle

    prediction = predict_idle(Inputs(), conf, endpoint, options)
    if output != "json":
        Console.of(sys.stdout if predict else sys.stderr, color).write(f"predicted: {prediction}")
    return prediction


def _compared(seen: Observation, prediction: Prediction | None, seconds: float) -> Observation:
    if prediction is None:
        return seen
    from ws101.cli.predicting import compared

    return compared(seen, prediction, seconds)


def _refuse_without_idle(name: str, ping_every: float | None, conf: str | None, output: str, *, predict: bool) -> None:
    if ping_every is not None and name != "idle":
        raise UsageError("--ping-every goes with --idle", help="leave it out, or add --idle")
    if (conf is not None or predict) and name != "idle":
        raise UsageError("--conf and --predict go with --idle", help="leave them out, or add --idle")
    if predict and output == "json":
        raise UsageError("--predict is for people", help="ws101 explain URL --conf PATH --format json says the same")


def _chosen(measured: Mapping[str, float | None], crowd: Wanted | None) -> tuple[str, float]:
    """The one thing to measure, and its seconds.

    Raises:
        UsageError: If there are several.
    """
    given = [(name, value) for name, value in measured.items() if value]
    if len(given) + (crowd is not None) > 1:
        given += [("many", 0.0)] if crowd is not None else []
        *names, last = sorted(f"--{name}" for name, _ in given)
        raise UsageError(
            f"{', '.join(names)} and {last} exclude each other", help="one probe is one connection: run them one by one"
        )
    return given[0] if given else ("handshake", 0.0)


def _measured(
    name: str,
    seconds: float,
    endpoint: Endpoint,
    options: HandshakeOptions,
    *,
    network: Network,
    every: float | None,
) -> Observation:
    """A handshake and a measurement in the tunnel, with a display of progress while it waits."""
    from ws101.cli.progress import Progress
    from ws101.host.network import observe
    from ws101.probes.close import close
    from ws101.probes.echo import echo
    from ws101.probes.handshake import build_request
    from ws101.probes.heartbeat import heartbeat
    from ws101.probes.idle import idle
    from ws101.probes.large import large
    from ws101.probes.ping import ping

    probes: dict[str, Callable[[], Probe]] = {
        "echo": lambda: echo(endpoint, options),
        "ping": lambda: ping(endpoint, options),
        "close": lambda: close(endpoint, options),
        "large": lambda: large(endpoint, options),
        "idle": lambda: idle(endpoint, options, limit=seconds, ping_every=every),
        "heartbeat": lambda: heartbeat(endpoint, options, listen=seconds),
    }
    with Progress.on(sys.stderr) as progress:
        of = f" of {seconds:g} s" if name == "idle" else " s"
        request = build_request(endpoint, options)
        return observe(
            probes[name](), endpoint, network, request, tick=lambda at: progress.show(f"{name}: {at:.0f}{of}")
        )


def _report(url: str, seen: Observation, name: str, *, output: str, color: str) -> None:
    from ws101.report.json import probe as json
    from ws101.report.json.base import dump
    from ws101.report.terminal.probe import probe

    console = Console.of(sys.stdout, color)
    if output == "json":
        console.write_data(dump(json.probe(url, seen, name)))
    else:
        console.write(probe(url, seen, console.style))


def exit_code(seen: Observation) -> int:
    """0 passed, 1 failed, 2 if nothing could be sent, or nothing was decided."""
    if seen.passed:
        return 0
    return 1 if seen.transcript and seen.verdict.value == "failed" else 2
