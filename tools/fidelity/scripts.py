"""The rewrite module in drawn configurations: rewrite, set, if, break, return; error pages and redirects."""

from __future__ import annotations

from tools.fidelity import words
from tools.fidelity.conf import Node, Raw, node
from tools.fidelity.values import SET_VARIABLES, Values

__all__ = ["Scripts"]


class Scripts(Values):
    """Draws scripts."""

    def error_page(self) -> Node:
        """An error_page."""
        dice = self.dice
        codes = dice.some((400, 401, 403, 404, 405, 413, 418, 301, 302, 500, 502, 503, 494, 497, 415), 3, 1)
        override = dice.some(("=", "=200", "=302", "=101", "=404", "=451"), 1) if dice.chance(40) else []
        return node("error_page", *codes, *override, self.target(True))

    def target(self, external: bool) -> str:
        """Where an error_page or a try_files leads."""
        dice = self.dice
        if self.named and dice.chance(40):
            return dice.pick(self.named)
        if external and dice.chance(10):
            return dice.pick(("http://e.test/x", "https://e.test/$uri", "$arg_a"))
        return dice.pick(
            ("/", "/a", "/a/b?z=1", "/ws/", "/b/$uri", "/a?$args", "/\xe9/ x", "/e$request_uri", "@none", "/a%20b")
        )

    def returned(self) -> list[str]:
        """The arguments of a return."""
        dice = self.dice
        code = dice.pick(
            (
                "200",
                "204",
                "301",
                "302",
                "307",
                "308",
                "303",
                "403",
                "404",
                "418",
                "426",
                "444",
                "500",
                "400",
                "503",
                "101",
                "405",
                "413",
            )
        )
        if dice.chance(8):
            return [dice.pick(("http://e.test/$uri", "https://x", "$scheme://$host/z"))]
        if dice.chance(30):
            return [code]
        if code in ("301", "302", "303", "307", "308"):
            return [
                code,
                dice.pick(
                    ("/r", "/r$uri", "http://e.test/$request_uri", "https://$host/x?$args", "r", "", "//x", "$http_x_a")
                ),
            ]
        return [code, self.value(4)]

    # the rewrite module

    def script(self, level: str, depth: int) -> list[Node]:
        """rewrite, set, if, break, return."""
        dice = self.dice
        lines: list[Node] = []
        for _ in range(dice.upto(3, 1)):
            kind = dice.random.random()
            if kind < 0.35:
                lines.append(self.rewrite())
            elif kind < 0.6:
                name = dice.pick((*SET_VARIABLES, *SET_VARIABLES, "args"))
                lines.append(node("set", f"${name}", self.value()))
            elif kind < 0.85 and depth > 0:
                lines.append(self.condition(level))
            elif kind < 0.95:
                lines.append(node("break"))
            elif depth < 2:
                lines.append(node("return", *self.returned()))
        return lines

    def rewrite(self) -> Node:
        """A rewrite."""
        dice = self.dice
        pattern = dice.pick(
            (
                "^/a/(.*)$",
                "^/(.*)$",
                "^/(a|b)(.*)",
                "/b",
                "^/ws",
                "(?<n0__N__>[^/]*)$",
                "^",
                "x",
                "^/b/(.*)/(.*)$",
                " ",
                "\xe9",
            )
        )
        parts = (
            "/ws/$1",
            "/b/$1",
            "/new",
            "/a/b",
            "/$1?q=$2",
            "/$1?",
            "/a b/$1",
            "/x?a=$1&z",
            "$uri",
            "/$http_x_a",
            "/r/$n0__N__",
            "$1",
            "/w?",
            "/v?$args",
            "/c/$1?d=$1&e=$uri?",
            "http://e.test/$1",
            "https://$host$uri?x=$1",
            "$scheme://e.test/$1?",
            "/ws/$request_uri",
            "/%20/$1",
        )
        flag = [dice.pick(("last", "break", "redirect", "permanent"))] if dice.chance(60) else []
        return node("rewrite", pattern, dice.pick(parts), *flag)

    def condition(self, level: str) -> Node:
        """An if."""
        dice = self.dice
        body = self.script(level, 0) if dice.chance(55) else []
        if level == "location":
            if dice.chance(45):
                body.append(node("proxy_pass", self.url(with_uri=False)))
            if dice.chance(10):
                body.append(self.error_page())
        if dice.chance(10):
            body.append(node("return", *self.returned()))
        return node("if", *self.test(), block=body)

    def test(self) -> list[str]:
        """What stands between the parentheses of an if."""
        dice = self.dice
        name = f"${self.variable_for_if()}"
        if self.run_time and dice.chance(15):
            return [Raw(f"({dice.pick(('-f', '!-f', '-d', '-e', '!-e', '-x'))}"), "$request_filename.none", Raw(")")]
        kind = dice.random.random()
        if kind < 0.35:
            return [Raw(f"({name})")]
        if kind < 0.65:
            return [Raw(f"({name}"), dice.pick(("=", "!=")), self.value(2), Raw(")")]
        operator = dice.pick(("~", "~*", "!~", "!~*"))
        pattern = dice.pick(
            ("^a(.*)$", "(.)", "websocket", "^/(a)(b)?", "(?<n0__N__>[a-z]+)", "^$", "GET|HEAD", "test$")
        )
        return [Raw(f"({name}"), operator, pattern, Raw(")")]

    def variable_for_if(self) -> str:
        """A variable; never a capture, which an if does not take."""
        while True:
            name = self.variable()
            if not name.isdigit():
                return name

    def url(self, with_uri: bool) -> str:
        """A proxy_pass URL."""
        dice = self.dice
        where = dice.pick(("__B0__", "__B0__", "__B1__", *self.upstreams, *self.upstreams))
        if self.run_time and dice.chance(15):
            return dice.pick(_LOOKED_UP)
        if dice.chance(22):
            return self.url_with_variables(where)
        if dice.chance(6):
            return f"{dice.pick(('http', 'http', 'http', 'https'))}://unix:__SOCK__" + (
                dice.pick(("", ":/", ":/app", ":")) if with_uri else ""
            )
        scheme = "HTTP" if dice.chance(2) else "https" if dice.chance(4) else "http"
        return f"{scheme}://{where}" + (dice.pick(words.PATHS) if with_uri and dice.chance(55) else "")

    def url_with_variables(self, where: str) -> str:
        """A URL that is worked out for each request."""
        dice = self.dice
        return dice.pick(
            (
                f"http://{where}$uri",
                f"http://{where}$request_uri",
                f"http://{where}/v/$1",
                f"http://{where}/v/$1$is_args$args",
                f"http://{where}/fixed/$arg_none",
                f"http://{where}$arg_none",
                f"http://{where}?$args",
                f"$scheme://{where}",
                f"$scheme://{where}$uri",
                "http://$arg_b",
                "http://$arg_b/u/",
                "http://$http_x_a",
                "$v0__N__",
                "http://unix:__SOCK__:$uri",
                "http://unix:__SOCK__$arg_none",
                f"http://{where}$v1__N__",
                "http://$host.none",
            )
        )


_LOOKED_UP = (
    "http://$scheme.dns.test:__P0__",
    "http://$request_method.dns.test:__P0__$uri",
    "http://a.dns.test:__P1__/x/$1",
    "http://h$server_port.dns.test:__P0__/",
    "http://a.dns.test:__P0__$is_args$args",
    "https://a.dns.test:__P0__$arg_none",
)
"""URLs with a name that the harness's name server knows, if there is a resolver."""
