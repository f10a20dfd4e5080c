"""config-not-included."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Level
from ws101.nginx.config import Scope
from ws101.rules.base.context import Context
from ws101.rules.base.facts import show
from ws101.rules.base.left_out import LeftOut, left_out
from ws101.rules.base.registry import Bites, Found, rule

__all__ = ["check"]


@rule("WS142", "config-not-included", Level.WARNING, bites=Bites.ROUTE)
def check(context: Context) -> Iterator[Found]:
    """A file that speaks of the told URL's host, or of WebSockets, is not loaded by nginx.

    Two cases count: a file beside the loaded ones (``sites-available``, ``conf.d``) whose server_name is the told URL's
    host, while that URL gets no WebSocket; and a file with upgrade fields in a folder that is included, under a name
    that the include's pattern leaves out. Most of ``sites-available`` is meant to be off, and so is ``site.conf.bak``:
    nothing else is reported. There is no edit for this, only advice: a link or another name is no edit of a file.

    Why it matters
        Whatever is changed in that file has no effect.

    Bad::

        # file: nginx.conf
        # fix: none
        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      close;
            }
            server {
                listen 80 default_server;
                return 404;
            }
            include conf.d/*.conf;
        }
        # file: conf.d/site.config
        server {
            listen 80;
            server_name example.com;
            location /ws {
                proxy_pass http://127.0.0.1:3000;
                proxy_http_version 1.1;
                proxy_set_header Upgrade $http_upgrade;
                proxy_set_header Connection $connection_upgrade;
                proxy_read_timeout 1h;
            }
        }

    Good::

        # file: nginx.conf
        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      close;
            }
            server {
                listen 80 default_server;
                return 404;
            }
            include conf.d/*.conf;
        }
        # file: conf.d/site.conf
        server {
            listen 80;
            server_name example.com;
            location /ws {
                proxy_pass http://127.0.0.1:3000;
                proxy_http_version 1.1;
                proxy_set_header Upgrade $http_upgrade;
                proxy_set_header Connection $connection_upgrade;
                proxy_read_timeout 1h;
            }
        }

    References
        https://nginx.org/en/docs/ngx_core_module.html#include
    """
    http = context.config.http
    files = left_out(context) if http is not None and http.opener is not None else ()
    waiting = {
        (trace.arrival.request.header("Host") or "").partition(":")[0]: (url, trace.outcome.scope)
        for url, trace in context.traces
        if trace.outcome.forwarded is None or trace.outcome.forwarded.tunnel is False
    }
    for file in files:
        url, scope = next((found for host, found in waiting.items() if host in file.names), (None, None))
        if url is not None or (file.beside_pattern and file.upgrades):
            yield _found(file, url, scope)


def _found(file: LeftOut, url: str | None, scope: Scope | None) -> Found:
    where = f"{show(file.include.args[0])} does not take it in" if file.beside_pattern else "no include takes it in"
    says = f"names the host of {show(url)}" if url is not None else "forwards WebSocket upgrades"
    return Found(
        f"{show(file.path)} {says}, and nginx does not load it: {where}",
        file.include.span,
        help="link it into the folder that is included, or give it the name that the pattern wants; then nginx -T",
        scopes=(scope,) if scope is not None else (),
    )
