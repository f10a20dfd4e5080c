"""What proxy_pass makes of a location's name (nginx: ngx_http_proxy_create_request)."""

from __future__ import annotations

from ws101.nginx.config import Placed, Scope
from ws101.nginx.locations import location_name
from ws101.nginx.outcome import Forwarded
from ws101.nginx.proxyurl import ProxyUrl, UrlError, parse_proxy_url
from ws101.rules.base.aims import Aim, location_of
from ws101.rules.base.context import Context

__all__ = ["kept_prefix", "replaced_prefix", "stripping_sibling"]


def _url(handler: Placed | None) -> ProxyUrl | None:
    """The URL of a proxy_pass without variables."""
    text = handler.args[0] if handler is not None and handler.name == "proxy_pass" and handler.args else "$"
    if "$" in text:
        return None
    try:
        return parse_proxy_url(text)
    except UrlError:
        return None


def _prefix(scope: Scope) -> str | None:
    """The name of a prefix location whose requests nobody rewrites."""
    location = location_of(scope)
    name = location_name(location)
    rewritten = location.kind != "location" or "rewrite" in location.index
    return name.name if name.modifier in ("", "^~") and not rewritten else None


def replaced_prefix(aim: Aim, forwarded: Forwarded) -> tuple[str, str] | None:
    """The location's name and the path that proxy_pass puts in its place; None if it puts none there."""
    name, url = _prefix(aim.scope), _url(forwarded.handler)
    return (name, url.uri) if name is not None and url is not None and url.uri else None


def kept_prefix(aim: Aim, forwarded: Forwarded) -> str | None:
    """The location's name, if it reaches the backend as it is."""
    name, url = _prefix(aim.scope), _url(forwarded.handler)
    return name if url is not None and not url.uri else None


def stripping_sibling(context: Context, aim: Aim, forwarded: Forwarded, name: str) -> tuple[Scope, str, str] | None:
    """The location above a name that sends the rest of the path to the same backend: itself, its name, its path.

    The longest such location counts.
    """
    mine = _url(forwarded.handler)
    best: tuple[Scope, str, str] | None = None
    for route in context.routes_of(aim.route.server):
        prefix = _prefix(route.location)
        if prefix in (None, "/") or not prefix or not prefix.endswith("/") or not name.startswith(prefix):
            continue
        url = _url(route.handler)
        if url is None or mine is None or not url.uri.endswith("/") or route.location is aim.scope:
            continue
        if (url.host, url.port) == (mine.host, mine.port) and (best is None or len(prefix) > len(best[1])):
            best = (route.location, prefix, url.uri)
    return best
