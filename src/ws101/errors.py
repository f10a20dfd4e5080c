"""What can stop ws101, and how it is said.

::

    Ws101Error                 exit code 2 unless the subclass says otherwise
    ├── UsageError             the command line or an argument makes no sense
    ├── InputError             a file or folder that cannot be read
    ├── NginxError             nginx is missing, or refused to start, test or reload
    ├── NetworkError           a name, a port or a handshake below HTTP failed
    ├── EditError              an edit that cannot be applied without loss
    └── ApplyError             a change that was not made, or was rolled back

Every error carries three parts: what is wrong, where, and what to do.  The command line prints them in that order; no
traceback ever reaches a user.
"""

from __future__ import annotations

__all__ = ["ApplyError", "EditError", "InputError", "NetworkError", "NginxError", "UsageError", "Ws101Error"]


class Ws101Error(Exception):
    """An error with its place and its remedy.

    Args:
        message: What is wrong, one clause.
        where: ``file:line:column``, a URL or a path; empty if there is no place.
        help: What to do about it, one sentence; empty if there is nothing to add.
    """

    exit_code = 2

    def __init__(self, message: str, *, where: str = "", help: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.help = help

    def __str__(self) -> str:
        parts = [self.message]
        if self.where:
            parts.append(f"  --> {self.where}")
        if self.help:
            parts.append(f"  help: {self.help}")
        return "\n".join(parts)


class UsageError(Ws101Error):
    """The command line or an argument makes no sense."""


class InputError(Ws101Error):
    """A file or folder that cannot be read, or is not what it should be."""


class NginxError(Ws101Error):
    """nginx is missing, or refused to start, test or reload."""


class NetworkError(Ws101Error):
    """A name, a port or a connection below HTTP failed.

    Args:
        message: What is wrong, one clause.
        class_: The failure's short, stable name, for example ``refused`` (ws101.probes.core.FAILURES).
        where: The URL or address.
        help: What to do about it.
    """

    def __init__(self, message: str, *, class_: str = "network", where: str = "", help: str = "") -> None:
        super().__init__(message, where=where, help=help)
        self.class_ = class_


class EditError(Ws101Error):
    """An edit that cannot be applied without loss."""


class ApplyError(Ws101Error):
    """A change that was not made, or that was made and rolled back."""
