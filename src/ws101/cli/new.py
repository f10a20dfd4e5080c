"""``ws101 new``."""

from __future__ import annotations

import sys

import click

from ws101.cli.console import Console

__all__ = ["command"]


@click.command()
@click.option("--server-name", "names", multiple=True, required=True, metavar="NAME", help="Its name; repeatable.")
@click.option(
    "--path",
    "paths",
    multiple=True,
    default=("/ws",),
    show_default=True,
    metavar="PATH",
    help="Where WebSockets are opened; repeatable.",
)
@click.option(
    "--upstream", "upstreams", multiple=True, required=True, metavar="HOST:PORT", help="A backend; repeatable."
)
@click.option("--sticky", is_flag=True, help="A client always gets the same backend.")
@click.option("--tls", nargs=2, metavar="CERT KEY", help="Serve https and wss with this certificate and key.")
@click.option(
    "--style",
    "form",
    type=click.Choice(("map", "quick")),
    default="map",
    show_default=True,
    help="Maps, so that plain requests work on the same path too, or literals.",
)
@click.option("--idle-timeout", default="86400s", show_default=True, metavar="TIME", help="For proxy_read_timeout.")
@click.option("--listen", default="", metavar="ADDRESS", help="Where to listen.  [default: 80, with --tls 443]")
@click.option("--ipv6", is_flag=True, help="Listen on every IPv6 address too.")
@click.option("--whole", is_flag=True, help="A whole nginx.conf instead of a file for conf.d.")
@click.option("--nginx", "nginx", metavar="PATH", help="The nginx program to ask for its version.")
@click.option("--nginx-version", metavar="V", help="Write it for this version: 1.22.1.")
def command(
    *,
    names: tuple[str, ...],
    paths: tuple[str, ...],
    upstreams: tuple[str, ...],
    sticky: bool,
    tls: tuple[str, str] | None,
    form: str,
    idle_timeout: str,
    listen: str,
    ipv6: bool,
    whole: bool,
    nginx: str | None,
    nginx_version: str | None,
) -> int:
    r"""A complete site for a new application, as text on standard output.

    Without --nginx and --nginx-version it is for the nginx of this machine; if there is none, for every version.

    \b
    Example:
      ws101 new --server-name example.com --path /ws --upstream 127.0.0.1:3000 > /etc/nginx/conf.d/example.conf
    """
    from ws101.cli.inputs import Inputs
    from ws101.cli.ruling import seconds_of
    from ws101.newsite import NewSite, site_text

    builds = Inputs(nginx=nginx, version=nginx_version).builds()
    seconds = seconds_of(idle_timeout)
    site = NewSite(names, paths, upstreams, sticky, tls or None, form, seconds, listen, ipv6, whole, builds)
    Console.of(sys.stdout).write_data(site_text(site))
    notes = Console.of(sys.stderr)
    for sentence in site.expects:
        notes.write(f"note: {sentence}")
    return 0
