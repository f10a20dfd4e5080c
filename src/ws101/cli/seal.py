"""``ws101 seal``."""

from __future__ import annotations

import sys

import click

from ws101.cli.console import Console
from ws101.cli.options import nginx_options, output_options

__all__ = ["command"]


@click.command()
@click.argument("path", metavar="CONF")
@click.option("--output", "-o", "target", metavar="MANIFEST", help="Write the manifest there; else it is printed.")
@click.option("--content-only", is_flag=True, help="Leave out modes, owners and links: the same on every machine.")
@click.option("--prefix", metavar="FOLDER", help="nginx's prefix, where load_module and Lua files start.")
@click.option("--sign", "key", metavar="KEY", help="Sign it with ssh-keygen and this key: MANIFEST.sig.")
@nginx_options
@output_options("json")
def command(
    *,
    path: str,
    target: str | None,
    content_only: bool,
    prefix: str | None,
    key: str | None,
    roots: tuple[str, ...],
    nginx: str | None,
    nginx_version: str | None,
    output: str,
    color: str,
) -> int:
    r"""Record the SHA-256 of everything nginx loads: configuration, certificates, keys, password files, code.

    The manifest holds digests, sizes, modes and owners, and no content; sha256sum -c reads it.

    \b
    Examples:
      sudo ws101 seal /etc/nginx -o nginx.manifest
      ws101 seal ./nginx --root /etc/nginx=./nginx --content-only -o nginx.manifest
    """
    from ws101.cli.guarding import prefix_of, write_manifest
    from ws101.cli.inputs import Inputs
    from ws101.errors import UsageError
    from ws101.host.sealing import seal
    from ws101.manifest import format_manifest

    if key is not None and target is None:
        raise UsageError("--sign needs a file to sign", help="name it with -o MANIFEST")
    disk, main = Inputs(roots, nginx, nginx_version).main_file(path)
    manifest = seal(disk, main, prefix=prefix_of(prefix, roots, nginx))
    manifest = manifest.content_only if content_only else manifest
    text = format_manifest(manifest)
    console = Console.of(sys.stdout, color)
    if target is None and output == "terminal":
        console.write_bytes(text.encode("latin-1"))
        return 0
    signature = None
    if target is not None:
        write_manifest(target, text)
        if key is not None:
            from ws101.host.signing import sign

            signature = sign(target, key)
    if output == "json":
        from ws101.report.json.base import dump
        from ws101.report.json.drift import seal as as_json

        console.write_data(dump(as_json(manifest, main, target, signature)))
    else:
        from ws101.report.terminal.drift import sealed

        console.write(sealed(manifest, main, target or "", signature or "", console.style))
    return 0
