"""``ws101 explain``."""

from __future__ import annotations

import sys

import click

from ws101.cli.console import Console
from ws101.cli.inputs import Inputs
from ws101.cli.options import conf_option, header_option, nginx_options, output_options
from ws101.cli.requests import Asked

__all__ = ["command"]


@click.command()
@click.argument("url")
@conf_option
@click.option("--http", "plain", is_flag=True, help="Explain a plain request instead of an opening handshake.")
@click.option("--compare", is_flag=True, help="Explain both, one after the other.")
@click.option("--method", default="GET", metavar="NAME", help="The request's method.")
@header_option
@click.option("--http-version", type=click.Choice(("1.0", "1.1")), default="1.1", help="The client's HTTP version.")
@click.option("--client-address", default="127.0.0.1", metavar="IP", help="Where the request comes from.")
@nginx_options
@output_options("json")
def command(
    *,
    url: str,
    conf: str | None,
    plain: bool,
    compare: bool,
    method: str,
    headers: tuple[str, ...],
    http_version: str,
    client_address: str,
    roots: tuple[str, ...],
    nginx: str | None,
    nginx_version: str | None,
    output: str,
    color: str,
) -> int:
    r"""What nginx does with a request to URL, step by step: which server, which location, what reaches the backend.

    \b
    ws101 explain wss://example.com/ws --conf /etc/nginx
    ws101 explain wss://example.com/ws --conf site.conf --compare
    """
    from ws101.report import variants
    from ws101.report.json import explain as json
    from ws101.report.json.base import dump
    from ws101.report.terminal.explain import explain

    asked = Asked(url, headers, method, f"HTTP/{http_version}", client_address)
    kinds = (False, True) if compare else (plain,)
    arrivals = [asked.arrival(plain=kind) for kind in kinds]
    loaded = Inputs(roots, nginx, nginx_version).load_conf(conf, asked.endpoint)
    subject, shown = loaded.subject, asked.endpoint.url
    exact, builds = output == "json", subject.builds
    results = [variants.trace_all(subject.config, arrival, builds, exact=exact) for arrival in arrivals]
    console = Console.of(sys.stdout, color)
    if output == "json":
        report = json.explain(shown, subject, results[0])
        if compare:
            report["plain"] = json.explain(shown, subject, results[1])
        console.write_data(dump(report))
        return 0
    headings = [("plain request" if kind else "opening handshake") if compare else "" for kind in kinds]
    texts = [explain(shown, subject, r, console.style, heading=h) for r, h in zip(results, headings, strict=True)]
    console.write("\n\n".join(texts))
    return 0
