"""What the tests of ``seal``, ``drift`` and ``diff`` share: running them, and the shapes of their JSON."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from unittest import mock

from tests.cli.support import NGINX, OUTCOME, UNKNOWN, Done, Or, environment, maybe
from ws101.cli import main


def ws101(*args: str, stdin: bytes = b"", **more: str) -> Done:
    """Run ws101 in this process: there are many runs, and starting a process costs more than each of them."""
    out, err = io.BytesIO(), io.BytesIO()
    streams = [io.TextIOWrapper(buffer, "utf-8", write_through=True) for buffer in (out, err)]
    with (
        mock.patch.dict(os.environ, environment(**more), clear=True),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), "utf-8")),
        contextlib.redirect_stdout(streams[0]),
        contextlib.redirect_stderr(streams[1]),
    ):
        code = main(args)
    return Done(code, out.getvalue().decode(), err.getvalue().decode())


FACTS = {"sha256": str, "size": maybe(int), "mode": maybe(str), "owner": maybe(str), "target": maybe(str)}
SEAL = {
    "schema": "ws101/seal/1", "class": "sealed", "conf": str, "manifest": maybe(str), "signature": maybe(str),
    "files": [{"name": str, "file": maybe(str), **FACTS}], "uncovered": [str],
}  # fmt: skip
KIND = Or(
    (
        *("added", "removed", "missing", "unloaded", "content", "line-ends", "truncated", "mode", "owner", "link"),
        "unreadable",
    )
)
PLACE = maybe({"file": str, "line": int})
MEANING = {
    "problems": [{"message": str, "file": str, "line": int}],
    "routes": [
        {
            "listen": [str], "server_names": [str], "location": str, "old": PLACE, "new": PLACE,
            "change": Or(("same", "changed", "settings", "unknown", "added", "removed")),
            "websocket": Or(("same", "repaired", "broken", "unknown")),
            "requests": [
                {
                    "kind": Or(("handshake", "GET", "POST")), "method": str, "target": str, "host": str,
                    "before": maybe(OUTCOME), "after": maybe(OUTCOME), "differences": [str], "unknown": [UNKNOWN],
                    "condition": maybe(str),
                }
            ],
            "settings": [str],
        }
    ],
    "around": [str], "unknown": [UNKNOWN],
}  # fmt: skip
DIFF = {
    "schema": "ws101/diff/1", "class": Or(("refused", "changed", "unknown", "settings", "same")), "nginx": NGINX,
    "old": str, "new": str, **MEANING,
}  # fmt: skip
STALE = {"name": str, "file": str, "message": str, "after": float}
RUNNING = {
    "pid": int, "program": maybe(str), "version": maybe(str), "replaced": bool, "started": maybe(float),
    "stale": [STALE], "refused": maybe(str), "unknown": [str],
}  # fmt: skip
DRIFT = {
    "schema": "ws101/drift/1", "class": Or(("clean", "drift", "refused", "stale", "unchecked")), "manifest": str,
    "compared_with": str, "signature": maybe(str), "files": int,
    "changes": [
        {"kind": KIND, "name": str, "file": maybe(str), "message": str, "by": maybe(str),
         "old": maybe(FACTS), "new": maybe(FACTS)}
    ],
    "meaning": maybe({"class": str, "reason": maybe(str), **MEANING}),
    "running": maybe(RUNNING), "not_running": maybe(str), "uncovered": [str],
}  # fmt: skip
