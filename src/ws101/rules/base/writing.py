"""What fixes write: the lines that forward an upgrade, and the map that tells upgrades from plain requests.

Nothing here builds text by offset: that is ``ws101.edit``'s business.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ws101.edit import quote
from ws101.findings import Fix, Safety
from ws101.nginx.config import Placed, Scope, Unknown
from ws101.nginx.inherit import effective_all
from ws101.rules.base.aims import Aim, location_of
from ws101.rules.base.causes import local_anchor
from ws101.rules.base.context import Context
from ws101.rules.base.edits import append, insert_after, set_args
from ws101.rules.base.maps import upgrade_value
from ws101.syntax import Directive
from ws101.text import Edit, lower, strip

__all__ = [
    "UPGRADE",
    "Field",
    "add_array",
    "add_fields",
    "add_http_11",
    "add_setting",
    "connection_field",
    "copied_location",
    "forward_fix",
    "raw",
    "replace_connection",
    "restore_fields",
    "set_value",
    "title_of",
]

Field = tuple[str, str]
"""A header field's name, and its value as the configuration shall have it (a word, quoted if need be)."""

UPGRADE: Field = ("Upgrade", "$http_upgrade")
"""What every handshake needs."""
_HEADER = "proxy_set_header"


def raw(directive: Directive) -> str:
    """A directive's words as written, one blank between them, with its semicolon."""
    text = directive.source.text
    return " ".join(text[word.span.start : word.span.end] for word in directive.words) + ";"


def copied_location(
    location: Directive, head: str, settings: Mapping[str, str], first: Sequence[str] = ()
) -> list[str]:
    """A location under another name, as lines: what the other one holds, without locations in it.

    Args:
        location: The location to copy.
        head: The new modifier and name.
        settings: Scalar directives that get another value, or are added.
        first: Lines that come first in it.
    """
    inner = [d for d in location.block or () if d.name != "location" and d.name not in settings]
    added = [f"    {name} {value};" for name, value in settings.items()]
    return [f"location {head} {{", *first, *_lines(inner, 1), *added, "}"]


def _lines(directives: Sequence[Directive], depth: int) -> list[str]:
    lines: list[str] = []
    for directive in directives:
        head = "    " * depth + raw(directive)
        if directive.block is None:
            lines.append(head)
        else:
            lines += [head.removesuffix(";") + " {", *_lines(directive.block, depth + 1), "    " * depth + "}"]
    return lines


def connection_field(context: Context) -> tuple[Field, tuple[Edit, ...]]:
    """The Connection field in the style asked for, and the edits it needs elsewhere (the map)."""
    found = upgrade_value(context) if context.options.style == "map" else None
    if found is None:
        return ("Connection", '"upgrade"'), ()
    name, edits = found
    return ("Connection", f"${name}"), edits


def forward_fix(context: Context, aim: Aim, fields: Sequence[str], title: str = "", *, http_11: bool = True) -> Fix:
    """The fix that sets header fields in the location that answers.

    Args:
        context: The facts.
        aim: The route.
        fields: ``Upgrade``, ``Connection`` or both.
        title: The advice; made up if empty.
        http_11: Whether it may add ``proxy_http_version 1.1`` where that is needed.
    """
    lines: list[Field] = []
    extra: tuple[Edit, ...] = ()
    if "Upgrade" in fields:
        lines.append(UPGRADE)
    if "Connection" in fields:
        field, extra = connection_field(context)
        lines.append(field)
    wants_11 = http_11 and context.needs_http_11(aim)
    edits = (*add_fields(aim.scope, lines, http_11=wants_11), *extra)
    return Fix(title or title_of(aim, fields), edits, *_safety(context, aim, lines))


def title_of(aim: Aim, fields: Iterable[str]) -> str:
    """The usual advice."""
    return f"forward {' and '.join(fields)} in {location_of(aim.scope).title}"


def _safety(context: Context, aim: Aim, lines: Iterable[Field]) -> tuple[Safety, str]:
    """Safe unless plain requests get ``Connection: upgrade``; the proof in ``ws101.fix`` has the last word."""
    if ("Connection", '"upgrade"') in lines and not context.alone(aim):
        return Safety.UNSAFE, "plain requests to this location would carry Connection: upgrade"
    return Safety.SAFE, ""


def add_fields(scope: Scope, fields: Sequence[Field], *, http_11: bool = False) -> tuple[Edit, ...]:
    """Set header fields in the block that holds a route, without losing what it inherited.

    A block that sets no header field of its own inherits a whole list; setting one there would lose it, so the list is
    restated.  Fields of the same names are replaced.
    """
    block = location_of(scope)
    own = block.all(_HEADER)
    lines: list[str] = []
    edits: list[Edit] = []
    if http_11 and block.first("proxy_http_version") is not None:
        edits += add_http_11(block)
    elif http_11:
        lines.append("proxy_http_version 1.1;")
    if own:
        anchor: Directive | None = local_anchor(own[-1]).directive
    else:
        lines += _restated(block, {lower(name) for name, _ in fields})
        anchor = _handler(block)
    lines += [f"{_HEADER} {name} {value};" for name, value in fields]
    return (*edits, _insert(block, anchor, lines))


