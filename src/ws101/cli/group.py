"""The group of commands: what there is, in what order ``--help`` shows it, and the front door.

A command's module is imported when the command is run.  The front door: an address, or a line from a browser's console
that holds one, means ``diagnose``.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import click

from ws101 import __version__
from ws101.cli.pasted import read_pasted
from ws101.errors import UsageError
from ws101.lazy import dataclass

__all__ = ["COMMANDS", "PROGRAM", "Entry", "command_line", "front_door", "program_path"]

PROGRAM = "ws101"
"""The name it is called by."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One command.

    Args:
        name: As it is typed; the module in this package has the same name.
        section: Its heading in ``--help``.
        summary: What it does, in a few words.
    """

    name: str
    section: str
    summary: str


COMMANDS = (
    Entry("diagnose", "Find", "why does this WebSocket fail? verdict, cause, fix"),
    Entry("check", "Find", "every fault in a configuration"),
    Entry("explain", "Find", "what nginx does with a request, step by step"),
    Entry("diff", "Find", "what a change means: routes and requests with another outcome"),
    Entry("probe", "Measure", "one opening handshake: what was sent, what came back"),
    Entry("verify", "Measure", "a real browser, the header fields, and a frame: does it work?"),
    Entry("connect", "Measure", "talk to a WebSocket by hand, or through a pipe"),
    Entry("tap", "Measure", "see each request as it arrives between two hops, and the answer"),
    Entry("logs", "Measure", "what nginx's logs tell of WebSockets"),
    Entry("fix", "Change", "show the fix as a diff; --write edits, --apply reloads and proves"),
    Entry("new", "Change", "a complete site for a new application"),
    Entry("apply", "Change", "make a change that was made in a copy of the folder, with proof"),
    Entry("undo", "Change", "take back what fix --apply or apply changed; --list, --recover"),
    Entry("seal", "Guard", "record the checksums of all that nginx loads"),
    Entry("drift", "Guard", "what has changed since the seal"),
    Entry("lsp", "Guard", "a language server: check while you type"),
    Entry("page", "Guard", "write the page that diagnoses and hashes in the browser, offline"),
    Entry("rule", "Learn", "the page of a rule: why it matters, bad, good"),
    Entry("demo", "Learn", "the whole story, live on this machine: from 400 to 101"),
    Entry("lab", "Learn", "a real deployment to break and repair; your own configuration in a sandbox"),
)
"""Every command, in the order of ``--help``; one whose module is not there is not offered."""


class _Commands(click.Group):
    """A group that imports a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return [entry.name for entry in COMMANDS if find_spec(f"{__package__}.{entry.name}")]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if all(entry.name != cmd_name for entry in COMMANDS) or not find_spec(f"{__package__}.{cmd_name}"):
            return None
        command: click.Command = import_module(f"{__package__}.{cmd_name}").command
        return _with_examples(command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None:
            raise _unknown(args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        there = self.list_commands(ctx)
        for section in dict.fromkeys(entry.section for entry in COMMANDS):
            rows = [
                (entry.name, entry.summary) for entry in COMMANDS if entry.section == section and entry.name in there
            ]
            if rows:
                with formatter.section(section):
                    formatter.write_dl(rows)


def _with_examples(command: click.Command) -> click.Command:
    """A command whose help keeps the lines of its examples: click wants a backspace before them, and a raw docstring
    has a backslash and a b.
    """
    command.help = (command.help or "").replace("\\b\n", "\b\n") or None
    for inner in getattr(command, "commands", {}).values():
        _with_examples(inner)
    return command


def _unknown(word: str, names: list[str]) -> UsageError:
    """Neither a command nor an address."""
    from difflib import get_close_matches

    close = get_close_matches(word, names, n=1)
    if close:
        return UsageError(f"there is no command {word}", help=f"did you mean {PROGRAM} {close[0]}?")
    if Path(word).exists():
        return UsageError(
            f"there is no command {word}", help=f"to look for faults in this file: {PROGRAM} check {word}"
        )
    if "." in word or "/" in word:
        return UsageError(
            f"{word} is neither a command nor an address", help=f"write the scheme: {PROGRAM} wss://{word.lstrip('/')}"
        )
    return UsageError(f"there is no command {word}", help=f"{PROGRAM} --help lists them")


def front_door(args: list[str]) -> list[str]:
    """Arguments that begin with an address, or a pasted line, with ``diagnose`` put before them.

    A pasted line may have lost its quotes to the shell: the words up to the first option are read as one line.
    """
    names = {entry.name for entry in COMMANDS}
    if not args:
        return ["--help"]
    if args[0] in names or args[0] in ("--help", "-h", "--version"):
        return args
    if args[0].startswith("-"):
        return ["diagnose", *args] if any(read_pasted(arg) for arg in args) else args
    stop = next((i for i, arg in enumerate(args) if arg.startswith("-") and arg != "-"), len(args))
    line = " ".join(args[:stop])
    return ["diagnose", line, *args[stop:]] if read_pasted(line) else args


def program_path() -> str:
    """The full path of this program, for hints to be run with sudo, which drops PATH."""
    script = Path(sys.argv[0])
    if script.name == PROGRAM and script.exists():
        return str(script.absolute())
    beside = Path(sys.executable).with_name(PROGRAM)
    return str(beside) if beside.exists() else f"{sys.executable} -m ws101"


_EPILOG = """\b
Try it:
  ws101 wss://example.com/ws          why does it fail?
  ws101 "WebSocket connection to 'wss://example.com/ws' failed: ..."
  ws101 check /etc/nginx              what is wrong with this configuration?
  ssh web1 sudo nginx -T | ws101 wss://example.com/ws --conf -
"""


@click.group(
    cls=_Commands,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    subcommand_metavar="URL | COMMAND [ARGS]...",
    options_metavar="",
)
@click.version_option(__version__, prog_name=PROGRAM, message="%(prog)s %(version)s")
def command_line() -> None:
    """Find out why a WebSocket fails behind nginx, fix it, and prove that the handshake ends at 101.

    Give an address, or the line from the browser's console, to have it diagnosed.
    """
