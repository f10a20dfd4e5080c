"""Samples drawn at random: every construct that bears on a request through the http proxy, composed."""

from __future__ import annotations

from tools.fidelity import words
from tools.fidelity.conf import Node, Raw, node, walk
from tools.fidelity.handlers import Handlers
from tools.fidelity.requests import draw_asks
from tools.fidelity.sample import Sample
from tools.fidelity.values import SET_VARIABLES

__all__ = ["draw_preamble", "draw_sample"]


class Drawing(Handlers):
    """A sample in the making."""

    # servers

    def servers(self) -> list[Node]:
        """One to three servers."""
        dice = self.dice
        count = 1 if dice.chance(60) else dice.upto(3, 2)
        defaults: set[str] = set()
        return [self.server(defaults) for _ in range(count)]

    def server(self, defaults: set[str]) -> Node:
        """A server block."""
        dice = self.dice
        lines = self.listens(defaults)
        if dice.chance(75):
            lines.append(node("server_name", *dice.some(words.SERVER_NAMES, 3, 1)))
        self.named = []
        for name, values in _SERVER_FLAGS:
            if dice.chance(8):
                lines.append(node(name, dice.pick(values)))
        lines += self.common("server")
        if dice.chance(18):
            lines += self.script("server", 2)
        for at in range(dice.upto(2) if dice.chance(40) else 0):
            self.named.append(f"@n{at}")
        if dice.chance(7):
            lines.append(self.try_files())
        if dice.chance(2):
            lines.append(node("return", *self.returned()))
        lines += self.locations("", 0)
        if dice.chance(50) and not any("/" in line.args for line in lines if line.name == "location"):
            lines.append(node("location", "/", block=self.location_body("", "/", 9)))
        lines += [node("location", name, block=self.location_body("@", "", 9)) for name in self.named]
        return node("server", block=lines)

    # what stands at several levels

    def common(self, level: str) -> list[Node]:
        """Directives of the proxy and of access that any level may have."""
        dice = self.dice
        lines: list[Node] = []
        if dice.chance(30 if level == "location" else 12):
            lines += self.for_websockets()
        elif dice.chance(45 if level == "location" else 20):
            lines += [self.set_header() for _ in range(dice.upto(4, 1))]
        for name, values, percent in _SETTINGS:
            if dice.chance(percent if level == "location" else percent / 3):
                lines.append(node(name, *_words(dice.pick(values))))
        if dice.chance(4):
            lines.append(node("proxy_method", dice.pick(("POST", "PUT", "$http_x_a", "$request_method", "get", "GET"))))
        if dice.chance(4):
            lines.append(node("proxy_set_body", self.value(3)))
        if dice.chance(4):
            lines += [node(*pair) for pair in dice.some(_ADDRESS_RULES, 3, 1)]
        if dice.chance(2):
            lines += [node("auth_basic", dice.pick(("realm", "off"))), node("auth_basic_user_file", "__PASS__")]
        if dice.chance(3):
            lines.append(node("satisfy", dice.pick(("any", "all"))))
        if dice.chance(1.5):
            lines += self.real_address()
        if self.run_time and dice.chance(25):
            lines.append(node("resolver", "__DNS__", "ipv6=off"))
        lines += [*self.asking(), *self.limits()]
        if dice.chance(12):
            lines += [self.error_page() for _ in range(dice.upto(2, 1))]
        return lines

    def for_websockets(self) -> list[Node]:
        """What a tunnel needs, and more fields around it; sometimes not all of it."""
        dice = self.dice
        connection = f"${dice.pick(self.maps)}" if self.maps and dice.chance(40) else dice.pick(("upgrade", "Upgrade"))
        lines = [
            node("proxy_set_header", "Upgrade", "$http_upgrade"),
            node("proxy_set_header", "Connection", connection),
        ]
        lines += [self.set_header() for _ in range(dice.upto(2))]
        dice.random.shuffle(lines)
        return lines

    def set_header(self) -> Node:
        """A proxy_set_header; often one that WebSockets need."""
        dice = self.dice
        if dice.chance(30):
            return node("proxy_set_header", *dice.pick(_USUAL_FIELDS))
        if self.maps and dice.chance(15):
            return node("proxy_set_header", "Connection", f"${dice.pick(self.maps)}")
        return node("proxy_set_header", dice.pick(words.SET_NAMES), self.value())

    # locations

    def locations(self, outer: str, depth: int) -> list[Node]:
        """The locations of a level."""
        dice = self.dice
        lines: list[Node] = []
        taken: set[str] = set()
        for _ in range(dice.upto(4 if depth == 0 else 2, 1 if depth else 2)):
            made = self.location(outer, depth, taken)
            if made is not None:
                lines.append(made)
        return lines

    def location(self, outer: str, depth: int, taken: set[str]) -> Node | None:
        """A location; None if the name drawn is taken."""
        dice = self.dice
        if outer == "~" or dice.chance(22):
            modifier, name = dice.pick(("~", "~*")), dice.pick(words.REGEXES)
            return node("location", modifier, name, block=self.location_body("~", "~", depth))
        modifier = "=" if dice.chance(12) else "^~" if dice.chance(12) else ""
        name = dice.pick(words.PREFIXES)
        if outer:
            name = outer + dice.pick(("", "/", "b", "/b", "b/", "/c/", "c"))
        if dice.chance(2) and not outer:
            name = dice.pick(("a", "", "ws/"))
        key = ("=" if modifier == "=" else "") + name
        if key in taken:
            return None
        taken.add(key)
        args = [modifier, name] if modifier else [name]
        return node("location", *args, block=self.location_body(modifier, name, depth))

    def location_body(self, modifier: str, name: str, depth: int) -> list[Node]:
        """What stands in a location."""
        dice = self.dice
        lines = self.common("location")
        if dice.chance(32):
            lines += self.script("location", 2)
        if dice.chance(3):
            lines.append(node("internal"))
        if dice.chance(5):
            lines.append(self.try_files())
        if dice.chance(6):
            lines.append(self.limit_except())
        static_uri = modifier in ("", "=", "^~")
        if dice.chance(86):
            lines.append(self.handler(with_uri=static_uri))
        elif dice.chance(70):
            lines.append(node("return", *self.returned()))
        if depth < 2 and modifier not in ("=", "@") and dice.chance(25):
            lines += self.locations("~" if modifier == "~" else name, depth + 1)
        if dice.chance(10):
            dice.random.shuffle(lines)
        return lines

    def with_subrequests(self, server: Node) -> Node:
        """A server with the locations that its subrequests lead to; whoever asks may be at another level."""
        names = dict.fromkeys(
            item.args[0].partition("?")[0] for item in walk((server,)) if item.name in ("auth_request", "mirror")
        )
        more = [self.asked(name, self.for_subrequest()) for name in names if name != "off"]
        return node("server", block=(*(server.block or ()), *more))

    def for_subrequest(self) -> list[Node]:
        """Settings of a location that answers subrequests."""
        dice = self.dice
        if dice.chance(40):
            return []
        script = self.script("location", 1) if dice.chance(15) else []
        return [*script, *(self.set_header() for _ in range(dice.upto(2, 1)))]

    def try_files(self) -> Node:
        """A try_files; nothing it looks for is there."""
        dice = self.dice
        last = self.target(False) if dice.chance(85) else dice.pick(("=404", "=403", "=418", "=500"))
        return node("try_files", *dice.some(("$uri", "/nothing", "/x$http_x_a"), 2, 1), last)

    def limit_except(self) -> Node:
        """A limit_except."""
        dice = self.dice
        lines: list[Node] = [node("deny", "all")] if dice.chance(50) else []
        if dice.chance(50):
            lines.append(node("proxy_pass", self.url(with_uri=False)))
        return node("limit_except", *dice.some(("GET", "POST", "HEAD", "PUT"), 2, 1), block=lines)


