"""``ws101 seal`` and ``ws101 drift`` as JSON: ``ws101/seal/1``, ``ws101/drift/1``."""

from __future__ import annotations

import posixpath

from ws101.manifest import Change, Drift, Entry, Manifest, Running
from ws101.report.json.base import Json
from ws101.report.texts import as_json_text

__all__ = ["drift", "seal"]


def seal(manifest: Manifest, main: str, target: str | None, signature: str | None) -> Json:
    """``ws101/seal/1``.

    Args:
        manifest: What was sealed.
        main: The main file.
        target: Where the manifest was written; None if it was not.
        signature: Where its signature was written; None if it was not signed.
    """
    folder = posixpath.dirname(main)
    return {
        "schema": "ws101/seal/1",
        "class": "sealed",
        "conf": as_json_text(main),
        "manifest": target,
        "signature": signature,
        "files": [{"name": as_json_text(e.name), "file": _file(folder, e.name), **_facts(e)} for e in manifest.entries],
        "uncovered": [as_json_text(line) for line in manifest.uncovered],
    }


def _file(folder: str, name: str) -> str | None:
    """The absolute name; null where the folder is not known."""
    path = posixpath.join(folder, name)
    return as_json_text(path) if path.startswith("/") else None


def _facts(entry: Entry) -> Json:
    return {
        "sha256": entry.digest,
        "size": entry.size,
        "mode": None if entry.mode is None else f"{entry.mode:04o}",
        "owner": as_json_text(entry.owner) or None,
        "target": as_json_text(entry.target) or None,
    }


def drift(item: Drift, *, manifest: str, against: str, signed: str = "", meaning: Json | None = None) -> Json:
    """``ws101/drift/1``.

    Args:
        item: What was found.
        manifest: The manifest's path as it was given.
        against: What it was compared with: the main file, or another manifest.
        signed: What was said of the signature; empty if none was asked for.
        meaning: What the changes mean for routes; None if nothing that routes depend on was changed.
    """
    folder = item.new.folder or item.old.folder
    return {
        "schema": "ws101/drift/1",
        "class": item.class_,
        "manifest": manifest,
        "compared_with": as_json_text(against),
        "signature": signed or None,
        "files": len(item.new.entries),
        "changes": [_change(change, folder) for change in item.changes],
        "meaning": meaning,
        "running": _running(item.running, folder) if item.running is not None else None,
        "not_running": as_json_text(item.not_running) or None,
        "uncovered": [as_json_text(line) for line in item.new.uncovered],
    }


def _change(item: Change, folder: str) -> Json:
    return {
        "kind": item.kind,
        "name": as_json_text(item.name),
        "file": _file(folder, item.name),
        "message": as_json_text(item.detail),
        "by": as_json_text(item.by) or None,
        "old": _facts(item.old) if item.old is not None else None,
        "new": _facts(item.new) if item.new is not None else None,
    }


def _running(item: Running, folder: str) -> Json:
    return {
        "pid": item.pid,
        "program": item.program or None,
        "version": item.version or None,
        "replaced": item.replaced,
        "started": item.started,
        "stale": [
            {"name": as_json_text(s.name), "file": _file(folder, s.name), "message": s.what, "after": s.after}
            for s in item.stale
        ],
        "refused": as_json_text(item.refused) or None,
        "unknown": [as_json_text(text) for text in item.unknown],
    }
