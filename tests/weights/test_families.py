"""The table of tensors agrees with what others call them, and with itself."""

from __future__ import annotations

import gguf
import pytest
from tiny_models import TINY_ARCHITECTURE

from midfill.weights.families import LLAMA, expected_shapes


def test_every_tensor_has_the_name_that_the_gguf_package_gives_it() -> None:
    """Its table is made for all architectures."""
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, TINY_ARCHITECTURE.num_hidden_layers)
    for name in expected_shapes(TINY_ARCHITECTURE):
        stored = names.get_name(name, try_suffixes=(".weight",))
        assert LLAMA.from_gguf(stored) == name
        assert LLAMA.to_gguf(name) == stored


@pytest.mark.parametrize(
    "name", ["blk.0.attn_q.bias", "blk.00.attn_q.weight", "blk.x.attn_q.weight", "attn_q.weight"]
)
def test_a_name_outside_the_table_has_no_translation(name: str) -> None:
    """Biases, other spellings, other places."""
    assert LLAMA.from_gguf(name) is None


def test_parts_and_fused_matrices_hold_each_tensor_of_a_layer_once() -> None:
    """The kernels' parts are finer: each lies in one fused matrix, in order."""
    names = [name for name in expected_shapes(TINY_ARCHITECTURE) if ".layers.1." in name]
    parts, fused = LLAMA.parts(1), LLAMA.fused(1)
    for groups in (parts, fused):
        assert sorted(name for group in groups.values() for name in group) == sorted(names)
    for group in fused.values():
        inside = [part for part in parts.values() if part[0] in group]
        assert [name for part in inside for name in part] == group
