"""A fix for the running nginx: which one it is, what has to be proven, and the transaction."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from ws101.cli.inputs import Loaded
from ws101.cli.machine import Found, on_this_machine
from ws101.cli.writing import byte_changes, writable
from ws101.errors import NginxError
from ws101.fix import FixResult
from ws101.host.files import DiskFiles, os_path
from ws101.host.outcome import Outcome
from ws101.host.process import compiled
from ws101.host.proof import LiveProof, Measured, Watched, watch
from ws101.host.target import Target
from ws101.host.transaction import Transaction
from ws101.nginx.build import Build
from ws101.nginx.config import Config, Route, Scope
from ws101.nginx.trace import forward
from ws101.probes.handshake import ORDINARY, HandshakeOptions
from ws101.rules.base.urls import handshake_request

__all__ = ["ApplyOptions", "apply_fix", "changed_routes"]


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
    """

    urls: tuple[str, ...] = ()
    handshake: HandshakeOptions = ORDINARY
    require_101: bool = False
    unproven: bool = False
    test_command: tuple[str, ...] = ()
    reload_command: tuple[str, ...] = ()


def apply_fix(
    loaded: Loaded,
    result: FixResult,
    options: ApplyOptions,
    on_measured: Callable[[str, Watched, Measured], None] | None = None,
) -> tuple[Outcome, LiveProof]:
    """Back up, write, test, reload, prove; or put back.

    Raises:
        InputError: As `writable`.
        NginxError: If no nginx runs this configuration.
        ApplyError: If its program is hidden from us.
    """
    disk = writable(loaded, result)
    target = _target(loaded, disk, options)
    build = loaded.builds[0]
    aimed = changed_routes(loaded.config, result.config, build)
    watched = watch(result.config, build, aimed, options.urls)
    watched = tuple(replace(item, options=options.handshake) if item.aimed else item for item in watched)
    proof = LiveProof(watched, options.require_101, options.unproven, on_measured)
    digests = {path: hashlib.sha256(source.data).hexdigest() for path, source in loaded.config.sources.items()}
    title = "; ".join(dict.fromkeys(item.fix.title for item in result.applied))
    return Transaction(target, byte_changes(loaded, result), proof, title=title, loaded=digests).run(), proof


def _target(loaded: Loaded, disk: DiskFiles, options: ApplyOptions) -> Target:
    """The nginx that runs this configuration."""
    found = loaded.found or _running(disk.disk_name(loaded.config.path))
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
    before = dict(_handshakes(old, build))
    return tuple(route.location for route in new.routes() if _differs(before, new, route, build))


_Key = tuple[int, tuple[str, ...]]
_Arriving = tuple[object, float | None]


def _handshakes(config: Config, build: Build) -> Iterator[tuple[_Key, _Arriving]]:
    for route in config.routes():
        found = forward(route, handshake_request(), build) if route.handler is not None else None
        if found is not None:
            yield _key(config, route), (found.request, found.idle_timeout)


def _differs(before: Mapping[_Key, _Arriving], config: Config, route: Route, build: Build) -> bool:
    found = forward(route, handshake_request(), build) if route.handler is not None else None
    return found is not None and before.get(_key(config, route)) != (found.request, found.idle_timeout)


def _key(config: Config, route: Route) -> _Key:
    """A route's place: which server, and the blocks around it."""
    return config.servers.index(route.server), tuple(scope.title for scope in route.location.outward)
