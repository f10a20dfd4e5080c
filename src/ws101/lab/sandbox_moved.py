"""Where the parts of a configuration were moved to, and back: listeners, backends, names of files.

One ``Moved`` belongs to one sandbox.  It hands out the places, remembers what each stands for, and puts the user's own
words back into whatever comes out of the sandbox: recorded requests, answers, nginx's messages.
"""

from __future__ import annotations

import re
import socket
from pathlib import Path

from ws101.errors import InputError
from ws101.lab.ports import LOOPBACK, free_ports
from ws101.lab.sandbox_backends import Recorders
from ws101.lab.sandbox_client import Door
from ws101.nginx.servers import Group, Socket

__all__ = ["Moved"]

_LOOPBACK6 = "::1"
_MOST_LISTENERS = 400
_MOST_BACKENDS = 250
_ADDRESS = re.compile(r"(?:127\.0\.0\.1|\[::1\]):(\d{1,5})(?!\d)", re.ASCII)
_PORT = re.compile(r"(?<![\d.])(\d{4,5})(?!\d)", re.ASCII)


class Moved:
    """The places of one sandbox.

    Args:
        folder: The sandbox's folder.
        recorders: What listens in the backends' place.

    Attributes:
        nowhere: A loopback port on which nobody listens.
        backends: The ports of each upstream address, by what the configuration says.
    """

    def __init__(self, folder: Path, recorders: Recorders) -> None:
        self.folder = folder
        self.backends: dict[str, int] = {}
        self.has_ipv6 = _has_ipv6()
        (self.nowhere,) = free_ports(1)
        self._recorders = recorders
        self._places: dict[Socket, Socket] = {}
        self._back: dict[int, str] = {self.nowhere: "nowhere"}
        self._ports: dict[str, str] = {}
        self._files: dict[str, str] = {}
        self._shared = 0

    def listener(self, at: Socket) -> Socket:
        """Where a listening address is moved to: equal ones to one place, different ones to different places.

        Raises:
            InputError: There are more addresses than can be moved.
        """
        if at not in self._places:
            if len(self._places) >= _MOST_LISTENERS:
                raise InputError(
                    f"the configuration listens on more than {_MOST_LISTENERS} addresses",
                    help="try a part of it, for example one site",
                )
            self._places[at] = self._new_place(at)
        return self._places[at]

    @property
    def listeners(self) -> int:
        """How many addresses were moved."""
        return len(self._places)

    def _new_place(self, at: Socket) -> Socket:
        if at.unix is not None:
            place = Socket("", None, str(self.folder / f"listen{len(self._places)}"))
            self._files[place.unix or ""] = at.unix
            return place
        six = ":" in at.address and self.has_ipv6
        port = _free6() if six else free_ports(1)[0]
        self._back[port] = str(at)
        self._ports[str(port)] = str(at.port)
        return Socket(_LOOPBACK6 if six else LOOPBACK, port)

    def door(self, group: Group) -> Door:
        """How a client reaches a listener now."""
        place = self.listener(group.socket)
        port, unix = place.port or 0, place.unix or ""
        return Door(place.address, port, unix, group.ssl, group.proxy_protocol)

    def backend(self, original: str) -> str:
        """The recording backend's address that stands for a backend; equal names get one place.

        Args:
            original: As requests name it: ``app:3000``, ``unix:/run/app.sock``.
        """
        if original not in self.backends:
            if len(self.backends) >= _MOST_BACKENDS:
                self._shared = self._shared or self._recorders.open()
                self.backends[original] = self._shared
                self._back.setdefault(self._shared, "a backend")
            else:
                port = self.backends[original] = self._recorders.open()
                self._back[port] = original
        return f"{LOOPBACK}:{self.backends[original]}"

    def stands_for(self, port: int, name: str) -> None:
        """Say how requests name the backend at a port, where that differs from its address."""
        if port != self._shared:
            self._back[port] = name

    def file(self, staged: str, original: str) -> None:
        """Remember which of the user's files a staged one stands for."""
        self._files[staged] = original

    def original(self, text: str) -> str:
        """A text out of the sandbox with the user's own addresses, ports and file names in it."""
        for staged in sorted(self._files, key=len, reverse=True):
            text = text.replace(staged, self._files[staged])
        text = text.replace(f"{self.folder}/", "")
        text = _ADDRESS.sub(lambda found: self._back.get(int(found[1]), found[0]), text)
        return _PORT.sub(lambda found: self._ports.get(found[1], found[0]), text)


def _has_ipv6() -> bool:
    try:
        _free6()
    except OSError:
        return False
    return True


def _free6() -> int:
    """A port on ::1 that nobody listens on."""
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
        sock.bind((_LOOPBACK6, 0))
        return int(sock.getsockname()[1])
