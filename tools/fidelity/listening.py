"""Where drawn servers listen: addresses, unix sockets, TLS, HTTP/2, the PROXY protocol; whose address is believed."""

from __future__ import annotations

from tools.fidelity.conf import Node, node
from tools.fidelity.scripts import Scripts

__all__ = ["Listening"]

_OWN = "__ADDR__:__PORT__"
_FLAGS = (("http2", 1.5), ("proxy_protocol", 3))


class Listening(Scripts):
    """Draws listen directives, and what belongs to connections."""

    def listens(self, defaults: set[str]) -> list[Node]:
        """Where a server listens.

        Args:
            defaults: The addresses that have a default server already; added to.
        """
        dice = self.dice
        lines: list[Node] = []
        for address in dict.fromkeys(self.addresses()):
            flags: list[str] = []
            if address not in defaults and dice.chance(12):
                defaults.add(address)
                flags = ["default_server"]
            if "__TLS__" in address and dice.chance(85):
                flags.append("ssl")
            if "__WILD__" not in address:
                flags += [flag for flag, percent in _FLAGS if dice.chance(percent)]
            lines.append(node("listen", address, *flags))
        return lines + self.connection(any("__TLS__" in line.args[0] for line in lines))

    def addresses(self) -> list[str]:
        """The addresses of a server."""
        dice = self.dice
        if dice.chance(82):
            return [_OWN]
        if dice.chance(60):
            return dice.some((_OWN, "__ADDR__:__TLS__", "__ADDR__:__TLS__", "unix:__UNIX__"), 2, 1)
        return dice.some((_OWN, dice.pick(("*:__WILD__", "__WILD__", "0.0.0.0:__WILD__")), "__ADDR__:__WILD__"), 3, 1)

    def connection(self, tls: bool) -> list[Node]:
        """Settings of a server's connections."""
        dice = self.dice
        lines: list[Node] = []
        if tls and dice.chance(12):
            lines.append(node("ssl_verify_client", "optional_no_ca"))
        if tls and dice.chance(5):
            lines.append(node("ssl_reject_handshake", "on"))
        if dice.chance(1.5):
            self.needs.add("1.25.1")
            lines.append(node("http2", "on"))
        return lines

    def real_address(self) -> list[Node]:
        """Who may say what the client's address is, and in which field."""
        dice = self.dice
        self.needs.add("http_realip")
        who = ("127.0.0.1", "127.0.0.0/8", "127.0.0.2", "0.0.0.0/0", "10.0.0.0/8", "unix:", "1.1.1.1")
        lines = [node("set_real_ip_from", text) for text in dice.some(who, 2, 1)]
        if dice.chance(75):
            fields = ("X-Forwarded-For", "X-Forwarded-For", "X-Real-IP", "proxy_protocol", "X-A", "x_a")
            lines.append(node("real_ip_header", dice.pick(fields)))
        if dice.chance(40):
            lines.append(node("real_ip_recursive", dice.pick(("on", "on", "off"))))
        return lines
