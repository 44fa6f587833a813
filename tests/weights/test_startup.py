"""The startup benchmark: its arithmetic; the rest is run by hand, it takes a real model."""

from __future__ import annotations

from midfill.weights.recipes.startup import PHASES, summary


def test_each_phase_has_its_own_figures() -> None:
    """Least, median, greatest."""
    result = summary([[1.0, 10.0, 100.0], [3.0, 30.0, 300.0], [2.0, 20.0, 200.0]])
    assert tuple(result) == PHASES
    assert result["model ready"] == {"min": 10.0, "median": 20.0, "max": 30.0}
