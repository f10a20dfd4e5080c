"""``ws101 drift``."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ws101.cli.console import Console
from ws101.cli.options import nginx_options, output_options
from ws101.text import printable

if TYPE_CHECKING:
    from ws101.cli.guarding import Asked, Found
    from ws101.manifest import Manifest

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
@click.option(
    "--watch", type=click.FloatRange(0.1), metavar="SECONDS", help="Look again and again, and say what is new."
)
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
    watch: float | None,
    roots: tuple[str, ...],
    nginx: str | None,
    nginx_version: str | None,
    output: str,
    color: str,
) -> int:
    r"""What has changed since the seal: on the disk, and between the disk and the nginx that runs.

    MANIFEST may be - for standard input.  Without CONF, the configuration that the manifest names.  With a second
    manifest the two are compared.

    \b
    Exit code: 0 clean, 1 drift, 2 could not check.

    \b
    Examples:
      sudo ws101 drift nginx.manifest
      ws101 drift nginx.manifest ./nginx --root /etc/nginx=./nginx --disk-only
      ws101 drift web1.manifest web2.manifest
    """
    from ws101.cli.guarding import Asked, check_signature, read_manifest
    from ws101.cli.inputs import Inputs

    old, data = read_manifest(manifest)
    signed = check_signature(manifest, data, signers, identity, signature)
    asked = Asked(manifest, against, Inputs(roots, nginx, nginx_version), prefix, disk_only, _folder(before))
    console, shown = Console.of(sys.stdout, color), ""
    while True:
        found = _look(old, asked)
        text = _report(console, output, found, manifest, signed)
        if text != shown:
            console.write_data(text) if output == "json" else console.write(text)
        if watch is None:
            return found.drift.exit_code
        shown = text
        time.sleep(watch)


def _look(old: Manifest, asked: Asked) -> Found:
    from ws101.cli.guarding import between, looks_like_manifest, on_disk, read_manifest

    if asked.conf is None or not looks_like_manifest(asked.conf):
        return on_disk(old, asked)
    new, _ = read_manifest(asked.conf)
    return between(old, new, asked.conf)


def _folder(before: str | None) -> str:
    """The folder of ``--before``, which may be given as the main file in it."""
    if before is None:
        return ""
    from ws101.errors import InputError
    from ws101.host.files import name_of

    path = Path(before).absolute()
    folder = path if path.is_dir() else path.parent
    if not path.exists():
        raise InputError("--before names nothing that is there", where=printable(name_of(path)))
    return name_of(folder)


def _report(console: Console, output: str, found: Found, manifest: str, signed: str) -> str:
    meaning = found.meaning
    if output == "json":
        from ws101.report.json.base import dump
        from ws101.report.json.changes import meaning as meaning_as_json
        from ws101.report.json.drift import drift as as_json

        means = meaning_as_json(meaning.comparison, meaning.unknown) if meaning is not None else None
        return dump(as_json(found.drift, manifest=manifest, against=found.compared, signed=signed, meaning=means))
    from ws101.report.terminal.changes import meaning as meaning_as_text
    from ws101.report.terminal.drift import drift as as_text

    style = console.style
    said = meaning_as_text(meaning.comparison, style, unknown=meaning.unknown) if meaning is not None else ""
    return as_text(found.drift, style, signed=signed, meaning=said)
