"""``ws101 lsp``: a language server on standard input and output."""

from __future__ import annotations

import click

from ws101.errors import UsageError

__all__ = ["command"]


@click.command()
@click.option("--nginx", "nginx", metavar="PATH", help="The nginx program to ask for its version.")
@click.option("--nginx-version", metavar="V", help="Read configurations as this version does: 1.22.1.")
def command(*, nginx: str | None, nginx_version: str | None) -> int:
    r"""Check while you type: a language server for editors, on standard input and output.

    Findings and what nginx refuses are marked, hovering tells what nginx does with a WebSocket, fixes are offered.

    \b
    ws101 lsp
    """
    from ws101.cli.inputs import Inputs

    inputs = Inputs(nginx=nginx, version=nginx_version)
    try:
        from ws101.cli.editing import serve
    except ModuleNotFoundError as error:
        raise UsageError(f"the package {error.name} is not installed", help="pip install 'ws101[editor]'") from None
    serve(inputs)
    return 0
