"""Which routes answer an opening handshake alike: those with the same words in every place that can matter.

A large configuration has thousands of locations and few kinds of them.  Two routes have the same ``signature`` if their
locations are written alike, apart from the name of the backend, and so is everything in their servers, apart from what
no handshake notices (names, addresses, the place of files, fields of the answer, other locations).
"""

from __future__ import annotations

from functools import lru_cache

from ws101.lazy import lazy_pattern
from ws101.nginx.config import Config, Placed, Route, Scope
from ws101.nginx.proxyurl import UrlError, parse_proxy_url

__all__ = ["signature"]

_INERT = frozenset(
    {"location", "listen", "server_name", "root", "index", "access_log", "error_log", "add_header", "log_not_found"}
    | {"ssl_certificate", "ssl_certificate_key", "client_max_body_size", "gzip", "charset", "default_type"}
)
_OWN = lazy_pattern(
    r"\$\{?(server_|document_root|realpath_root|request_filename|hostname|ssl_|proxy_(?!add_)|pid|msec)"
)
"""Variables that differ between servers that are otherwise alike."""
_DERIVED = ("map", "geo", "split_clients")
_KEY = "rules: signature"


def signature(route: Route) -> tuple[tuple[str, str] | None, str]:
    """What decides how a route answers an opening handshake, as text, and the URL it goes to.

    None instead of the text if it cannot be told from it alone: where proxy_pass has variables or stands in another
    file, where the location is nested, where a variable differs between servers.
    """
    location, opener, handler = route.location, route.location.opener, route.handler
    if location.kind != "location" or location.parent is not route.server or opener is None or handler is None:
        return None, ""
    around, written = _around(route.server), _static_url(handler)
    if around is None or written is None or handler.directive.parent is not opener.directive:
        return None, ""
    start, directive = opener.directive.start, handler.directive
    whole = _text(opener)
    text = f"{whole[: directive.start - start]}{written[0]}{whole[directive.end - start :]}"
    if not _is_plain(route.server.config) or _says_own(text):
        return None, ""
    return (around, text), written[1]


def _static_url(handler: Placed) -> tuple[str, str] | None:
    """What of a proxy_pass without variables decides the request, and its URL for people; None with variables."""
    text = handler.args[0] if handler.name == "proxy_pass" and handler.args else "$"
    if "$" in text:
        return None
    try:
        url = parse_proxy_url(text)
    except UrlError:
        return None
    scheme = "https" if url.tls else "http"
    return f"{scheme} {url.uri}", f"{scheme}://{url.host_header}"


@lru_cache(maxsize=1024)
def _says_own(text: str) -> bool:
    return _OWN.search(text) is not None


def _text(placed: Placed) -> str:
    directive = placed.directive
    return directive.source.text[directive.start : directive.end]


def _around(server: Scope) -> str | None:
    """What a server says besides its locations; None if it may differ from one that is written alike."""
    if _KEY not in server.memo:
        text = "\n".join(_text(placed) for placed in server if placed.name not in _INERT)
        server.memo[_KEY] = None if server.opaque or _OWN.search(text) else text
    return server.memo[_KEY]  # type: ignore[return-value]  # the memo of this key holds nothing else


def _is_plain(config: Config) -> bool:
    """Whether no map brings in a variable that differs between servers."""
    memo = config.main.memo
    if _KEY not in memo:
        blocks = [p for name in _DERIVED for p in (config.http.all(name) if config.http is not None else ())]
        memo[_KEY] = not any(_OWN.search(_text(placed)) for placed in blocks)
    return bool(memo[_KEY])
