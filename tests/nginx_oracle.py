"""The real ``nginx -t`` as an oracle: its first error and the line it prints."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ws101.host.binary import NginxBinary

Said = tuple[str, int | None] | None
"""nginx's message and line, or None where it accepts."""


def nginx_t(binary: NginxBinary, folder: Path, text: str) -> Said:
    """What nginx says of one configuration (latin-1 text)."""
    folder.mkdir(parents=True, exist_ok=True)
    conf = folder / "nginx.conf"
    conf.write_bytes(text.encode("latin-1"))
    command = [
        binary.path,
        "-t",
        "-q",
        "-p",
        str(folder),
        "-c",
        str(conf),
        "-e",
        "/dev/null",
        "-g",
        f"pid {folder}/pid;",
    ]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    said = done.stderr.decode("latin-1")
    if done.returncode == 0:
        return None
    found = re.search(r"\[emerg\] ", said)
    if not found:  # an error_log of the configuration's own took the message
        return "", None
    message = said[found.end() :]
    head, at, tail = message.partition(f" in {conf}:")
    if not at:
        return message.partition("\nnginx: ")[0].rstrip("\n"), None
    return head, int(re.match(r"\d+", tail)[0])  # type: ignore[index]


def nginx_t_all(binary: NginxBinary, folder: Path, texts: Iterable[str]) -> list[Said]:
    """What nginx says of each of many configurations."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda item: nginx_t(binary, folder / str(item[0]), item[1]), enumerate(texts)))
