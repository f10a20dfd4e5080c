"""What configurations and requests are made of: few words, so that they meet."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

__all__ = ["Dice"]

T = TypeVar("T")

VALUES = (
    "a",
    "b",
    "ab",
    "A",
    "x",
    "1",
    "0",
    "",
    "websocket",
    "WebSocket",
    "upgrade",
    "close",
    "keep-alive",
    "h2c",
    "a=b",
    "~x",
)
HOST_VALUES = (
    "x.test",
    "a.x.test",
    "b.a.x.test",
    "y.test",
    "a.y.test",
    "a.com",
    "r1.test",
    "k.z.test",
    "other",
    "X.Test",
)
KEYS = (
    "a",
    "b",
    "ab",
    "x",
    "1",
    "",
    "websocket",
    "upgrade",
    "close",
    "default",
    "hostnames",
    "x.test",
    "y.test",
    "/a",
    "/b/",
    "GET",
)
MAP_REGEXES = (
    "~^a(.*)$",
    "~*^B",
    "~(?<n0__N__>[a-z]+)\\.test$",
    "~^$",
    "~*websocket",
    "~.",
    "~^(.)(.)",
    "~^/([^/]*)/?(.*)",
    "~\\d",
)
WILDCARDS = ("*.x.test", ".y.test", "a.*", "*.a.x.test", "*.test", "y.test", "b.y.*")
SERVER_NAMES = (
    "x.test",
    "a.x.test",
    "*.x.test",
    ".y.test",
    "a.*",
    "a.y.*",
    "_",
    "",
    "~^r(\\d)\\.test$",
    "~^(?<n0__N__>.+)\\.z\\.test$",
    "~X",
    "*.a.x.test",
    "127.0.0.1",
    "Y.TEST",
)
PREFIXES = (
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/a/b/",
    "/ab",
    "/b/",
    "/b",
    "/a b/",
    "/A",
    "/ws/",
    "/ws",
    "/\xe9/",
    "/a%20b",
    "/x/",
    "/a.b/",
    "/a?b/",
    "/b/c/",
)
EXAMPLES = {
    "^/a": "/abc",
    "b$": "/x/b",
    "\\.ws$": "/q.ws",
    "^/(a|b)/(.*)$": "/b/tail",
    "^/(?<n0__N__>[^/]+)/x": "/seg/x",
    "^/a/([a-z]+)(/.*)?$": "/a/word/more",
    "B": "/aBc",
    "^/ws$": "/ws",
    "/$": "/q/",
    "^(.*)$": "/any",
    "^/[^/]+$": "/single",
    "(?i)AB": "/xAb",
    "[[:upper:]]": "/qQ",
    "^/b/(c)?": "/b/d",
    "\\x20": "/s p",
}
REGEXES = (
    "^/a",
    "b$",
    "\\.ws$",
    "^/(a|b)/(.*)$",
    "^/(?<n0__N__>[^/]+)/x",
    "^/a/([a-z]+)(/.*)?$",
    "B",
    "^/ws$",
    "/$",
    "^(.*)$",
    "^/[^/]+$",
    "(?i)AB",
    "[[:upper:]]",
    "^/b/(c)?",
    "\\x20",
)
TAILS = (
    "",
    "/",
    "b",
    "/b",
    "/b/c",
    "c",
    "x",
    ".ws",
    "/x",
    "//x",
    "/./x",
    "/b/../a",
    "/x/%2e%2e/b",
    "%20y",
    "%2Fb",
    "%2f",
    "%3Fb",
    "%25",
    "+",
    "/%C3%A9",
    "\xe9",
    "%2B",
    "%23",
    "/;:@&=",
    '/"<>',
    "/%7F",
    "/^`{|}\\",
    "/.",
    "/...",
    "/b%20c/d",
    "/b/..",
)
ODD_TAILS = ("/%00", "/%zz", "/../../..", "/..", "/../a", "%2", "/%2e%2e/%2e%2e/b", "/x y")
UNIQUE = ("If-None-Match",)
QUERIES = (
    "",
    "",
    "",
    "?",
    "?a=b",
    "?a=1&b=2",
    "?b=__B1__",
    "?b=up0__N__",
    "?A=x&a=y",
    "?a",
    "?a=%20&x",
    "?a=b?c",
    "?x#f",
    "#f",
    "?a=a+b",
    "?b=x.test",
    "?b=",
    "?n=1&a=websocket",
)
METHODS = ("GET",) * 60 + ("POST",) * 8 + ("HEAD",) * 4 + ("PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "X-M_Y")
RARE_METHODS = ("get", "TRACE", "CONNECT", "G ET")
FIELDS = (
    "X-A",
    "x-a",
    "X-B",
    "X_A",
    "X.A",
    "X-A_B",
    "Cookie",
    "Origin",
    "Accept",
    "X-Forwarded-For",
    "Via",
    "Trailer",
    "Date",
    "Content-Type",
    "Proxy-Connection",
    "Keep-Alive",
    "TE",
    "Referer",
    "Range",
    "If-None-Match",
    "HTTP2-Settings",
    "X-Empty",
    "Proxy-Authorization",
    "X!",
    "Sec-WebSocket-Protocol",
)
SET_NAMES = (
    "Host",
    "host",
    "Connection",
    "connection",
    "Upgrade",
    "UPGRADE",
    "X-A",
    "x-a",
    "X_A",
    "X.A",
    "X-Forwarded-For",
    "Cookie",
    "Origin",
    "Sec-WebSocket-Key",
    "Content-Length",
    "TE",
    "Keep-Alive",
    "Expect",
    "Accept",
    "X-$host",
    "X B",
    "X-Long-Name-That-Goes-On",
    "Proxy-Connection",
    "Transfer-Encoding",
    "X-R",
    "X-S",
    "X-T",
)
PATHS = ("", "/", "/app", "/app/", "/app?x=1", "/a%20b/", "/app/?", "?k=v", "/a b", "/\xe9")
VARIABLES = (
    "host",
    "http_host",
    "proxy_host",
    "proxy_port",
    "server_name",
    "request_uri",
    "uri",
    "args",
    "arg_a",
    "arg_b",
    "arg_none",
    "is_args",
    "query_string",
    "request_method",
    "scheme",
    "server_port",
    "server_addr",
    "remote_addr",
    "proxy_add_x_forwarded_for",
    "http_upgrade",
    "HTTP_UPGRADE",
    "http_connection",
    "http_x_a",
    "http_X_B",
    "http_cookie",
    "cookie_a",
    "cookie_B",
    "content_length",
    "http_content_length",
    "content_type",
    "document_uri",
    "request",
    "server_protocol",
    "https",
    "remote_user",
    "realip_remote_addr",
    "request_filename",
    "document_root",
    "limit_rate",
    "body_bytes_sent",
    "request_completion",
    "nginx_version",
    "http_origin",
    "http_x_forwarded_for",
    "http_authorization",
    "binary_remote_addr",
    "sent_http_x",
    "upstream_addr",
    "http_te",
    "1",
    "2",
    "9",
)
RUN_TIME_VARIABLES = (
    "request_id",
    "msec",
    "connection",
    "time_local",
    "pid",
    "request_time",
    "remote_port",
    "hostname",
    "connection_requests",
    "time_iso8601",
    "request_length",
)


class Dice:
    """Chance, with a few words for it."""

    def __init__(self, seed: str) -> None:
        self.random = Random(seed)

    def chance(self, percent: float) -> bool:
        """True so many times in a hundred."""
        return self.random.random() * 100 < percent

    def pick(self, items: Sequence[T]) -> T:
        """One of several."""
        return items[int(self.random.random() * len(items))]

    def some(self, items: Sequence[T], most: int, least: int = 0) -> list[T]:
        """A few of several, each at most once."""
        return self.random.sample(list(items), min(len(items), self.random.randint(least, most)))

    def upto(self, most: int, least: int = 0) -> int:
        """A number."""
        return self.random.randint(least, most)
