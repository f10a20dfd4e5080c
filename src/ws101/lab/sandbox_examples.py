"""A text that a regular expression matches, found by walking through the expression.

Every text is a guess, to be checked with the expression itself by who asks: assertions and back references are passed
over, so that some expressions get no text that matches.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["examples"]

_TRIES = 6
_LONGEST = 256
_CANDIDATES = "a1/-_.~A %:=&x0"
_POSIX = {
    "alpha": "a-zA-Z",
    "digit": "0-9",
    "alnum": "a-zA-Z0-9",
    "upper": "A-Z",
    "lower": "a-z",
    "word": r"\w",
    "xdigit": "0-9a-f",
}
_ESCAPED = {"d": "0", "w": "a", "s": " ", "D": "a", "W": "-", "S": "a"}
_EMPTY = frozenset("bBAzZG")
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "e": "\x1b", "a": "\a"}
_GROUP = re.compile(r"\?(?:P?<[A-Za-z_]\w*>|'[A-Za-z_]\w*'|[a-zA-Z-]*:|([=!]|<[=!])|>|([a-zA-Z-]+)\))")
_COUNT = re.compile(r"(?:[*+?]|\{(\d+)(?:,\d*)?\})[?+]?")
_CLASS = re.compile(r"\[\^?\]?(?:\[:\^?[a-z]+:\]|\\.|[^\]\\])*\]", re.DOTALL)


class _Unreadable(Exception):
    """A part of the expression that is not known here."""


def examples(pattern: str) -> Iterator[str]:
    """A few texts that an expression may match, the shortest first; none if it is not understood."""
    found: dict[str, None] = {}
    for pick in range(_TRIES):
        try:
            walker = _Walker(pattern, pick)
            text = walker.alternation(0)
        except (_Unreadable, IndexError, re.error):
            return
        if walker.at == len(pattern) and len(text) <= _LONGEST:
            found[text] = None
    yield from found


class _Walker:
    """One way through an expression: ``pick`` says which branch is taken and how often what repeats is repeated."""

    def __init__(self, pattern: str, pick: int) -> None:
        self.pattern = pattern
        self.pick = pick
        self.at = 0

    def alternation(self, depth: int) -> str:
        """The text of one branch; ends at ``)`` or the end."""
        if depth > 40:
            raise _Unreadable
        branches = [self._branch(depth)]
        while self.pattern.startswith("|", self.at):
            self.at += 1
            branches.append(self._branch(depth))
        return branches[self.pick % len(branches)]

    def _branch(self, depth: int) -> str:
        parts: list[str] = []
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            atom = self._atom(depth)
            count = _COUNT.match(self.pattern, self.at)
            if count is not None:
                self.at = count.end()
                atom *= min(self._times(count), 16)
            parts.append(atom)
        return "".join(parts)

    def _times(self, count: re.Match[str]) -> int:
        if count[1] is not None:
            return int(count[1])
        return 1 if count[0][0] == "+" else self.pick % 2

    def _atom(self, depth: int) -> str:
        char = self.pattern[self.at]
        if char == "(":
            return self._group(depth)
        if char == "[":
            return self._class()
        self.at += 1
        if char == "\\":
            return self._escape()
        if char in "^$":
            return ""
        return "a" if char == "." else char

    def _group(self, depth: int) -> str:
        self.at += 1
        opening = _GROUP.match(self.pattern, self.at)
        if opening is None and self.pattern.startswith(("?", "*"), self.at):
            raise _Unreadable
        if opening is not None:
            self.at = opening.end()
            if opening[2] is not None:
                return ""
        text = self.alternation(depth + 1)
        if not self.pattern.startswith(")", self.at):
            raise _Unreadable
        self.at += 1
        return "" if opening is not None and opening[1] is not None else text

    def _class(self) -> str:
        found = _CLASS.match(self.pattern, self.at)
        if found is None:
            raise _Unreadable
        self.at = found.end()
        inside = re.sub(r"\[:([a-z]+):\]", lambda name: _POSIX.get(name[1], ""), found[0]).replace("[", r"\[")
        inside = re.sub(r"([-&~|])(?=\1)", r"\\\1", inside)  # for Python these may come to be operators
        members = re.compile("[" + inside.removeprefix(r"\["), re.ASCII)
        everything = (*_CANDIDATES, *map(chr, range(33, 127)))
        return next((char for char in everything if members.fullmatch(char)), "")

    def _escape(self) -> str:
        char = self.pattern[self.at]
        self.at += 1
        if char in _EMPTY:
            return ""
        if char in _ESCAPED:
            return _ESCAPED[char]
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char == "x" and (digits := re.match("[0-9A-Fa-f]{2}", self.pattern[self.at :])):
            self.at += 2
            return chr(int(digits[0], 16))
        if char.isascii() and char.isalnum():
            raise _Unreadable
        return char
