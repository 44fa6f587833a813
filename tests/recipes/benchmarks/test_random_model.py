"""A shape with random weights: midfill opens it and runs it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from tiny_models import TINY_ARCHITECTURE, write_gguf

from midfill.engine.backend import open_decoder
from midfill.engine.model.kv_cache import Slot
from midfill.engine.model.loader import choose_placement
from midfill.recipes.benchmarks import random_model
from midfill.weights.checkpoint import open_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_written_shape_runs_in_its_own_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the vocabulary that it was given, and finite logits."""
    write_gguf(tmp_path / "words.gguf")
    shape = replace(TINY_ARCHITECTURE, hidden_size=64, intermediate_size=96, vocab_size=7)
    monkeypatch.setitem(random_model.SHAPES, "7b", shape)
    random_model.main([str(tmp_path / "big.gguf"), "--vocabulary", str(tmp_path / "words.gguf")])
    checkpoint = open_checkpoint(str(tmp_path / "big.gguf"))
    assert checkpoint.architecture.vocab_size == TINY_ARCHITECTURE.vocab_size
    placement = choose_placement("cpu", "auto")
    model = open_decoder(checkpoint, placement, 1, lambda _share: None).model
    slot = Slot(model.architecture, model.dtype, model.device)
    logits = model.logits(model.forward([1, 2, 3], slot))
    assert torch.isfinite(logits).all()
    assert logits.std() > 0
