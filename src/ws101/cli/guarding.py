"""What ``seal`` and ``drift`` share: where modules lie, reading and writing manifests."""

from __future__ import annotations

import gc
import os
import posixpath
import sys
from pathlib import Path

from ws101.changes import Comparison, compare_configs
from ws101.cli.inputs import Inputs
from ws101.cli.machine import installed, on_this_machine
from ws101.errors import InputError, UsageError
from ws101.host.binary import find_nginx
from ws101.host.files import MAX_BYTES, DiskFiles, name_of, os_path, read_regular
from ws101.host.journal import state_folder
from ws101.host.loaded import running
from ws101.host.process import Master, compiled
from ws101.host.recall import SealedFiles, cut_short
from ws101.host.sealing import Survey, find_drift
from ws101.host.writing import write_atomic
from ws101.lazy import dataclass
from ws101.manifest import Change, Drift, Manifest, Running, compare, is_manifest, parse_manifest
from ws101.nginx.config import Config
from ws101.report.texts import joined
from ws101.text import printable

__all__ = [
    "Asked",
    "Found",
    "Meaning",
    "between",
    "check_signature",
    "looks_like_manifest",
    "on_disk",
    "prefix_of",
    "read_manifest",
    "write_manifest",
]


def prefix_of(given: str | None, roots: tuple[str, ...], nginx: str | None) -> str | None:
    """nginx's prefix: as told, else that of the program named, else of the one installed here; None if unknown.

    Raises:
        NginxError: If the program named is not nginx.
    """
    if given is not None:
        return given
    if roots and nginx is None:  # a copy of another machine: what is installed here says nothing
        return None
    binary = find_nginx(nginx) if nginx is not None else installed()
    return compiled(binary.version_text).prefix if binary is not None else None


def read_manifest(path: str) -> tuple[Manifest, bytes]:
    """Read a manifest, and the bytes it was read from.

    Raises:
        InputError: It cannot be read, or is none.
    """
    data = _read(path)
    return parse_manifest(data.decode("latin-1"), where=printable(name_of(path))), data


def check_signature(
    manifest: str, data: bytes, signers: str | None, identity: str | None, signature: str | None
) -> str:
    """What ssh-keygen says of the signature; empty if it was not to be checked.

    Raises:
        UsageError: Only some of the options were given.
        InputError: It is not good.
    """
    if signers is None and identity is None and signature is None:
        return ""
    if signers is None or identity is None:
        raise UsageError(
            "--allowed-signers and --identity belong together", help="who may sign, and who must have signed"
        )
    from ws101.host.signing import verify

    return verify(manifest, data, signers, identity, signature)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a manifest is to be compared with.

    Args:
        manifest: The manifest's path.
        conf: The configuration's path; None for the one that the manifest names.
        inputs: How to read it.
        prefix: nginx's prefix, as told.
        disk_only: Whether to leave the running nginx aside.
        before: A folder with a copy of the sealed configuration; empty if there is none.
    """

    manifest: str
    conf: str | None
    inputs: Inputs
    prefix: str | None = None
    disk_only: bool = False
    before: str = ""

    def main(self, old: Manifest) -> tuple[DiskFiles, str]:
        """The disk and the main file.

        Raises:
            UsageError: Neither the command line nor the manifest says where it lies.
        """
        if self.conf is not None:
            return self.inputs.main_file(self.conf)
        if old.folder:
            return self.inputs.main_file(os.fsdecode(os_path(posixpath.join(old.folder, old.main))))
        raise UsageError(
            "the manifest does not say where the configuration lies", help="name it: ws101 drift MANIFEST CONF"
        )


@dataclass(frozen=True, slots=True)
class Meaning:
    """What changes mean for routes.

    Args:
        comparison: The sealed configuration against the one on the disk; None if that is not known.
        unknown: Why it is not known.
    """

    comparison: Comparison | None
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What came of comparing.

    Args:
        drift: What has changed.
        compared: What the manifest was compared with, for people.
        meaning: What that means for routes; None if nothing was changed that routes depend on.
    """

    drift: Drift
    compared: str
    meaning: Meaning | None = None


