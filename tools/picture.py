"""Draw what a command prints on a terminal as an SVG picture: ``python -m tools.picture OUT.svg COMMAND...``.

The picture is the command's real output, with its colours; nothing is retouched but the name of the temporary folder.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 100
_FOLDER = re.compile(r"/tmp/ws101-demo-\w+")
_FONT_FACE = re.compile(r"@font-face \{.*?\}\n", re.DOTALL)


def draw(title: str, output: str) -> str:
    """The SVG of a terminal that shows an output with ANSI colours; it loads nothing from elsewhere."""
    console = Console(record=True, width=WIDTH + 12, file=io.StringIO(), force_terminal=True, color_system="standard")
    console.print(Text.from_ansi(output), soft_wrap=False)
    svg = console.export_svg(title=title)
    return "\n".join(line.rstrip() for line in _FONT_FACE.sub("", svg).splitlines()) + "\n"


def main(argv: list[str]) -> int:
    """Run the command and write its picture; the command's exit code."""
    out, *command = argv
    env_width = {"COLUMNS": str(WIDTH), "PATH": "/usr/sbin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": str(Path.home())}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env_width)
    text = _FOLDER.sub("/tmp/ws101-demo", done.stdout)
    shown = " ".join((Path(command[0]).name, *(w for w in command[1:] if w not in ("--color", "always"))))
    Path(out).write_text(draw(shown, text), encoding="utf-8")
    sys.stderr.write(done.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
