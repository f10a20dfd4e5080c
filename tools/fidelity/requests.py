"""Requests drawn at random, aimed at the locations and names of a configuration."""

from __future__ import annotations

import re

from tools.fidelity import words
from tools.fidelity.conf import Node, walk
from tools.fidelity.sample import PROXY_LINE, Ask
from tools.fidelity.words import Dice
from ws101.http1 import Request

__all__ = ["draw_asks"]

_PLACES = ("__PORT__", "__TLS__", "__WILD__", "__UNIX__")
_NAME = re.compile(r"[a-z][a-zA-Z0-9]*(\.[a-zA-Z0-9]+)+")
_HANDSHAKE = (
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
)
_HOSTS = (
    "x.test",
    "a.x.test",
    "b.a.x.test",
    "y.test",
    "A.Y.Test",
    "a.com",
    "r1.test",
    "k.z.test",
    "other",
    "X.TEST.",
    "x.test:99",
    "x.test.:99",
    "x.test:abc",
    "x.test:99999",
    "a..b",
    "",
    "[::1]",
    "[::1]:80",
    "127.0.0.1",
    "__ADDR__:__PORT__",
    "a_b",
    "a/b",
    "a b",
    "%41",
    "x\xe9",
    "x.test:",
    ".x.test",
    "user@x.test",
)
_LONG = ("x" * 600, "y" * 1100, "z" * 1500)
_ODD_VALUES = ("  spaced  value  ", "\ttab\t", "", "a, b", "a,b; c", "\xe9", "x" * 300)
_ADDRESSES = (
    "1.1.1.1",
    "2.2.2.2, 3.3.3.3",
    "2.2.2.2, 127.0.0.1",
    "2.2.2.2,1.1.1.1,  127.0.0.2",
    "127.0.0.2, 127.0.0.1",
    "9.9.9.9:80",
    "[::1]:80",
    "::1",
    "x, 2.2.2.2",
    "2.2.2.2, x",
    "2.2.2.2 ,",
    "",
)
_COOKIES = (
    "a=1",
    "a; a=5",
    "ab=1; b ;a=2",
    "a=;b=,a",
    "a=1; b=2",
    "b=2, a=3",
    "A=4;a=5",
    "xa=1; a =2",
    'a="q"',
    "a",
    "b=x; B=y",
    "a=1,b=2",
)


def draw_asks(dice: Dice, servers: tuple[Node, ...], most: int = 9) -> tuple[Ask, ...]:
    """A few requests for a configuration."""
    names = [item.args[-1] for item in walk(servers) if item.name == "location"]
    paths = [words.EXAMPLES.get(name, name) for name in names if not name.startswith("/__")]
    hosts = [name for item in walk(servers) if item.name == "server_name" for name in item.args]
    listens = [item.args for item in walk(servers) if item.name == "listen"]
    ports = sorted({place for args in listens for place in _PLACES if place in args[0]} | _asked_by_name(listens))
    return tuple(_ask(dice, ports, listens, _request(dice, paths, hosts), hosts) for _ in range(dice.upto(most, 4)))


def _asked_by_name(listens: list[tuple[str, ...]]) -> set[str]:
    return set() if listens else {"__PORT__"}


def _ask(dice: Dice, ports: list[str], listens: list[tuple[str, ...]], request: Request, hosts: list[str]) -> Ask:
    to = dice.pick(ports) if ports else "__PORT__"
    client = "127.0.0.2" if dice.chance(6) else "127.0.0.1"
    flags = {flag for args in listens if to in args[0] for flag in args[1:]}
    behind = dice.pick(("192.0.2.7", "1.1.1.1", "10.9.8.7")) if "proxy_protocol" in flags else ""
    first = PROXY_LINE.format(behind) if behind else ""
    tls = to == "__TLS__" and "ssl" in flags and dice.chance(85)
    names = [name for name in (*(n.lstrip("*.") for n in hosts), "x.test", "a.y.test") if _NAME.fullmatch(name)]
    sni = dice.pick(names) if tls and dice.chance(75) else None
    return Ask(request, to, client, tls, sni, first)


