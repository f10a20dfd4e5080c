"""Values of drawn configurations: texts with variables, and the tables that define some of them."""

from __future__ import annotations

from tools.fidelity import words
from tools.fidelity.conf import Node, node
from tools.fidelity.words import Dice

__all__ = ["NAMED_CAPTURES", "SET_VARIABLES", "Values"]

_NAME_CHARS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
SET_VARIABLES = ("v0__N__", "v1__N__")
NAMED_CAPTURES = ("n0__N__",)


class Values:
    """Draws values, and what they are made of."""

    def __init__(self, seed: str, run_time: bool) -> None:
        self.dice = Dice(seed)
        self.run_time = run_time
        self.maps: list[str] = []
        self.upstreams: list[str] = []
        self.named: list[str] = []
        self.needs: set[str] = set()

    # values

    def variable(self) -> str:
        """A variable's name."""
        dice = self.dice
        if self.run_time and dice.chance(12):
            return dice.pick(words.RUN_TIME_VARIABLES)
        if self.maps and dice.chance(25):
            return dice.pick(self.maps)
        if dice.chance(12):
            return dice.pick(SET_VARIABLES + NAMED_CAPTURES)
        return dice.pick(words.VARIABLES)

    def value(self, most: int = 3) -> str:
        """A text with variables."""
        dice = self.dice
        if dice.chance(30):
            return dice.pick(words.VALUES)
        parts = [
            f"${self.variable()}" if dice.chance(65) else dice.pick(words.VALUES) for _ in range(dice.upto(most, 1))
        ]
        return _joined([part for part in parts if part], dice)

    # http level

    def http(self) -> list[Node]:
        """Maps, geo, split_clients, upstreams."""
        dice = self.dice
        found = [self.map(f"m{at}__N__") for at in range(dice.upto(3) if dice.chance(60) else 0)]
        if dice.chance(5):
            found.append(self.geo())
        if dice.chance(4):
            found.append(self.split())
        return found + [self.upstream(f"up{at}__N__") for at in range(dice.upto(2) if dice.chance(50) else 0)]

    def map(self, name: str) -> Node:
        """A map; its source may be an earlier one."""
        dice = self.dice
        source = (
            self.value(2)
            if dice.chance(40)
            else f"${dice.pick(('http_upgrade', 'http_x_a', 'arg_a', 'host', 'uri', 'http_connection'))}"
        )
        lines: list[Node] = []
        wildcards = dice.chance(30)
        if wildcards:
            lines.append(node("hostnames"))
        if dice.chance(10):
            lines.append(node("volatile"))
        keys = dice.some((*words.KEYS, *(words.WILDCARDS if wildcards else ())), 5)
        keys += dice.some(words.MAP_REGEXES, 2)
        if dice.chance(60):
            keys.append("default")
        dice.random.shuffle(keys)
        seen: set[str] = set()
        for key in keys:
            if key.lower() in seen or (key.lstrip(".") in seen):
                continue
            seen |= {key.lower(), key.lstrip(".")}
            escaped = key == "hostnames" or (key == "default" and dice.chance(15))
            lines.append(node(f"\\{key}" if escaped else key, self.map_value()))
        self.maps.append(name)
        return node("map", source, f"${name}", block=lines)

    def map_value(self) -> str:
        """What a map gives."""
        dice = self.dice
        if dice.chance(65):
            return dice.pick(words.VALUES)
        if dice.chance(50):
            return dice.pick(("$1", "v:$1", "$n0__N__", "$http_upgrade", "$1$2"))
        return self.value(2)

    def geo(self) -> Node:
        """A geo block."""
        dice = self.dice
        self.needs.add("http_geo")
        name = "g0__N__"
        lines = [node("default", "D")] if dice.chance(70) else []
        if dice.chance(15):
            lines.insert(0, node("ranges"))
            nets = ["127.0.0.0-127.0.0.1", "127.0.0.2-127.0.0.9", "1.0.0.0-3.0.0.0", "10.0.0.0-10.255.255.255"]
        else:
            nets = ["127.0.0.0/8", "127.0.0.1", "127.0.0.0/31", "10.0.0.0/8", "0.0.0.0/0", "127.0.0.2/32", "1.1.1.1"]
            lines += [node("delete", "127.0.0.1")] if dice.chance(20) else []
        lines += [node(net, dice.pick(("L", "M", "N"))) for net in dice.some(nets, 4, 1)]
        if dice.chance(25):
            lines += [node("proxy", net) for net in dice.some(("127.0.0.0/8", "127.0.0.1", "1.1.1.1"), 2, 1)]
            lines += [node("proxy_recursive")] if dice.chance(50) else []
        self.maps.append(name)
        source = [] if dice.chance(60) else [f"${dice.pick(('arg_a', 'http_x_a', 'remote_addr'))}"]
        return node("geo", *source, f"${name}", block=lines)

    def split(self) -> Node:
        """A split_clients block."""
        dice = self.dice
        self.needs.add("http_split_clients")
        name = "s0__N__"
        source = self.value(2) or "x"
        self.maps.append(name)
        lines = [node("33.3%", "one"), node("20%", "two")] + ([node("*", "rest")] if dice.chance(60) else [])
        return node("split_clients", source, f"${name}", block=lines)

    def upstream(self, name: str) -> Node:
        """An upstream block: one or more peers, with every way to choose among them."""
        dice = self.dice
        method = dice.pick(_METHODS) if dice.chance(25) else ()
        lines = [node("server", dice.pick(("__B0__", "__B1__")), *(dice.some(_OF_PEERS, 2) if dice.chance(25) else ()))]
        if dice.chance(30):
            backup = ("backup",) if method[:1] in ((), ("least_conn",)) else ()
            lines.append(node("server", "__B2__", *dice.some((*backup, *_OF_PEERS), 1)))
        if dice.chance(10):
            lines.append(node("server", "__B1__" if lines[0].args[0] == "__B0__" else "__B0__", "down"))
        if dice.chance(15):
            lines.append(node("server", "unix:__SOCK__"))
        if dice.chance(4):
            lines = [node("server", line.args[0], "down") for line in lines]
        if method[:1] == ("sticky",):
            self.needs.add("1.29.6")
        lines = [node(*method), *lines] if method else lines
        if dice.chance(10):
            lines.append(node("zone", name, "128k"))
        elif self.run_time and dice.chance(20):
            self.needs.add("1.27.3")
            lines += [node("zone", name, "128k"), node("resolver", "__DNS__", "ipv6=off")]
            lines.append(node("server", "peer.dns.test:__P1__", "resolve"))
        if dice.chance(30):
            lines += self.keepalive()
        self.upstreams.append(name)
        return node("upstream", name, block=lines)

    def keepalive(self) -> list[Node]:
        """Idle connections to an upstream."""
        dice = self.dice
        if dice.chance(15):
            self.needs.add("1.29.7")
            return [node("keepalive", "0")]
        more = (("keepalive_requests", "5"), ("keepalive_timeout", "9s"), ("keepalive_time", "1h"))
        return [node("keepalive", "2"), *(node(*pair) for pair in dice.some(more, 1))]


_OF_PEERS = ("weight=2", "weight=5", "max_fails=0", "fail_timeout=1s", "max_conns=9")
_METHODS: tuple[tuple[str, ...], ...] = (
    ("ip_hash",),
    ("least_conn",),
    ("hash", "$uri"),
    ("hash", "$http_x_a$args", "consistent"),
    ("random",),
    ("random", "two"),
    ("random", "two", "least_conn"),
    ("sticky", "cookie", "peer"),
)


def _joined(parts: list[str], dice: Dice) -> str:
    """Parts joined so that no variable's name runs into what follows it."""
    out: list[str] = []
    for at, part in enumerate(parts):
        after = parts[at + 1] if at + 1 < len(parts) else ""
        is_name = part.startswith("$") and not part[1:].isdigit()
        if is_name and ((after and after[0] in _NAME_CHARS) or dice.chance(10)):
            out.append("${" + part[1:] + "}")
        elif part.startswith("$") and part[1:].isdigit() and after and after[0] in _NAME_CHARS:
            out.append(part + "-")
        else:
            out.append(part)
    return "".join(out)
