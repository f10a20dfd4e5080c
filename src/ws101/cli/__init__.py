"""The command line: ``main``.

Nothing heavy is imported before the command is known, and no traceback ever reaches a user.  Exit codes: 0 fine, 1 an
error-level finding, broken or failed, 2 could not do it, 130 interrupted.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence

__all__ = ["main"]


def main(args: Sequence[str] | None = None) -> int:
    """Run ws101 and return the exit code.

    Args:
        args: The arguments without the program's name; ``sys.argv`` if None.
    """
    gc.set_threshold(50_000)  # of the thousands of objects that modules make while they load, none is garbage
    try:
        from ws101.cli.running import run

        return run(args)
    except KeyboardInterrupt:  # while the modules above were still loading
        return 130
    finally:
        if args is None:  # the process ends: nothing it made needs to be looked through for garbage
            gc.freeze()
