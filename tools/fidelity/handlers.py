"""Who answers in drawn locations: proxies of every protocol, and the backends of subrequests."""

from __future__ import annotations

from tools.fidelity.conf import Node, Raw, node
from tools.fidelity.listening import Listening

__all__ = ["Handlers"]

_OTHERS = (
    ("fastcgi_pass", "", "http_fastcgi"),
    ("uwsgi_pass", "", "http_uwsgi"),
    ("uwsgi_pass", "uwsgi://", "http_uwsgi"),
    ("scgi_pass", "", "http_scgi"),
    ("grpc_pass", "grpc://", "http_grpc"),
    ("grpc_pass", "", "http_grpc"),
)


class Handlers(Listening):
    """Draws what hands requests to backends."""

    def handler(self, with_uri: bool) -> Node:
        """A proxy_pass; seldom its kin of another protocol."""
        dice = self.dice
        if not dice.chance(1.5):
            return node("proxy_pass", self.url(with_uri=with_uri))
        name, scheme, module = dice.pick(_OTHERS)
        self.needs.add(module)
        where = dice.pick(("__B0__", "__B1__", "unix:__SOCK__", *self.upstreams))
        return node(name, scheme + where)

    def asking(self) -> list[Node]:
        """What sends subrequests."""
        dice = self.dice
        lines: list[Node] = []
        if dice.chance(2.5):
            lines.append(node("auth_request", dice.pick(("/__auth", "/__auth", "/__auth", "off"))))
        if dice.chance(0.6):
            self.needs.add("http_mirror")
            lines.append(node("mirror", dice.pick(("/__mirror", "/__mirror", "/__mirror", "off"))))
            if dice.chance(30):
                lines.append(node("mirror_request_body", "off"))
        return lines

    def asked(self, name: str, settings: list[Node]) -> Node:
        """A location that answers subrequests.

        Args:
            name: Its URI.
            settings: What else stands in it.
        """
        dice = self.dice
        lines = [node("internal")] if dice.chance(80) else []
        lines += settings
        if dice.chance(35):
            lines.append(node("proxy_pass_request_body", "off"))
            lines.append(node("proxy_set_header", "Content-Length", ""))
        if dice.chance(20):
            code = dice.pick(("200", "204", "204", "401", "403", "404", "302", "500"))
            lines.append(node("return", code, *(["/x"] if code == "302" else [])))
        else:
            paths = ("", "", "", "/", "/sub", "$request_uri", "/s$uri")
            lines.append(node("proxy_pass", "http://__SUB__" + dice.pick(paths)))
        return node("location", "=", name, block=lines)

    def limits(self) -> list[Node]:
        """Limits that are there but never reached."""
        dice = self.dice
        lines = [node("limit_conn", Raw("clients 1000"))] if dice.chance(1) else []
        return lines + ([node("limit_req", Raw("zone=rate burst=1000 nodelay"))] if dice.chance(1) else [])
