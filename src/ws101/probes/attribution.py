"""Who answered: the backend, nginx itself, something else, or nobody - and by what evidence.

Behind nginx every answer carries nginx's Server field (ngx_http_header_filter; the backend's is hidden unless
proxy_pass_header shows it), so that field alone never decides.  What does is what nginx's own pages look like (nginx:
src/http/ngx_http_special_response.c): their body, their length, their type, their reason phrase.
"""

from __future__ import annotations

from enum import StrEnum

from ws101.http1 import Response
from ws101.lazy import dataclass, lazy_pattern

__all__ = ["Answerer", "Attribution", "answered_by"]


class Answerer(StrEnum):
    """Who made an answer."""

    BACKEND = "backend"
    NGINX = "nginx"
    OTHER = "other"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Attribution:
    """Who answered, how sure that is, and why.

    Args:
        who: Who made the answer.
        confidence: ``proven``, ``likely`` or ``possible``.
        evidence: One clause each, the strongest first.
    """

    who: Answerer
    confidence: str
    evidence: tuple[str, ...]


_NGINX_PAGE = lazy_pattern(
    r"<html>\r\n<head><title>(?P<title>[^<]*)</title></head>\r\n<body>\r\n<center><h1>[^<]*</h1></center>\r\n"
    r"(?:<center>[^<]*</center>\r\n)?"
    r"<hr><center>(?P<sign>(?i:nginx|openresty|tengine|angie|freenginx)(?:/[0-9.]+(?: \([^)]*\))?)?)</center>\r\n"
    r"</body>\r\n</html>\r\n(?:<!-- a padding[^>]*-->\r\n)*"
)
_EDGES: tuple[tuple[str, str, str], ...] = (
    ("cf-ray", "", "Cloudflare"),
    ("x-amzn-trace-id", "", "an AWS load balancer"),
    ("server", "awselb", "an AWS load balancer"),
    ("x-amz-cf-id", "", "Amazon CloudFront"),
    ("x-azure-ref", "", "Azure Front Door"),
    ("x-served-by", "cache-", "Fastly"),
    ("server", "akamaighost", "Akamai"),
    ("via", "google", "a Google load balancer"),
    ("x-cache", "squid", "Squid"),
    ("via", "squid", "Squid"),
)
_OTHER_PAGES: tuple[tuple[str, str], ...] = (
    ("<center>cloudflare</center>", "Cloudflare's error page"),
    ("<title>Attention Required! | Cloudflare</title>", "Cloudflare's challenge page"),
    ("<hr>\n<address>Apache", "Apache's error page"),
    ("<html><body><h1>503 Service Unavailable</h1>\nNo server is available", "HAProxy's error page"),
    ("<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>", "an AWS load balancer's error page"),
    ("upstream connect error or disconnect/reset before headers", "Envoy's error text"),
)
_APPLICATIONS: tuple[tuple[str, str], ...] = (
    ("Failed to open a WebSocket connection", "the text of the websockets library for Python"),
    ("No WebSocket UPGRADE hdr", "aiohttp's text"),
    ("No CONNECTION upgrade hdr", "aiohttp's text"),
    ('Can "Upgrade" only to "WebSocket"', "tornado's text"),
    ('"Connection" must be "Upgrade"', "tornado's text"),
    (',"message":"Bad request"}', "Engine.IO's text"),
    ("Invalid websocket upgrade", "python-engineio's text"),
    ("Cannot GET ", "Express's text"),
    ("Upgrade Required", "what the ws library for Node and others say"),
    ("Unsupported HTTP version", "picows's text"),
    ("not a websocket handshake", "gorilla/websocket's text"),
    ("the client is not using the websocket protocol", "gorilla/websocket's text"),
)
_REASONS = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Not Allowed",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}
"""nginx's reason phrases (src/http/ngx_http_header_filter_module.c); 405, 503 and 504 differ from the registry's."""

_FAMILY = ("nginx", "openresty", "tengine", "angie")
_NGINX_ALONE = {405, 503, 504}


