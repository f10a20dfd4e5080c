"""``ws101 drift``."""

from __future__ import annotations

import sys

import click

from ws101.cli.console import Console
from ws101.cli.options import nginx_options, output_options

__all__ = ["command"]


@click.command()
@click.argument("manifest")
@click.argument("against", required=False, metavar="[CONF | MANIFEST]")
@click.option(
    "--before", metavar="FOLDER", help="A copy of the configuration as it was sealed, to say what changes mean."
)
@click.option("--disk-only", is_flag=True, help="Do not look at the nginx that runs.")
@click.option("--prefix", metavar="FOLDER", help="nginx's prefix, where load_module and Lua files start.")
@click.option("--allowed-signers", "signers", metavar="FILE", help="Check the signature: who may sign (ssh-keygen).")
@click.option("--identity", metavar="NAME", help="Who must have signed.")
@click.option("--signature", metavar="FILE", help="The signature, if it is not MANIFEST.sig.")
@nginx_options
@output_options("json")
def command(
    *,
    manifest: str,
    against: str | None,
    before: str | None,
    disk_only: bool,
    prefix: str | None,
    signers: str | None,
    identity: str | None,
    signature: str | None,
    roots: tuple[str, ...],
    nginx: str | None,
    nginx_version: str | None,
    output: str,
    color: str,
) -> int:
    r"""What has changed since the seal: on the disk, and between the disk and the nginx that runs.

    Without CONF, the configuration that the manifest names.  With a second manifest the two are compared.

    \b
    Exit code: 0 clean, 1 drift, 2 could not check.

    \b
    Examples:
      sudo ws101 drift nginx.manifest
      ws101 drift nginx.manifest ./nginx --root /etc/nginx=./nginx --disk-only
      ws101 drift web1.manifest web2.manifest
    """
    from ws101.cli.guarding import Asked, check_signature, looks_like_manifest, on_disk, read_manifest
    from ws101.cli.inputs import Inputs
    from ws101.manifest import Drift, compare

    old, data = read_manifest(manifest)
    signed = check_signature(manifest, data, signers, identity, signature)
    if against is not None and looks_like_manifest(against):
        new, _ = read_manifest(against)
        found, compared = Drift(old, new, compare(old, new)), against
    else:
        asked = Asked(manifest, against, Inputs(roots, nginx, nginx_version), prefix, disk_only)
        found, compared = on_disk(old, asked)
    console = Console.of(sys.stdout, color)
    if output == "json":
        from ws101.report.json.base import dump
        from ws101.report.json.drift import drift as as_json

        console.write_data(dump(as_json(found, manifest=manifest, against=compared, signed=signed)))
    else:
        from ws101.report.terminal.drift import drift as as_text

        console.write(as_text(found, console.style, signed=signed))
    return found.exit_code
