"""Run one command, and say what went wrong in three parts: what, where, what to do."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

import click

from ws101.cli.console import Console
from ws101.cli.group import PROGRAM, command_line, front_door
from ws101.errors import Ws101Error
from ws101.text import printable

__all__ = ["run"]


def run(args: Sequence[str] | None) -> int:
    """Run the command that the arguments name; the exit code."""
    given = list(sys.argv[1:] if args is None else args)
    errors = Console.of(sys.stderr)
    try:
        _notice(errors, given)
        code = _invoke(given)
        sys.stdout.flush()
    except (KeyboardInterrupt, click.Abort):
        return 130
    except Ws101Error as error:
        return _report(errors, error.message, error.where, error.help, error.exit_code)
    except click.ClickException as error:
        return _report(errors, *_click_parts(error), 2)
    except BrokenPipeError:
        _forget_stdout()
        return 2
    except Exception as error:
        return _defect(errors, error)
    return code if isinstance(code, int) else 0


def _notice(console: Console, given: list[str]) -> None:
    """Say that a change was interrupted, whatever command is run; nothing is read if none was ever made."""
    if not given or {"-h", "--help", "--version"} & {*given}:
        return
    from ws101.host.state import may_be_unfinished, state_folder

    with contextlib.suppress(OSError):
        if "--recover" in given or "_WS101_COMPLETE" in os.environ or not may_be_unfinished(state_folder()):
            return
        from ws101.host.recovery import left_over

        for change in left_over():
            style = console.style
            console.write(
                f"{style.paint('warning', 'warning')}: the change {change.id} was interrupted\n"
                f"  {style.paint('good', 'help')}: {PROGRAM} undo --recover finishes it or takes it back"
            )


def _invoke(given: list[str]) -> object:
    if "_WS101_COMPLETE" in os.environ:  # a shell asks how the line may go on
        return command_line.main(given, prog_name=PROGRAM, standalone_mode=False)
    try:
        with command_line.make_context(PROGRAM, front_door(given)) as context:
            return command_line.invoke(context)
    except click.exceptions.Exit as done:
        return done.exit_code


def _report(console: Console, what: str, where: str, remedy: str, code: int) -> int:
    style = console.style
    lines = [f"{style.paint('error', 'error')}: {what}"]
    if where:
        where = where.replace("\n", "\\n")
        lines.append(f"  {style.paint('gutter', '-->')} {where}")
    if remedy:
        lines.append(f"  {style.paint('good', 'help')}: {remedy}")
    with contextlib.suppress(OSError):
        console.write("\n".join(lines))
    return code


def _click_parts(error: click.ClickException) -> tuple[str, str, str]:
    """What click found wrong with the command line, in our three parts."""
    message = error.format_message().rstrip(".")
    path = getattr(getattr(error, "ctx", None), "command_path", PROGRAM)
    what = message[:1].lower() + message[1:]
    if isinstance(error, click.NoSuchOption) and error.possibilities:
        return f"no such option: {error.option_name}", path, f"did you mean {' or '.join(error.possibilities)}?"
    return what, path, f"{path} --help"


def _defect(console: Console, error: Exception) -> int:
    """An error that nobody foresaw: one paragraph; the traceback only for those who ask for it."""
    if os.environ.get("WS101_DEBUG") == "1":
        raise error
    what = printable(f"{type(error).__name__}: {error}".encode("utf-8", "replace").decode("latin-1"), limit=200)
    return _report(
        console,
        f"this is a defect in ws101, not in your configuration ({what})",
        "",
        "please report it with the command you ran; WS101_DEBUG=1 shows where it happened",
        2,
    )


def _forget_stdout() -> None:
    """Let the interpreter's own flush at exit find nothing to complain about."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
