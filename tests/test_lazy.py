"""Records and patterns that are made at first use."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import re
import threading

import pytest

from ws101.lazy import dataclass, lazy_pattern


@dataclass(frozen=True, slots=True)
class Point:
    """A frozen one."""

    x: int
    y: int = 2
    seen: tuple[int, ...] = dataclasses.field(default=(), repr=False)

    def moved(self) -> Point:
        """One to the right."""
        return dataclasses.replace(self, x=self.x + 1)


@dataclass(slots=True)
class Counter:
    """One that changes."""

    name: str
    found: list[int] = dataclasses.field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class Thing:
    """One that equals itself only."""

    size: int


@dataclass(frozen=True, slots=True)
class Spelled:
    """One with methods of its own where the decorator has some too."""

    name: str

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a name is missing")

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spelled) and other.name.lower() == self.name.lower()

    def __hash__(self) -> int:
        return hash(self.name.lower())


@dataclass(frozen=True, slots=True)
class Nothing:
    """One without fields."""


class Special(Thing):
    """One that is made of another, as ``syntax`` does."""

    __slots__ = ("more",)


@dataclasses.dataclass(frozen=True, slots=True)
class Standard:
    """What ``Point`` is, from the standard library."""

    x: int
    y: int = 2
    seen: tuple[int, ...] = dataclasses.field(default=(), repr=False)


def test_it_takes_what_the_standard_one_takes_by_place_and_by_name() -> None:
    assert (Point(1).y, Point(1, 3).y, Point(y=4, x=1).y) == (2, 3, 4)
    assert Point(1, seen=(5,)).seen == (5,)


@pytest.mark.parametrize("wrong", [lambda c: c(), lambda c: c(1, 2, (), 4), lambda c: c(1, z=2), lambda c: c(1, x=2)])
def test_what_does_not_fit_is_refused_in_the_standards_words(wrong: object) -> None:
    said = []
    for made in (Point, Standard):
        with pytest.raises(TypeError) as caught:
            wrong(made)  # type: ignore[operator]
        said.append(str(caught.value).replace(made.__name__, "It"))
    assert said[0] == said[1]


@dataclass(frozen=True, slots=True)
class Measured:
    """One that works something out once, and remembers what does not count."""

    text: str
    source: str = dataclasses.field(default="", compare=False)
    length: int = dataclasses.field(init=False, compare=False)
    notes: list[str] = dataclasses.field(default_factory=list, init=False, compare=False)
    kind: str = dataclasses.field(default="text", init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "length", len(self.text))


def test_a_field_may_be_no_parameter_and_may_not_count() -> None:
    assert (Measured("abc").length, Measured("abc", "f").source) == (3, "f")
    one = Measured("abc")
    one.notes.append("a")
    assert (one.kind, one.notes, Measured("abc").notes) == ("text", ["a"], [])
    assert Measured("abc", "f") == Measured("abc", "g") != Measured("abd", "f")
    assert len({Measured("abc", "f"), Measured("abc", "g")}) == 1
    assert dataclasses.replace(Measured("abc"), text="ab").length == 2
    with pytest.raises(TypeError, match="length"):
        Measured("abc", length=2)  # type: ignore[call-arg]


def test_equality_hash_and_text_are_those_of_the_fields() -> None:
    assert Point(1) == Point(1, 2) != Point(1, 3)
    other: object = Standard(1)
    assert Point(1) != other
    assert len({Point(1), Point(1, 2), Point(2)}) == 2
    assert hash(Point(1)) == hash(Standard(1))
    assert repr(Point(1)) == repr(Standard(1)).replace("Standard", "Point") == "Point(x=1, y=2)"
    assert Nothing() == Nothing()
    assert {Nothing(): 1}[Nothing()] == 1


def test_one_that_changes_has_no_hash_and_its_own_list() -> None:
    one, other = Counter("a"), Counter("a")
    one.found.append(1)
    one.name = "b"
    assert (one.name, one.found, other.found) == ("b", [1], [])
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)


def test_nothing_sets_or_deletes_an_attribute_of_a_frozen_one() -> None:
    point = Point(1)
    with pytest.raises(dataclasses.FrozenInstanceError, match="x"):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError, match="y"):
        del point.y
    with pytest.raises(dataclasses.FrozenInstanceError, match="other"):
        point.other = 2  # type: ignore[attr-defined]
    assert not hasattr(point, "__dict__")


def test_without_eq_each_equals_itself_only() -> None:
    assert Thing(1) != Thing(1)
    assert len({Thing(1), Thing(1)}) == 2


def test_methods_of_the_class_stay() -> None:
    assert repr(Spelled("A")) == "<A>"
    assert Spelled("A") == Spelled("a")
    assert len({Spelled("A"), Spelled("a")}) == 1
    with pytest.raises(ValueError, match="a name is missing"):
        Spelled("")


def test_the_standard_library_knows_it_as_a_dataclass() -> None:
    assert [field.name for field in dataclasses.fields(Point)] == ["x", "y", "seen"]
    assert dataclasses.asdict(Point(1)) == {"x": 1, "y": 2, "seen": ()}
    assert Point(1).moved() == Point(2)
    with pytest.raises(TypeError, match="z"):
        dataclasses.replace(Point(1), z=1)  # type: ignore[call-arg]
    match Point(1, 7):
        case Point(x, y):
            assert (x, y) == (1, 7)
    kinds: list[object] = [Point, Point(1)]
    assert all(dataclasses.is_dataclass(kind) for kind in kinds)


def test_copies_and_pickles_are_equal() -> None:
    point = Point(1, 2, (3,))
    assert copy.copy(point) == copy.deepcopy(point) == pickle.loads(pickle.dumps(point)) == point


def test_a_class_made_of_it_is_made_by_the_same_method() -> None:
    special = Special(3)
    assert (special.size, type(special)) == (3, Special)
    assert Thing(4).size == 4


def test_the_first_use_may_come_from_several_threads() -> None:
    for _ in range(50):

        @dataclass(frozen=True, slots=True)
        class Fresh:
            x: int

        made: list[Fresh] = []
        barrier = threading.Barrier(4)

        def make(kind: type[Fresh] = Fresh, to: list[Fresh] = made, start: threading.Barrier = barrier) -> None:
            start.wait()
            to.append(kind(1))

        threads = [threading.Thread(target=make) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert made == [Fresh(1)] * 4


def test_slots_are_the_only_kind() -> None:
    with pytest.raises(TypeError, match="standard decorator"):
        dataclass(slots=False)


def test_a_pattern_is_compiled_when_it_is_used() -> None:
    made = lazy_pattern(r"(?P<word>\w+)", re.ASCII)
    assert "match" not in vars(made)
    found = made.match("abc d")
    assert found is not None
    assert found["word"] == "abc"
    assert "match" in vars(made)
    assert (made.pattern, made.groups) == (r"(?P<word>\w+)", 1)
    assert lazy_pattern(rb"\d+").sub(b"n", b"a12") == b"an"


def test_what_is_no_pattern_is_said_at_first_use() -> None:
    with pytest.raises(re.error, match="missing"):
        lazy_pattern("(").match("x")


def test_what_the_standard_library_was_told_before_changes_nothing() -> None:
    @dataclass(frozen=True, slots=True)
    class Late:
        x: int = 1
        made: list[int] = dataclasses.field(default_factory=list)

    assert len(dataclasses.fields(Late)) == 2
    assert Late() == Late(1, [])