def add_http_11(scope: Scope) -> tuple[Edit, ...]:
    """Use HTTP/1.1 to the backend in the block that holds a route."""
    block = location_of(scope)
    there = block.first("proxy_http_version")
    if there is not None:
        return set_args(there.directive, "1.1")
    return (_insert(block, _handler(block), ["proxy_http_version 1.1;"]),)


def replace_connection(context: Context, origin: Placed, aims: Sequence[Aim]) -> Fix:
    """The fix that gives a proxy_set_header Connection the value that upgrades need, in the style asked for."""
    found = upgrade_value(context) if context.options.style == "map" else None
    if found is not None:
        name, edits = found
        return Fix(f"set Connection to ${name}", (*set_value(origin, f"${name}"), *edits))
    edits = set_value(origin, "upgrade")
    if origin.scope.kind == "location" and all(context.alone(aim) for aim in aims):
        return Fix("set Connection to upgrade", edits)
    return Fix("set Connection to upgrade", edits, Safety.UNSAFE, "plain requests would carry Connection: upgrade too")


def restore_fields(reset: Placed, lost: Sequence[Placed]) -> tuple[Edit, ...]:
    """Restate lost lines in the block that reset the list: by their include, if it holds nothing else.

    An Upgrade that was wrong where it was set is not restated so.
    """
    last = reset.scope.all(_HEADER)[-1]
    lines = [f"{_HEADER} {' '.join(UPGRADE)};" if _is_wrong_upgrade(p) else raw(p.directive) for p in lost]
    held = [] if any(_is_wrong_upgrade(p) for p in lost) else _as_include(lost)
    return (_insert(reset.scope, local_anchor(last).directive, held or lines),)


def _is_wrong_upgrade(placed: Placed) -> bool:
    """Whether a line sets Upgrade to a literal that is not websocket."""
    name, value, *_ = (*placed.args, "", "")
    return lower(name) == "upgrade" and "$" not in value and lower(strip(value)) != "websocket"


def _as_include(lines: Sequence[Placed]) -> list[str]:
    anchors = {local_anchor(p).directive for p in lines}
    wanted = {p.directive for p in lines}
    source = next(iter(anchors))
    if len(anchors) > 1 or source in wanted:
        return []
    trees = lines[0].scope.config.trees
    held = {d for path in {d.source.path for d in wanted} for d in trees[path].directives}
    return [raw(source)] if held == wanted else []


def add_setting(scope: Scope, name: str, value: str) -> tuple[Edit, ...]:
    """Set a scalar directive in the block that holds a route: changed if it stands there, else added."""
    block = location_of(scope)
    there = block.first(name)
    if there is not None:
        return set_args(there.directive, value)
    own = [local_anchor(p).directive for n in (_HEADER, "proxy_http_version", "proxy_pass") for p in block.all(n)]
    anchor = max(own, key=lambda d: d.start) if own else None
    return (_insert(block, anchor, [f"{name} {quote(value)};"]),)


def add_array(scope: Scope, name: str, value: str) -> tuple[Edit, ...]:
    """Add a line of an array directive to the block that holds a route, restating what it inherits."""
    block = location_of(scope)
    own = block.all(name)
    inherited = effective_all(block, name) if not own else ()
    kept = [] if isinstance(inherited, Unknown) else [raw(p.directive) for p in inherited]
    anchor = local_anchor(own[-1]).directive if own else None
    return (_insert(block, anchor, [*kept, f"{name} {quote(value)};"]),)


def set_value(placed: Placed, value: str) -> tuple[Edit, ...]:
    """Give a proxy_set_header another value (a word as written)."""
    return set_args(placed.directive, placed.args[0], value.strip('"'))


def _restated(block: Scope, names: set[str]) -> list[str]:
    """The inherited header list as lines, without the fields that are set anew."""
    inherited = effective_all(block, _HEADER)
    if isinstance(inherited, Unknown):
        return []
    return [raw(p.directive) for p in inherited if p.args and lower(p.args[0]) not in names]


def _handler(block: Scope) -> Directive | None:
    """The directive of a block's own that new lines stand after: proxy_http_version, else proxy_pass."""
    for name in ("proxy_http_version", "proxy_pass"):
        placed = block.first(name)
        if placed is not None:
            return local_anchor(placed).directive
    return None


def _insert(block: Scope, anchor: Directive | None, lines: Sequence[str]) -> Edit:
    if anchor is not None:
        return insert_after(anchor, lines)
    assert block.opener is not None, "a route's block has an opener"
    return append(block.opener.directive, lines)
