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
from reprlib import recursive_repr
from types import CodeType, FunctionType
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
        body.setdefault("__repr__", _repr)
        body |= _FROZEN if frozen else {}
        writers: dict[str, _Write] = {"__init__": _init}
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


_Defaults = dict[str, Any]
_Write = Callable[[Any, _Defaults], FunctionType]


def _first(name: str, write: _Write, defaults: _Defaults, find: Callable[[], Any]) -> Callable[..., Any]:
    """A method that puts another in its own place when it is called: the one written for the class's fields."""

    def method(self: object, *args: object, **options: object) -> object:
        made = find()
        written = write(made, defaults)
        written.__qualname__ = f"{made.__qualname__}.{name}"
        setattr(made, name, written)
        return written(self, *args, **options)

    return method


def _init(made: Any, defaults: _Defaults) -> FunctionType:
    """Of a frozen class it sets through the slots, past ``__setattr__``; else it assigns, which costs a quarter."""
    frozen = made.__setattr__ is _refuse
    parameters, lines, given = ["self"], [], []
    names: dict[str, Any] = {"MISSING": dataclasses.MISSING}
    for at, name in enumerate(made.__slots__):
        field = _field(name, defaults)
        factory, default = field.default_factory, field.default
        names |= {f"set{at}": getattr(made, name).__set__, f"make{at}": factory, f"default{at}": default}
        fresh = factory is not dataclasses.MISSING
        value = f"make{at}()" if fresh else f"default{at}"
        if field.init:
            parameters.append(f"f{at}")
            value = f"{value} if f{at} is MISSING else f{at}" if fresh else f"f{at}"
            given += [default] if fresh or default is not dataclasses.MISSING else []
        elif not fresh and default is dataclasses.MISSING:
            continue  # ``__post_init__`` sets it
        lines.append(f" set{at}(self, {value})" if frozen else f" self.f{at} = {value}")
    lines += [" self.__post_init__()"] if hasattr(made, "__post_init__") else [" pass"]
    source = "\n".join([f"def __init__({', '.join(parameters)}):", *lines])
    return _written(source, made.__slots__, names, tuple(given))


def _eq(made: Any, defaults: _Defaults) -> FunctionType:
    mine, others = _compared("self", made, defaults), _compared("other", made, defaults)
    source = (
        f"def __eq__(self, other): return {mine} == {others} if other.__class__ is self.__class__ else NotImplemented"
    )
    return _written(source, made.__slots__, {}, None)


def _hash(made: Any, defaults: _Defaults) -> FunctionType:
    return _written(f"def __hash__(self): return hash({_compared('self', made, defaults)})", made.__slots__, {}, None)


def _compared(who: str, made: Any, defaults: _Defaults) -> str:
    counting = [at for at, name in enumerate(made.__slots__) if _field(name, defaults).compare]
    return f"({''.join(f'{who}.f{at}, ' for at in counting)})"


def _field(name: str, defaults: _Defaults) -> dataclasses.Field[Any]:
    value = defaults.get(name, dataclasses.MISSING)
    return value if isinstance(value, dataclasses.Field) else dataclasses.field(default=value)


def _written(
    source: str, fields: tuple[str, ...], names: dict[str, Any], given: tuple[Any, ...] | None
) -> FunctionType:
    """The function that a source defines, with the fields' own names for f0, f1, ...

    Args:
        source: One function; classes of the same shape have the same source, so it is compiled once for all of them.
        fields: The names.
        names: What else the source refers to.
        given: The defaults of its last parameters.
    """
    own = {f"f{at}": name for at, name in enumerate(fields)}
    code = _compiled(source)
    renamed = code.replace(
        co_varnames=tuple(own.get(name, name) for name in code.co_varnames),
        co_names=tuple(own.get(name, name) for name in code.co_names),
    )
    return FunctionType(renamed, names, code.co_name, given)


@cache
def _compiled(source: str) -> CodeType:
    made: dict[str, Any] = {}
    code = compile(source, "<record>", "exec")  # of a text, exec takes Ctrl-C for one that nobody catches
    exec(code, made)  # noqa: S102 (nothing of it comes from outside this module)
    return next(value.__code__ for value in made.values() if isinstance(value, FunctionType))


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
def _fields_of(plain: Any) -> dict[str, dataclasses.Field[Any]]:
    """What the standard decorator finds out about a class."""
    plain.__doc__ = plain.__doc__ or plain.__name__  # or it takes long to write one
    standard = dataclasses.dataclass(init=False, repr=False, eq=False, match_args=False)(plain)
    return cast("dict[str, dataclasses.Field[Any]]", standard.__dataclass_fields__)


@recursive_repr()
def _repr(self: Any) -> str:
    shown = (f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self) if field.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


class _Fields:
    """``__dataclass_fields__``, by which the standard library knows a dataclass."""

    def __init__(self, plain: type) -> None:
        self.plain = plain

    def __get__(self, _instance: object, owner: type) -> object:
        found = _fields_of(self.plain)
        setattr(owner, "__dataclass_fields__", found)  # noqa: B010 (for the next who asks)
        return found


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
