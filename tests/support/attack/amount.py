"""How much of an attack runs: a seeded little in ``make test``, all of it in ``make attack``."""

from __future__ import annotations

import os

IS_WHOLE = bool(os.environ.get("MIDFILL_ATTACK"))
"""Whether this is ``make attack``; only there time counts."""


def amount(in_test: int, in_attack: int) -> int:
    """How many of something to try."""
    return in_attack if IS_WHOLE else in_test
