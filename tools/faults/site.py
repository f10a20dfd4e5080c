"""A real nginx that answers ``old``, the change that makes it answer ``new``, and what must hold whatever happens."""

from __future__ import annotations

import contextlib
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ws101.host.binary import NginxBinary
from ws101.host.outcome import Applied, Outcome, RolledBack, Verdict
from ws101.host.process import compiled, master_of
from ws101.host.recovery import Recovered, interrupted
from ws101.host.target import Target
from ws101.host.transaction import Transaction
from ws101.lab.nginx import Nginx, wrap
from ws101.lab.ports import free_ports

__all__ = ["Edits", "Measured", "Site", "Told", "ending", "restore", "running", "whole"]

Edits = dict[str, tuple[bytes | None, bytes | None]]


@dataclass
class Site:
    """A running nginx that answers ``old``, and the change that makes it answer ``new``.

    Args:
        nginx: The nginx.
        port: Where it listens.
        state: The state folder.
        target: The nginx as a change knows it.
        every: Of the moments at which a fault can strike, every how manieth is tried.
    """

    nginx: Nginx
    port: int
    state: Path
    target: Target
    every: int = 1

    def path(self, name: str) -> str:
        return str(self.nginx.dir / name)

    def read(self, name: str) -> bytes:
        return (self.nginx.dir / name).read_bytes()

    def answer(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5) as response:
            return str(response.read().decode())

    def change(self, name: str, old: str, new: str) -> Edits:
        before = self.read(name)
        assert old.encode() in before
        return {self.path(name): (before, before.replace(old.encode(), new.encode()))}

    @property
    def good(self) -> Edits:
        """The users come first here, so the order has to be found."""
        return self.change("sites/site.conf", "200 old", "200 $answer") | {
            self.path("conf.d/map.conf"): (None, b"map $uri $answer { default new; }\n")
        }

    def run(self, edits: Edits, proof: object = None, **more: object) -> Outcome:
        arguments = {"state": self.state, "target": self.target, "proof": proof or Measured(self), **more}
        return Transaction(edits=edits, **arguments).run()  # type: ignore[arg-type]

    def contents(self) -> dict[str, bytes]:
        """Every configuration file, the leftovers included."""
        paths = [p for p in self.nginx.dir.rglob("*") if p.is_file() and ("conf" in p.name or "ws101" in p.name)]
        return {str(path.relative_to(self.nginx.dir)): path.read_bytes() for path in paths}


class Measured:
    """A proof that asks the site itself."""

    def __init__(self, site: Site, wanted: str = "new", then: Callable[[], object] = lambda: None) -> None:
        self.site, self.wanted, self.then = site, wanted, then
        self.was = self.site.answer()

    def before(self) -> Verdict:
        return Verdict(self.site.answer() == self.was, "answers as before")

    def after(self) -> Verdict:
        found = self.site.answer()
        self.then()
        return Verdict(found == self.wanted, f"it answers {found}")

    def after_rollback(self) -> Verdict:
        return Verdict(self.site.answer() == self.was, "answers as before")


@dataclass
class Told:
    """A proof that says what it is told to."""

    first: Callable[[], object] = lambda: None
    go: bool = True
    keep: bool = True

    def before(self) -> Verdict:
        self.first()
        return Verdict(self.go, "told so")

    def after(self) -> Verdict:
        return Verdict(self.keep, "told so")

    def after_rollback(self) -> Verdict:
        return Verdict(True, "told so")


@contextlib.contextmanager
def running(binary: NginxBinary, state: Path, more: str = "", main: str = "") -> Iterator[Site]:
    """The site on an nginx of its own, with further text at the http level and at the top level."""
    (port,) = free_ports(1)
    files = {
        "nginx.conf": wrap(
            "    include conf.d/*.conf; include sites/*.conf;\n" + more, binary=binary, main=main, events=_EVENTS
        ),
        "conf.d/log.conf": "log_not_found off;\n",
        "sites/site.conf": f"server {{\n    listen 127.0.0.1:{port};\n    location / {{ return 200 old; }}\n}}\n",
    }
    with Nginx(files, binary=binary) as nginx:
        master = master_of(nginx.pid)
        assert master is not None
        yield Site(nginx, port, state, Target.of(master, compiled(binary.version_text)))


_EVENTS = "worker_connections 4096;"


def restore(site: Site, before: dict[str, bytes]) -> None:
    """The old configuration, written and loaded by hand."""
    for name in site.contents().keys() - before.keys():
        (site.nginx.dir / name).unlink()
    for name, data in before.items():
        site.nginx.rewrite(name, data)
    site.nginx.hang_up()
    site.nginx.wait_reloaded()


def whole(site: Site, before: dict[str, bytes], done: tuple[Recovered, ...] = ()) -> str:
    """The change is there completely or not at all, nginx accepts it and runs it, and nothing is left over.

    Returns:
        ``old`` or ``new``; afterwards the site is the old one again.
    """
    assert not [one for one in done if one.trouble], done
    accepted, said = site.nginx.test()
    assert accepted, said
    now = site.contents()
    assert not [name for name in now if "ws101" in name]
    state = "old" if now == before else "new"
    if state == "new":
        assert now.keys() == before.keys() | {"conf.d/map.conf"}
        assert b"$answer" in now["sites/site.conf"]
    assert site.answer() == state
    assert interrupted(site.state) == ()
    if state == "new":
        restore(site, before)
    return state


def ending(outcome: Outcome) -> str:
    """How a change ended, in a few words."""
    if isinstance(outcome, Applied):
        return "applied"
    if isinstance(outcome, RolledBack):
        return "put back" if outcome.restored else "put back, and said what could not be"
    return "nothing changed"
