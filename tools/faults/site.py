"""A real nginx that answers ``old``, the change that makes it answer ``new``, and what must hold whatever happens."""

from __future__ import annotations

import contextlib
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ws101.host.binary import NginxBinary
from ws101.host.links import Content, Link
from ws101.host.outcome import Applied, Outcome, RolledBack, Verdict
from ws101.host.process import compiled, master_of
from ws101.host.recovery import Recovered, interrupted
from ws101.host.target import Target
from ws101.host.transaction import Transaction
from ws101.lab.nginx import Nginx, wrap
from ws101.lab.ports import free_ports

__all__ = ["Edits", "Measured", "Site", "Told", "ending", "restore", "running", "whole"]

Edits = dict[str, tuple[Content, Content]]


@dataclass
class Site:
    """A running nginx that answers ``old``, and the change that makes it answer ``new``.

    Args:
        nginx: The nginx.
        port: Where it listens.
        state: The state folder.
        target: The nginx as a change knows it.
        every: Of the moments at which a fault can strike, every how manieth is tried.
        by_links: Whether the change is made of symlinks: the site is turned off, and another one on.
    """

    nginx: Nginx
    port: int
    state: Path
    target: Target
    every: int = 1
    by_links: bool = False

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
        if self.by_links:
            return {
                self.path("enabled/b.conf"): (None, Link("../available/new.conf")),
                self.path("enabled/a.conf"): (Link("../available/old.conf"), None),
                self.path("enabled/c.conf"): (Link("../available/empty.conf"), Link("../available/none.conf")),
                self.path("available/new.conf"): (
                    None,
                    self.read("available/old.conf").replace(b"200 old", b"200 new"),
                ),
                self.path("available/none.conf"): (None, b"# none\n"),
            }
        return self.change("sites/site.conf", "200 old", "200 $answer") | {
            self.path("conf.d/map.conf"): (None, b"map $uri $answer { default new; }\n")
        }

    def run(self, edits: Edits, proof: object = None, **more: object) -> Outcome:
        arguments = {"state": self.state, "target": self.target, "proof": proof or Measured(self), **more}
        return Transaction(edits=edits, **arguments).run()  # type: ignore[arg-type]

    def contents(self) -> dict[str, bytes]:
        """Every configuration file and symlink, the leftovers included."""
        paths = [p for p in self.nginx.dir.rglob("*") if "conf" in p.name or "ws101" in p.name]
        files = [path for path in paths if path.is_symlink() or path.is_file()]
        return {str(path.relative_to(self.nginx.dir)): _content(path) for path in files}


_MARK = b"symlink to "
_MADE = ("enabled/b", "available/new", "available/none")


def _content(path: Path) -> bytes:
    return _MARK + str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()


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
def running(
    binary: NginxBinary, state: Path, more: str = "", main: str = "", *, by_links: bool = False
) -> Iterator[Site]:
    """The site on an nginx of its own, with further text at the http level and at the top level."""
    (port,) = free_ports(1)
    files = {
        "nginx.conf": wrap(
            "    include conf.d/*.conf; include sites/*.conf; include enabled/*.conf;\n" + more,
            binary=binary,
            main=main,
            events=_EVENTS,
        ),
        "conf.d/log.conf": "log_not_found off;\n",
        ("available/old.conf" if by_links else "sites/site.conf"): _SERVER.format(port=port),
        "available/empty.conf": "# empty\n",
    }
    nginx = Nginx(files, binary=binary)
    if by_links:
        (nginx.dir / "enabled").mkdir()
        for name, target in (("a.conf", "old.conf"), ("c.conf", "empty.conf")):
            (nginx.dir / "enabled" / name).symlink_to(f"../available/{target}")
    with nginx:
        master = master_of(nginx.pid)
        assert master is not None
        found = Target.of(master, compiled(binary.version_text))
        yield Site(nginx, port, state, found, by_links=by_links)


_SERVER = "server {{\n    listen 127.0.0.1:{port};\n    location / {{ return 200 old; }}\n}}\n"
_EVENTS = "worker_connections 4096;"


def restore(site: Site, before: dict[str, bytes]) -> None:
    """The old configuration, written and loaded by hand."""
    for name in site.contents().keys() - before.keys():
        (site.nginx.dir / name).unlink()
    for name, data in before.items():
        if not data.startswith(_MARK):
            site.nginx.rewrite(name, data)
        elif site.contents().get(name) != data:
            (site.nginx.dir / name).unlink(missing_ok=True)
            (site.nginx.dir / name).symlink_to(data.removeprefix(_MARK).decode())
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
    if state == "new" and site.by_links:
        assert now.keys() == before.keys() - {"enabled/a.conf"} | {f"{name}.conf" for name in _MADE}
        assert now["enabled/b.conf"] == _MARK + b"../available/new.conf"
        assert now["enabled/c.conf"] == _MARK + b"../available/none.conf"
    elif state == "new":
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
