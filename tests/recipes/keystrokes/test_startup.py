"""The startup benchmark, on a server whose engine is scripted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from repository import SCRIPTED_SERVER

from midfill.recipes.keystrokes import startup
from midfill.recipes.keystrokes.settings import StartupSettings
from midfill.recipes.keystrokes.startup import PHASES, summary
from midfill.recipes.reports.output import Output

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_each_phase_has_its_own_figures() -> None:
    """Least, median, greatest."""
    result = summary([[1.0, 10.0, 100.0], [3.0, 30.0, 300.0], [2.0, 20.0, 200.0]])
    assert tuple(result) == PHASES
    assert result["model ready"] == {"min": 10.0, "median": 20.0, "max": 30.0}


def test_the_first_start_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It warms the disk cache; phases come in their order."""
    monkeypatch.setattr(startup, "TEXT", "# do: write done")
    out = tmp_path / "out.json"
    settings = StartupSettings("fake", runs=1, command=(*SCRIPTED_SERVER, "lsp"))
    startup.run(settings, Output(out, None))
    report = json.loads(out.read_text(encoding="utf-8"))
    assert (report["runs"], report["model"]) == (1, "fake")
    medians = [report["ms"][phase]["median"] for phase in PHASES]
    assert 0 < medians[0] < medians[1] < medians[2]
