"""Who answered: nginx itself, the backend behind it, or something else; from the answer alone.

The Server field says little: nginx puts its own name in the place of the backend's (nginx:
src/http/modules/ngx_http_proxy_module.c, proxy_hide_header defaults).  What tells is the body: nginx's own pages have a
shape of their own (src/http/ngx_http_special_response.c).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ws101.http1 import Response

__all__ = ["Attribution", "attribute"]

_NGINX_PAGE = re.compile(r"<hr><center>(nginx|openresty|tengine|angie|freenginx)[^<]*</center>", re.IGNORECASE)
_PRODUCTS = {
    "cloudflare": "Cloudflare",
    "cloudfront": "Amazon CloudFront",
    "awselb": "an AWS load balancer",
    "google frontend": "Google's front end",
    "gws": "Google's front end",
    "varnish": "Varnish",
    "caddy": "Caddy",
    "apache": "Apache",
    "haproxy": "HAProxy",
    "envoy": "Envoy",
    "traefik": "Traefik",
    "microsoft-iis": "IIS",
    "litespeed": "LiteSpeed",
    "akamaighost": "Akamai",
}
_MARKS = (("CF-RAY", "Cloudflare"), ("X-Amz-Cf-Id", "Amazon CloudFront"), ("X-Varnish", "Varnish"))


@dataclass(frozen=True, slots=True)
class Attribution:
    """Who answered.

    Args:
        who: ``nginx``, ``backend``, ``other`` or ``nobody``.
        name: Its name for people.
        confidence: ``proven``, ``likely`` or ``possible``.
        why: What tells, one clause.
    """

    who: str
    name: str
    confidence: str
    why: str


def attribute(response: Response | None) -> Attribution:
    """Who sent this answer, as far as the answer itself tells."""
    if response is None:
        return Attribution("nobody", "nobody", "proven", "no HTTP answer came")
    page = _NGINX_PAGE.search(response.body)
    server = (response.header("Server") or "").lower()
    if page:
        return Attribution("nginx", page[1].lower(), "likely", "the body is nginx's own error page")
    mark = next((name for field, name in _MARKS if response.header(field) is not None), None)
    product = mark or next((name for key, name in _PRODUCTS.items() if key in server), None)
    if product:
        return Attribution("other", product, "likely", "its own header fields name it")
    if "nginx" not in server and "openresty" not in server:
        return Attribution("backend", "the backend", "possible", "nothing in the answer names nginx")
    if response.status != 101 and not response.reason:
        return Attribution("nginx", "nginx", "possible", "the status has no reason phrase, as from a return directive")
    return Attribution(
        "backend", "the backend, through nginx", "likely", "nginx passed it on: the body is not nginx's own"
    )
