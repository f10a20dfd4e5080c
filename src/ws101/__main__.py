"""``python -m ws101``."""

from __future__ import annotations

import sys

from ws101.cli import main

sys.exit(main())
