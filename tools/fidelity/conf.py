"""Configurations as trees that can be drawn, rendered, and cut down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

__all__ = ["Node", "Raw", "node", "quote", "render", "smaller", "walk"]

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=@$*~^+%?!<>&,[]|()")
_ESCAPES = {"\\": "\\\\", '"': '\\"'}


class Raw(str):
    """An argument that is written as it is, without quoting."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Node:
    """A directive: its name, its arguments as nginx sees them, and its block if it has one."""

    name: str
    args: tuple[str, ...] = ()
    block: tuple[Node, ...] | None = None


def node(name: str, *args: object, block: list[Node] | tuple[Node, ...] | None = None) -> Node:
    """A directive, its arguments turned into text."""
    texts = tuple(arg if isinstance(arg, str) else str(arg) for arg in args)
    return Node(name, texts, None if block is None else tuple(block))


def quote(text: str) -> str:
    """An argument as it is written, so that nginx sees ``text``."""
    if isinstance(text, Raw) or (text and _is_plain(text)):
        return str(text)
    return '"' + "".join(_ESCAPES.get(char, char) for char in text) + '"'


def _is_plain(text: str) -> bool:
    return text[0] not in "\"'#;{}" and set(text) <= _PLAIN


def render(nodes: tuple[Node, ...] | list[Node], indent: int = 0) -> str:
    """The text of directives, one a line."""
    lines: list[str] = []
    for item in nodes:
        head = " " * indent + " ".join((quote(item.name), *map(quote, item.args)))
        if item.block is None:
            lines.append(f"{head};\n")
        else:
            lines += (f"{head} {{\n", render(item.block, indent + 4), " " * indent + "}\n")
    return "".join(lines)


def walk(nodes: tuple[Node, ...]) -> Iterator[Node]:
    """Every directive, outermost first."""
    for item in nodes:
        yield item
        if item.block:
            yield from walk(item.block)


def smaller(nodes: tuple[Node, ...]) -> Iterator[tuple[Node, ...]]:
    """Every tree with one directive less, large ones first; then with one block dissolved into its surroundings."""
    for at in range(len(nodes)):
        yield nodes[:at] + nodes[at + 1 :]
    for at, item in enumerate(nodes):
        if item.block is not None:
            for block in smaller(item.block):
                yield (*nodes[:at], replace(item, block=block), *nodes[at + 1 :])
        if item.name in ("server_name", "listen", "error_page", "proxy_hide_header") and len(item.args) > 1:
            for cut in range(len(item.args)):
                args = item.args[:cut] + item.args[cut + 1 :]
                yield (*nodes[:at], replace(item, args=args), *nodes[at + 1 :])
