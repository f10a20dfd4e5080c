"""proxy-pass-trailing-slash."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Fix, Level, Safety
from ws101.nginx.config import Placed
from ws101.rules.base.aims import Aim, location_of
from ws101.rules.base.context import Context
from ws101.rules.base.edits import set_args
from ws101.rules.base.facts import head_label, show
from ws101.rules.base.listening import sure_proxied
from ws101.rules.base.prefixes import replaced_prefix
from ws101.rules.base.registry import Bites, Found, rule

__all__ = ["check"]


@rule("WS147", "proxy-pass-trailing-slash", Level.NOTE, bites=Bites.BACKEND)
def check(context: Context) -> Iterator[Found]:
    """The location's name ends in a slash and the path in proxy_pass does not, or the other way round.

    A path in ``proxy_pass`` replaces the location's name, letter by letter: with ``location /cable`` and ``proxy_pass
    http://app/`` the backend is asked for ``/`` and ``//x`` instead of ``/cable`` and ``/cable/x``. Which path the
    backend serves is not in the file, so this is a note; names that are glued together (``/appx``) are a warning.

    Why it matters
        The backend answers 404: it knows no such path.

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
                location /cable {
                    proxy_pass http://127.0.0.1:3000/;
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
                location /cable {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 1h;
                }
            }
        }

    Fix safety
        Plain requests get another path too, and only the application knows which is right: always unsafe.

    References
        https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_pass
    """
    for aim, forwarded in sure_proxied(context):
        found = replaced_prefix(aim, forwarded)
        if found is None or found[0] == "/" or found[0].endswith("/") is found[1].endswith("/"):
            continue
        name, uri = found
        glued = name.endswith("/")
        asked, gets = (f"{name}x", f"{uri}x") if glued else (name, uri)
        more = "" if glued else f", and {show(uri)}/x for {show(name)}/x"
        yield Found(
            f"the backend is asked for {show(gets)} where the client asks for {show(asked)}{more}",
            forwarded.handler.span,
            (aim,),
            (head_label(aim, "this name is replaced"),),
            fix=_fix(aim, forwarded.handler, uri),
            help="end both in a slash, or neither; leave the path out of proxy_pass to pass it on as it is",
            level=Level.WARNING if glued else None,
        )


def _fix(aim: Aim, handler: Placed, uri: str) -> Fix:
    """Leave a lone slash out; end a path in a slash where the location's name does."""
    written = handler.args[0]
    new = written.removesuffix("/") if uri.endswith("/") else f"{written}/"
    title = f"pass the path of {location_of(aim.scope).title} on" if uri == "/" else "end both in the same way"
    return Fix(title, set_args(handler.directive, new), Safety.UNSAFE, "plain requests get another path too")
