"""Text with variables in it, cut into its parts (nginx: src/http/ngx_http_script.c:ngx_http_script_compile)."""

from __future__ import annotations

import functools
from dataclasses import field

from ws101.lazy import dataclass

__all__ = ["Template", "Variable", "parse_template"]

_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")


@dataclass(frozen=True, slots=True)
class Variable:
    """``$name`` or ``${name}``; the name is in lower case, since nginx's variable names are case-insensitive."""

    name: str
    written: str


@dataclass(frozen=True, slots=True)
class Template:
    """A value: literal text, variables, and captures (``$1`` to ``$9``, as numbers), in order.

    ``error`` is nginx's message if it refuses the text; ``args_at`` is the index of the part before which the first
    ``?`` of a rewrite's replacement stood (that ``?`` is in no part), None without one.

    Attributes:
        is_literal: Whether nothing in it needs evaluating.
        has_captures: Whether ``$1`` to ``$9`` stand in it.
        literal: The text of a literal template.
        only: The name of the variable, where the template is one variable and nothing else.
    """

    parts: tuple[str | Variable | int, ...]
    error: str | None = None
    args_at: int | None = None
    is_literal: bool = field(init=False, compare=False)
    has_captures: bool = field(init=False, compare=False)
    literal: str = field(init=False, compare=False)
    only: str | None = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_literal", all(isinstance(part, str) for part in self.parts) and not self.error)
        only = self.parts[0] if len(self.parts) == 1 else None
        object.__setattr__(self, "only", only.name if isinstance(only, Variable) else None)
        object.__setattr__(self, "has_captures", any(isinstance(part, int) for part in self.parts))
        object.__setattr__(self, "literal", "".join(part for part in self.parts if isinstance(part, str)))

    @property
    def variables(self) -> tuple[str, ...]:
        """The names of the variables in it, in order."""
        return tuple(part.name for part in self.parts if isinstance(part, Variable))


@functools.lru_cache(maxsize=8192)
def parse_template(text: str, split_args: bool = False) -> Template:
    """Cut a value into its parts.

    Args:
        text: The directive's argument, as the lexer gives it.
        split_args: Whether the first ``?`` starts the arguments (a rewrite's replacement that stays inside nginx).
    """
    parts: list[str | Variable | int] = []
    args_at: int | None = None
    at, size = 0, len(text)
    while at < size:
        char = text[at]
        if char == "$":
            part, at, error = _variable(text, at + 1)
            if error:
                return Template(tuple(parts), error)
            parts.append(part)
        elif char == "?" and split_args and args_at is None:
            args_at = len(parts)
            at += 1
        else:
            end = _literal_end(text, at, split_args and args_at is None)
            parts.append(text[at:end])
            at = end
    return Template(tuple(parts), None, args_at)


def _literal_end(text: str, at: int, stop_at_question_mark: bool) -> int:
    ends = [len(text), text.find("$", at)]
    if stop_at_question_mark:
        ends.append(text.find("?", at))
    return min(end for end in ends if end >= at)


def _variable(text: str, at: int) -> tuple[str | Variable | int, int, str | None]:
    """The variable or capture after a ``$``: the part, where the text goes on, and nginx's error if it is none."""
    if at < len(text) and text[at] in "123456789":
        return int(text[at]), at + 1, None
    bracket = at < len(text) and text[at] == "{"
    start = end = at + bracket
    while end < len(text) and text[end] in _NAME:
        end += 1
    name = text[start:end]
    if bracket and (end == len(text) or text[end] != "}"):
        if start == len(text):
            return "", end, "invalid variable name"
        return "", end, f'the closing bracket in "{name}" variable is missing'
    if not name:
        return "", end, "invalid variable name"
    return Variable(name.lower(), name), end + bracket, None
