"""host-not-forwarded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ws101.findings import Fix, Label, Level, Safety
from ws101.nginx.config import Scope
from ws101.nginx.inherit import level_of
from ws101.nginx.outcome import Forwarded
from ws101.rules.base.aims import Aim, location_of
from ws101.rules.base.causes import local_anchor
from ws101.rules.base.context import Context
from ws101.rules.base.edits import insert_after
from ws101.rules.base.facts import show
from ws101.rules.base.listening import host_value, sure_proxied
from ws101.rules.base.registry import Bites, Found, rule
from ws101.rules.base.wording import and_more
from ws101.rules.base.writing import add_fields
from ws101.text import Edit

__all__ = ["check"]

_HEADER = "proxy_set_header"


@rule("WS134", "host-not-forwarded", Level.NOTE, bites=Bites.BACKEND)
def check(context: Context) -> Iterator[Found]:
    """The backend is told the name in proxy_pass as its Host, not the name that the browser asked for.

    Without ``proxy_set_header Host`` nginx sends ``$proxy_host``. Whether that hurts depends on the application, so
    this is a note, one for each file.

    Why it matters
        Many applications compare the browser's Origin with Host, and answer the opening handshake 403 where they
        differ. Others choose the site by Host.

    Bad::

        # proof: accepted
        # unsafe: yes
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
                    proxy_set_header Host $host;
                    proxy_read_timeout 1h;
                }
            }
        }

    Fix safety
        The backend gets another Host with plain requests too, and may answer them otherwise: always unsafe.

    References
        https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_set_header
        https://www.rfc-editor.org/rfc/rfc6455#section-10.2
    """
    found: dict[tuple[str, str], list[tuple[Aim, Forwarded]]] = {}
    for aim, forwarded in sure_proxied(context):
        if _is_lost(forwarded) and not _may_be_set_above(context, aim):
            key = forwarded.handler.directive.source.path, host_value(context, aim.route.server)[0]
            found.setdefault(key, []).append((aim, forwarded))
    for pairs in found.values():
        aims = tuple(aim for aim, _ in pairs)
        handler = pairs[0][1].handler
        values = tuple(dict.fromkeys(fate.value for _, forwarded in pairs if (fate := forwarded.fate("Host"))))
        what = show(values[0]) + (" and the like" if len(values) > 1 else "")
        yield Found(
            f"the backend gets Host: {what} instead of the name in the browser's URL{and_more(len(aims) - 1)}",
            handler.span,
            aims,
            tuple(Label(forwarded.handler.span, "here too") for _, forwarded in pairs[1:6]),
            fix=_fix(context, aims),
            help="applications that compare Origin with Host then answer 403; fine for one that does not look",
        )


def _is_lost(forwarded: Forwarded) -> bool:
    """Whether nginx's own value stands where the client's should; a value that somebody chose is left alone."""
    fate = forwarded.fate("Host")
    if fate is None or fate.fate not in ("default", "set"):
        return False
    written = fate.origin.args[1] if fate.origin is not None and len(fate.origin.args) > 1 else "$proxy_host"
    return "$proxy_host" in written or "${proxy_host}" in written


def _may_be_set_above(context: Context, aim: Aim) -> bool:
    """Whether only a part was given, and the list of fields may stand in the blocks around it."""
    return context.config.fragment in ("server", "location") and level_of(aim.scope, _HEADER) is None


def _fix(context: Context, aims: Sequence[Aim]) -> Fix:
    value, risk = host_value(context, aims[0].route.server)
    edits = tuple(dict.fromkeys(edit for aim in aims for edit in _edits(aim, value)))
    reason = f"the backend gets another Host with plain requests too{risk}"
    return Fix(f"set Host to {value}", edits, Safety.UNSAFE, reason)


def _edits(aim: Aim, value: str) -> tuple[Edit, ...]:
    """In the list that rules there, wherever that stands."""
    level = level_of(aim.scope, _HEADER)
    if isinstance(level, Scope) and level.kind in ("http", "server") and level is not location_of(aim.scope):
        last = local_anchor(level.all(_HEADER)[-1])
        return (insert_after(last.directive, [f"{_HEADER} Host {value};"]),)
    return add_fields(aim.scope, [("Host", value)])
