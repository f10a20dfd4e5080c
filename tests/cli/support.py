"""What the tests of the command line share: running it, and checking the shape of its JSON."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NO_STATE = "/nonexistent/ws101"
"""No test may see, or take back, what was changed on this machine."""

SOURCES = Path(__file__).resolve().parents[2] / "src"

SITE = """\
events {}
http {
    server {
        listen 127.0.0.1:8080;
        server_name example.com;
        location /ws {
            proxy_pass http://127.0.0.1:3000;
            proxy_read_timeout 1h;
        }
    }
}
"""
"""The story's broken site."""


@dataclass(frozen=True)
class Done:
    """What a run of ws101 gave."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "WS101_DEBUG")}
    return {**kept, "PYTHONPATH": str(SOURCES), "PYTHONWARNINGS": "error", "WS101_STATE": NO_STATE, **more}


def ws101(*args: str, stdin: bytes = b"", cwd: Path | None = None, **more: str) -> Done:
    """Run ws101 in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "ws101", *args], input=stdin, capture_output=True, cwd=cwd, env=environment(**more),
        check=False, timeout=60,
    )  # fmt: skip
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


def fingerprint(folder: Path) -> dict[str, str]:
    """Every file below a folder with its SHA-256."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and os.access(path, os.R_OK))
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


@dataclass(frozen=True)
class Or:
    """One of several shapes."""

    shapes: tuple[Any, ...]


def maybe(shape: Any) -> Or:
    """A shape, or null."""
    return Or((shape, None))


def mismatches(value: Any, shape: Any, at: str = "$") -> list[str]:
    """Where a value differs from a shape: a dict of exactly these keys in this order, a list, a type, a literal."""
    if isinstance(shape, Or):
        tried = [mismatches(value, one, at) for one in shape.shapes]
        return [] if any(not found for found in tried) else min(tried, key=len)
    if isinstance(shape, dict):
        if not isinstance(value, dict) or list(value) != list(shape):
            return [f"{at}: {list(value) if isinstance(value, dict) else value!r} is not {list(shape)}"]
        return [found for key in shape for found in mismatches(value[key], shape[key], f"{at}.{key}")]
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f"{at}: {value!r} is no list"]
        return [found for i, item in enumerate(value) for found in mismatches(item, shape[0], f"{at}[{i}]")]
    if shape is float:
        return (
            [] if isinstance(value, int | float) and not isinstance(value, bool) else [f"{at}: {value!r} is no number"]
        )
    if isinstance(shape, type):
        return [] if type(value) is shape else [f"{at}: {value!r} is no {shape.__name__}"]
    return [] if value == shape else [f"{at}: {value!r} is not {shape!r}"]


FILE = {"file": maybe(str), "line": maybe(int)}
PLACE = {**FILE, "column": maybe(int)}
NGINX = {"version": maybe(str), "source": Or(("binary", "option", "unknown"))}
UNKNOWN = {"message": str, **FILE}
EDITS = [{"file": str, "start": int, "end": int, "text": str}]
FIX = Or(
    (
        {"title": str, "safety": "safe", "edits": EDITS},
        {"title": str, "safety": "unsafe", "reason": str, "edits": EDITS},
        {"title": str, "safety": "unsafe", "edits": EDITS},
    )
)
LEVEL = Or(("error", "warning", "note"))
FINDING = {
    "rule": str, "code": str, "level": LEVEL, "message": str, **PLACE, "end_line": maybe(int), "end_column": maybe(int),
    "related": [{"message": str, **PLACE}], "fix": maybe(FIX), "other_fixes": [FIX], "help": maybe(str),
}  # fmt: skip
CHECK = {
    "schema": "ws101/check/1",
    "tool": {"name": "ws101", "version": str},
    "nginx": NGINX,
    "files": [str],
    "problems": [{"message": str, **PLACE}],
    "findings": [FINDING],
    "routes": [
        {
            "listen": [str], "server_names": [str], "location": str, "file": str, "line": int, "upstream": maybe(str),
            "websocket": Or(("intended", "possible", "none")), "tunnel": maybe(bool), "through": maybe(bool),
            "rules": [str],
        }
    ],
    "unknown": [UNKNOWN],
}  # fmt: skip
HEADERS = [[str]]
REQUEST = {"method": str, "target": str, "version": str, "headers": HEADERS, "raw": str}
DECISION = {"step": str, "chosen": str, "why": str, **FILE}
OUTCOME = {
    "kind": Or(("proxied", "returned", "redirected", "static", "refused", "closed", "unknown")),
    "status": maybe(int), "location": maybe(str),
    "upstream": maybe({"name": str, "address": maybe(str), "addresses": [str], "tls": bool}),
    "request": maybe(REQUEST),
    "headers": maybe([{"name": str, "value": str, "fate": str, "why": str, **FILE}]),
    "tunnel": maybe(bool), "faults": [str], "idle_timeout": maybe(float), "body": maybe(str),
}  # fmt: skip
EXPLAIN = {
    "schema": "ws101/explain/1", "url": str, "nginx": NGINX, "decisions": [DECISION], "outcome": OUTCOME,
    "unknown": [UNKNOWN],
}  # fmt: skip
EXPLAIN_UNKNOWN = {
    "schema": "ws101/explain/1", "url": str, "nginx": NGINX, "decisions": None, "outcome": None,
    "outcomes": [{"condition": str, "versions": [str], "decisions": [DECISION], **OUTCOME}], "unknown": [UNKNOWN],
}  # fmt: skip
TIMINGS = {"dns": maybe(float), "tcp": maybe(float), "tls": maybe(float), "http": maybe(float)}
ANSWERED = Or(("backend", "nginx", "other", "nobody"))
PROBE = {
    "schema": "ws101/probe/1", "url": str, "probe": str, "verdict": Or(("passed", "failed", "undecided")),
    "class": maybe(str),
    "message": str, "help": maybe(str), "details": dict, "request": maybe(REQUEST),
    "response": maybe(
        {
            "version": str, "status": int, "reason": str, "headers": HEADERS, "body_lines": [str], "faults": [str],
            "complete": bool,
        }
    ),
    "answered_by": ANSWERED,
    "checks": [{"name": str, "passed": bool, "message": str, "section": str, "class": maybe(str)}],
    "timings": maybe(TIMINGS),
    "connection": maybe({"address": maybe(str), "tried": [str], "proxy": maybe(str), "tls": None}),
    "transcript": [{"at": float, "direction": str, "text": str}],
}  # fmt: skip
CAUSE = {
    "rule": str, "level": LEVEL, "confidence": Or(("proven", "likely", "possible")), "message": str, **PLACE,
    "evidence": [str], "fix": maybe(FIX), "help": maybe(str), "decided_by": [str],
}  # fmt: skip
DIAGNOSE = {
    "schema": "ws101/diagnose/1", "url": str, "verdict": Or(("works", "degraded", "broken", "unknown")),
    "class": maybe(str), "nginx": maybe(NGINX), "root_causes": [CAUSE],
    "observed": maybe(
        {
            "status": maybe(int), "reason": str, "answered_by": ANSWERED, "attribution": [str], "timings": TIMINGS,
            "message": str,
            "headers": HEADERS, "body_lines": [str],
        }
    ),
    "predicted": maybe({**OUTCOME, "decisions": [DECISION]}), "agrees": maybe(bool),
    "experiments": [{"name": str, "title": str, "answer": str, "passed": bool, "seconds": float}],
    "next_question": maybe(str), "unknown": [UNKNOWN],
}  # fmt: skip
APPLIED = {
    "class": Or(("proven", "delivered", "unproven", "rolled-back", "damaged", "not-started")), "reason": str,
    "change": maybe(str), "steps": [{"step": str, "seconds": float, "detail": str}],
    "files": [{"file": str, "sha256": str}],
}  # fmt: skip
FIXED = {
    "schema": "ws101/fix/1", "class": str, "nginx": NGINX,
    "changed": [{"file": str, "created": bool, "diff": str}],
    "fixed": [{"rule": str, "title": str, "safety": Or(("safe", "unsafe")), **PLACE}],
    "held_back": [{"rule": str, "reason": str, "fix": FIX}],
    "findings": [FINDING], "written": [str], "applied": maybe(APPLIED),
}  # fmt: skip
