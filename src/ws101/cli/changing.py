"""A change of the running nginx: which one it is, what has to be proven, what a reload touches, and the transaction."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace

from ws101.changes.pairing import pair_routes, pair_servers, same_text
from ws101.cli.inputs import Loaded
from ws101.cli.machine import Found, on_this_machine, stale_files
from ws101.cli.writing import byte_changes, writable
from ws101.errors import NginxError
from ws101.fix import FixResult
from ws101.host.connections import connections_of
from ws101.host.files import DiskFiles, os_path
from ws101.host.process import compiled
from ws101.host.proof import LiveProof, Measured, Watched, gone, meant, watch
from ws101.host.target import Target
from ws101.host.transaction import Changes, Transaction
from ws101.lazy import dataclass
from ws101.nginx.build import Build
from ws101.nginx.config import Config, Route, Scope
from ws101.nginx.trace import forward
from ws101.probes.handshake import ORDINARY, HandshakeOptions
from ws101.report.terminal.plan import Reach
from ws101.rules.base.urls import handshake_request

__all__ = ["ApplyOptions", "Change", "Ready", "change_of", "changed_routes", "get_ready"]


@dataclass(frozen=True, slots=True)
class ApplyOptions:
    """How a fix is applied.

    Args:
        urls: The addresses that must work afterwards.
        handshake: How their handshakes are made.
        require_101: Accept nothing but a 101.
        unproven: Go on although a backend does not answer.
        test_command: Instead of ``nginx -t``.
        reload_command: Instead of a signal or systemd.
        accept_gap: Go on where no order of writing keeps nginx able to start at every moment.
    """

    urls: tuple[str, ...] = ()
    handshake: HandshakeOptions = ORDINARY
    require_101: bool = False
    unproven: bool = False
    test_command: tuple[str, ...] = ()
    reload_command: tuple[str, ...] = ()
    accept_gap: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """A change to make.

    Args:
        loaded: The configuration as it is.
        config: As it will be.
        disk: Where its files lie.
        edits: What is there before and afterwards, by file name.
        title: What it is, for the history.
        own: Whether it is our own fix: then no other request may be answered otherwise; else the model says which may.
    """

    loaded: Loaded
    config: Config
    disk: DiskFiles
    edits: Changes
    title: str
    own: bool = True


@dataclass(frozen=True, slots=True)
class Ready:
    """A change that only has to be confirmed: its transaction, its proof, and what its reload touches."""

    transaction: Transaction
    proof: LiveProof
    reach: Reach


def change_of(loaded: Loaded, result: FixResult) -> Change:
    """The change that fixes are.

    Raises:
        InputError: As `writable`.
    """
    title = "; ".join(dict.fromkeys(item.fix.title for item in result.applied))
    return Change(loaded, result.config, writable(loaded, result), byte_changes(loaded, result), title)


def get_ready(
    change: Change,
    options: ApplyOptions,
    on_measured: Callable[[str, Watched, Measured], None] | None = None,
) -> Ready:
    """Find the nginx, and what has to be proven.

    Raises:
        NginxError: If no nginx runs this configuration.
        ApplyError: If its program is hidden from us.
    """
    loaded = change.loaded
    found = loaded.found or _running(change.disk.disk_name(loaded.config.path))
    target = _target(loaded, change.disk, options, found)
    build = loaded.builds[0]
    beside = () if change.own else _touched(loaded.config, change.config)
    aimed = changed_routes(loaded.config, change.config, build)
    watched = watch(change.config, build, aimed, options.urls, beside=beside)
    if not change.own:
        urls = {item.endpoint.url for item in watched}
        lost = [item for item in gone(loaded.config, change.config, build) if item.endpoint.url not in urls]
        watched = (*meant(watched, loaded.config, change.config, build), *lost)
    watched = tuple(replace(item, options=options.handshake) if item.aimed else item for item in watched)
    proof = LiveProof(watched, options.require_101, options.unproven, on_measured)
    digests = {path: hashlib.sha256(source.data).hexdigest() for path, source in loaded.config.sources.items()}
    transaction = Transaction(
        target, change.edits, proof, title=change.title, loaded=digests, accept_gap=options.accept_gap
    )
    return Ready(transaction, proof, _reach(loaded.config, target, found))


def _reach(config: Config, target: Target, found: Found | None) -> Reach:
    """What a reload touches; the files tell what runs only if none was changed since it was loaded."""
    open_now = connections_of(target.master.pid) if target.master is not None else None
    placed = config.main.first("worker_shutdown_timeout")
    stale = found is None or found.master is None or bool(stale_files(found, config))
    return Reach(
        open_now.clients if open_now else None,
        open_now.backends if open_now else None,
        placed.args[0] if placed is not None and placed.args else "",
        not stale,
    )


def _target(loaded: Loaded, disk: DiskFiles, options: ApplyOptions, found: Found | None) -> Target:
    """The nginx that runs this configuration."""
    test, reload = options.test_command, options.reload_command
    if found is not None and found.master is not None:
        target = Target.of(found.master, compiled(found.binary.version_text))
        return replace(target, main=loaded.config.path, roots=disk.roots, test_command=test, reload_command=reload)
    if not options.reload_command:
        raise NginxError(
            "no nginx that runs this configuration was found",
            where=loaded.config.path,
            help="start it, name the main file that it runs, say --reload-command, or only edit the files with --write",
        )
    binary = loaded.subject.program or (found.binary.path if found else "")
    return Target(loaded.config.path, binary, roots=disk.roots, test_command=test, reload_command=reload)


def _running(main: str) -> Found | None:
    """The running nginx whose main file is this one."""
    wanted = _real(main)
    return next((f for f in on_this_machine() if f.master is not None and _real(f.conf) == wanted), None)


def _real(path: str) -> bytes:
    return os.path.realpath(os_path(path))


def changed_routes(old: Config, new: Config, build: Build) -> tuple[Scope, ...]:
    """The locations of the new configuration whose handshake or idle timeout differs from the old one's."""
    pairs = (pair for servers in pair_servers(old, new) for pair in pair_routes(*servers))
    found = ((pair.new, _handshake(pair.new, build), _handshake(pair.old, build)) for pair in pairs)
    return tuple(route.location for route, now, before in found if route is not None and now not in (None, before))


def _touched(old: Config, new: Config) -> tuple[Scope, ...]:
    """The servers of the new configuration that say something else; all of them where none does."""
    found = [other for one, other in pair_servers(old, new) if other and (one is None or not same_text(one, other))]
    return tuple(found) or new.servers


def _handshake(route: Route | None, build: Build) -> tuple[object, float | None] | None:
    """What arrives of a handshake, and how long its tunnel may be silent; None if nothing is forwarded."""
    found = forward(route, handshake_request(), build) if route is not None and route.handler is not None else None
    return (found.request, found.idle_timeout) if found is not None else None
