"""Logits that are no numbers are an error, never text."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from tiny_engine import ArraySource, collect, tiny_checkpoint
from tiny_models import write_gguf

from midfill.engine.api import CompletionRequest, EngineConfig, Sampling
from midfill.engine.errors import CorruptModelError
from midfill.engine.runtime import start_runtime
from midfill.weights.checkpoint import open_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

REQUEST = CompletionRequest("def f(x):\n    retu", "\n\nf(1)\n", max_tokens=8)


NAMES = ("norm", "embed_tokens", "layers.0.input_layernorm", "layers.1.mlp.down_proj")


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "int8", "int4"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", NAMES)
def test_a_model_with_values_that_are_no_numbers_is_refused(
    name: str, value: float, dtype: str
) -> None:
    """When it is opened, with what to do: in bytes they would be any number."""
    checkpoint, name = tiny_checkpoint(), f"model.{name}.weight"
    weight = checkpoint.tensors[name].read(torch.float32).numpy().copy()
    weight[3] = value
    broken = replace(checkpoint, tensors={**checkpoint.tensors, name: ArraySource(weight)})
    with pytest.raises(CorruptModelError, match=rf"{name} has values .*midfill models verify"):
        start_runtime(EngineConfig("tiny", device="cpu", dtype=dtype, threads=1), broken)


@pytest.mark.parametrize("type_name", ["Q8_0", "Q4_0", "Q4_1"])
def test_blocks_with_a_scale_that_is_no_number_are_refused(type_name: str, tmp_path: Path) -> None:
    """They are read without PyTorch."""
    write_gguf(tmp_path / "tiny.gguf", types=(type_name,))
    content = (tmp_path / "tiny.gguf").read_bytes()
    checkpoint = open_checkpoint(str(tmp_path / "tiny.gguf"))
    block = checkpoint.tensors["model.layers.0.mlp.up_proj.weight"].blocks()
    assert block is not None
    row = block[1][0].tobytes()
    (tmp_path / "tiny.gguf").write_bytes(content.replace(row, b"\0\x7c" + row[2:]))
    with pytest.raises(CorruptModelError, match="up_proj"):
        start_runtime(
            EngineConfig("tiny", device="cpu", threads=1),
            open_checkpoint(str(tmp_path / "tiny.gguf")),
        )


@pytest.mark.parametrize(
    "request_",
    [
        REQUEST,
        replace(REQUEST, heal=False),
        replace(REQUEST, tries=4),
        replace(REQUEST, sampling=Sampling(1.0, seed=1)),
    ],
)
def test_a_pass_that_went_wrong_spoils_no_later_one(
    request_: CompletionRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a single token overflows."""
    runtime = start_runtime(EngineConfig("tiny", device="cpu", dtype="fp32"), tiny_checkpoint())
    expected = collect(runtime.infill(request_)).text
    model = runtime.machine.model
    with monkeypatch.context() as patch:
        patch.setattr(model, "logits", lambda h: torch.full((len(h), 1000), torch.nan))
        with pytest.raises(CorruptModelError, match=r"computes nan .*midfill models verify"):
            collect(runtime.infill(request_))
    assert collect(runtime.infill(request_)).text == expected
    runtime.close()
