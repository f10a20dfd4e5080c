"""The table of causes that only a live site shows: how each was staged, what diagnose said, in how many seconds.

python -m tools.live_causes           writes docs/reference/live-causes.md from what it measures
python -m tools.live_causes --parts   fetches the applications' libraries into .cache, and builds what is in Go
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tests.live import causes, network_causes
from tests.live.applications import BACKENDS, MISTAKES, fetch_parts
from tests.live.staging import STAGES, Missing, Parts, Stage, Told, diagnose

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference" / "live-causes.md"

HEAD = """\
# Causes that a live site shows

Each row is a site that was built with real parts (nginx, applications, certificates), diagnosed by `ws101 URL` as a
user would, and taken away again. The cause must come out as number one; `make live` builds them all and writes this
page.

| cause | how it was staged | what diagnose said | how sure | experiments that decided | seconds |
|---|---|---|---|---|---|
"""


def row(stage: Stage, told: Told) -> str:
    first = told.first
    decided = ", ".join(f"`{_short(name)}`" for name in first.get("decided_by", [])) or "none needed"
    cells = [
        f"`{stage.rule}`",
        stage.how,
        _short(first["message"]),
        first["confidence"],
        decided,
        f"{told.seconds:.2f}",
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _short(text: str) -> str:
    """Without the ports and folders of the day."""
    return re.sub(r"/tmp/[^/ ]+", "...", re.sub(r"(:|port )[0-9]{4,5}\b", r"\1PORT", text))


MATRIX = """\

## The same mistake, by backend

What a client sees when nginx (below 1.29.7, where HTTP/1.0 is the default) does not pass the handshake on. Each cell
was staged and diagnosed: the mistake was named as the first cause, proven, whatever the backend answered; else it says
so.

"""

STAND_INS = """\

## What stands in for the real thing

- SELinux: a Unix socket that nginx's user may not write to, which ends in the same error of the system; the kernel
  here has no SELinux.
- A CDN, a load balancer of a cloud, a company's proxy: another nginx, or a few lines of Python, that do to the
  handshake what those do.
- Home Assistant, ActionCable and other applications with lists of origins or proxies: applications that refuse by the
  same rule, besides aiohttp and gorilla/websocket themselves.
"""


def matrix(missing: list[str], wrong: list[str]) -> list[str]:
    """Every backend behind every mistake: the status that a client sees."""
    lines = [f"| backend | {' | '.join(MISTAKES)} |", "|---|" + "---|" * len(MISTAKES)]
    for name, item in BACKENDS.items():
        with Parts() as parts:
            try:
                port = parts.backend(item)
                cells = [_cell(parts, port, item.target, mistake, wrong) for mistake in MISTAKES]
            except Missing as part:
                missing.append(f"- {name}: {part} is not there")
                continue
        lines.append(f"| {name} | {' | '.join(cells)} |")
        print(lines[-1])
    return lines


def _cell(parts: Parts, port: int, target: str, mistake: str, wrong: list[str]) -> str:
    settings, rule = MISTAKES[mistake]
    told = diagnose(parts.mistaken(port, target, settings))
    status = str(told.json["observed"]["status"])
    if (told.first["rule"], told.first["confidence"]) == (rule, "proven"):
        return status
    wrong.append(f"{mistake}: {told.first['rule']} {told.first['confidence']}")
    return f"{status}, **{told.first['rule']}**"


def main() -> int:
    if "--parts" in sys.argv[1:]:
        for line in fetch_parts():
            print(f"NOT THERE, and what needs it is left out: {line}")
        return 0
    assert causes.__doc__
    assert network_causes.__doc__
    rows, wrong, missing = [], [], []
    for stage in sorted(STAGES, key=lambda item: item.rule):
        with Parts() as parts:
            try:
                told = diagnose(stage.build(parts))
            except Missing as part:
                missing.append(f"- `{stage.rule}`, {stage.how}: {part} is not there")
                continue
        if (told.first["rule"], told.first["confidence"]) != (stage.rule, stage.confidence):
            wrong.append(f"{stage.name}: {told.first['rule']} {told.first['confidence']}")
        rows.append(row(stage, told))
        print(f"{told.seconds:6.2f} s  {stage.name}")
    lines = matrix(missing, wrong)
    text = HEAD + "\n".join(rows) + "\n" + MATRIX + "\n".join(lines) + "\n" + STAND_INS
    if missing:
        text += "\n## Not staged here\n\n" + "\n".join(missing) + "\n"
    PAGE.write_text(text)
    print(f"{len(rows)} staged, {len(wrong)} wrong, {len(missing)} missing: {PAGE.relative_to(ROOT)}")
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
