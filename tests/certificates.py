"""Certificates for tests, made by the openssl program."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest

__all__ = ["certificate"]


@cache
def certificate(name: str = "example.com") -> dict[str, str]:
    """A self-signed certificate for a name and its key: the text of ``cert.pem`` and ``cert.key``."""
    if shutil.which("openssl") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("openssl, which makes the certificate, is not installed")
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    with tempfile.TemporaryDirectory() as folder:
        pem, key = Path(folder, "cert.pem"), Path(folder, "cert.key")
        names = ("-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}")
        command = ("openssl", "req", "-x509", *kind, *names, "-keyout", str(key), "-out", str(pem))
        subprocess.run(command, check=True, capture_output=True)
        return {path.name: path.read_text() for path in (pem, key)}
