"""The real file's tensors, dequantized by us, and by transformers with code of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from midfill.weights.formats.gguf import read_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel


@pytest.mark.real_model
def test_tensors_equal_those_that_transformers_loads(
    real_model_path: Path, reference: PreTrainedModel
) -> None:
    """Bit for bit, in fp32."""
    theirs = reference.state_dict()
    tensors = read_checkpoint(real_model_path, "real").tensors
    assert theirs.keys() - tensors.keys() == {"lm_head.weight"}
    for name, tensor in tensors.items():
        assert torch.equal(tensor.read(torch.float32), theirs[name]), name
