"""Characters that look like a blank, a quote or nothing at all, and are letters to nginx."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.syntax import Directive, Tree, Word

__all__ = ["clean", "has_odd", "names_of", "odd_words"]

_ODD = {
    "\u00a0": ("a no-break space", " "),
    "\u202f": ("a narrow no-break space", " "),
    "\u200b": ("a zero-width space", ""),
    "\u200c": ("a zero-width non-joiner", ""),
    "\u200d": ("a zero-width joiner", ""),
    "\u2060": ("a word joiner", ""),
    "\ufeff": ("a byte order mark", ""),
    "\u201c": ("a typographic quote", '"'),
    "\u201d": ("a typographic quote", '"'),
    "\u201e": ("a typographic quote", '"'),
    "\u2018": ("a typographic quote", "'"),
    "\u2019": ("a typographic quote", "'"),
}
_AS_BYTES = {char.encode("utf-8").decode("latin-1"): said for char, said in _ODD.items()}
"""The same, as they stand in text that is decoded as latin-1."""

_CHECKED = frozenset(
    {"proxy_set_header", "proxy_http_version", "proxy_pass", "proxy_read_timeout", "listen", "server_name", "location"}
)
"""Directives in whose values such a character is never meant; in texts for people it may be."""


def has_odd(text: str) -> bool:
    """Whether such a character stands in a text (latin-1)."""
    return not text.isascii() and any(char in text for char in _AS_BYTES)


def names_of(text: str) -> tuple[str, ...]:
    """What such characters in a text are called."""
    return tuple(dict.fromkeys(said[0] for char, said in _AS_BYTES.items() if char in text))


def clean(text: str) -> str:
    """The text with plain characters instead."""
    for char, (_, plain) in _AS_BYTES.items():
        text = text.replace(char, plain)
    return text


def odd_words(tree: Tree) -> Iterator[tuple[Directive, Word]]:
    """The words of directives in which such a character is never meant."""
    text = tree.source.text
    if not has_odd(text):
        return
    for directive in tree.walk():
        if has_odd(text[directive.start : directive.head_stop]):
            words = directive.words
            checked = words if directive.name in _CHECKED else words[:1]
            yield from ((directive, word) for word in checked if has_odd(word.value))
