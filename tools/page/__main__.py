"""`python -m tools.page`: build `dist/ws101.html`, the page that diagnoses in the browser and uploads nothing.

`--pictures` also takes its pictures for the documentation, in Chromium.
"""

from __future__ import annotations

import sys

from tools.page.building import ROOT, TARGET, BuildError, build
from tools.page.picture import take


def main() -> int:
    try:
        build(TARGET)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{TARGET.relative_to(ROOT)}: {TARGET.stat().st_size:,} bytes")
    if "--pictures" in sys.argv[1:]:
        for path in take():
            print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
