"""The room for a context: what weights and keys and values take, against what is free."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from tiny_engine import SHAPE, tiny_checkpoint
from tiny_models import write_gguf

from midfill.engine import memory
from midfill.engine.api import EngineConfig
from midfill.engine.errors import InvalidRequestError, ModelNotAvailableError
from midfill.engine.model.loader import choose_placement
from midfill.engine.runtime import start_runtime
from midfill.weights.checkpoint import open_checkpoint

if TYPE_CHECKING:
    from pathlib import Path


def test_the_system_says_what_is_free() -> None:
    """More than a test needs, and less than any machine has."""
    free = memory.free_bytes()
    assert free is not None
    assert 1 << 24 < free < 1 << 45


@pytest.mark.parametrize(("formats", "bits"), [("fp32", 32), ("bf16", 16), ("int8", 8.5)])
def test_weights_take_the_bits_of_their_format(formats: str, bits: float) -> None:
    """All of them, by their shapes."""
    checkpoint = tiny_checkpoint()
    weights = sum(source.array.size for source in checkpoint.tensors.values())
    assert memory.weight_bytes(checkpoint, formats) == int(weights * bits / 8)


def test_a_file_of_4_bits_stays_near_its_size(tmp_path: Path) -> None:
    """As ``auto`` reads it."""
    write_gguf(tmp_path / "tiny.gguf", types=("Q4_0",))
    size = (tmp_path / "tiny.gguf").stat().st_size
    checkpoint = open_checkpoint(str(tmp_path / "tiny.gguf"))
    assert memory.weight_bytes(checkpoint, "auto") <= size
    assert memory.weight_bytes(checkpoint, "bf16") > size


def test_keys_and_values_get_what_the_weights_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the cache's own format; nothing is left where the weights alone are too much."""
    placement = replace(choose_placement("cpu", "int8"), dtype=torch.bfloat16)
    weights = memory.weight_bytes(tiny_checkpoint(), "int8")
    token = 2 * SHAPE.num_hidden_layers * SHAPE.num_key_value_heads * SHAPE.head_dim * 2
    for free, tokens in ((weights + 100 * token, 100), (weights + 100 * token - 1, 99), (9, 0)):
        monkeypatch.setattr(memory, "free_bytes", lambda free=free: free)
        assert memory.most_tokens(tiny_checkpoint(), placement) == tokens


def test_where_nobody_can_tell_there_is_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the system's memory nor an accelerator's is guessed."""
    placement = choose_placement("cpu", "int8")
    monkeypatch.setattr(memory, "free_bytes", lambda: 1)
    elsewhere = replace(placement, device=torch.device("meta"))
    assert memory.most_tokens(tiny_checkpoint(), elsewhere) is None
    monkeypatch.setattr(memory, "free_bytes", lambda: None)
    assert memory.most_tokens(tiny_checkpoint(), placement) is None


def opened_context(asked: int) -> int:
    """The context of an engine that was asked for one; 0: the model's 2,048."""
    config = EngineConfig(model="tiny", dtype="fp32", device="cpu", context_length=asked)
    with closing(start_runtime(config, tiny_checkpoint())) as runtime:
        return runtime.info.context_length


def test_a_context_that_memory_has_no_room_for_is_refused_or_cut(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What was asked for is refused; the model's own becomes shorter, and the log says so."""
    monkeypatch.setattr(memory, "most_tokens", lambda *_: 1000)
    with pytest.raises(InvalidRequestError, match=r"context_length is 1001; .* for 1000 tokens"):
        opened_context(1001)
    assert opened_context(1000) == opened_context(0) == 1000
    assert "1000 tokens instead of 2048" in caplog.text
    monkeypatch.setattr(memory, "most_tokens", lambda *_: 63)
    with pytest.raises(ModelNotAvailableError, match=r"does not fit: .* for 63 tokens; .* int4"):
        opened_context(0)