def on_disk(old: Manifest, asked: Asked) -> Found:
    """Compare a manifest with the disk, and the disk with the nginx that runs.

    Raises:
        UsageError: Nobody says where the configuration lies.
    """
    disk, main = asked.main(old)
    prefix = prefix_of(asked.prefix, asked.inputs.roots, asked.inputs.nginx)
    found, changes = find_drift(old, disk, main, prefix=prefix)
    folder = posixpath.dirname(main)
    sealed = SealedFiles(disk, folder, old, found.manifest, before=asked.before, state=state_folder())
    changes = cut_short(changes, sealed)
    meaning = _meaning(sealed, disk, posixpath.join(folder, old.main), main, asked) if _matters(changes) else None
    run, why = (None, "") if asked.disk_only else _run(asked, found, disk, main)
    return Found(Drift(old, found.manifest, changes, run, why), main, meaning)


def between(old: Manifest, new: Manifest, compared: str) -> Found:
    """Compare two manifests.

    Args:
        old: One.
        new: The other.
        compared: Where the other was read, for people.
    """
    changes = compare(old, new)
    unknown = "manifests hold digests, not content; compare the folders themselves: ws101 diff OLD NEW"
    return Found(Drift(old, new, changes), compared, Meaning(None, unknown) if _matters(changes) else None)


def _matters(changes: tuple[Change, ...]) -> bool:
    return any(change.kind not in ("mode", "owner", "link", "unreadable") for change in changes)


def _meaning(sealed: SealedFiles, disk: DiskFiles, old: str, new: str, asked: Asked) -> Meaning:
    gc.disable()  # two configurations are built here, and nothing of them becomes garbage before the end
    try:
        return _compared(sealed, disk, old, new, asked)
    finally:
        gc.enable()


def _compared(sealed: SealedFiles, disk: DiskFiles, old: str, new: str, asked: Asked) -> Meaning:
    try:
        before = Config(sealed, old)
        after = Config(disk, new, complete=True)
    except InputError as error:
        if not sealed.lost:
            return Meaning(None, error.message)
    if sealed.lost:
        names = joined(map(printable, sealed.lost[:3])) + (", and more" if len(sealed.lost) > 3 else "")
        return Meaning(None, f"the sealed content of {names} is not at hand (--before names a copy)")
    return Meaning(compare_configs(before, after, asked.inputs.builds(), every=False))


def _run(asked: Asked, found: Survey, disk: DiskFiles, main: str) -> tuple[Running | None, str]:
    if asked.inputs.roots:
        return None, "not looked at: this is a copy of another machine's configuration"
    master = master_for(main)
    if master is None:
        return None, "no nginx of this machine runs this configuration"
    return running(master, found, disk), ""


def master_for(main: str) -> Master | None:
    """The master that runs a configuration; None if none that we may look at does."""
    wanted = os.path.realpath(os_path(main))
    found = (item for item in on_this_machine() if item.master is not None)
    return next((item.master for item in found if os.path.realpath(os.fsencode(item.conf)) == wanted), None)


def looks_like_manifest(path: str) -> bool:
    """Whether a path is a file that says of itself that it is a manifest."""
    if path == "-":
        return False
    try:
        return is_manifest(_read(path).decode("latin-1"))
    except InputError:
        return False


def _read(path: str) -> bytes:
    if path == "-":
        return sys.stdin.buffer.read(MAX_BYTES)
    try:
        return read_regular(name_of(path))
    except OSError as error:
        raise InputError(f"cannot read the manifest: {error.strerror}", where=printable(name_of(path))) from None


def write_manifest(path: str, text: str) -> None:
    """Write a manifest whole or not at all; what is there and is no manifest is left alone.

    Raises:
        UsageError: The file there is no manifest.
        InputError: What is there cannot be read.
        ApplyError: It cannot be written.
    """
    old = (
        _read(str(Path(path).absolute())) if Path(path).exists() else None
    )  # a link that leads nowhere is followed with care
    if old and not is_manifest(old.decode("latin-1")):
        raise UsageError(
            "the file that is to be written is there, and is no manifest",
            where=printable(name_of(path)),
            help="name another file with -o",
        )
    data = text.encode("latin-1")
    if data != old:
        write_atomic(name_of(str(Path(path).absolute())), data, expected=old)