def _request(dice: Dice, paths: list[str], hosts: list[str]) -> Request:
    method = dice.pick(words.METHODS) if dice.chance(98.5) else dice.pick(words.RARE_METHODS)
    version = "HTTP/1.1" if dice.chance(90) else dice.pick(("HTTP/1.0",) * 7 + ("HTTP/1.2", "HTTP/2.0"))
    target = _target(dice, paths)
    headers = _headers(dice, hosts)
    if dice.chance(4):
        target = f"http://{dice.pick(_HOSTS)}{target}"
    elif dice.chance(1):
        target = f"http://x.test?{dice.pick(('', 'a=b'))}"
    if version == "HTTP/1.0" and dice.chance(30):
        headers = [field for field in headers if field[0].lower() != "host"]
    body = ""
    if method in ("POST", "PUT", "PATCH") or dice.chance(3):
        body = _add_body(dice, headers)
    if dice.chance(25):
        dice.random.shuffle(headers)
    return Request(method, target, version, tuple(headers), body)


def _target(dice: Dice, paths: list[str]) -> str:
    """A target near one of the locations."""
    base = dice.pick(paths) if paths and dice.chance(85) else dice.pick(words.PREFIXES)
    if not base.startswith("/"):
        base = dice.pick(words.PREFIXES)
    if dice.chance(15) and base.endswith("/") and len(base) > 1:
        base = base[:-1]
    tails = words.TAILS if dice.chance(90) else words.ODD_TAILS
    path = base + (dice.pick(tails) if dice.chance(60) else "")
    path = _encoded(path, dice)
    return path + dice.pick(words.QUERIES)


def _encoded(path: str, dice: Dice) -> str:
    """A path as a client writes it: blanks must be encoded, other characters may be."""
    path = path.replace(" ", "%20") if not dice.chance(1) else path
    if "?" in path and dice.chance(80):
        path = path.replace("?", "%3F")
    if dice.chance(5):
        at = dice.upto(len(path) - 1)
        if path[at] not in "%/" and not (at and path[at - 1] == "%") and not (at > 1 and path[at - 2] == "%"):
            path = f"{path[:at]}%{ord(path[at]):02x}{path[at + 1 :]}"
    return path


def _headers(dice: Dice, hosts: list[str]) -> list[tuple[str, str]]:
    plain = [name.lstrip("*.") for name in hosts if not name.startswith("~") and name.strip("*._")]
    if dice.chance(60) and plain:
        host = dice.pick(plain).replace(".*", ".com")
    else:
        host = dice.pick(_HOSTS[:11]) if dice.chance(75) else dice.pick(_HOSTS)
    headers = [("Host", host)]
    if dice.chance(1.5):
        headers = [] if dice.chance(50) else [*headers, ("host", "y.test")]
    if dice.chance(45):
        headers += _HANDSHAKE
    elif dice.chance(25):
        headers += dice.some(_HANDSHAKE, 3, 1)
    if dice.chance(15):
        headers.append(("Connection", dice.pick(("keep-alive, Upgrade", "close", "upgrade", "Keep-Alive", ""))))
    if dice.chance(8):
        headers.append(("upgrade", dice.pick(("h2c", "websocket, h2c", "", "WEBSOCKET"))))
    for name in dice.some(words.FIELDS, 4):
        repeats = 2 if dice.chance(12) and name not in words.UNIQUE else 1
        headers += [(name, _field_value(dice, name)) for _ in range(repeats)]
    if dice.chance(5):
        headers.append(
            (
                "Authorization",
                dice.pick(("Basic dXNlcjpzZWNyZXQ=", "Basic dXNlcjpzZWNyZXQ=", "basic dXNlcjpzZWNyZXQ=", "Bearer x")),
            )
        )
    return headers


def _field_value(dice: Dice, name: str) -> str:
    if name == "Cookie":
        return dice.pick(_COOKIES)
    if name in ("X-Forwarded-For", "X-Real-IP"):
        return dice.pick(_ADDRESSES)
    if dice.chance(15):
        return dice.pick(_ODD_VALUES if dice.chance(90) else _LONG)
    if dice.chance(30):
        return dice.pick(words.HOST_VALUES)
    return dice.pick(words.VALUES)


def _add_body(dice: Dice, headers: list[tuple[str, str]]) -> str:
    """Add the fields of a body, and give the body."""
    if dice.chance(30):
        headers.append(("Transfer-Encoding", dice.pick(("chunked",) * 12 + ("Chunked", "gzip"))))
        return dice.pick(("3\r\nabc\r\n0\r\n\r\n", "0\r\n\r\n", "1\r\na\r\n2;x=y\r\nbc\r\n0\r\n\r\n"))
    body = dice.pick(("abc", "a", "", "hello world"))
    headers.append(("Content-Length", str(len(body)) if dice.chance(97) else dice.pick(("x", "-1", ""))))
    if dice.chance(8):
        headers.append(("Expect", "100-continue"))
    return body