_SERVER_FLAGS = (
    ("underscores_in_headers", ("on", "on", "off")),
    ("ignore_invalid_headers", ("off", "off", "on")),
    ("merge_slashes", ("off", "off", "on")),
    ("large_client_header_buffers", (Raw("2 1k"), Raw("4 512"))),
    ("client_header_buffer_size", ("128", "512", "2k")),
)
_SETTINGS: tuple[tuple[str, tuple[str, ...], float], ...] = (
    ("proxy_http_version", ("1.1", "1.1", "1.1", "1.1", "1.0"), 50),
    ("proxy_pass_request_headers", ("off", "on"), 4),
    ("proxy_pass_request_body", ("off", "on"), 4),
    ("proxy_request_buffering", ("off", "on"), 3),
    ("client_max_body_size", ("2", "3", "0", "1k"), 4),
    ("absolute_redirect", ("off", "on"), 5),
    ("port_in_redirect", ("off", "on"), 5),
    ("server_name_in_redirect", ("on", "off"), 5),
    ("proxy_hide_header", ("X-B", "Date"), 3),
    ("proxy_intercept_errors", ("on",), 3),
    ("recursive_error_pages", ("on", "off"), 4),
    ("proxy_buffering", ("off",), 2),
    ("add_header", ("X-Y z",), 2),
    ("proxy_redirect", ("off",), 2),
    ("proxy_cache_bypass", ("$http_x_a",), 1),
    ("chunked_transfer_encoding", ("off",), 1),
    ("msie_padding", ("off",), 1),
    ("proxy_cache", ("cache", "cache", "off"), 3),
    ("proxy_cache_methods", ("POST",), 1),
    ("proxy_cache_convert_head", ("off",), 1),
    ("proxy_ssl_verify", ("off",), 1),
    ("proxy_send_timeout", ("9s",), 1),
    ("proxy_next_upstream", (Raw("error http_502"), "off"), 1),
)
_ADDRESS_RULES = (
    ("allow", "127.0.0.1"),
    ("deny", "127.0.0.2"),
    ("deny", "all"),
    ("allow", "all"),
    ("allow", "127.0.0.0/30"),
    ("deny", "127.0.0.0/31"),
    ("allow", "10.0.0.0/8"),
    ("deny", "::1"),
    ("deny", "unix:"),
)
_USUAL_FIELDS = (
    ("Upgrade", "$http_upgrade"),
    ("Connection", "upgrade"),
    ("Connection", "$http_connection"),
    ("Host", "$host"),
    ("Host", "$http_host"),
    ("Host", "$host:$server_port"),
    ("Host", ""),
    ("Connection", ""),
    ("X-Real-IP", "$remote_addr"),
    ("X-Forwarded-For", "$proxy_add_x_forwarded_for"),
)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(" ")) if " " in text else (text,)


