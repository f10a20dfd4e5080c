"""What a change of a configuration means: the routes and requests whose outcome differs between two of them."""

from __future__ import annotations

from ws101.changes.comparison import KINDS, Compared, Comparison, RouteChange, compare_configs

__all__ = ["KINDS", "Compared", "Comparison", "RouteChange", "compare_configs"]
