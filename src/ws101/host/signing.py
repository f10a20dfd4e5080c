"""Signatures of manifests, by OpenSSH (ssh-keygen(1), -Y sign and -Y verify)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from ws101.errors import InputError
from ws101.host.files import name_of, read_regular
from ws101.host.writing import write_atomic
from ws101.text import printable

__all__ = ["NAMESPACE", "sign", "verify"]

NAMESPACE = "ws101-manifest"
"""What a signature is for; one made for anything else is not accepted."""

_TIMEOUT = 120.0


def sign(manifest: str, key: str) -> str:
    """Sign a manifest; the signature is written beside it.

    Args:
        manifest: Its path.
        key: A private key, or the public key of one that an agent holds.

    Returns:
        The signature's path.

    Raises:
        InputError: ssh-keygen is missing, or could not sign.
        ApplyError: The signature cannot be written.
    """
    data = read_regular(name_of(manifest))
    target = f"{manifest}.sig"
    done = _run(["-Y", "sign", "-q", "-f", key, "-n", NAMESPACE], data, manifest, "could not sign the manifest")
    old = read_regular(name_of(target)) if Path(target).exists() else None
    write_atomic(name_of(str(Path(target).absolute())), done, expected=old)
    return target


def verify(manifest: str, data: bytes, signers: str, identity: str, signature: str | None = None) -> str:
    """Check the signature of a manifest.

    Args:
        manifest: Its path; the signature lies beside it unless ``signature`` says otherwise.
        data: The bytes that were read of it, so that nothing else is checked than what is used.
        signers: The file of allowed signers (ssh-keygen(1), ALLOWED SIGNERS).
        identity: Who must have signed.
        signature: The signature's path.

    Returns:
        What ssh-keygen said, one line.

    Raises:
        InputError: There is no signature, or it is not good.
    """
    beside = signature or f"{manifest}.sig"
    if not Path(beside).is_file():
        raise InputError("the manifest is not signed: there is no signature", where=printable(name_of(beside)))
    words = ["-Y", "verify", "-f", signers, "-I", identity, "-n", NAMESPACE, "-s", beside]
    return _run(words, data, manifest, "the signature of the manifest is not good").decode("utf-8", "replace").strip()


def _run(words: list[str], data: bytes, where: str, failed: str) -> bytes:
    program = shutil.which("ssh-keygen")
    if program is None:
        raise InputError("ssh-keygen is not installed", help="install OpenSSH 8.2 or newer")
    try:
        done = subprocess.run([program, *words], input=data, capture_output=True, timeout=_TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"{failed}: {error}", where=printable(name_of(where))) from error
    if done.returncode != 0:
        said = (done.stderr + done.stdout).decode("latin-1").strip("\r\n").replace("\r", "").replace("\n", "; ")
        raise InputError(f"{failed}: {printable(said, limit=300)}", where=printable(name_of(where)))
    return done.stdout