def _declared() -> Node:
    """A place that is never reached, which makes every variable known to nginx."""
    lines = [node("set", f"${name}", "") for name in SET_VARIABLES]
    lines.append(node("if", Raw("($uri"), "~", "(?<n0__N__>never)", Raw(")"), block=[]))
    return node("location", "=", "/__declared", block=lines)


def draw_sample(seed: str, run_time: bool = False) -> Sample:
    """A sample.

    Args:
        seed: The same seed gives the same sample.
        run_time: Whether what only run time knows may stand in it.
    """
    drawing = Drawing(seed, run_time)
    http = tuple(drawing.http())
    servers = drawing.servers()
    servers = [drawing.with_subrequests(server) for server in servers]
    servers[0] = node("server", block=(*(servers[0].block or ()), _declared()))
    made = tuple(servers)
    return Sample(seed, http, made, draw_asks(drawing.dice, made), frozenset(drawing.needs), run_time)


def draw_preamble(seed: str) -> tuple[Node, ...]:
    """Directives at http level for a whole batch; often none."""
    drawing = Drawing(seed, False)
    dice = drawing.dice
    if dice.chance(40):
        return ()
    lines: list[Node] = []
    for name, values in _SERVER_FLAGS:
        if dice.chance(12):
            lines.append(node(name, dice.pick(values)))
    if dice.chance(40):
        lines += [node("proxy_set_header", *dice.pick(_USUAL_FIELDS)) for _ in range(dice.upto(3, 1))]
    if dice.chance(15):
        lines.append(node("proxy_http_version", "1.1"))
    if dice.chance(10):
        lines.append(node("error_page", 404, 403, "/b/"))
    if dice.chance(10):
        lines += [node("allow", "127.0.0.1"), node("deny", "127.0.0.2")]
    return tuple(lines)
