"""Which constructs a sample holds, so that a run can say how often each was put to the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from tools.fidelity.conf import Node, walk
from tools.fidelity.sample import Ask, Sample

__all__ = ["all_constructs", "constructs", "of_ask"]


class Test(NamedTuple):
    """Which directives a construct is made of, and whether one of them is it."""

    names: tuple[str, ...]
    fits: Callable[[Node], bool] = lambda _item: True


def _named(*names: str) -> Test:
    return Test(names)


def _with(name: str, *args: str) -> Test:
    """A directive with one of some arguments, or with one that begins so if it ends in ``*``."""
    plain = {arg for arg in args if not arg.endswith("*")}
    starts = tuple(arg[:-1] for arg in args if arg.endswith("*"))
    return Test((name,), lambda item: any(a in plain or (starts and a.startswith(starts)) for a in item.args))


def _proxy_pass(fits: Callable[[str], bool]) -> Test:
    return Test(("proxy_pass",), lambda item: fits(item.args[0]))


def _has_uri(url: str) -> bool:
    return "$" not in url and ("/" in url.partition("://")[2].replace("unix:/", "") or "?" in url)


def _has_inner(outer: str, inner: str) -> Test:
    return Test((outer,), lambda item: any(child.name == inner for child in item.block or ()))


CONSTRUCTS: dict[str, dict[str, Test]] = {
    "listening": {
        "address and port": _with("listen", "__ADDR__:__PORT__"),
        "wildcard address": _with("listen", "*:__WILD__", "__WILD__", "0.0.0.0:__WILD__"),
        "wildcard and specific address": _with("listen", "__ADDR__:__WILD__"),
        "default_server": _with("listen", "default_server"),
        "unix socket": _with("listen", "unix:*"),
        "TLS": _with("listen", "ssl"),
        "ssl_verify_client, ssl_reject_handshake": _named("ssl_verify_client", "ssl_reject_handshake"),
        "http2": Test(("listen", "http2"), lambda item: item.name == "http2" or "http2" in item.args),
        "proxy_protocol": _with("listen", "proxy_protocol"),
        "set_real_ip_from, real_ip_header, real_ip_recursive": _named("set_real_ip_from"),
    },
    "servers and locations": {
        "server_name": _named("server_name"),
        "server_name: wildcard": _with("server_name", "*.*", ".*", "a.*"),
        "server_name: pattern": _with("server_name", "~*"),
        "location: prefix": Test(("location",), lambda item: len(item.args) == 1 and item.args[0][:1] != "@"),
        "location =": _with("location", "="),
        "location ^~": _with("location", "^~"),
        "location ~, ~*": _with("location", "~", "~*"),
        "location @named": _with("location", "@*"),
        "nested locations": _has_inner("location", "location"),
        "limit_except": _named("limit_except"),
        "internal": _named("internal"),
    },
    "reading requests": {
        "underscores_in_headers, ignore_invalid_headers": _named("underscores_in_headers", "ignore_invalid_headers"),
        "merge_slashes": _named("merge_slashes"),
        "client_header_buffer_size, large_client_header_buffers": _named(
            "client_header_buffer_size", "large_client_header_buffers"
        ),
        "client_max_body_size": _named("client_max_body_size"),
    },
    "rewriting and answering": {
        "rewrite": _named("rewrite"),
        "set": Test(("set",), lambda item: item.args[1:] != ("",)),
        "break": _named("break"),
        "return": _named("return"),
        "if in server": _has_inner("server", "if"),
        "if in location": _has_inner("location", "if"),
        "proxy_pass in if": _has_inner("if", "proxy_pass"),
        "error_page": _named("error_page"),
        "recursive_error_pages, proxy_intercept_errors": _named("recursive_error_pages", "proxy_intercept_errors"),
        "try_files": _named("try_files"),
        "absolute_redirect, port_in_redirect, server_name_in_redirect": _named(
            "absolute_redirect", "port_in_redirect", "server_name_in_redirect"
        ),
    },
    "variables": {
        "map": _named("map"),
        "map: hostnames": _has_inner("map", "hostnames"),
        "map: volatile": _has_inner("map", "volatile"),
        "map: patterns": Test(("map",), lambda item: any(i.name.startswith("~") for i in item.block or ())),
        "geo": _named("geo"),
        "geo: ranges": _has_inner("geo", "ranges"),
        "geo: proxy": _has_inner("geo", "proxy"),
        "split_clients": _named("split_clients"),
    },
    "who may pass": {
        "allow, deny": _named("allow", "deny"),
        "auth_basic": _named("auth_basic"),
        "satisfy": _named("satisfy"),
        "auth_request": _with("auth_request", "/__auth"),
        "mirror": _with("mirror", "/__mirror"),
        "limit_conn, limit_req": _named("limit_conn", "limit_req"),
    },
    "forwarding": {
        "proxy_pass without URI": _proxy_pass(lambda url: "$" not in url and not _has_uri(url)),
        "proxy_pass with URI": _proxy_pass(_has_uri),
        "proxy_pass with variables": _proxy_pass(lambda url: "$" in url),
        "proxy_pass in limit_except": _has_inner("limit_except", "proxy_pass"),
        "unix sockets": _proxy_pass(lambda url: "unix:" in url),
        "https": _proxy_pass(lambda url: url.startswith("https")),
        "fastcgi_pass": _named("fastcgi_pass"),
        "uwsgi_pass": _named("uwsgi_pass"),
        "scgi_pass": _named("scgi_pass"),
        "grpc_pass": _named("grpc_pass"),
        "proxy_http_version": _named("proxy_http_version"),
        "proxy_set_header": _named("proxy_set_header"),
        "proxy_set_body": _named("proxy_set_body"),
        "proxy_method": _named("proxy_method"),
        "proxy_pass_request_headers, proxy_pass_request_body": _named(
            "proxy_pass_request_headers", "proxy_pass_request_body"
        ),
        "proxy_request_buffering": _named("proxy_request_buffering"),
        "proxy_hide_header, add_header": _named("proxy_hide_header", "add_header"),
        "proxy_cache": _with("proxy_cache", "cache"),
    },
    "upstream blocks": {
        "upstream": _named("upstream"),
        "weight": _with("server", "weight=*"),
        "backup": _with("server", "backup"),
        "down": _with("server", "down"),
        "max_fails, fail_timeout, max_conns": _with("server", "max_fails=*", "fail_timeout=*", "max_conns=*"),
        "ip_hash": _named("ip_hash"),
        "hash": _named("hash"),
        "least_conn": _named("least_conn"),
        "random": _named("random"),
        "sticky": _named("sticky"),
        "keepalive": _named("keepalive"),
        "zone": _named("zone"),
    },
    "what run time knows (drawn apart)": {
        "resolver": _named("resolver"),
        "resolve": _with("server", "resolve"),
        "names looked up": _proxy_pass(lambda url: ".dns.test" in url),
        "file tests": Test(("if",), lambda item: "-" in item.args[0][:3]),
    },
}
"""Title and test of each construct, by chapter."""

_REQUESTS: dict[str, Callable[[Ask], bool]] = {
    "SNI": lambda ask: ask.sni is not None,
    "PROXY protocol": lambda ask: bool(ask.first),
    "absolute form": lambda ask: ask.request.target.startswith("http"),
    "HTTP/1.0": lambda ask: ask.request.version == "HTTP/1.0",
    "handshake": lambda ask: "Sec-WebSocket-Key" in _names(ask),
    "chunked body": lambda ask: "Transfer-Encoding" in _names(ask),
    "body with a length": lambda ask: "Content-Length" in _names(ask),
    "repeated fields": lambda ask: len({name.lower() for name in _names(ask)}) < len(_names(ask)),
    "names with _ or .": lambda ask: any("_" in name or "." in name for name in _names(ask)),
    "very long fields": lambda ask: any(len(value) > 500 for _, value in ask.request.headers),
}


_BY_NAME: dict[str, list[tuple[tuple[str, str], Callable[[Node], bool]]]] = {}
for _chapter, _tests in CONSTRUCTS.items():
    for _title, _test in _tests.items():
        for _name in _test.names:
            _BY_NAME.setdefault(_name, []).append(((_chapter, _title), _test.fits))


def _names(ask: Ask) -> list[str]:
    return [name for name, _ in ask.request.headers]


def of_ask(ask: Ask) -> Iterator[tuple[str, str]]:
    """The constructs of a request."""
    return (("requests", title) for title, fits in _REQUESTS.items() if fits(ask))


def constructs(sample: Sample) -> frozenset[tuple[str, str]]:
    """The constructs of a configuration, each as chapter and title."""
    found: set[tuple[str, str]] = set()
    for item in walk((*sample.http, *sample.servers)):
        found.update(place for place, fits in _BY_NAME.get(item.name, ()) if fits(item))
    return frozenset(found)


def all_constructs() -> Iterator[tuple[str, str]]:
    """Every construct, in the order of the table."""
    for chapter, tests in CONSTRUCTS.items():
        yield from ((chapter, title) for title in tests)
    yield from (("requests", title) for title in _REQUESTS)