def answered_by(response: Response | None, *, behind_nginx: bool = True) -> Attribution:
    """Who made an answer.

    Args:
        response: As it came to the client; None if nothing readable came.
        behind_nginx: Whether the answer came by way of an nginx, as far as is known.
    """
    if response is None:
        return Attribution(Answerer.NOBODY, "proven", ("no HTTP answer came",))
    evidence = _page(response) or _edge(response) or _application(response) or _handshake(response)
    return evidence or _by_shape(response, behind_nginx)


def _page(response: Response) -> Attribution | None:
    match = _NGINX_PAGE.fullmatch(response.body)
    if match is not None:
        size = len(response.body)
        said = f"the body is nginx's own page, byte for byte ({size} bytes, signed {match['sign']})"
        named = match["title"].startswith(str(response.status)) or response.status in (400, 494, 495, 496, 497)
        if named and _is_html(response):
            return Attribution(Answerer.NGINX, "proven", (said, *_reason(response)))
        return Attribution(Answerer.NGINX, "likely", (said, "but status or Content-Type do not fit it"))
    if "<hr><center>nginx" in response.body:
        return Attribution(Answerer.NGINX, "likely", ("the body has the signature line of nginx's pages",))
    for text, name in _OTHER_PAGES:
        if text in response.body:
            return Attribution(Answerer.OTHER, "likely", (f"the body is {name}",))
    return None


def _edge(response: Response) -> Attribution | None:
    """Header fields of a CDN or load balancer show that it is on the path, not that it made the answer."""
    if response.status not in (403, 409, 429, 502, 503, 504, 520, 521, 522, 523, 524, 525, 526, 530):
        return None
    for field, part, name in _EDGES:
        value = response.header(field)
        if value is not None and part in value.lower():
            return Attribution(Answerer.OTHER, "possible", (f"{name} is on the path (field {field})",))
    return None


def _application(response: Response) -> Attribution | None:
    for text, name in _APPLICATIONS:
        if text in response.body:
            return Attribution(Answerer.BACKEND, "likely", (f"the body holds {name}",))
    return None


def _handshake(response: Response) -> Attribution | None:
    if response.status == 101 and response.header("Sec-WebSocket-Accept") is not None:
        return Attribution(Answerer.BACKEND, "proven", ("only a WebSocket server makes Sec-WebSocket-Accept",))
    if response.status == 426 and response.reason == "" and response.body == "":
        said = "426 with neither reason phrase nor body is what nginx makes of `return 426`"
        return Attribution(Answerer.NGINX, "likely", (said,))
    return None


def _by_shape(response: Response, behind_nginx: bool) -> Attribution:
    """Without a text that is known: what speaks against nginx's own pages."""
    against = []
    server = (response.header("Server") or "").lower()
    if behind_nginx and server and not any(name in server for name in _FAMILY):
        against.append(f'the Server field is "{server[:60]}", in whose place nginx puts its own name')
    if response.body and not _is_html(response):
        against.append(
            f"the body is {response.header('Content-Type') or 'without a Content-Type'}, nginx's pages are HTML"
        )
    expected = _REASONS.get(response.status)
    if expected and response.reason and response.reason != expected:
        against.append(f'the reason phrase is "{response.reason}", nginx says "{expected}"')
    if response.status == 426 and response.reason:
        against.append("nginx has no page for 426")
    if against:
        return Attribution(Answerer.BACKEND, "likely" if behind_nginx else "possible", tuple(against))
    if response.status in (301, 302, 307, 308) and not response.body:
        return Attribution(Answerer.BACKEND, "possible", ("nginx's redirects have a page as their body",))
    if response.status >= 400:
        usual = response.status in (403, 404) or response.status >= 500
        said = "the body is not nginx's page for this status" + (", unless error_page changed it" if usual else "")
        return Attribution(Answerer.BACKEND, "possible" if usual else "likely", (said,))
    return Attribution(Answerer.BACKEND, "possible", ("nothing shows who made it: a static file or the application",))


def _is_html(response: Response) -> bool:
    return (response.header("Content-Type") or "").lower().startswith("text/html")


def _reason(response: Response) -> tuple[str, ...]:
    if response.status in _NGINX_ALONE and response.reason == _REASONS[response.status]:
        return (f'"{response.reason}" is nginx\'s own reason phrase',)
    return ()
