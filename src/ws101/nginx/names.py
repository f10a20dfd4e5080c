"""Names with wildcards, as ``server_name`` and a map with ``hostnames`` look them up.

An exact name comes first, then the longest ``*.suffix``, then the longest ``prefix.*``.  Look-ups are dictionary
accesses, one for each label of the name, however many names there are.

Source: src/core/ngx_hash.c (ngx_hash_add_key, ngx_hash_find_combined, ngx_hash_find_wc_head, ngx_hash_find_wc_tail).
"""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

from ws101.text import lower

__all__ = ["Added", "How", "NameTable"]

T = TypeVar("T")
Added = Literal["added", "conflict", "invalid"]
"""What became of a name that was to be added."""

How = Literal["exact", "leading wildcard", "trailing wildcard"]
"""What kind of name matched."""


class NameTable(Generic[T]):
    """Values by name; the first value of a name stays."""

    __slots__ = ("_exact", "_heads", "_reserved", "_tails")

    def __init__(self) -> None:
        self._exact: dict[str, T] = {}
        self._reserved: set[str] = set()
        self._heads: dict[str, tuple[T, bool]] = {}
        self._tails: dict[str, T] = {}

    def add(self, name: str, value: T, *, wildcards: bool) -> Added:
        """Add a name.

        Args:
            name: In any case.
            value: What a look-up gives.
            wildcards: Whether ``*.x``, ``.x`` and ``x.*`` are wildcards; else they are names like others.

        Returns:
            ``conflict`` if the name is taken, ``invalid`` if it is no name.
        """
        name = lower(name)
        if not wildcards:
            return self._add_exact(name, value)
        if name.count("*") > 1 or ".." in name or "\0" in name:
            return "invalid"
        if len(name) > 1 and name[0] == ".":
            return self._add_dotted(name[1:], value)
        if len(name) > 2 and name.startswith("*."):
            return self._add_head(name[2:], value, False)
        if len(name) > 2 and name.endswith(".*"):
            return self._add_tail(name[:-2], value)
        return "invalid" if "*" in name else self._add_exact(name, value)

    def _add_exact(self, name: str, value: T) -> Added:
        if name in self._reserved:
            return "conflict"
        self._reserved.add(name)
        self._exact[name] = value
        return "added"

    def _add_dotted(self, suffix: str, value: T) -> Added:
        """``.x``: also takes the name x, and keeps it taken even if ``*.x`` turns out to be there."""
        if suffix in self._reserved:
            return "conflict"
        self._reserved.add(suffix)
        return self._add_head(suffix, value, True)

    def _add_head(self, suffix: str, value: T, bare: bool) -> Added:
        if suffix in self._heads:
            return "conflict"
        self._heads[suffix] = (value, bare)
        return "added"

    def _add_tail(self, prefix: str, value: T) -> Added:
        if prefix in self._tails:
            return "conflict"
        self._tails[prefix] = value
        return "added"

    def find(self, name: str) -> tuple[T, How] | None:
        """The value for a lower-case name, and what kind of name matched."""
        value = self._exact.get(name)
        if value is not None:
            return value, "exact"
        if not name:
            return None
        if self._heads:
            value = self._find_head(name)
            if value is not None:
                return value, "leading wildcard"
        if self._tails:
            value = self._find_tail(name)
            if value is not None:
                return value, "trailing wildcard"
        return None

    def _find_head(self, name: str) -> T | None:
        bare = self._heads.get(name)
        if bare is not None and bare[1]:
            return bare[0]
        at = name.find(".")
        while at >= 0:
            found = self._heads.get(name[at + 1 :])
            if found is not None:
                return found[0]
            at = name.find(".", at + 1)
        return None

    def _find_tail(self, name: str) -> T | None:
        at = name.rfind(".")
        while at >= 0:
            found = self._tails.get(name[:at])
            if found is not None:
                return found
            at = name.rfind(".", 0, at)
        return None
