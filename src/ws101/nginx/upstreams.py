"""Where a proxy_pass leads: the upstream block or address, and whether idle connections to it are kept.

Source: src/http/ngx_http_upstream.c:ngx_http_upstream_add, modules/ngx_http_upstream_keepalive_module.c.
"""

from __future__ import annotations

from ws101.lazy import dataclass
from ws101.nginx.build import Build
from ws101.nginx.config import Config, Placed, Scope, Unknown
from ws101.nginx.outcome import Peer, Upstream
from ws101.nginx.proxyurl import ProxyUrl, is_address
from ws101.text import lower

__all__ = ["Members", "find_block", "locate", "members"]


@dataclass(frozen=True, slots=True)
class Members:
    """What an upstream block holds.

    Args:
        peers: Its addresses.
        looked_up: The names among them that run time looks up.
        are_down: Whether all are marked down, so that none is ever asked.
    """

    peers: tuple[Peer, ...]
    looked_up: tuple[Unknown, ...]
    are_down: bool


def blocks(config: Config) -> dict[str, Scope]:
    """The upstream blocks by lower-case name; the first of a name."""
    key = "upstream blocks"
    if key not in config.main.memo:
        found: dict[str, Scope] = {}
        for scope in config.upstreams():
            args = scope.opener.args if scope.opener else ()
            if args:
                found.setdefault(lower(args[0]), scope)
        config.main.memo[key] = found
    return config.main.memo[key]  # type: ignore[return-value]  # the memo of this key holds nothing else


def find_block(config: Config, url: ProxyUrl) -> Scope | None:
    """The upstream block that a URL names, if it does; a name with a port names a host."""
    return blocks(config).get(lower(url.host)) if url.no_port and not url.is_unix else None


def locate(config: Config, build: Build, url: ProxyUrl, origin: Placed) -> Upstream:
    """The upstream of a URL."""
    block = find_block(config, url)
    if block is None:
        peers = tuple(Peer(address, origin=origin) for address in _addresses(url))
        return Upstream(url.host_header, peers, url.tls)
    return Upstream(url.host_header, members(block).peers, url.tls, block, _keeps_alive(block, build))


def members(block: Scope) -> Members:
    """The members of a block; worked out once for all that lead there."""
    memo = block.memo
    if "members" not in memo:
        peers = tuple([peer for placed in block.all("server") for peer in _peers(placed)])
        looked_up = tuple([_looked_up(peer) for peer in peers if peer.origin and "resolve" in peer.origin.args])
        memo["members"] = Members(peers, looked_up, not block.opaque and all(peer.down for peer in peers))
    return memo["members"]  # type: ignore[return-value]  # the memo of this key holds nothing else


def _looked_up(peer: Peer) -> Unknown:
    return Unknown(f'"{peer.address}" is looked up at run time', peer.origin)


def _addresses(url: ProxyUrl) -> tuple[str, ...]:
    """What a host resolves to, as far as that is known without asking: only ``localhost`` is."""
    if lower(url.host) == "localhost" and not url.is_unix:
        return (f"127.0.0.1:{url.port}", f"[::1]:{url.port}")
    return (url.address,)


def _peers(placed: Placed) -> tuple[Peer, ...]:
    name, *params = placed.args or ("",)
    weight = next((p[7:] for p in params if p.startswith("weight=")), "1")
    return tuple(
        Peer(address, int(weight) if weight.isdigit() else 1, "backup" in params, "down" in params, placed)
        for address in _server_addresses(name)
    )


def _server_addresses(name: str) -> tuple[str, ...]:
    if lower(name[:5]) == "unix:":
        return (name,)
    tail = name.rpartition("]")[2] if name.startswith("[") else name
    host, _, port = name.rpartition(":") if ":" in tail else (name, "", "80")
    if lower(host) == "localhost":
        return (f"127.0.0.1:{port}", f"[::1]:{port}")
    return (f"{host}:{port}",)


def _keeps_alive(block: Scope, build: Build) -> bool:
    keepalive = block.first("keepalive")
    if keepalive is None:
        return build.does("implicit_keepalive")
    return keepalive.args[:1] != ("0",)


def names_a_host(url: ProxyUrl, block: Scope | None) -> bool:
    """Whether a URL needs a name looked up."""
    return block is None and not url.is_unix and not is_address(url.host)
