"""``python -m tools.docs``: make the pages and build the site into ``site/``.

``--write`` only makes the pages, ``--check`` only tells which are outdated.
"""

from __future__ import annotations

import argparse
import sys

from tools.docs.build import ROOT, SITE, BuildError, build_site, outdated, write


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="only make the pages")
    parser.add_argument("--check", action="store_true", help="only tell which pages are outdated")
    asked = parser.parse_args()
    if asked.check:
        names = outdated()
        for name in names:
            print(f"outdated: docs/{name}", file=sys.stderr)
        return 1 if names else 0
    for name in write():
        print(f"made docs/{name}")
    if not asked.write:
        try:
            build_site()
        except BuildError as error:
            print(error, file=sys.stderr)
            return 1
        print(f"built {SITE.relative_to(ROOT)}/index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
