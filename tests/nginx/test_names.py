"""Names with wildcards: the table against a plain search through all names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws101.nginx.names import NameTable

LABELS = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4).map(".".join)
NAMES = st.one_of(LABELS, LABELS.map("*.{}".format), LABELS.map(".{}".format), LABELS.map("{}.*".format))


def searched(names: list[str], host: str) -> str | None:
    """What the rules say, name by name; no two of the names conflict."""
    if host in names:
        return host
    heads = [n for n in names if n[0] in "*." and (host.endswith(n.removeprefix("*")) or n == f".{host}")]
    if heads:
        return max(heads, key=lambda n: len(n.lstrip("*.")))
    return max((n for n in names if n.endswith(".*") and host.startswith(n[:-1])), key=len, default=None)


@given(names=st.lists(NAMES, unique_by=lambda n: n.removeprefix("*").removeprefix("."), max_size=8), host=LABELS)
def test_the_table_finds_what_a_search_through_all_names_finds(names: list[str], host: str) -> None:
    table: NameTable[str] = NameTable()
    for name in names:
        assert table.add(name, name, wildcards=True) == "added"
    found = table.find(host)
    assert (found[0] if found else None) == searched(names, host)


@pytest.mark.parametrize("name", ["a*b", "*.*.a", "a..b", "a\0", "*a", "*"])
def test_a_bad_wildcard_is_invalid_unless_wildcards_are_off(name: str) -> None:
    assert NameTable[str]().add(name, "x", wildcards=True) == "invalid"
    table: NameTable[str] = NameTable()
    assert table.add(name, "x", wildcards=False) == "added"
    assert table.find(name) == ("x", "exact")


def test_the_first_value_of_a_name_stays() -> None:
    table: NameTable[int] = NameTable()
    assert [table.add(name, at, wildcards=True) for at, name in enumerate(("A.b", "a.B", "x.*", "X.*"))] == [
        "added",
        "conflict",
        "added",
        "conflict",
    ]
    assert table.find("a.b") == (0, "exact")
    assert table.find("x.y") == (2, "trailing wildcard")


def test_a_dotted_name_keeps_its_bare_name_taken_even_where_it_is_ignored() -> None:
    table: NameTable[int] = NameTable()
    assert table.add("*.a.b", 0, wildcards=True) == "added"
    assert table.add(".a.b", 1, wildcards=True) == "conflict"
    assert table.add("a.b", 2, wildcards=True) == "conflict"
    assert table.find("a.b") is None
    assert table.find("c.a.b") == (0, "leading wildcard")


def test_the_empty_name_is_only_exact() -> None:
    table: NameTable[int] = NameTable()
    assert table.find("") is None
    table.add("", 1, wildcards=True)
    assert table.find("") == (1, "exact")
