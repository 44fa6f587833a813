"""How long a model takes to open: what the process that opens it prints."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from tiny_models import write_gguf

from midfill.engine.api import EngineConfig
from midfill.recipes.benchmarks import load

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_process_prints_times_and_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line of JSON with the fields of a Load; the peak is behind some work."""
    monkeypatch.setattr(load, "_PROMPT", 24)
    monkeypatch.setattr(load, "_DECODED", 2)
    write_gguf(tmp_path / "tiny.gguf")
    config = EngineConfig(str(tmp_path / "tiny.gguf"), threads=1)
    assert load.main(json.dumps(asdict(config))) == 0
    found = load.Load(**json.loads(capsys.readouterr().out))
    assert found.open_seconds > 0
    if found.loaded_mib is not None:
        assert found.peak_mib is not None
        assert found.peak_mib >= found.loaded_mib > 0
