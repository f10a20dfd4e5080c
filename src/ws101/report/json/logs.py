"""``ws101 logs`` as JSON: ``ws101/logs/1``."""

from __future__ import annotations

from ws101.logs import Tally
from ws101.report.json.base import Json
from ws101.report.texts import as_json_text

__all__ = ["logs"]


def logs(tally: Tally, files: tuple[tuple[str, str], ...]) -> Json:
    """``ws101/logs/1``.

    Args:
        tally: What was counted.
        files: Each file that was read, and what is wrong with it (empty if nothing).
    """
    paths: dict[str, dict[str, int]] = {}
    for (path, status), number in tally.statuses.items():
        paths.setdefault(as_json_text(path), {})[str(status)] = number
    refused, last = tally.emerg
    return {
        "schema": "ws101/logs/1",
        "files": [{"file": path, "problem": problem or None} for path, problem in files],
        "lines": tally.lines,
        "unread": tally.unread,
        "paths": [{"path": path, "statuses": statuses} for path, statuses in paths.items()],
        "tunnels": {
            "ended": tally.tunnels,
            "untimed": tally.untimed,
            "own": tally.own,
            "ages": [{"seconds": age, "number": number} for age, number in sorted(tally.ages.items())],
            "clusters": [{"seconds": age, "number": number} for age, number in tally.clusters()],
        },
        "errors": [
            {"rule": rule, "number": number, "message": meaning, "first": first, "last": last_time}
            for rule, (number, meaning, first, last_time) in tally.told.items()
        ],
        "refused": {"number": refused, "last": as_json_text(last) or None},
    }
