"""What is asked of the rules, read from the options."""

from __future__ import annotations

from ws101.errors import UsageError
from ws101.probes.endpoint import parse_ws_url
from ws101.rules import Options

__all__ = ["options_of", "seconds_of"]

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def options_of(
    urls: tuple[str, ...] = (),
    select: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
    style: str = "map",
    idle_timeout: str = "86400s",
) -> Options:
    """The options of rules and fixes.

    Raises:
        UsageError: If a URL, a rule's name or the time makes no sense.
    """
    for url in urls:
        parse_ws_url(url)
    return Options(
        style=style,
        idle_timeout=seconds_of(idle_timeout),
        urls=urls,
        select=_names(select),
        ignore=_names(ignore),
    )


def _names(given: tuple[str, ...]) -> frozenset[str]:
    if not given:
        return frozenset()
    from ws101.settings import rule_name

    return frozenset(map(rule_name, given))


def seconds_of(text: str) -> int:
    """A time as nginx writes it: ``86400``, ``3600s``, ``60m``, ``24h``, ``1d``.

    Raises:
        UsageError: If it is none.
    """
    digits = text.rstrip("smhd")
    unit = text[len(digits) :]
    if not digits.isdecimal() or unit not in _UNITS:
        raise UsageError(f"{text} is not a time", help="write it as nginx does: 86400s, 60m or 24h")
    return int(digits) * _UNITS[unit]
