"""A self-signed certificate for the lab, made by the ``openssl`` program."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from ws101.errors import NginxError

__all__ = ["certificate"]

_CONFIG = """\
[req]
prompt = no
distinguished_name = name
x509_extensions = extensions
[name]
CN = {host}
[extensions]
subjectAltName = DNS:{host}, IP:127.0.0.1
basicConstraints = critical, CA:FALSE
extendedKeyUsage = serverAuth
"""


def certificate(folder: Path, host: str, *, days: int = 30) -> None:
    """Write ``site.pem`` and ``site.key`` into a folder; the key is for its owner alone.

    Args:
        folder: An existing folder.
        host: The name that it is for; 127.0.0.1 is added.
        days: How long it is valid.

    Raises:
        NginxError: There is no openssl, or it failed.
    """
    program = shutil.which("openssl")
    if program is None:
        raise NginxError("a certificate cannot be made: there is no openssl", help="sudo apt-get install openssl")
    config, key, chain = folder / "openssl.cnf", folder / "site.key", folder / "site.pem"
    config.write_text(_CONFIG.format(host=host))
    os.close(os.open(key, os.O_CREAT | os.O_WRONLY, 0o600))
    kind = ("-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-sha256")
    command = (program, "req", "-x509", *kind, "-days", str(days), "-config", str(config), "-out", str(chain))
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    config.unlink()
    if done.returncode != 0:
        raise NginxError(f"openssl made no certificate: {done.stderr.decode('latin-1').strip()}", where=program)
