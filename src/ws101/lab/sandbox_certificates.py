"""Keys and certificates for a sandbox, made by the ``openssl`` program."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from ws101.errors import NginxError

__all__ = ["make_certificates"]

_KINDS = {
    "rsa": ("-newkey", "rsa:2048"),
    "ec": ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
}
_TICKET_KEY = 80
_TIMEOUT = 60.0


def make_certificates(folder: Path, *, dhparam: bool = False) -> None:
    """Write ``rsa.pem``, ``rsa.key``, ``ec.pem``, ``ec.key``, both certificates as ``all.pem``, and ``ticket.key``.

    Args:
        folder: An existing folder that nobody else can read.
        dhparam: Whether to write ``dh.pem``, the group ffdhe2048 (RFC 7919), too.

    Raises:
        NginxError: There is no openssl, or it failed.
    """
    program = shutil.which("openssl")
    if program is None:
        raise NginxError(
            "the configuration uses TLS, and without openssl no certificate can be made",
            help="sudo apt-get install openssl",
        )
    for name, kind in _KINDS.items():
        where = ("-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem"))
        _run(program, "req", "-x509", *kind, "-nodes", "-sha256", "-days", "2", "-subj", "/CN=ws101 sandbox", *where)
    (folder / "all.pem").write_bytes(b"".join((folder / f"{name}.pem").read_bytes() for name in _KINDS))
    (folder / "ticket.key").write_bytes(os.urandom(_TICKET_KEY))
    if dhparam:
        group = ("-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe2048")
        _run(program, "genpkey", *group, "-out", str(folder / "dh.pem"))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        said = done.stderr.decode("latin-1").strip().splitlines()
        raise NginxError(f"openssl made no certificate: {said[-1] if said else done.returncode}", where=command[0])
