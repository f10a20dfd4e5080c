"""``ws101 connect`` on a terminal: line editing, history and completion by prompt_toolkit."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input.vt100 import Vt100Input
from prompt_toolkit.patch_stdout import patch_stdout

from ws101.cli.talking import Screen
from ws101.probes.talk import COMMANDS

__all__ = ["converse"]


def converse(screen: Screen, *, history: bool) -> None:
    """Read lines until the end of input or of the tunnel; what comes is shown above the line being typed.

    Args:
        screen: What is shown.
        history: Whether to read and write the history of what was typed.
    """
    talk = screen.talk
    session: PromptSession[str] = PromptSession(
        history=_history() if history else InMemoryHistory(),
        completer=_Commands(),
        auto_suggest=AutoSuggestFromHistory(),
        reserve_space_for_menu=len(COMMANDS),
        input=_Raw(sys.stdin),
    )

    def over() -> None:
        loop = session.app.loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop of the last line is closed
                loop.call_soon_threadsafe(_leave, session.app)

    def leave_if_over() -> None:
        if talk.wait(0):
            _leave(session.app)

    with session.app.input.raw_mode(), patch_stdout(raw=True):
        talk.start(screen.show, over)
        screen.note("/help lists the commands, Ctrl-D leaves")
        try:
            while not talk.wait(0):
                line = session.prompt("> ", pre_run=leave_if_over)
                if line:
                    screen.type(line)
        except EOFError:
            pass
        finally:
            talk.do(None)
            talk.wait(8.0)


class _Raw(Vt100Input):
    """Keys pressed between two lines, or while a message is shown, are for the next line and not for the terminal's own
    line discipline, in which Ctrl-D would be lost.
    """

    def cooked_mode(self) -> AbstractContextManager[None]:
        """What it is told to leave raw mode for is only the showing of text."""
        return self.raw_mode()


def _leave(app: Application[Any]) -> None:
    if app.is_running and app.future is not None and not app.future.done():
        app.exit(exception=EOFError())


def _history() -> History:
    """The file of what was typed, for its owner's eyes only; memory where it can't be written."""
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    path = Path(base, "ws101", "history").expanduser()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_RDWR, 0o600))
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(path))


class _Commands(Completer):
    """The commands, where a line begins with ``/``."""

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:  # noqa: ARG002
        """The commands that begin as the line does."""
        typed = document.text_before_cursor
        if typed.startswith("/") and " " not in typed:
            for name, args, said in COMMANDS:
                if name.startswith(typed):
                    yield Completion(name, -len(typed), display=f"{name} {args}".rstrip(), display_meta=said)
