"""Records and patterns that are declared at import and made at first use.

Much of a small run's time went into code that the run never calls: the standard ``dataclass`` writes and compiles six
methods of each class while its module is imported (about a millisecond a class), and ``re.compile`` takes a fifth of a
millisecond a pattern.  Here both wait for the first use.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from functools import cache
from typing import Any, AnyStr, NoReturn, TypeVar, cast, dataclass_transform

__all__ = ["dataclass", "lazy_pattern"]

_T = TypeVar("_T")


@dataclass_transform(field_specifiers=(dataclasses.field,))
def dataclass(*, slots: bool, frozen: bool = False, eq: bool = True) -> Callable[[type[_T]], type[_T]]:
    """``dataclasses.dataclass``, with methods made at first use; the standard ``replace``, ``fields``, ``asdict`` hold.

    It knows what this package needs: fields of the class itself, and of ``field`` all but ``hash`` and ``kw_only``.

    Args:
        slots: True; written out for the reader, who knows it from the standard decorator.
        frozen: Whether setting an attribute raises ``FrozenInstanceError``.
        eq: Whether instances with equal fields are equal (and those of a frozen class have a hash).
    """
    if not slots:
        raise TypeError("a class without slots is declared with the standard decorator")

    def declare(plain: type[_T]) -> type[_T]:
        names = tuple(plain.__annotations__)
        defaults = {name: value for name, value in vars(plain).items() if name in names}
        body = {name: value for name, value in vars(plain).items() if name not in _OF_PLAIN and name not in names}
        body |= {"__slots__": names, "__match_args__": names, "__dataclass_fields__": _Fields(plain)}
        body.setdefault("__repr__", lambda self: _standard(cast("Any", plain)).__repr__(self))
        body |= _FROZEN if frozen else {}
        writers: dict[str, _Writer] = {"__init__": _init}
        if eq and "__eq__" not in body:
            writers["__eq__"] = _eq
            body["__hash__"] = None
            if frozen:
                writers["__hash__"] = _hash
        body |= {name: _first(name, writer, defaults, lambda: made) for name, writer in writers.items()}
        made = type(plain.__name__, plain.__bases__, body)
        made.__qualname__ = plain.__qualname__
        return cast("type[_T]", made)

    return declare


_OF_PLAIN = frozenset({"__dict__", "__weakref__"})
"""What a class without slots has."""


def _first(name: str, write: _Writer, defaults: dict[str, Any], find: Callable[[], type]) -> Callable[..., Any]:
    """A method that puts another in its own place when it is called: the one written for the class's fields."""

    def method(self: object, *args: object, **options: object) -> object:
        made = find()
        names: dict[str, Any] = {"MISSING": dataclasses.MISSING}
        exec(write(made, defaults, names), names)  # noqa: S102 (made of the names of fields alone)
        names[name].__qualname__ = f"{made.__qualname__}.{name}"
        setattr(made, name, names[name])
        return names[name](self, *args, **options)

    return method


def _init(made: Any, defaults: dict[str, Any], names: dict[str, Any]) -> str:
    """It sets through the slots, past ``__setattr__``: that is faster than what the standard library writes."""
    parameters, lines = ["self"], []
    for name in made.__slots__:
        field = _field(name, defaults)
        names |= {f"set_{name}": getattr(made, name).__set__, f"default_{name}": field.default}
        names[f"make_{name}"] = field.default_factory
        if field.default_factory is not dataclasses.MISSING:
            default, taken = "=MISSING", f"make_{name}() if {name} is MISSING else {name}"
        else:
            default, taken = "" if field.default is dataclasses.MISSING else f"=default_{name}", name
        if field.init:
            parameters.append(f"{name}{default}")
        elif default:
            taken = f"make_{name}()" if default == "=MISSING" else f"default_{name}"
        if field.init or default:  # otherwise ``__post_init__`` sets it
            lines.append(f"    set_{name}(self, {taken})")
    lines += ["    self.__post_init__()"] if hasattr(made, "__post_init__") else ["    pass"]
    return "\n".join([f"def __init__({', '.join(parameters)}):", *lines])


def _field(name: str, defaults: dict[str, Any]) -> dataclasses.Field[Any]:
    value = defaults.get(name, dataclasses.MISSING)
    return value if isinstance(value, dataclasses.Field) else dataclasses.field(default=value)


def _eq(made: Any, defaults: dict[str, Any], _names: dict[str, Any]) -> str:
    mine, other = _compared("self", made, defaults), _compared("other", made, defaults)
    return f"def __eq__(self, other): return {mine} == {other} if other.__class__ is self.__class__ else NotImplemented"


def _hash(made: Any, defaults: dict[str, Any], _names: dict[str, Any]) -> str:
    return f"def __hash__(self): return hash({_compared('self', made, defaults)})"


def _compared(who: str, made: Any, defaults: dict[str, Any]) -> str:
    return f"({''.join(f'{who}.{name}, ' for name in made.__slots__ if _field(name, defaults).compare)})"


_Writer = Callable[[Any, dict[str, Any], dict[str, Any]], str]
"""From a class and its defaults to the source of a method; what that needs is put into the names."""


def _refuse(_self: object, name: str, _value: object = None) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot change {name}")


def _state(self: object) -> list[object]:
    return [getattr(self, name) for name in cast("Any", self).__slots__]


def _set_state(self: object, state: list[object]) -> None:
    for name, value in zip(cast("Any", self).__slots__, state, strict=True):
        object.__setattr__(self, name, value)


_FROZEN = {"__setattr__": _refuse, "__delattr__": _refuse, "__getstate__": _state, "__setstate__": _set_state}
"""Nothing sets an attribute; ``copy`` and ``pickle`` can all the same."""


@cache
def _standard(plain: Any) -> Any:
    """What the standard decorator makes of a class."""
    return dataclasses.dataclass(init=False, eq=False)(plain)


class _Fields:
    """``__dataclass_fields__``, by which the standard library knows a dataclass."""

    def __init__(self, plain: type) -> None:
        self.plain = plain

    def __get__(self, _instance: object, _owner: type) -> object:
        return _standard(self.plain).__dataclass_fields__


class _Pattern:
    """A regular expression that is compiled when something is asked of it."""

    def __init__(self, text: Any, flags: int) -> None:
        self._given = text, flags

    def __getattr__(self, name: str) -> object:
        value = getattr(re.compile(*self._given), name)
        setattr(self, name, value)  # found there next time
        return value


def lazy_pattern(text: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """As ``re.compile``, at first use.  For patterns that few runs need: each use costs a little more.

    Raises:
        re.error: At first use, if it is no regular expression.
    """
    return cast("re.Pattern[AnyStr]", _Pattern(text, flags))
