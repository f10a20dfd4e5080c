"""header-inheritance-reset."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Fix, Label, Level, Safety
from ws101.nginx.config import Placed
from ws101.rules.base.aims import Aim, location_of
from ws101.rules.base.causes import Cause, Fault, local_anchor
from ws101.rules.base.context import Context
from ws101.rules.base.facts import head_label, header_faults, show
from ws101.rules.base.registry import Bites, Found, rule
from ws101.rules.base.writing import restore_fields
from ws101.syntax import Directive
from ws101.text import lower

__all__ = ["check"]


@rule("WS108", "header-inheritance-reset", Level.ERROR, bites=Bites.FORWARD)
def check(context: Context) -> Iterator[Found]:
    """One proxy_set_header discards all inherited ones, the upgrade fields among them.

    ``proxy_set_header`` lines are inherited only by a block that has none of its own. A single unrelated line, also one
    that comes from an include such as ``proxy_params``, discards the whole inherited list.

    Why it matters
        The upgrade fields stand in the file, in a place that seems to cover the location, and are not sent. Host and
        the X-Forwarded fields are lost the same way.

    Bad::

        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      close;
            }
            server {
                listen 80;
                proxy_http_version 1.1;
                proxy_set_header Upgrade $http_upgrade;
                proxy_set_header Connection $connection_upgrade;
                proxy_read_timeout 1h;
                location /ws {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_set_header X-Real-IP $remote_addr;
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
                proxy_http_version 1.1;
                proxy_set_header Upgrade $http_upgrade;
                proxy_set_header Connection $connection_upgrade;
                proxy_read_timeout 1h;
                location /ws {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_set_header X-Real-IP $remote_addr;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                }
            }
        }

    Fix safety
        The fix restores Upgrade and Connection alone, which plain requests do not notice. Restoring what else was lost
        (Host, X-Forwarded-For) changes them, so it is a second fix, and unsafe.

    References
        https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_set_header
    """
    groups: dict[Directive, list[tuple[Aim, tuple[Fault, ...]]]] = {}
    for aim, upgrade, connection in header_faults(context):
        lost = tuple(f for f in (upgrade, connection) if f.cause is Cause.LOST and f.origin is not None)
        if lost and lost[0].origin is not None:
            groups.setdefault(lost[0].origin.directive, []).append((aim, lost))
    for group in groups.values():
        yield _found(tuple(aim for aim, _ in group), group[0][1])


def _found(aims: tuple[Aim, ...], lost: tuple[Fault, ...]) -> Found:
    reset = lost[0].origin
    assert reset is not None, "a lost field names the directive that reset the list"
    names = " and ".join(fault.name for fault in lost)
    sources = [fault.lost for fault in lost if fault.lost is not None]
    labels = [Label(source.span, f"{source.args[0]} is set here, and lost") for source in sources]
    if local_anchor(reset).directive is not reset.directive:
        labels.append(Label(local_anchor(reset).span, "it comes through this include"))
    others = _other_lost(reset, sources)
    title = show(location_of(reset.scope).title)
    return Found(
        f"this proxy_set_header discards every inherited one, so {title} does not forward {names}",
        reset.span,
        aims,
        (*labels, *(head_label(aim, "WebSockets pass here") for aim in aims)),
        fix=Fix(f"restore {names} in {title}", restore_fields(reset, sources)),
        other_fixes=_restore_others(reset, [*sources, *others], others, title),
    )


def _other_lost(reset: Placed, sources: list[Placed]) -> list[Placed]:
    """The other fields of the list that was lost, which the inner list does not set."""
    names = {lower(p.args[0]) for p in reset.scope.all("proxy_set_header") if p.args}
    taken = {source.directive for source in sources}
    outer = sources[0].scope.all("proxy_set_header") if sources else ()
    return [p for p in outer if p.directive not in taken and p.args and lower(p.args[0]) not in names]


def _restore_others(reset: Placed, lines: list[Placed], others: list[Placed], title: str) -> tuple[Fix, ...]:
    if not others:
        return ()
    names = ", ".join(show(p.args[0]) for p in others)
    ordered = sorted(lines, key=lambda p: p.directive.start)
    reason = f"plain requests get {names} as set further out"
    return (Fix(f"restore all that {title} lost: also {names}", restore_fields(reset, ordered), Safety.UNSAFE, reason),)
