"""map-variable-undefined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ws101.findings import Fix, Label, Level
from ws101.nginx.config import Config, Placed, Scope, Unknown
from ws101.nginx.inherit import effective_all
from ws101.nginx.templates import parse_template
from ws101.rules.base.context import Context
from ws101.rules.base.facts import show
from ws101.rules.base.maps import is_defined, map_edit
from ws101.rules.base.registry import Bites, Found, rule
from ws101.rules.base.wording import and_more
from ws101.syntax import Directive
from ws101.text import lower

__all__ = ["check"]


@rule("WS110", "map-variable-undefined", Level.ERROR, bites=Bites.START)
def check(context: Context) -> Iterator[Found]:
    """The value of Upgrade or Connection uses a variable that nothing defines, usually $connection_upgrade.

    ``$connection_upgrade`` is not built in: it comes from a ``map`` that guides show in another place.

    Why it matters
        nginx refuses the whole configuration with ``unknown "connection_upgrade" variable``. After a failed reload the
        old configuration keeps running, so the change seems to have no effect.

    Bad::

        # nginx: <1.29.7
        # proof: refused
        # refused: unknown "connection_upgrade" variable
        events {}
        http {
            server {
                listen 80;
                location /ws {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 1h;
                }
            }
        }

    Good::

        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      close;
            }
            server {
                listen 80;
                location /ws {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 1h;
                }
            }
        }

    References
        https://nginx.org/en/docs/http/websocket.html
        https://nginx.org/en/docs/http/ngx_http_map_module.html
    """
    if context.config.fragment is not None:
        return
    users: dict[str, dict[Directive, tuple[Placed, list[Scope]]]] = {}
    known: dict[tuple[str, ...], tuple[str, ...]] = {}
    for route in context.shared.proxied:
        lines = effective_all(route.location, "proxy_set_header")
        if not isinstance(lines, Unknown):
            for placed in lines:
                for name in _undefined(context.config, placed, known):
                    if not any(scope.opaque for scope in route.location.outward):
                        users.setdefault(name, {}).setdefault(placed.directive, (placed, []))[1].append(route.location)
    for name, uses in users.items():
        yield _found(
            context, name, [placed for placed, _ in uses.values()], [s for _, found in uses.values() for s in found]
        )


def _undefined(config: Config, placed: Placed, known: dict[tuple[str, ...], tuple[str, ...]]) -> tuple[str, ...]:
    """The variables of an upgrade field's value that nothing defines; ``known`` keeps them for what is written."""
    args = placed.directive.args
    found = known.get(args)
    if found is None:
        is_upgrade = len(args) == 2 and "$" in args[1] and lower(args[0]) in ("upgrade", "connection")
        names = parse_template(args[1]).variables if is_upgrade else ()
        found = known[args] = tuple(name for name in names if not is_defined(config, name))
    return found


def _found(context: Context, name: str, uses: Sequence[Placed], scopes: Sequence[Scope]) -> Found:
    mapped = any(lower(placed.args[0]) == "connection" for placed in uses)
    edit = map_edit(context, name) if mapped else None
    return Found(
        f"nothing defines ${show(name)}, so nginx refuses the configuration{and_more(len(uses) - 1)}",
        uses[0].span,
        labels=tuple(Label(placed.span, "used here too") for placed in uses[1:6]),
        fix=Fix(f"define ${show(name)} by a map of $http_upgrade", (edit,)) if edit is not None else None,
        scopes=tuple(scopes),
        refused=True,
        refusal=f'unknown "{name}" variable',
    )
