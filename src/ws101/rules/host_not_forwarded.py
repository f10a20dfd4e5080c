"""host-not-forwarded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ws101.findings import Fix, Level, Safety
from ws101.nginx.config import Scope
from ws101.nginx.inherit import level_of
from ws101.nginx.outcome import Forwarded
from ws101.rules.base.aims import Aim, location_of
from ws101.rules.base.causes import local_anchor
from ws101.rules.base.context import Context
from ws101.rules.base.edits import insert_after
from ws101.rules.base.facts import head_label, show
from ws101.rules.base.listening import by_server, host_value
from ws101.rules.base.registry import Bites, Found, rule
from ws101.rules.base.writing import add_fields
from ws101.text import Edit

__all__ = ["check"]

_HEADER = "proxy_set_header"


@rule("WS134", "host-not-forwarded", Level.NOTE, bites=Bites.BACKEND)
def check(context: Context) -> Iterator[Found]:
    """The backend is told the name in proxy_pass as its Host, not the name that the browser asked for.

    Without ``proxy_set_header Host`` nginx sends ``$proxy_host``. Whether that hurts depends on the application, so
    this is a note, one for each server.

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
    for server, pairs in by_server(context).items():
        lost = [(a, forwarded) for a, forwarded in pairs if _is_lost(forwarded) and not _may_be_set_above(context, a)]
        if lost:
            aims = tuple(aim for aim, _ in lost)
            handler, fate = lost[0][1].handler, lost[0][1].fate("Host")
            yield Found(
                f"the backend gets Host: {show(fate.value if fate else '')} instead of the name in the browser's URL",
                handler.span,
                aims,
                tuple(head_label(aim, "WebSockets pass here") for aim in aims[1:6]),
                fix=_fix(context, server, aims),
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


def _fix(context: Context, server: Scope, aims: Sequence[Aim]) -> Fix:
    value, risk = host_value(context, server)
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
