"""What a person types into ``ws101 connect``: text to be sent, or a command that begins with ``/``."""

from __future__ import annotations

import binascii
import re

from ws101.errors import UsageError
from ws101.lazy import dataclass

__all__ = ["COMMANDS", "CONTROL_LIMIT", "Act", "read_line"]

CONTROL_LIMIT = 125
"""The most bytes a control frame carries (RFC 6455 section 5.5)."""

_CODES = frozenset((*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)))
"""The close codes that may be sent (RFC 6455 section 7.4)."""


@dataclass(frozen=True, slots=True)
class Act:
    """What is to be done.

    Args:
        kind: ``text``, ``binary``, ``ping``, ``pong``, ``close``, ``save`` or ``help``.
        data: The payload; for ``close`` the reason, for ``save`` the path.
        code: The close code.
    """

    kind: str
    data: bytes = b""
    code: int = 1000


COMMANDS: tuple[tuple[str, str, str], ...] = (
    ("/ping", "[TEXT]", "send a ping; its pong is shown with the round trip"),
    ("/pong", "[TEXT]", "send a pong that nobody asked for"),
    ("/binary", "HEX", "send a binary message: /binary 00 ff 10"),
    ("/close", "[CODE [REASON]]", "close, with 1000 unless told otherwise"),
    ("/save", "FILE", "write the last message received to a file that does not exist yet"),
    ("/help", "", "this list; a line that begins with // is sent with one /"),
)
"""Every command: its name, its arguments, what it does."""


def read_line(line: str) -> Act:
    """What a line means.

    Args:
        line: As typed, without its end.

    Raises:
        UsageError: If it begins with ``/`` and is no command, or its arguments make no sense.
    """
    if not line.startswith("/") or line.startswith("//"):
        return Act("text", _bytes(line.removeprefix("/")))
    name, _, rest = line.partition(" ")
    rest = rest.strip()
    if name in ("/ping", "/pong"):
        return Act(name[1:], _control(rest, CONTROL_LIMIT))
    if name == "/close":
        return _close(rest)
    if name == "/binary":
        return Act("binary", _hex(rest))
    if name == "/save" and rest:
        return Act("save", _bytes(rest))
    if name == "/help":
        return Act("help")
    arguments = {command: wanted for command, wanted, _ in COMMANDS}
    if name in arguments:
        raise UsageError(f"{name} wants {arguments[name]}")
    raise UsageError(
        f"there is no command {name[:40]}: there are {', '.join(arguments)}",
        help=f"to send the line itself: /{line[:60]}",
    )


def _bytes(text: str) -> bytes:
    """What was typed, as UTF-8; bytes that are none, from a pipe or the shell, stay as they are."""
    return text.encode("utf-8", "surrogateescape")


def _control(text: str, limit: int) -> bytes:
    data = _bytes(text)
    if len(data) > limit:
        raise UsageError(f"this has {len(data)} bytes, and there is room for {limit}")
    return data


def _close(rest: str) -> Act:
    code, _, reason = rest.partition(" ")
    if not code:
        return Act("close")
    if not re.fullmatch(r"[0-9]{4}", code) or int(code) not in _CODES:
        raise UsageError(f"{code[:20]} is no close code that may be sent", help="1000, or one from 3000 to 4999")
    return Act("close", _control(reason.strip(), CONTROL_LIMIT - 2), int(code))


def _hex(text: str) -> bytes:
    try:
        return binascii.unhexlify(re.sub(r"[ :]|0x", "", text))
    except (binascii.Error, ValueError) as error:
        raise UsageError("these are not hexadecimal digits, two a byte", help="as in /binary 00 ff 10") from error
